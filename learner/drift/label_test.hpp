// A detector of labels: one that was not there before, or a jump of the class histogram.
#pragma once

#include <cstdint>
#include <vector>

#include "learner/drift/detector.hpp"
#include "learner/drift/new_classes.hpp"

namespace p2p::learner {

/// Two tests on the labels alone. NewClasses finds a label that is new within a few appearances.
/// The histogram is watched by a likelihood ratio against what the latest `window` labels suggest:
/// with p_c the reference share of class c and q_c = (k_c + 8 p_c) / (n + 8), k_c of the latest n
/// labels being c,
///
///     R <- (1 + R) q_y / p_y (1 + 2 classes / n_reference)^-1,      drift when R >= run_length
///
/// q is fixed before y is seen, so E R is at most the number of labels and a false alarm of an
/// independent stream takes `run_length` labels on average; the last factor is for p being an
/// estimate. As in ShiryaevRoberts, labels are held apart while there is evidence and are the new
/// reference after an alarm.
///
/// A jump of the mix alone asks for no other model of the same classes; it tells which classes a
/// node needs now. Where labels come in runs (most recorded streams) they are not independent and
/// it rings: `skip_repeats` then takes only the first label of each run.
///
/// Reference: Shin, Ramdas, Rinaldo, "E-detectors", NEJSDS 2023; Krichevsky, Trofimov, IEEE Trans.
/// Inform. Theory 27, 1981 (the plug-in estimate).
///
/// Values: class indices, 0 .. classes - 1. Bounds: 80 bytes a class and 2 a label of the window.
/// Cost: O(1) a label, O(classes) an alarm and where labels were held apart for longer than the
/// window.
class LabelTest final : public DriftDetector {
 public:
  struct Options {
    std::uint32_t classes = 2;
    std::uint32_t window = 100;
    double run_length = 1e6;      ///< labels to a false alarm of the histogram
    double warning_length = 1e4;  ///< <= run_length
    bool skip_repeats = false;
    std::uint32_t minimum = 200;  ///< labels in the reference before the histogram is tested
  };
  explicit LabelTest(const Options& options);

  /// `value` is a class index.
  DriftLevel update(double value) override;
  /// The classes behind the latest drift: the new ones, or those whose share at least doubled.
  std::span<const ClassIndex> responsible() const { return responsible_; }

  std::size_t width() const override;
  double mean() const override;
  void reset() override;
  std::unique_ptr<DriftDetector> clone() const override;
  void encode(ByteWriter& out) const override;
  Result<void> decode(ByteReader& in) override;
  std::size_t bytes() const override;

 private:
  double share(std::size_t c) const;
  bool jumped(std::size_t label, DriftLevel& level);
  void commit();
  void restart();

  Options options_;
  NewClasses fresh_;
  std::vector<std::uint64_t> reference_, held_;
  std::vector<std::uint16_t> ring_;
  std::vector<std::uint32_t> latest_;  ///< of each class in the ring
  std::uint64_t reference_n_ = 0, held_n_ = 0;
  std::uint32_t next_ = 0, used_ = 0;
  ClassIndex previous_ = kNoClass;
  double evidence_ = 0, page_ = 1;
  std::vector<ClassIndex> responsible_;
};

}  // namespace p2p::learner
