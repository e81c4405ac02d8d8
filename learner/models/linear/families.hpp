// The families of linear rows, for the registry: which input and which rule each has, and its
// parameters.
#pragma once

#include <functional>
#include <memory>

#include "learner/models/linear/gradient_rules.hpp"
#include "learner/models/linear/linear_model.hpp"
#include "learner/models/linear/margin_rules.hpp"

namespace p2p::learner {

/// A model of at most kMaxNumbers weights and optimiser state; `invalid_argument` when a parameter
/// cannot be, `limit_exceeded` when it would be larger. `inputs` is called when all is well.
inline constexpr std::size_t kMaxNumbers = std::size_t{1} << 27;
Result<std::unique_ptr<LinearModel>> assemble(const ModelSpec& spec, const Params& params,
                                              std::shared_ptr<const Rule> rule, std::size_t length,
                                              const std::function<Inputs()>& inputs);

/// Raw features under a rule that reads its parameters by itself: perceptron, pa, arow.
template <typename R>
struct LinearFamily {
  static constexpr std::string_view kFamily = R::kFamily;
  static Result<std::unique_ptr<LinearModel>> make(const ModelSpec& spec) {
    Params params(spec);
    auto rule = std::make_shared<const R>(params);
    return assemble(spec, params, std::move(rule), std::size_t{spec.features} + 1,
                    [&] { return Inputs::raw(spec.features, R::kScaled ? spec.bandwidth : 0); });
  }
};
using Perceptron = LinearFamily<PerceptronRule>;
using PassiveAggressive = LinearFamily<PassiveAggressiveRule>;
using Arow = LinearFamily<ArowRule>;

/// Linear support vector machines, one against the rest: hinge losses by AdaGrad.
struct LinearSvm {
  static constexpr std::string_view kFamily = "svm";
  static Result<std::unique_ptr<LinearModel>> make(const ModelSpec& spec);
};

/// Multinomial logistic regression over the raw features; with one_vs_rest = 1 a logistic
/// regression per class.
struct Softmax {
  static constexpr std::string_view kFamily = "softmax";
  static Result<std::unique_ptr<LinearModel>> make(const ModelSpec& spec);
};

/// FTRL-Proximal over hashed features; parameter bits (2 .. 16): 2^bits places per class.
struct Ftrl {
  static constexpr std::string_view kFamily = FtrlRule::kFamily;
  static Result<std::unique_ptr<LinearModel>> make(const ModelSpec& spec);
};

/// Softmax rows over random Fourier and raw features; parameters dimensions (0 .. 8192), raw (0 or
/// 1) and sharpness: the basis has sharpness times the task's bandwidth. 1.5 was best for MNIST
/// among 0.7 to 3; few features and many borders want more, and raw = 0 (1024 cosines, from
/// sharpness 1 to 4: letter .767 to .846, pendigits .818 to .868; letter without raw .884).
///
/// Reference: Rahimi, Recht, "Random Features for Large-Scale Kernel Machines", NIPS 2007.
struct Rff {
  static constexpr std::string_view kFamily = "rff";
  static Result<std::unique_ptr<LinearModel>> make(const ModelSpec& spec);
};

}  // namespace p2p::learner
