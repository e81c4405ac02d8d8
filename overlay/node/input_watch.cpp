#include "overlay/node/input_watch.hpp"

#include <algorithm>

namespace p2p::node {

InputWatch::InputWatch(const Options& options, const Serving& serving, const PendingLabels& pending)
    : serving_(serving), pending_(pending) {
  if (!(options.run_length > 0)) return;
  test_.emplace(learner::EmbeddingTest::Options{.dimensions = serving.embedding_dimensions(),
                                                .run_length = options.run_length,
                                                .warning_length = std::min(1e4, options.run_length)});
}

std::optional<InputWatch::Alarm> InputWatch::on_sample(std::span<const float> phi) {
  if (!test_ || test_->update_vector(phi) != learner::DriftLevel::drift) return {};
  Alarm alarm;
  alarm.since = std::min<std::uint64_t>(std::max<std::size_t>(1, test_->width()), pending_.latest());
  alarm.change = pending_.latest() - alarm.since;
  alarm.labelled = labelled_after(alarm.change);
  if (2 * alarm.labelled >= alarm.since) return {};
  return alarm;
}

std::size_t InputWatch::labelled_after(std::uint64_t change) const {
  return static_cast<std::size_t>(pending_.latest() - std::min(change, pending_.latest())) -
         pending_.unlabelled_after(change);
}

std::vector<learner::Features> InputWatch::waiting_after(std::uint64_t change, std::size_t most) const {
  std::vector<learner::Features> out;
  const auto& all = pending_.all();
  for (auto it = all.rbegin(); it != all.rend() && it->first > change && out.size() < most; ++it) {
    out.emplace_back(it->second.x);
  }
  std::reverse(out.begin(), out.end());
  return out;
}

metadata::Fingerprint InputWatch::marginal(std::span<const learner::Features> samples) const {
  metadata::FingerprintBuilder builder(
      {.dimensions = serving_.embedding_dimensions(), .classes = serving_.spec().classes, .half_life = 0});
  for (const auto& x : samples) builder.add(serving_.embed(x), 0, false);
  return builder.build();
}

}  // namespace p2p::node
