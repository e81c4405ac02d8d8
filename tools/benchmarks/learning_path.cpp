// Does a node learn more slowly because it has peers? Two nodes of one task take turns at the same samples: one
// isolated, one in an overlay of `peers` others that ask the directory for nodes like them ten times a second each.
//   bench_learning_path [samples per turn] [turns] [peers]
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include "metadata/base/random.hpp"
#include "overlay/host/edge_node.hpp"

namespace {

using Clock = std::chrono::steady_clock;

p2p::metadata::Task make_task() {
  p2p::metadata::Task task;
  task.name = "learning path";
  task.features = {{.name = "pixels", .count = 784, .minimum = 0, .maximum = 1}};
  for (int c = 0; c < 10; ++c) task.classes.push_back("class " + std::to_string(c));
  task.family = "rff";
  task.params = {{"dimensions", 512}};
  task.bandwidth = 0.03;
  return task;
}

// Ten clusters around random prototypes.
class Stream {
 public:
  explicit Stream(std::uint64_t seed) : random_(seed), x_(784) {
    p2p::Random prototypes(99);
    for (auto& value : prototypes_) value = static_cast<float>(prototypes.uniform());
  }
  p2p::host::EdgeNode::Sample next() {
    const auto label = static_cast<p2p::learner::ClassIndex>(random_.below(10));
    for (std::size_t f = 0; f < x_.size(); ++f) {
      x_[f] = prototypes_[static_cast<std::size_t>(label) * 784 + f] * static_cast<float>(random_.uniform());
    }
    return {.x = x_, .label = label};
  }

 private:
  p2p::Random random_;
  std::vector<float> x_;
  std::vector<float> prototypes_ = std::vector<float>(7840);
};

std::unique_ptr<p2p::host::EdgeNode> start(bool isolated, const std::vector<std::string>& seeds) {
  p2p::host::EdgeNodeOptions options;
  options.task = make_task();
  options.isolated = isolated;
  options.seeds = seeds;
  options.network = "bench-learning-path";
  auto node = p2p::host::EdgeNode::start(std::move(options));
  if (!node) {
    std::fprintf(stderr, "%s\n", node.error().text().c_str());
    std::exit(1);
  }
  return std::move(*node);
}

double microseconds_per_sample(p2p::host::EdgeNode& node, Stream& stream, int samples) {
  std::vector<std::vector<float>> rows;
  std::vector<p2p::host::EdgeNode::Sample> batch;
  rows.reserve(static_cast<std::size_t>(samples));
  for (int i = 0; i < samples; ++i) {
    const auto sample = stream.next();
    rows.emplace_back(sample.x.begin(), sample.x.end());
    batch.push_back({.x = rows.back(), .label = sample.label});
  }
  const auto begin = Clock::now();
  for (const auto& sample : batch) {
    if (!node.process(sample)) std::abort();
  }
  return std::chrono::duration<double, std::micro>(Clock::now() - begin).count() / samples;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<long>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  const int samples = argc > 1 ? std::atoi(argv[1]) : 500;
  const int turns = argc > 2 ? std::atoi(argv[2]) : 21;
  const int peers = argc > 3 ? std::atoi(argv[3]) : 3;
  if (samples < 1 || turns < 1 || peers < 1) {
    std::fprintf(stderr, "usage: bench_learning_path [samples per turn] [turns] [peers]\n");
    return 2;
  }

  auto alone = start(true, {});
  auto attached = start(false, {});
  const auto seed = attached->status().dht.text();
  std::vector<std::unique_ptr<p2p::host::EdgeNode>> others;
  for (int i = 0; i < peers; ++i) others.push_back(start(false, {seed}));
  Stream a(1), b(1);
  for (auto& node : others) {
    Stream own(2);
    microseconds_per_sample(*node, own, 400);  // enough to publish
  }
  microseconds_per_sample(*alone, a, 400);
  microseconds_per_sample(*attached, b, 400);

  std::atomic<bool> over{false};
  std::atomic<int> lookups{0};
  std::thread askers([&] {
    while (!over) {
      for (auto& node : others) {
        (void)node->lookup();
        ++lookups;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  });

  std::vector<double> ratios, alone_us, attached_us;
  for (int turn = 0; turn < turns; ++turn) {
    const bool first = turn % 2 == 0;  // neither always goes first
    double t_alone = first ? microseconds_per_sample(*alone, a, samples) : 0;
    const double t_attached = microseconds_per_sample(*attached, b, samples);
    if (!first) t_alone = microseconds_per_sample(*alone, a, samples);
    alone_us.push_back(t_alone);
    attached_us.push_back(t_attached);
    ratios.push_back(t_attached / t_alone);
  }
  over = true;
  askers.join();
  std::printf("peers attached                 %d (in this process; the overlay knows %zu nodes)\n", peers,
              attached->status().overlay.good_nodes);
  std::printf("lookups by the peers meanwhile %d\n", lookups.load());
  std::printf("isolated, us per sample        %.1f (median of %d turns of %d)\n", median(alone_us), turns, samples);
  std::printf("with peers, us per sample      %.1f\n", median(attached_us));
  std::printf("with peers / isolated          %.3f (median of paired turns)\n", median(ratios));
}
