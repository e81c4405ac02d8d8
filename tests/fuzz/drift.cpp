// The state of the drift monitor and of every detector, from a damaged or hostile snapshot:
// refused, or one that works.
#include "learner/drift/detector.hpp"
#include "learner/drift/drift_monitor.hpp"

using namespace p2p;

namespace {

void monitor(ByteView bytes) {
  learner::DriftMonitor::Options options;
  options.classes = 3;
  auto decoded = learner::DriftMonitor::decode(options, bytes);
  if (!decoded) return;
  for (int i = 0; i < 200; ++i) {
    const auto signal = decoded->update(i % 3, i < 100 || i % 2 == 0);
    P2P_ASSERT(signal.classes.size() <= 3);
    P2P_ASSERT(signal.level != learner::DriftLevel::drift || signal.since >= 1);
  }
  P2P_ASSERT(learner::DriftMonitor::decode(options, decoded->encode()).has_value());
}

void detector(std::string_view name, ByteView bytes) {
  auto made = learner::make_detector(name);
  P2P_ASSERT(made.has_value());
  ByteReader in(bytes);
  if (!(*made)->decode(in)) return;
  for (int i = 0; i < 200; ++i) (*made)->update(i % 4 == 0 || i > 100 ? 1 : 0);
  ByteWriter out;
  (*made)->encode(out);
  ByteReader again(out.bytes());
  P2P_ASSERT((*made)->decode(again).has_value() && again.at_end());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const ByteView rest{data + 1, size - 1};
  const auto names = learner::detectors();
  const std::size_t which = data[0] % (names.size() + 1);
  if (which == names.size()) {
    monitor(rest);
  } else {
    detector(names[which], rest);
  }
  return 0;
}
