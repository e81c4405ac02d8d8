#include "learner/drift/label_test.hpp"

#include <algorithm>

#include "learner/drift/state.hpp"

namespace p2p::learner {
namespace {

constexpr double kPrior = 8;  ///< labels' worth of the reference in the latest shares

NewClasses::Options new_classes(const LabelTest::Options& options) {
  NewClasses::Options out;
  out.classes = options.classes;
  return out;
}

}  // namespace

LabelTest::LabelTest(const Options& options)
    : options_(options),
      fresh_(new_classes(options)),
      reference_(options.classes),
      held_(options.classes),
      ring_(options.window),
      latest_(options.classes) {
  P2P_ASSERT(options.window >= 1 && options.minimum >= 1);
  P2P_ASSERT(options.warning_length >= 1 && options.run_length >= options.warning_length);
  responsible_.reserve(options.classes);
}

void LabelTest::restart() {
  held_n_ = 0;
  std::fill(held_.begin(), held_.end(), 0);
  evidence_ = 0;
  page_ = 1;
}

void LabelTest::reset() {
  fresh_.reset();
  restart();
  std::fill(reference_.begin(), reference_.end(), 0);
  std::fill(latest_.begin(), latest_.end(), 0);
  std::fill(ring_.begin(), ring_.end(), std::uint16_t{0});
  reference_n_ = 0;
  next_ = used_ = 0;
  previous_ = kNoClass;
  responsible_.clear();
}

std::unique_ptr<DriftDetector> LabelTest::clone() const {
  auto copy = std::make_unique<LabelTest>(*this);
  copy->responsible_.reserve(options_.classes);
  return copy;
}

std::size_t LabelTest::width() const { return static_cast<std::size_t>(reference_n_ + held_n_); }

double LabelTest::mean() const {
  std::uint64_t most = 0;
  for (std::size_t c = 0; c < reference_.size(); ++c)
    most = std::max(most, reference_[c] + held_[c]);
  return width() == 0 ? 0.0 : static_cast<double>(most) / static_cast<double>(width());
}

std::size_t LabelTest::bytes() const {
  return sizeof *this - sizeof fresh_ + fresh_.bytes() +
         (reference_.capacity() + held_.capacity()) * sizeof(std::uint64_t) +
         ring_.capacity() * sizeof(std::uint16_t) + latest_.capacity() * sizeof(std::uint32_t) +
         responsible_.capacity() * sizeof(ClassIndex);
}

double LabelTest::share(std::size_t c) const {
  return (static_cast<double>(reference_[c]) + 0.5) /
         (static_cast<double>(reference_n_) + 0.5 * static_cast<double>(reference_.size()));
}

void LabelTest::commit() {
  if (held_n_ <= used_) {
    for (std::uint32_t age = 1; age <= held_n_; ++age)
      held_[ring_[(next_ + options_.window - age) % options_.window]] = 0;
    for (std::uint32_t age = 1; age <= held_n_; ++age)
      ++reference_[ring_[(next_ + options_.window - age) % options_.window]];
  } else {
    for (std::size_t c = 0; c < held_.size(); ++c) {
      reference_[c] += held_[c];
      held_[c] = 0;
    }
  }
  reference_n_ += held_n_;
  held_n_ = 0;
}

bool LabelTest::jumped(std::size_t label, DriftLevel& level) {
  const bool ready = reference_n_ >= options_.minimum;
  if (ready) {
    const double p = share(label);
    const double q = (latest_[label] + kPrior * p) / (used_ + kPrior);
    const double unsure =
        1 + 2 * static_cast<double>(options_.classes) / static_cast<double>(reference_n_);
    const double factor = q / p / unsure;
    evidence_ = std::min(1e300, (1 + evidence_) * factor);
    page_ = std::min(1e300, std::max(1.0, page_) * factor);
  }
  if (used_ == options_.window) {
    --latest_[ring_[next_]];
  } else {
    ++used_;
  }
  ring_[next_] = static_cast<std::uint16_t>(label);
  ++latest_[label];
  next_ = next_ + 1 == options_.window ? 0 : next_ + 1;
  ++held_[label];
  ++held_n_;
  if (!ready || page_ <= 1) commit();
  if (evidence_ >= options_.run_length) return true;
  if (evidence_ >= options_.warning_length) level = DriftLevel::warning;
  return false;
}

DriftLevel LabelTest::update(double value) {
  const auto label = static_cast<ClassIndex>(value);
  P2P_ASSERT(value >= 0 && static_cast<std::size_t>(label) < reference_.size());
  const bool repeated = label == previous_;
  previous_ = label;
  DriftLevel level = DriftLevel::stable;
  if (repeated && options_.skip_repeats) return level;
  fresh_.take(label);
  const bool jump = jumped(static_cast<std::size_t>(label), level);
  if (fresh_.due()) {
    // Its labels are no jump of their own: the reference goes on with them.
    fresh_.collect(responsible_);
    commit();
    restart();
    return DriftLevel::drift;
  }
  if (jump) {
    responsible_.clear();
    for (std::size_t c = 0; c < held_.size(); ++c) {
      if (static_cast<double>(held_[c]) > 2 * share(c) * static_cast<double>(held_n_))
        responsible_.push_back(static_cast<ClassIndex>(c));
    }
    reference_ = held_;
    reference_n_ = held_n_;
    restart();
    return DriftLevel::drift;
  }
  return fresh_.nearly(label) ? DriftLevel::warning : level;
}

void LabelTest::encode(ByteWriter& out) const {
  fresh_.encode(out);
  out.put(previous_);
  out.put(evidence_);
  out.put(page_);
  out.put_array(std::span<const std::uint64_t>(reference_));
  out.put_array(std::span<const std::uint64_t>(held_));
  out.put(used_);
  for (std::uint32_t age = used_; age >= 1; --age)
    out.put(ring_[(next_ + options_.window - age) % options_.window]);
  out.put(static_cast<std::uint32_t>(responsible_.size()));
  for (const ClassIndex c : responsible_) out.put(c);
}

Result<void> LabelTest::decode(ByteReader& in) {
  reset();
  const auto classes = static_cast<std::uint32_t>(reference_.size());
  if (auto read = fresh_.decode(in); !read) return read;
  StateReader state(in);
  previous_ = in.get<ClassIndex>();
  state.check(previous_ >= kNoClass && previous_ < static_cast<ClassIndex>(classes));
  evidence_ = state.number(0, options_.run_length);
  page_ = state.number(0, 1e300);
  for (auto& count : reference_) reference_n_ += count = state.count(std::uint64_t{1} << 40);
  for (auto& count : held_) held_n_ += count = state.count(std::uint64_t{1} << 40);
  const std::uint32_t used = state.whole(options_.window);
  for (; state.ok() && used_ < used; ++used_) {
    const auto label = in.get<std::uint16_t>();
    if (!state.check(label < classes)) break;
    ring_[next_] = label;
    ++latest_[label];
    next_ = next_ + 1 == options_.window ? 0 : next_ + 1;
  }
  // commit() counts on those held being the latest of the ring.
  state.check(used_ == used);
  if (state.ok() && held_n_ <= used_) {
    std::vector<std::uint64_t> tally(classes);
    for (std::uint32_t age = 1; age <= held_n_; ++age)
      ++tally[ring_[(next_ + options_.window - age) % options_.window]];
    state.check(tally == held_);
  }
  const std::uint32_t responsible = state.whole(classes);
  for (std::uint32_t i = 0; state.ok() && i < responsible; ++i) {
    responsible_.push_back(static_cast<ClassIndex>(state.whole(classes - 1)));
  }
  if (!state.ok()) reset();
  return state.result("the label test");
}

}  // namespace p2p::learner
