// Counts what the learning path takes from the heap. A program of its own: it replaces operator
// new.
#include <array>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <new>

#include "learner/drift/adwin.hpp"
#include "learner/drift/detector.hpp"
#include "learner/drift/drift_monitor.hpp"
#include "learner/metrics.hpp"
#include "learner/window.hpp"
#include "support.hpp"

namespace {
std::size_t allocations = 0;

void* counted(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
}  // namespace

void* operator new(std::size_t size) { return counted(size); }
void* operator new[](std::size_t size) { return counted(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace p2p::learner::test {
namespace {

std::vector<Sample> samples(std::size_t count) {
  Blobs stream(1, 6, 4);
  std::vector<Sample> out;
  for (std::size_t i = 0; i < count; ++i) out.push_back(stream.next());
  return out;
}

TEST_CASE("The counter counts") {
  const std::size_t before = allocations;
  auto* p = new std::vector<int>(100);
  CHECK(allocations >= before + 2);
  delete p;
}

TEST_CASE(
    "Predicting and learning take nothing from the heap, from the first sample through every "
    "split; only trees do, and what contains them, while they "
    "become larger or others") {
  const auto stream = samples(3000);
  for (const std::string_view name : families()) {
    for (const bool copied : {false, true}) {
      auto model = make(spec_of(name));
      if (copied) model = model->clone();
      std::vector<float> scores(4);
      std::size_t taken = 0;
      for (const Sample& s : stream) {
        std::size_t before = allocations;
        model->predict(s.x);
        model->scores(s.x, scores);
        taken += allocations - before;
        for (const bool together : {true, false}) {
          const std::size_t size = model->bytes();
          before = allocations;
          if (together) {
            model->predict_then_learn(s.x, s.y);
          } else {
            model->learn(s.x, s.y);
          }
          // A leaf that splits or meets a new class, a background tree that starts: bytes() shows it.
          if (!one_of(name, {"orf", "arf", "auto"}) || model->bytes() == size) taken += allocations - before;
        }
      }
      CAPTURE(name, copied);
      CHECK(taken == 0);
    }
  }
}

TEST_CASE("A forest that was decoded or merged takes memory only while it grows, too") {
  const auto stream = samples(2000);
  for (const std::string_view name : {"orf", "arf"}) {
    auto model = make(spec_of(name));
    for (std::size_t i = 0; i < 300; ++i) model->learn(stream[i].x, stream[i].y);
    auto decoded = decode_model(model->spec(), model->encode());
    REQUIRE(decoded);
    auto merged = make(spec_of(name));
    REQUIRE(merged->merge(model->partition({}), {}));
    for (Model* each : {decoded->get(), merged.get()}) {
      const std::size_t first = each->bytes();
      for (std::size_t i = 300; i < 2000; ++i) {
        const std::size_t size = each->bytes(), before = allocations;
        each->learn(stream[i].x, stream[i].y);
        if (each->bytes() == size) REQUIRE(allocations == before);
      }
      CHECK(each->bytes() > first);
    }
  }
}

TEST_CASE("No detector takes anything from the heap for a value, through every alarm") {
  for (const std::string_view name : detectors()) {
    auto detector = make_detector(name, name == "embedding" ? std::map<std::string, double>{{"dimensions", 8}}
                                                            : std::map<std::string, double>{});
    REQUIRE(detector);
    ByteWriter state;
    (*detector)->encode(state);
    auto clone = (*detector)->clone();
    auto decoded = (*detector)->clone();
    ByteReader in(state.bytes());
    REQUIRE(decoded->decode(in));
    for (DriftDetector* each : {detector->get(), clone.get(), decoded.get()}) {
      const std::size_t size = each->bytes();
      Random random(3);
      std::array<float, 8> vector{};
      std::size_t alarms = 0;
      const std::size_t before = allocations;
      for (int i = 0; i < 12000; ++i) {
        const double rate = i / 2000 % 2 == 0 ? 0.02 : 0.9;
        for (float& v : vector) v = static_cast<float>((random.uniform() - rate) / 3);
        const double value = random.uniform() < rate ? 1 : 0;
        alarms += (each->arity() == 1 ? each->update(value) : each->update_vector(vector)) == DriftLevel::drift;
      }
      const std::size_t taken = allocations - before;
      CAPTURE(name);
      CHECK(taken == 0);
      CHECK(each->bytes() == size);
      CHECK(alarms > 0);
    }
  }
}

TEST_CASE("Watching and counting a sample take nothing from the heap while nothing happens") {
  DriftMonitor::Options options;
  options.classes = 4;
  DriftMonitor monitor(options);
  Adwin adwin;
  Prequential metrics(4, 100);
  SampleWindow window(50, 6);
  Random random(2);
  const auto stream = samples(2000);
  const std::size_t before = allocations;
  for (const Sample& s : stream) {
    const bool correct = random.uniform() < 0.8;
    monitor.update(s.y, correct ? s.y : (s.y + 1) % 4);
    adwin.update(correct ? 0 : 1);
    metrics.add(s.y, correct ? s.y : (s.y + 1) % 4);
    window.push(s.x, s.y, s.y);
  }
  CHECK(allocations == before);
}

}  // namespace
}  // namespace p2p::learner::test
