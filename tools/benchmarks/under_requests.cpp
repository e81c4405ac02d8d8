// Does a node learn more slowly while its peers ask it a thousand times a second?
//   bench_under_requests [requests per second=1000] [peers=8] [turns=10] [seconds per turn=2]
// One node as it is embedded, fed as fast as it takes samples; in a process of its own, peers on kept links that send
// requests at an even pace in every other turn: of ten, seven for a block of the model (whole, by its hash), two for the description, one
// for a manifest (of one class, two, or all; a node opens eight snapshots for a peer in half a minute and refuses
// further ones as busy). Printed: samples per second of wall clock, which depends on what else the machine does, the askers
// included; and per second of processor of the node's process, which does not.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "metadata/base/random.hpp"
#include "overlay/host/edge_node.hpp"
#include "overlay/manifest.hpp"
#include "overlay/messages.hpp"
#include "overlay/net/tls_transport.hpp"

namespace {

using namespace p2p;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kFeatures = 784, kBatch = 50;

metadata::Task make_task() {
  metadata::Task task;
  task.name = "under requests";
  task.features = {{.name = "pixels", .count = kFeatures, .minimum = 0, .maximum = 1}};
  for (int c = 0; c < 10; ++c) task.classes.push_back("class " + std::to_string(c));
  task.family = "rff";
  task.params = {{"dimensions", 512}};
  task.bandwidth = 0.03;
  return task;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<long>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

double processor_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  return static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

// ---- what the two processes tell each other, over pipes

struct Where {
  metadata::NodeId node;
  metadata::TaskId task;
  std::uint16_t port = 0;
};
struct Count {
  std::uint64_t asked = 0, answered = 0, refused = 0, bytes = 0;
};
constexpr char kGo = 'g', kPause = 'p';

template <typename T>
void tell(int pipe, const T& what) {
  if (::write(pipe, &what, sizeof what) != static_cast<ssize_t>(sizeof what)) std::abort();
}
template <typename T>
bool hear(int pipe, T& what) {
  return ::read(pipe, &what, sizeof what) == static_cast<ssize_t>(sizeof what);
}

// ---- the askers

/// A peer that knows the frames, so that it can ask at a pace instead of when it needs something.
class Asker {
 public:
  Asker(net::Loop& loop, const Where& where, std::uint8_t number) : where_(where), random_(number) {
    std::array<std::uint8_t, 32> seed{};
    seed[0] = number;
    seed[1] = 77;
    transport_ = std::move(net::TlsTransport::make(loop, metadata::KeyPair::from_seed(seed)).value());
    transport_->connect({"127.0.0.1", where.port}, where.node, std::chrono::seconds(5), [this](auto made) {
      if (!made) std::printf("%s\n", made.error().text().c_str()), std::abort();
      link_ = std::move(*made);
      link_->start({.on_data =
                        [this](ByteView bytes) {
                          (void)reader_.feed(bytes, [this](ByteView body) {
                            take(body);
                            return true;
                          });
                        },
                    .on_drained = {},
                    .on_closed = [](const Error& why) { std::printf("a link ended: %s\n", why.text().c_str()), std::abort(); }});
      send({0, overlay::Hello{overlay::kProtocolVersion, link_->peer(), 256 * 1024, 64 * 1024, 16, {}}});
    });
  }
  void ask() {
    if (!link_) return;
    ++count.asked;
    const auto dice = random_.below(10);
    if (dice == 0 || blocks_.empty()) {
      std::vector<std::int32_t> classes;
      const auto kind = random_.below(3);
      for (std::uint64_t c = 0; c < kind; ++c) classes.push_back(static_cast<std::int32_t>(5 * c + random_.below(5)));
      return send({next_++, overlay::ManifestRequest{where_.task, classes}});
    }
    if (dice < 3) return send({next_++, overlay::DescribeRequest{where_.task}});
    const auto& [hash, size] = blocks_[random_.below(blocks_.size())];
    send({next_++, overlay::ChunkRequest{hash, 0, static_cast<std::uint32_t>(size)}});
  }
  Count count;

 private:
  void send(const overlay::Frame& frame) { link_->send(overlay::encode(frame)); }
  void take(ByteView body) {
    const auto frame = overlay::decode_frame(body);
    if (!frame) std::abort();
    if (std::holds_alternative<overlay::Hello>(frame->message)) return;
    count.bytes += body.size();
    const bool refused = std::holds_alternative<overlay::Refusal>(frame->message);
    ++(refused ? count.refused : count.answered);
    const auto* head = std::get_if<overlay::ManifestAnswer>(&frame->message);
    if (head == nullptr) return;
    const auto manifest = overlay::decode_manifest(head->bytes, {});
    if (!manifest) std::abort();
    for (const auto& line : manifest->lines) {
      if (line.size > 0) blocks_.emplace_back(line.hash, std::min<std::uint64_t>(line.size, 64 * 1024));
    }
    if (blocks_.size() > 100) blocks_.erase(blocks_.begin(), blocks_.end() - 100);
  }

  Where where_;
  Random random_;
  std::unique_ptr<net::TlsTransport> transport_;
  std::shared_ptr<overlay::Link> link_;
  overlay::FrameReader reader_{1u << 20};
  std::vector<std::pair<metadata::Hash, std::uint64_t>> blocks_;
  std::uint64_t next_ = 1;
};

/// The life of the asking process.
int ask_on(int commands, int answers, double rate, int peers) {
  Where where;
  if (!hear(commands, where)) return 1;
  net::Loop loop;
  if (!loop.start()) return 1;
  std::vector<std::unique_ptr<Asker>> askers;
  bool going = false;
  std::uint64_t turn = 0;
  Clock::time_point began;
  overlay::Executor::TimerHandle timer;
  std::function<void()> tick;
  tick = [&] {  // every millisecond: what is due by now
    const auto due = static_cast<std::uint64_t>(std::chrono::duration<double>(Clock::now() - began).count() * rate);
    for (; going && turn < due; ++turn) askers[turn % askers.size()]->ask();
    if (going) timer = loop.after(overlay::Duration(500), tick);
  };
  (void)loop.call_and_wait([&] {
    for (int i = 0; i < peers; ++i) askers.push_back(std::make_unique<Asker>(loop, where, static_cast<std::uint8_t>(i + 1)));
  });
  for (char command; hear(commands, command);) {
    Count sum;
    (void)loop.call_and_wait([&] {
      going = command == kGo;
      began = Clock::now();
      turn = 0;
      if (going) return tick();
      timer.reset();
      for (auto& asker : askers) {
        sum.asked += asker->count.asked;
        sum.answered += asker->count.answered;
        sum.refused += asker->count.refused;
        sum.bytes += asker->count.bytes;
        asker->count = {};
      }
    });
    if (command == kPause) tell(answers, sum);
  }
  (void)loop.call_and_wait([&] { askers.clear(), timer.reset(); });
  loop.stop();
  return 0;
}

// ---- the node

struct Turn {
  double per_second = 0, per_processor_second = 0;
};

class Learner {
 public:
  Learner() {
    host::EdgeNodeOptions options;
    options.task = make_task();
    options.network = "bench-under-requests";
    auto made = host::EdgeNode::start(std::move(options));
    if (!made) std::fprintf(stderr, "%s\n", made.error().text().c_str()), std::exit(1);
    node = std::move(*made);
    Random random(1);
    std::vector<float> prototypes(10 * kFeatures);
    for (auto& value : prototypes) value = static_cast<float>(random.uniform());
    for (int i = 0; i < 2000; ++i) {
      const auto label = random.below(10);
      auto& row = rows_.emplace_back(kFeatures);
      for (std::size_t f = 0; f < kFeatures; ++f) row[f] = prototypes[label * kFeatures + f] * static_cast<float>(random.uniform());
      samples_.push_back({.x = rows_.back(), .label = static_cast<learner::ClassIndex>(label)});
    }
  }
  Turn learn_for(double seconds) {
    std::size_t learned = 0;
    const double processor = processor_seconds();
    const auto begin = Clock::now();
    double took = 0;
    for (; took < seconds; took = std::chrono::duration<double>(Clock::now() - begin).count()) {
      if (!node->process(std::span(samples_).subspan(at_, kBatch))) std::abort();
      at_ = (at_ + kBatch) % samples_.size();
      learned += kBatch;
    }
    const auto count = static_cast<double>(learned);
    return {count / took, count / (processor_seconds() - processor)};
  }
  std::unique_ptr<host::EdgeNode> node;

 private:
  std::vector<std::vector<float>> rows_;
  std::vector<host::EdgeNode::Sample> samples_;
  std::size_t at_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const double rate = argc > 1 ? std::atof(argv[1]) : 1000;
  const int peers = argc > 2 ? std::atoi(argv[2]) : 8;
  const int turns = argc > 3 ? std::atoi(argv[3]) : 10;
  const double seconds = argc > 4 ? std::atof(argv[4]) : 2;
  if (!(rate >= 0) || peers < 1 || peers > 60 || turns < 1 || !(seconds > 0)) {
    std::fprintf(stderr, "usage: bench_under_requests [requests per second] [peers] [turns] [seconds per turn]\n");
    return 2;
  }
  int commands[2], answers[2];
  if (::pipe(commands) != 0 || ::pipe(answers) != 0) return 1;
  const pid_t child = ::fork();  // before there is any thread
  if (child == 0) {
    ::close(commands[1]);
    ::_exit(ask_on(commands[0], answers[1], rate, peers));
  }
  ::close(commands[0]);
  Learner learner;
  (void)learner.learn_for(1);
  const auto status = learner.node->status();
  tell(commands[1], Where{*metadata::parse_node_id(status.id), metadata::id(make_task()), status.link.port});

  std::vector<double> alone, alone_cpu, asked, asked_cpu, ratio, ratio_cpu;
  Count sum;
  for (int i = 0; i < turns; ++i) {
    Turn with, without;
    for (const bool asking : {i % 2 == 0, i % 2 != 0}) {  // neither always goes first
      if (asking) tell(commands[1], kGo);
      (asking ? with : without) = learner.learn_for(seconds);
      if (!asking) continue;
      Count count;
      tell(commands[1], kPause);
      if (!hear(answers[0], count)) return 1;
      sum.asked += count.asked, sum.answered += count.answered, sum.refused += count.refused, sum.bytes += count.bytes;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));  // what is under way
    }
    alone.push_back(without.per_second), alone_cpu.push_back(without.per_processor_second);
    asked.push_back(with.per_second), asked_cpu.push_back(with.per_processor_second);
    ratio.push_back(with.per_second / without.per_second);
    ratio_cpu.push_back(with.per_processor_second / without.per_processor_second);
  }
  ::close(commands[1]);
  int ended = 0;
  ::waitpid(child, &ended, 0);
  const double time = turns * seconds;
  std::printf("%d peers asked %.0f times a second: answered %.0f, refused %.0f; %.1f MB/s left the node\n", peers,
              static_cast<double>(sum.asked) / time, static_cast<double>(sum.answered) / time,
              static_cast<double>(sum.refused) / time, static_cast<double>(sum.bytes) / time / 1e6);
  std::printf("samples per second:            alone %.0f, asked %.0f; %.3f (median of %d pairs of %.0f s)\n", median(alone),
              median(asked), median(ratio), turns, seconds);
  std::printf("samples per processor second:  alone %.0f, asked %.0f; %.3f\n", median(alone_cpu), median(asked_cpu), median(ratio_cpu));
  return ended;
}
