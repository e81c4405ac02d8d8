// A node inside a sensor loop: read, predict, learn when the truth is known, some readings later; peers help when the
// stream drifts.
//   sensor_loop [seed host:port]...      two of them on one machine: give the second the first one's address
#include <cstdio>
#include <deque>
#include <utility>
#include <vector>

#include "metadata/base/random.hpp"
#include "overlay/host/edge_node.hpp"

constexpr const char* kTask = R"(
name = "pump"
classes = ["idle", "running", "worn bearing"]
[[features]]
name = "vibration"
count = 6
minimum = 0.0
maximum = 4.0
[model]
family = "rff"
seed = 1
bandwidth = 4.0
[model.params]
dimensions = 128
[embedding]
dimensions = 32
)";

int main(int argc, char** argv) {
  auto task = p2p::metadata::parse_task(kTask, "sensor_loop");
  if (!task) return std::fprintf(stderr, "%s\n", task.error().text().c_str()), 1;

  p2p::host::EdgeNodeOptions options;
  options.task = *task;
  options.seeds.assign(argv + 1, argv + argc);
  options.on_event = [](const p2p::node::Event& event) { std::printf("%s\n", event.text.c_str()); };
  auto node = p2p::host::EdgeNode::start(std::move(options));
  if (!node) return std::fprintf(stderr, "%s\n", node.error().text().c_str()), 1;
  std::printf("others may join with: sensor_loop %s\n", (*node)->status().dht.text().c_str());

  p2p::Random sensor(42);
  std::vector<float> x(task->raw_features());
  std::deque<std::pair<std::uint64_t, int>> inspected;  // tickets, and what will be found
  for (int i = 0; i < 3000; ++i) {
    const int state = static_cast<int>(sensor.below(i < 1500 ? 2 : 3));  // the bearing wears out half way
    for (std::size_t f = 0; f < x.size(); ++f) {
      x[f] = static_cast<float>(state * (f % 2 ? 1.0 : 0.6) + 0.3 * sensor.normal());
    }
    const auto outcome = (*node)->process({.x = x, .label = std::nullopt});  // a label known by now would go here
    if (!outcome) return std::fprintf(stderr, "%s\n", outcome.error().text().c_str()), 1;
    inspected.emplace_back(outcome->ticket, state);
    if (inspected.size() <= 20) continue;  // the mechanic comes 20 readings later
    const auto learned = (*node)->label(inspected.front().first, inspected.front().second);
    if (!learned) return std::fprintf(stderr, "%s\n", learned.error().text().c_str()), 1;
    inspected.pop_front();
  }
  const auto status = (*node)->status().node;
  std::printf("%llu samples, accuracy %.3f, %llu drifts\n", static_cast<unsigned long long>(status.samples),
              status.accuracy, static_cast<unsigned long long>(status.drifts));
  return status.drifts > 0 && status.accuracy > 0.8 ? 0 : 1;
}
