#include "learner/models/linear/families.hpp"

#include <algorithm>

#include <fmt/core.h>

namespace p2p::learner {
namespace {

constexpr std::uint32_t kMaxDimensions = 1u << 13;
constexpr double kMaxBandwidth = 1e30;

/// Softmax rows, or logistic ones where one_vs_rest asks for them.
std::shared_ptr<const Rule> logistic_rule(Params& params, double rate, double decay) {
  const bool alone = params.whole("one_vs_rest", 0, 0, 1) == 1;
  return std::make_shared<const AdagradRule>(
      params, alone ? AdagradRule::Loss::logistic : AdagradRule::Loss::softmax, rate, decay);
}

}  // namespace

Result<std::unique_ptr<LinearModel>> assemble(const ModelSpec& spec, const Params& params,
                                              std::shared_ptr<const Rule> rule, std::size_t length,
                                              const std::function<Inputs()>& inputs) {
  if (auto ok = params.check(); !ok) return tl::unexpected(ok.error());
  const std::size_t numbers = spec.classes * length * rule->arrays();
  if (numbers > kMaxNumbers) {
    return fail(
        ErrorCode::limit_exceeded,
        fmt::format(
            "{} with {} features and {} classes would hold {} numbers; at most {} are allowed",
            spec.family, spec.features, spec.classes, numbers, kMaxNumbers));
  }
  return std::make_unique<LinearModel>(spec, params.fingerprint(), inputs(), std::move(rule));
}

Result<std::unique_ptr<LinearModel>> LinearSvm::make(const ModelSpec& spec) {
  Params params(spec);
  auto rule = std::make_shared<const AdagradRule>(params, AdagradRule::Loss::hinge, 0.35, 0.99998);
  return assemble(spec, params, std::move(rule), std::size_t{spec.features} + 1,
                  [&] { return Inputs::raw(spec.features, spec.bandwidth); });
}

Result<std::unique_ptr<LinearModel>> Softmax::make(const ModelSpec& spec) {
  Params params(spec);
  auto rule = logistic_rule(params, 0.4, 0.99998);
  return assemble(spec, params, std::move(rule), std::size_t{spec.features} + 1,
                  [&] { return Inputs::raw(spec.features, spec.bandwidth); });
}

Result<std::unique_ptr<LinearModel>> Ftrl::make(const ModelSpec& spec) {
  Params params(spec);
  auto rule = std::make_shared<const FtrlRule>(params);
  const std::uint32_t bits = params.whole("bits", 16, 2, 16);
  return assemble(spec, params, std::move(rule),
                  std::min(std::size_t{spec.features}, std::size_t{1} << bits) + 1,
                  [&] { return Inputs::hashed(spec.features, spec.bandwidth, bits, spec.seed); });
}

Result<std::unique_ptr<LinearModel>> Rff::make(const ModelSpec& spec) {
  Params params(spec);
  const std::uint32_t dimensions = params.whole("dimensions", 512, 0, kMaxDimensions);
  const bool with_raw = params.whole("raw", 1, 0, 1) == 1;
  const double sharpness = params.number("sharpness", 1.5, 0.01, 100);
  auto rule = logistic_rule(params, 0.4, 0.9999);
  // Before what else a spec may lack: an unknown parameter is named even so.
  if (auto ok = params.check(); !ok) return tl::unexpected(ok.error());
  if (dimensions == 0 && !with_raw) {
    return fail(ErrorCode::invalid_argument, "rff needs dimensions above 0, or raw = 1, or both");
  }
  if (!(spec.bandwidth > 0 && spec.bandwidth <= kMaxBandwidth)) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("rff needs a bandwidth above 0 and at most {}; 2 / (median squared "
                            "distance of samples) is the rule",
                            kMaxBandwidth));
  }
  if (std::size_t{dimensions} * spec.features > kMaxNumbers) {
    return fail(
        ErrorCode::limit_exceeded,
        fmt::format("a basis of {} dimensions over {} features would hold more than {} numbers",
                    dimensions, spec.features, kMaxNumbers));
  }
  const FourierBasis::Options basis{spec.seed, spec.features, dimensions,
                                    sharpness * spec.bandwidth};
  return assemble(spec, params, std::move(rule),
                  std::size_t{dimensions} + (with_raw ? spec.features : 0) + 1,
                  [&] { return Inputs::fourier(basis, with_raw, spec.bandwidth); });
}

}  // namespace p2p::learner
