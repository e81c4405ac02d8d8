// Which two classes are suddenly taken for each other?
#pragma once

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "learner/model.hpp"

namespace p2p::learner {

/// Page's cumulative sum for each pair of classes: how often a sample of one is taken for the other. Labels that were
/// swapped, or a class that was split or joined, show here first: in the error of all they drown, and an error of one class
/// waits for a dozen of its samples.
///
/// With s_a, s_b the shares of the two among the labels and q0 the pair's usual share of confused samples, the alternative is
/// that kMostly of both are confused, q1 = kMostly (s_a + s_b). Each confusion adds log(q1 / q0), capped so that at
/// least kFewest are needed, each other sample subtracts q1 - q0, and the sum never falls below 0 (a Poisson process's
/// log-likelihood ratio). With P pairs of classes that have been met, drift when a sum reaches log(P run_length): then false alarms of all pairs
/// together are `run_length` samples apart on average and at least (Lorden's bound), if q0 is known and does not move. It is
/// estimated: the past's count plus one and its standard error, over the number of samples, so that a pair never confused before is
/// not taken for one that cannot be. And it moves, because the model learns: with run_length = 1e7 there were 2 false
/// alarms in 400,000 samples of Fashion-MNIST, of all tests (`bench_learner drift DIR seeds=40`).
///
/// Confusions of the present run, in which the sum is positive, do not count as the past. The past fades over kMemory samples.
///
/// Reference: Page, "Continuous Inspection Schemes", Biometrika 41, 1954; Lorden, "Procedures for Reacting to a Change in
/// Distribution", Annals of Mathematical Statistics 42, 1971.
///
/// Bounds: kSlots pairs are remembered for each class, 350 bytes a class; the least confused is forgotten. Cost: O(1) a sample.
class ConfusionTest {
 public:
  struct Options {
    std::uint32_t classes = 2;
    double run_length = 1e7;  ///< samples to a false alarm
  };
  explicit ConfusionTest(const Options& options);

  struct Alarm {
    std::array<ClassIndex, 2> pair{};  ///< in ascending order
    std::size_t since = 0;             ///< how many of the latest samples follow the first confusion of the run
  };
  /// Whether this sample's pair is now sure. Needs three classes or more: of two, every error is the same confusion.
  bool update(ClassIndex label, ClassIndex predicted);
  /// Of the latest update that was true.
  const Alarm& alarm() const { return alarm_; }

  /// What is confused is that of another model from here on; how frequent each class is stays known.
  void forget_confusions();
  /// At least as many classes as before.
  void grow(std::uint32_t classes);
  void encode(ByteWriter& out) const;
  Result<void> decode(ByteReader& in);

 private:
  static constexpr std::size_t kSlots = 8;
  struct Confusion {
    ClassIndex other = kNoClass;  ///< kNoClass: free
    double usual = 0;             ///< confusions of the past, faded to `last`
    double sum = 0;               ///< as of `last`
    std::uint64_t last = 0;       ///< sample of the latest confusion
    std::uint64_t first = 0;      ///< of the first one of the run
    std::uint32_t run = 0;        ///< confusions in it
  };
  using Slots = std::array<Confusion, kSlots>;
  struct Known {
    double count = 0;  ///< faded to `last`
    std::uint64_t last = 0;
    double at(std::uint64_t now) const;
  };

  Confusion& slot(ClassIndex a, ClassIndex b);

  Options options_;
  std::vector<Known> labels_;
  std::vector<Slots> slots_;
  std::uint32_t met_ = 0;      ///< classes that came at all
  std::uint64_t samples_ = 0;
  std::uint64_t since_ = 0;    ///< the sample after which confusions count
  Alarm alarm_;
};

}  // namespace p2p::learner
