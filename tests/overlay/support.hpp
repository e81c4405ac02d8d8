// Parties for tests of the overlay: honest ones (an Exchange on a simulated host) and raw ones, which write whatever
// frames a test wants them to.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "metadata/base/random.hpp"
#include "metadata/record.hpp"
#include "overlay/exchange.hpp"
#include "overlay/messages.hpp"
#include "overlay/sim/simulation.hpp"

namespace p2p::test {

using overlay::Duration;
using overlay::operator""ms;
using overlay::operator""s;
using overlay::operator""us;

inline metadata::TaskId task_id(std::uint8_t number = 7) {
  metadata::TaskId id;
  id.bytes.fill(number);
  return id;
}

inline Bytes random_bytes(std::size_t size, std::uint64_t seed) {
  Random random(seed);
  Bytes out(size);
  for (auto& byte : out) byte = static_cast<std::uint8_t>(random.next());
  return out;
}

inline std::shared_ptr<const overlay::Offer> offer_of(const std::vector<std::size_t>& sizes,
                                                      std::uint64_t seed = 1) {
  auto offer = std::make_shared<overlay::Offer>();
  offer->family = "linear";
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    offer->blocks.push_back({"class/" + std::to_string(i), {static_cast<std::int32_t>(i)},
                             static_cast<double>(10 * i), random_bytes(sizes[i], seed * 1000 + i)});
  }
  return offer;
}

inline metadata::Fingerprint fingerprint_of(std::uint32_t dimensions, std::uint32_t classes,
                                            std::uint64_t seed) {
  metadata::FingerprintBuilder builder({.dimensions = dimensions, .classes = classes, .half_life = 0});
  Random random(seed);
  std::vector<float> centre(dimensions * classes);
  for (auto& value : centre) value = static_cast<float>(random.normal());
  for (int i = 0; i < 300; ++i) {
    const auto label = static_cast<std::int32_t>(random.below(classes));
    std::vector<float> phi(dimensions);
    for (std::uint32_t d = 0; d < dimensions; ++d) {
      phi[d] = 0.2f * centre[static_cast<std::uint32_t>(label) * dimensions + d] +
               0.02f * static_cast<float>(random.normal());
    }
    builder.add(phi, label, random.uniform() < 0.9);
  }
  return builder.build();
}

/// The report of an operation: how often it came, and what it said last.
template <typename T>
struct Report {
  int calls = 0;
  std::optional<Result<T>> result;
  Duration at{};

  bool ok() const { return result && result->has_value(); }
  const T& value() const { return result->value(); }
  std::optional<ErrorCode> code() const {
    if (!result || result->has_value()) return std::nullopt;
    return result->error().code;
  }
  std::string text() const { return result && !result->has_value() ? result->error().text() : ""; }
};

template <typename T>
auto into(const std::shared_ptr<Report<T>>& report, const sim::Simulation& simulation) {
  return [report, &simulation](Result<T> result) {
    ++report->calls;
    report->result = std::move(result);
    report->at = Duration(simulation.now().us);
  };
}

/// An honest node: an Exchange, and what it serves.
struct Party {
  Party(sim::Simulation& the_simulation, sim::Host& the_host, overlay::ExchangeLimits limits = {})
      : simulation(the_simulation), host(the_host) {
    overlay::ExchangeHost serving;
    serving.describe = [this](const metadata::TaskId& task) {
      ++descriptions;
      return task == served_task ? sealed : Bytes{};
    };
    serving.offer = [this](const metadata::TaskId& task, const std::vector<std::int32_t>&) {
      ++offers;
      return task == served_task ? offer : nullptr;
    };
    serving.on_feedback = [this](const metadata::NodeId&, const metadata::TaskId&, double gain) {
      gains.push_back(gain);
    };
    exchange = std::make_unique<overlay::Exchange>(host.executor(), host.transport(), serving, limits);
    metadata::Description description{served_task, host.id(), 1, fingerprint_of(8, 3, host.index() + 1)};
    sealed = metadata::seal(description, host.key());
  }

  overlay::Exchange::Peer peer() const { return {host.id(), host.endpoint()}; }

  std::shared_ptr<Report<overlay::PulledPart>> pull(const overlay::Exchange::Peer& from,
                                                    const std::vector<std::int32_t>& classes = {}) {
    return pull(std::vector<overlay::Exchange::Peer>{from}, classes);
  }
  std::shared_ptr<Report<overlay::PulledPart>> pull(const std::vector<overlay::Exchange::Peer>& holders,
                                                    const std::vector<std::int32_t>& classes = {}) {
    auto report = std::make_shared<Report<overlay::PulledPart>>();
    exchange->pull(holders, served_task, classes, into(report, simulation));
    return report;
  }
  std::shared_ptr<Report<metadata::Description>> describe(const overlay::Exchange::Peer& from) {
    auto report = std::make_shared<Report<metadata::Description>>();
    exchange->describe(from, served_task, 100, into(report, simulation));
    return report;
  }
  std::size_t links() const {
    const auto all = exchange->peers();
    return static_cast<std::size_t>(std::count_if(all.begin(), all.end(), [](const auto& p) { return p.connected; }));
  }

  sim::Simulation& simulation;
  sim::Host& host;
  metadata::TaskId served_task = task_id();
  Bytes sealed;
  std::shared_ptr<const overlay::Offer> offer = offer_of({300, 200'000, 0, 5000});
  int descriptions = 0, offers = 0;
  std::vector<double> gains;
  std::unique_ptr<overlay::Exchange> exchange;
};

/// A peer that knows the frames and no rules. It greets, unless told not to, and hands every frame to the test.
class RawPeer {
 public:
  using OnFrame = std::function<void(RawPeer&, const overlay::Frame&)>;
  explicit RawPeer(sim::Host& the_host) : host(the_host) {}

  /// Accepts links and treats them with `on_frame`.
  void listen(OnFrame on_frame) {
    on_frame_ = std::move(on_frame);
    host.transport().on_accept([this](std::shared_ptr<overlay::Link> made) { take(std::move(made)); });
  }
  void connect(const sim::Host& to, OnFrame on_frame) {
    on_frame_ = std::move(on_frame);
    host.transport().connect(to.endpoint(), to.id(), 5s, [this](Result<std::shared_ptr<overlay::Link>> made) {
      if (made) take(std::move(*made));
    });
  }
  void send(std::uint64_t id, const overlay::Message& message) { write(overlay::encode({id, message})); }
  void write(Bytes bytes) { link->send(std::move(bytes)); }
  void write_hex(std::string_view hex) { write(*from_hex(hex)); }

  sim::Host& host;
  bool greets = true;
  overlay::Hello hello{overlay::kProtocolVersion, {}, 256 * 1024, 64 * 1024, 16, {}};
  std::shared_ptr<overlay::Link> link;
  std::vector<overlay::Frame> frames;  ///< all that came
  std::optional<Error> closed;
  std::string goodbye;                 ///< the other end's reason
  int accepted = 0;

  template <typename M>
  std::size_t count() const {
    return static_cast<std::size_t>(std::count_if(
        frames.begin(), frames.end(), [](const auto& f) { return std::holds_alternative<M>(f.message); }));
  }

 private:
  void take(std::shared_ptr<overlay::Link> made) {
    ++accepted;
    if (link) kept_.push_back(link);
    link = std::move(made);
    auto reader = std::make_shared<overlay::FrameReader>(16u << 20);
    link->start({.on_data =
                     [this, reader](ByteView bytes) {
                       (void)reader->feed(bytes, [this](ByteView body) {
                         auto frame = overlay::decode_frame(body);
                         if (!frame) return true;
                         frames.push_back(*frame);
                         if (const auto* last = std::get_if<overlay::Goodbye>(&frame->message)) goodbye = last->text;
                         if (on_frame_) on_frame_(*this, *frame);
                         return true;
                       });
                     },
                 .on_drained = {},
                 .on_closed = [this](const Error& why) { closed = why; }});
    if (!greets) return;
    hello.to = link->peer();
    send(0, hello);
  }
  OnFrame on_frame_;
  std::vector<std::shared_ptr<overlay::Link>> kept_;
};

/// Two hosts at a fixed distance.
struct Pair {
  explicit Pair(std::uint64_t seed = 1) : simulation(seed) {
    simulation.network().latency_low = simulation.network().latency_high = 10ms;
    simulation.network().jitter = 0us;
    simulation.add_host({.name = "asker"});
    simulation.add_host({.name = "helper"});
  }
  sim::Host& a() { return simulation.host(0); }
  sim::Host& b() { return simulation.host(1); }
  sim::Simulation simulation;
};

}  // namespace p2p::test
