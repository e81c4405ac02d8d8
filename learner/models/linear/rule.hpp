// What the families of linear rows differ in: a loss of the scores, and how a step follows from it.
#pragma once

#include <span>

#include "learner/kernels/kernels.hpp"
#include "learner/model.hpp"
#include "learner/models/linear/rows.hpp"

namespace p2p::learner {

/// One update rule. Scores s_c = w_c . z; spans are padded() long (whole groups of rows), lanes
/// beyond the last class score kUnseen and get no slope. Rows of classes that were never seen train
/// with the others: they stand for whatever else there may be, and rows that won against them keep
/// their ground when such a class comes in.
class Rule {
 public:
  virtual ~Rule() = default;

  /// Numbers kept beside each weight, the weight included: 1 .. 3.
  virtual std::size_t arrays() const = 0;
  /// The loss of these scores for a sample of class y.
  virtual double loss(std::span<const float> scores, ClassIndex y) const = 0;
  /// out_c = d loss / d s_c, a subgradient where the loss has a kink. The gradient by w_c is out_c
  /// z.
  virtual void slope(std::span<const float> scores, ClassIndex y, std::span<float> out) const = 0;
  /// One step. `slope` is that of these scores, and may be used as scratch.
  virtual void step(Rows& rows, const Sparse& z, ClassIndex y, std::span<const float> scores,
                    std::span<float> slope) const = 0;
  /// Per sample, of sums and evidence.
  virtual double decay() const = 0;

  /// A class's numbers, true scale: its weights and its sums (empty when arrays() is 1).
  struct Row {
    std::span<float> weights, sums;
    double evidence;
  };
  /// Two rows of one class become one, in `own`; the means weighed by evidence unless a rule knows
  /// better.
  virtual void blend(const Row& own, const Row& other) const;
  /// Brings `extra` in line after weights and sums of class c were put in.
  virtual void settle(Rows&, std::uint32_t) const {}
  /// Whether rows that come in among longer ones are lengthened (see LinearModel).
  virtual bool fits_scale() const = 0;
};

}  // namespace p2p::learner
