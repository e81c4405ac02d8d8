#include "overlay/node/serving.hpp"

#include <algorithm>
#include <utility>

namespace p2p::node {
namespace {

learner::DriftMonitor::Options monitor_options(const metadata::Task& task,
                                               learner::DriftMonitor::Options options) {
  options.classes = static_cast<std::uint32_t>(task.classes.size());
  return options;
}

bool concerns(std::span<const learner::ClassIndex> classes, learner::ClassIndex label) {
  return classes.empty() || std::find(classes.begin(), classes.end(), label) != classes.end();
}

Error damaged(std::string_view section) {
  return {ErrorCode::malformed,
          "the snapshot's section \"" + std::string(section) +
              "\" is missing or damaged; restore the file from a backup, or move it away to start anew",
          {}};
}

}  // namespace

learner::ModelSpec model_spec(const metadata::Task& task) {
  return {.family = task.family,
          .features = task.scaled_features(),
          .classes = static_cast<std::uint32_t>(task.classes.size()),
          .seed = task.seed,
          .bandwidth = task.bandwidth,
          .params = task.params};
}

learner::FourierBasis::Options embedding_options(const metadata::Task& task) {
  return {.seed = task.seed,
          .features = task.scaled_features(),
          .dimensions = task.embedding_dimensions,
          .bandwidth = task.bandwidth};
}

Result<std::unique_ptr<Serving>> Serving::make(const metadata::Task& task, const Options& options) {
  auto model = learner::make_model(model_spec(task));
  if (!model) return tl::unexpected(model.error());
  return std::unique_ptr<Serving>(new Serving(task, options, std::move(*model)));
}

Serving::Serving(const metadata::Task& task, const Options& options, std::unique_ptr<learner::Model> model)
    : task_(task),
      options_(options),
      model_(std::move(model)),
      metrics_(model_->spec().classes, options.window),
      window_(options.window, model_->spec().features),
      fingerprint_({.dimensions = task.embedding_dimensions,
                    .classes = model_->spec().classes,
                    .half_life = options.fingerprint_half_life}),
      monitor_(monitor_options(task, options.drift)),
      checkpoints_(options.checkpoint_every),
      basis_(learner::FourierBasis::shared(embedding_options(task))),
      scaled_(model_->spec().features),
      phi_(task.embedding_dimensions) {
  if (options_.checkpoint_every > 0) checkpoints_.restart(*model_, fingerprint_, 0);
}

Result<learner::Features> Serving::scale(std::span<const float> raw) const {
  if (raw.size() != task_.raw_features()) {
    return fail(ErrorCode::invalid_argument, "a sample has " + std::to_string(raw.size()) +
                                                 " values, but the task has " +
                                                 std::to_string(task_.raw_features()) + " columns");
  }
  if (auto done = task_.scale(raw, scaled_); !done) return tl::unexpected(done.error());
  return learner::Features(scaled_);
}

Serving::Step Serving::learn(learner::Features x, learner::ClassIndex label,
                             std::optional<learner::ClassIndex> earlier) {
  Step step;
  step.predicted = model_->predict_then_learn(x, label);
  const bool correct = step.predicted == label;
  ++samples_;
  metrics_.add(label, earlier.value_or(step.predicted));
  window_.push(x, label, step.predicted);
  basis_->map(x, phi_);
  fingerprint_.add(phi_, label, correct);
  step.signal = monitor_.update(label, step.predicted);
  step.phi = phi_;
  if (options_.checkpoint_every > 0) checkpoints_.after_sample(*model_, fingerprint_, samples_);
  return step;
}

std::span<const float> Serving::embed(learner::Features x) const {
  basis_->map(x, phi_);
  return phi_;
}

std::unique_ptr<learner::Model> Serving::replace(std::unique_ptr<learner::Model> next) {
  P2P_ASSERT(next != nullptr);
  auto former = std::exchange(model_, std::move(next));
  ++generation_;
  monitor_.model_replaced();
  if (options_.checkpoint_every > 0) checkpoints_.restart(*model_, fingerprint_, samples_);
  return former;
}

metadata::Fingerprint Serving::recent_fingerprint(std::size_t count) const {
  metadata::FingerprintBuilder builder(
      {.dimensions = task_.embedding_dimensions, .classes = spec().classes, .half_life = 0});
  const std::size_t size = window_.size();
  for (std::size_t i = size - std::min(count, size); i < size; ++i) {
    const auto item = window_.at(i);
    basis_->map(item.x, phi_);
    builder.add(phi_, item.label, item.predicted == item.label);
  }
  return builder.build();
}

std::vector<learner::ClassIndex> Serving::suffering(const Suffering& asked) const {
  struct Tally {
    double n = 0, errors = 0;
    double rate() const { return n > 0 ? errors / n : 0; }
  };
  std::vector<Tally> before(spec().classes), after(spec().classes);
  const std::size_t size = window_.size();
  for (std::size_t i = 0; i < size; ++i) {
    const auto item = window_.at(i);
    auto& tally = (samples_ - size + i < asked.since ? before : after)[static_cast<std::size_t>(item.label)];
    tally.n += 1;
    if (item.predicted != item.label) tally.errors += 1;
  }
  std::vector<learner::ClassIndex> out;
  for (std::size_t c = 0; c < after.size(); ++c) {
    if (after[c].n < static_cast<double>(asked.least) || before[c].n == 0) continue;
    if (after[c].rate() > before[c].rate() + asked.loss) out.push_back(static_cast<learner::ClassIndex>(c));
  }
  return out;
}

double Serving::accuracy_before(std::uint64_t samples) const {
  const std::size_t size = window_.size();
  const std::uint64_t first = samples_ - size;
  if (samples <= first) return metrics_.accuracy();
  const auto count = std::min<std::size_t>(size, static_cast<std::size_t>(samples - first));
  std::size_t right = 0;
  for (std::size_t i = 0; i < count; ++i) right += window_.at(i).predicted == window_.at(i).label;
  return static_cast<double>(right) / static_cast<double>(count);
}

double Serving::accuracy_of_latest(std::size_t count) const {
  const std::size_t size = window_.size();
  const std::size_t first = size - std::min(count, size);
  std::size_t right = 0;
  for (std::size_t i = first; i < size; ++i) right += window_.at(i).predicted == window_.at(i).label;
  return size > first ? static_cast<double>(right) / static_cast<double>(size - first) : 0;
}

void Serving::forget_before(std::uint64_t since, std::span<const learner::ClassIndex> classes,
                            const std::vector<bool>& correct) {
  fingerprint_.clear();
  const std::size_t size = window_.size();
  const std::uint64_t first = samples_ - size;
  const std::size_t known = std::min(correct.size(), size);
  for (std::size_t i = 0; i < size; ++i) {
    const auto item = window_.at(i);
    if (first + i < since && concerns(classes, item.label)) continue;
    const bool hit = i + known >= size ? correct[correct.size() - (size - i)] : item.predicted == item.label;
    basis_->map(item.x, phi_);
    fingerprint_.add(phi_, item.label, hit);
  }
}

Serving::Stretch Serving::since(std::uint64_t from) const {
  const std::size_t size = window_.size();
  Stretch stretch{std::max(from, samples_ - size), Tape(spec().features)};
  for (std::uint64_t i = stretch.first; i < samples_; ++i) {
    const auto item = window_.at(static_cast<std::size_t>(i - (samples_ - size)));
    stretch.tape.append(item.x, item.label, item.predicted);
  }
  return stretch;
}

void Serving::save(learner::Snapshot& snapshot, const learner::Model* instead) const {
  ByteWriter seen;
  seen.put(samples_);
  snapshot.sections.push_back({"model", (instead ? *instead : *model_).encode()});
  snapshot.sections.push_back({"metrics", metrics_.encode()});
  snapshot.sections.push_back({"fingerprint", metadata::encode(fingerprint_.build())});
  snapshot.sections.push_back({"seen", seen.take()});
  snapshot.sections.push_back({"drift", monitor_.encode()});
}

Result<void> Serving::load(const learner::Snapshot& snapshot) {
  const Bytes* model_bytes = snapshot.find("model");
  const Bytes* metrics_bytes = snapshot.find("metrics");
  const Bytes* fingerprint_bytes = snapshot.find("fingerprint");
  const Bytes* seen_bytes = snapshot.find("seen");
  const Bytes* drift_bytes = snapshot.find("drift");
  if (!model_bytes) return tl::unexpected(damaged("model"));
  if (!metrics_bytes) return tl::unexpected(damaged("metrics"));
  if (!fingerprint_bytes) return tl::unexpected(damaged("fingerprint"));
  if (!seen_bytes) return tl::unexpected(damaged("seen"));
  if (!drift_bytes) return tl::unexpected(damaged("drift"));

  auto model = learner::decode_model(spec(), *model_bytes);
  if (!model) return tl::unexpected(model.error());
  auto metrics = learner::Prequential::decode(*metrics_bytes);
  if (!metrics) return tl::unexpected(metrics.error());
  auto fingerprint = metadata::decode_fingerprint(*fingerprint_bytes, spec().classes);
  if (!fingerprint) return tl::unexpected(fingerprint.error());
  if (fingerprint->dimensions != task_.embedding_dimensions || fingerprint->classes != spec().classes) {
    return tl::unexpected(damaged("fingerprint"));
  }
  ByteReader reader(*seen_bytes);
  const auto samples = reader.get<std::uint64_t>();
  if (!reader.ok() || !reader.at_end()) return tl::unexpected(damaged("seen"));
  const auto options = monitor_options(task_, options_.drift);
  auto monitor = learner::DriftMonitor::decode(options, *drift_bytes);
  if (!monitor && monitor.error().code != ErrorCode::invalid_argument) return tl::unexpected(damaged("drift"));

  model_ = std::move(*model);
  metrics_ = std::move(*metrics);
  fingerprint_ = metadata::FingerprintBuilder({.dimensions = task_.embedding_dimensions,
                                               .classes = spec().classes,
                                               .half_life = options_.fingerprint_half_life},
                                              *fingerprint);
  samples_ = samples;
  ++generation_;
  window_.clear();
  if (options_.checkpoint_every > 0) checkpoints_.restart(*model_, fingerprint_, samples_);
  // Under other options than those it was saved with it begins anew.
  monitor_ = monitor ? std::move(*monitor) : learner::DriftMonitor(options);
  return {};
}

}  // namespace p2p::node
