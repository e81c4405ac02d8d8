#include "learner/models/linear/families.hpp"

namespace p2p::learner {
namespace {

constexpr std::uint32_t kMaxDimensions = 1u << 13;

/// Softmax rows, or logistic ones where one_vs_rest asks for them.
std::shared_ptr<const Rule> logistic_rule(Params& params, double rate, double decay) {
  const bool alone = params.whole("one_vs_rest", 0, 0, 1) == 1;
  return std::make_shared<const AdagradRule>(
      params, alone ? AdagradRule::Loss::logistic : AdagradRule::Loss::softmax, rate, decay);
}

}  // namespace

Result<std::unique_ptr<LinearModel>> LinearSvm::make(const ModelSpec& spec) {
  Params params(spec);
  auto rule = std::make_shared<const AdagradRule>(params, AdagradRule::Loss::hinge, 0.35, 0.99998);
  if (auto ok = params.check(); !ok) return tl::unexpected(ok.error());
  return std::make_unique<LinearModel>(spec, params.fingerprint(),
                                       Inputs::raw(spec.features, spec.bandwidth), std::move(rule));
}

Result<std::unique_ptr<LinearModel>> Softmax::make(const ModelSpec& spec) {
  Params params(spec);
  auto rule = logistic_rule(params, 0.4, 0.99998);
  if (auto ok = params.check(); !ok) return tl::unexpected(ok.error());
  return std::make_unique<LinearModel>(spec, params.fingerprint(),
                                       Inputs::raw(spec.features, spec.bandwidth), std::move(rule));
}

Result<std::unique_ptr<LinearModel>> Ftrl::make(const ModelSpec& spec) {
  Params params(spec);
  auto rule = std::make_shared<const FtrlRule>(params);
  const std::uint32_t bits = params.whole("bits", 16, 2, 16);
  if (auto ok = params.check(); !ok) return tl::unexpected(ok.error());
  return std::make_unique<LinearModel>(
      spec, params.fingerprint(), Inputs::hashed(spec.features, spec.bandwidth, bits, spec.seed),
      std::move(rule));
}

Result<std::unique_ptr<LinearModel>> Rff::make(const ModelSpec& spec) {
  Params params(spec);
  const std::uint32_t dimensions = params.whole("dimensions", 512, 0, kMaxDimensions);
  const bool with_raw = params.whole("raw", 1, 0, 1) == 1;
  const double sharpness = params.number("sharpness", 1.5, 0.01, 100);
  auto rule = logistic_rule(params, 0.5, 0.9998);
  if (auto ok = params.check(); !ok) return tl::unexpected(ok.error());
  if (dimensions == 0 && !with_raw) {
    return fail(ErrorCode::invalid_argument, "rff needs dimensions above 0, or raw = 1, or both");
  }
  if (!(spec.bandwidth > 0)) {
    return fail(
        ErrorCode::invalid_argument,
        "rff needs a bandwidth above 0; 2 / (median squared distance of samples) is the rule");
  }
  return std::make_unique<LinearModel>(
      spec, params.fingerprint(),
      Inputs::fourier({spec.seed, spec.features, dimensions, sharpness * spec.bandwidth}, with_raw,
                      spec.bandwidth),
      std::move(rule));
}

}  // namespace p2p::learner
