// Nodes of one task on a simulated table, and what tests of the directory ask about them.
#pragma once

#include <catch2/catch.hpp>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "overlay/directory/correspondence.hpp"
#include "overlay/directory/directory.hpp"
#include "overlay/directory/walk.hpp"
#include "tests/overlay/support.hpp"

namespace p2p::directory::test {

using metadata::By;
using metadata::Entry;
using metadata::Fingerprint;
using metadata::KeyPair;
using metadata::Need;
using metadata::Sketch;
using overlay::operator""ms;
using overlay::operator""s;
using overlay::operator""us;
using std::chrono::minutes;

inline constexpr std::uint32_t kDimensions = 8, kClasses = 3;

inline metadata::Task make_task(const std::string& name = "letters") {
  metadata::Task task;
  task.name = name;
  task.features = {{.name = "x", .count = 4}};
  task.classes = {"a", "b", "c"};
  task.family = "linear";
  task.bandwidth = 1;
  task.embedding_dimensions = kDimensions;
  return task;
}

/// `base`, a little different: what a neighbour has seen.
inline Fingerprint near(Fingerprint base, std::uint64_t seed, std::uint64_t levels = 9) {
  Random random(seed * 7919 + 1);
  for (auto& value : base.joint) {
    const int moved = value + static_cast<int>(random.below(levels)) - static_cast<int>(levels / 2);
    value = static_cast<std::int8_t>(std::clamp(moved, -127, 127));
  }
  return base;
}

/// One kind of experience for each number.
inline Fingerprint kind(std::uint64_t number) {
  return p2p::test::fingerprint_of(kDimensions, kClasses, 1000 + number);
}
inline const Fingerprint& experience() {
  static const Fingerprint made = kind(0);
  return made;
}
/// Node i of many: of one of `kinds` kinds, no two the same, at all distances from each other.
inline Fingerprint one_of(std::size_t kinds, std::size_t i) { return near(kind(i % kinds), i, 60); }

/// On the other side of every plane.
inline Fingerprint opposite(Fingerprint f) {
  for (auto& value : f.joint) value = static_cast<std::int8_t>(-value);
  return f;
}

inline KeyPair key_of(std::uint32_t number) {
  std::array<std::uint8_t, 32> seed{};
  seed.fill(0x5a);
  for (std::size_t i = 0; i < 4; ++i) seed[i] = static_cast<std::uint8_t>(number >> (8 * i));
  return KeyPair::from_seed(seed);
}

/// A sketch on a line: between two of these the joint distance is |x - y|, and the marginal one as well. 0 <= x < 1.
inline Sketch on_line(double x) {
  Sketch out;
  out.bytes[0] = out.bytes[1] = 192 - 7 * 8;  // in steps of 1/128
  out.bytes[2] = out.bytes[2 + Sketch::kMarginal] = static_cast<std::uint8_t>(static_cast<int>(x * 128 + 0.5));
  return out;
}

inline metadata::NodeId id_of(std::uint64_t number) {
  metadata::NodeId out;
  for (std::size_t i = 0; i < 8; ++i) out.bytes[i] = out.bytes[31 - i] = static_cast<std::uint8_t>(number >> (8 * i));
  return out;
}
/// An entry that nobody has signed.
inline Entry entry_on_line(std::uint64_t number, double x, std::uint64_t version = 1) {
  Entry out;
  out.node = id_of(number);
  out.version = version;
  out.endpoint = {"10." + std::to_string(number >> 16 & 255) + "." + std::to_string(number >> 8 & 255) + "." +
                      std::to_string(number & 255),
                  4000};
  out.table_port = 4000;
  out.sketch = on_line(x);
  return out;
}

/// A node without rules on a host's table port: hears every message, says whatever a test wants.
struct RawNode {
  using OnMessage = std::function<void(const Endpoint& from, const Message& message, std::size_t bytes)>;
  RawNode(sim::Host& the_host, OnMessage on_message = {}) : host(the_host) {
    host.dht().on_datagram([this, on_message = std::move(on_message)](const Endpoint& from, ByteView bytes) {
      ++datagrams;
      received += bytes.size();
      const auto message = decode(bytes);
      if (!message) return;
      heard.push_back(*message);
      if (on_message) on_message(from, *message, bytes.size());
    });
  }
  void send(const Endpoint& to, const Message& message, std::size_t bytes = 0) {
    Bytes packed = encode(message, bytes);
    sent += packed.size();
    host.dht().send(to, std::move(packed));
  }
  template <typename M>
  std::vector<M> all() const {
    std::vector<M> out;
    for (const auto& message : heard) {
      if (const auto* one = std::get_if<M>(&message)) out.push_back(*one);
    }
    return out;
  }
  sim::Host& host;
  std::vector<Message> heard;
  std::size_t datagrams = 0, received = 0, sent = 0;
};

struct Overlay {
  explicit Overlay(std::size_t hosts, std::uint64_t seed = 1, DhtDirectoryOptions with = {})
      : simulation(seed), options(std::move(with)) {
    for (std::size_t i = 0; i < hosts; ++i) add_host();
    simulation.run_for(2s);
  }
  ~Overlay() { directories.clear(); }

  std::size_t add_host() {
    const std::size_t i = simulation.hosts();
    simulation.add_host();
    start(i);
    return i;
  }
  /// Anew, if it ran before.
  void start(std::size_t i, std::function<Endpoint()> endpoint = {}) {
    auto& host = simulation.host(i);
    directories.resize(std::max(directories.size(), i + 1));
    shown.resize(directories.size());
    directories[i].reset();
    if (!host.up()) host.restart();
    std::vector<std::string> seeds;
    for (std::size_t j = 0; j < simulation.hosts() && seeds.size() < 8; ++j) {
      if (j != i && simulation.host(j).up()) seeds.push_back(simulation.host(j).seed());
    }
    host.dht().join(seeds);
    if (!endpoint) endpoint = [at = host.endpoint()] { return at; };
    DhtDirectoryOptions with = options;
    with.node_name = host.name();
    directories[i] = make_dht_directory({host.executor(), host.dht(), task, host.key(), endpoint}, with);
  }
  void kill(std::size_t i) {
    simulation.host(i).crash();
    directories[i].reset();
    shown[i].reset();
  }
  void publish(std::size_t i, const Fingerprint& fingerprint) {
    shown[i] = fingerprint;
    directories[i]->publish(fingerprint);
  }
  /// All of them within `time`, evenly.
  void publish_all(Duration time, const std::function<Fingerprint(std::size_t)>& of) {
    const std::size_t count = directories.size();
    for (std::size_t i = 0; i < count; ++i) {
      if (directories[i]) publish(i, of(i));
      simulation.run_for(time / static_cast<std::int64_t>(count));
    }
  }

  struct Answer {
    int calls = 0;
    LookupResult result;
    sim::TimePoint at;
    bool has(const metadata::NodeId& id) const {
      return std::any_of(result.candidates.begin(), result.candidates.end(),
                         [&](const auto& c) { return c.entry.node == id; });
    }
  };
  std::shared_ptr<Answer> ask(std::size_t i, const Need& need, const LookupOptions& with = {}) {
    auto answer = std::make_shared<Answer>();
    directories[i]->lookup(need, with, [this, answer](LookupResult result) {
      ++answer->calls;
      answer->result = std::move(result);
      answer->at = simulation.now();
    });
    CHECK(answer->calls == 0);
    return answer;
  }
  Answer lookup(std::size_t i, const Need& need, const LookupOptions& with = {}) {
    const auto answer = ask(i, need, with);
    simulation.run_until([&] { return answer->calls > 0; }, with.deadline + 1ms);
    CHECK(answer->calls == 1);
    return *answer;
  }
  const metadata::NodeId& id(std::size_t i) { return simulation.host(i).id(); }

  /// Who really is nearest, of those that have published and live.
  std::vector<std::size_t> nearest(const Need& need, std::size_t count, std::size_t but) {
    std::vector<std::pair<double, std::size_t>> all;
    for (std::size_t i = 0; i < shown.size(); ++i) {
      if (i == but || !shown[i] || !simulation.host(i).up() || liars.contains(i)) continue;
      all.emplace_back(metadata::plain_distance(need, *shown[i]), i);
    }
    std::sort(all.begin(), all.end());
    std::vector<std::size_t> out;
    for (std::size_t i = 0; i < std::min(count, all.size()); ++i) out.push_back(all[i].second);
    return out;
  }
  double recall(const Answer& answer, const Need& need, std::size_t count, std::size_t asker) {
    const auto truth = nearest(need, count, asker);
    if (truth.empty()) return 1;
    const auto found = std::count_if(truth.begin(), truth.end(), [&](std::size_t i) { return answer.has(id(i)); });
    return static_cast<double>(found) / static_cast<double>(truth.size());
  }
  /// Mean share of the ten nearest that living nodes find for what they have seen themselves, slightly changed.
  double recall_at_ten(std::size_t askers, LookupOptions with = {.want = 16, .deadline = 2s}, std::uint64_t seed = 1) {
    Random random(seed);
    double sum = 0;
    for (std::size_t k = 0; k < askers; ++k) {
      std::size_t i = random.below(shown.size());
      while (!shown[i] || !simulation.host(i).up() || liars.contains(i)) i = random.below(shown.size());
      const Need need{near(*shown[i], 77 + k), {}, By::joint};
      sum += recall(lookup(i, need, with), need, 10, i);
    }
    return sum / static_cast<double>(askers);
  }

  /// What an honest node of that key would say of itself.
  Entry entry(const KeyPair& key, const Fingerprint& fingerprint, Endpoint at = {"10.9.9.9", 4000}) {
    Entry out = metadata::entry_of(fingerprint, sketcher.sketch(fingerprint));
    out.task = tag;
    out.node = key.id();
    out.version = simulation.host(0).executor().wall_ms();
    out.table_port = at.port;
    out.endpoint = std::move(at);
    return out;
  }
  void plant(const Entry& planted, const Place& place, const KeyPair& key, std::uint64_t value) {
    simulation.plant(metadata::place_key(tag, place), {value, metadata::pack({place, metadata::seal(planted, key)})});
  }
  /// All buckets that an entry belongs to.
  std::vector<Place> places(const Entry& entry) const {
    std::vector<Place> out;
    for (std::uint8_t depth = 0; depth <= Place::kMaxDepth; depth = static_cast<std::uint8_t>(depth + Place::kLevelBits)) {
      for (std::uint16_t table = 0; table < Place::kJointTables; ++table) {
        out.push_back(metadata::place_of(entry.sketch, Place::Kind::joint, table, depth));
      }
      out.push_back(metadata::place_of(entry.sketch, Place::Kind::marginal, 0, depth));
    }
    for (std::uint16_t c = 0; c < kClasses; ++c) {
      const Place label{Place::Kind::label, c, 0, 0};
      if (metadata::belongs(entry, label)) out.push_back(label);
    }
    return out;
  }
  std::vector<Place> places(const Fingerprint& f) const {
    return places(metadata::entry_of(f, sketcher.sketch(f)));
  }
  std::size_t copies(const Place& place) const { return simulation.copies(metadata::place_key(tag, place)); }
  /// Copies of entries in all buckets that this experience belongs to.
  std::size_t copies(const Fingerprint& f) const {
    std::size_t count = 0;
    for (const auto& place : places(f)) count += copies(place);
    return count;
  }
  std::size_t log_lines(const std::string& what) {
    const auto& lines = simulation.log().lines();
    return static_cast<std::size_t>(std::count_if(
        lines.begin(), lines.end(), [&](const auto& line) { return line.find(what) != std::string::npos; }));
  }
  bool knows(std::size_t i, const metadata::NodeId& node) const {
    const auto contacts = directories[i]->standing().contacts;
    return std::any_of(contacts.begin(), contacts.end(), [&](const auto& c) { return c.entry.node == node; });
  }
  std::size_t acquainted_with(const metadata::NodeId& node) const {
    std::size_t count = 0;
    for (std::size_t i = 0; i < directories.size(); ++i) count += directories[i] && knows(i, node) ? 1 : 0;
    return count;
  }

  sim::Simulation simulation;
  metadata::Task task = make_task();
  metadata::TaskTag tag = metadata::tag(metadata::id(task));
  metadata::Sketcher sketcher{task};
  DhtDirectoryOptions options;
  std::vector<std::unique_ptr<Directory>> directories;
  std::vector<std::optional<Fingerprint>> shown;
  std::set<std::size_t> liars;
};

}  // namespace p2p::directory::test
