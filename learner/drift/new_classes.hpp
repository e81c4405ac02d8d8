// Is this label new here? Asked of every label, answered within a few appearances.
#pragma once

#include <cstdint>
#include <vector>

#include "learner/model.hpp"

namespace p2p::learner {

/// A class is new when it was never seen, or not within the latest `reference` labels and not for
/// 12 times the usual way from the end of one run of it to the next (labels may come in runs), and
/// then came `minimum_count` times so densely that a class which is only rare would do so with a
/// chance below `chance`: were it only rare, its appearances would be spread evenly over its
/// absence and the time since, and all `run` of them fall into the latter with probability (time /
/// (absence + time))^run. Of a class that was seen before, only the beginnings of runs count for
/// that.
///
/// A class that was met fewer than kHardlyKnown times is as good as new when it becomes frequent: it is reported, once, when more
/// than `minimum_count` runs of it come so densely that its usual rate until then would do so with a chance below a
/// kHardlyKnown-th of `chance` (Poisson: (time / usual distance)^(run - 1) / (run - 1)!).
///
/// Bounds: 56 bytes a class. Cost: O(1) a label, O(classes) a report.
class NewClasses {
 public:
  struct Options {
    std::uint32_t classes = 2;
    std::size_t reference = 350;
    std::size_t minimum_count = 3;
    double chance = 0.002;
    std::size_t warmup = 200;  ///< labels in which everything is new, and nothing is said
  };
  explicit NewClasses(const Options& options);

  void take(ClassIndex label);
  /// Whether a class is new, was seen often enough and has not been collected.
  bool due() const { return any_due_; }
  /// Whether one more appearance of this class may make it due.
  bool nearly(ClassIndex label) const;

  /// Puts the classes that are due, and those nearly so that came with them, into `classes`; they
  /// are known from here on. Returns how many of the latest labels follow the first appearance of
  /// any (at least 1).
  std::size_t collect(std::vector<ClassIndex>& classes);

  std::uint64_t labels() const { return labels_; }
  void reset();
  /// At least as many classes as before.
  void grow(std::uint32_t classes);
  void encode(ByteWriter& out) const;
  Result<void> decode(ByteReader& in);
  std::size_t bytes() const { return sizeof *this + presence_.capacity() * sizeof(Presence); }

 private:
  /// What is known of the appearances of one class. Label numbers begin at 1.
  struct Presence {
    std::uint64_t count = 0;  ///< appearances in all
    std::uint64_t last = 0;   ///< the latest one
    double distance = 0;      ///< usual number of labels from the end of one run to the next
    // While it is new:
    double absence = 0;       ///< labels without it before
    std::uint64_t first = 0;  ///< the appearance that ended its absence
    std::uint32_t run = 0;    ///< appearances since, that one included
    std::uint32_t gaps = 0;   ///< distances that were averaged
    bool known = false;
    bool due = false;  ///< new, and not collected
    bool grown = false;  ///< has been reported, so that it is frequent now is no news

    /// The usual distance, with room for having been estimated from few.
    double at_most() const;
  };
  /// True when the class is new and has been seen often enough.
  bool appeared(Presence& p);
  /// The same for a class that was hardly known.
  bool became_frequent(Presence& p, double gap);
  /// Of a dense run of a hardly known class: would its usual rate do so?
  double chance_of_run(const Presence& p) const;
  /// Begins its usual distance anew: `run` appearances in so many labels.
  static void settle(Presence& p, double time);

  Options options_;
  std::vector<Presence> presence_;
  std::uint64_t labels_ = 0;
  bool any_due_ = false;
};

}  // namespace p2p::learner
