#include "learner/metrics.hpp"

#include <algorithm>
#include <numeric>

#include <fmt/core.h>

namespace p2p::learner {
namespace {

constexpr std::size_t kMaxWindow = std::size_t{1} << 20;

double ratio(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

Prequential::Prequential(std::uint32_t classes, std::size_t window)
    : seen_(classes), hit_(classes), said_(classes), ring_(window) {
  P2P_ASSERT(classes >= 1 && classes <= kMaxClasses && window >= 1 && window <= kMaxWindow);
}

void Prequential::add(ClassIndex label, ClassIndex predicted) {
  P2P_ASSERT(label >= 0 && static_cast<std::size_t>(label) < seen_.size());
  P2P_ASSERT(predicted >= kNoClass && predicted < static_cast<ClassIndex>(seen_.size()));
  const bool correct = label == predicted;
  ++samples_;
  correct_ += correct;
  repeated_ += label == previous_;
  previous_ = label;
  ++seen_[static_cast<std::size_t>(label)];
  hit_[static_cast<std::size_t>(label)] += correct;
  if (predicted != kNoClass) ++said_[static_cast<std::size_t>(predicted)];
  if (ring_size_ == ring_.size()) {
    ring_correct_ -= ring_[ring_next_];
  } else {
    ++ring_size_;
  }
  ring_[ring_next_] = correct;
  ring_correct_ += correct;
  ring_next_ = (ring_next_ + 1) % ring_.size();
}

double Prequential::accuracy() const { return ratio(correct_, samples_); }
double Prequential::windowed_accuracy() const { return ratio(ring_correct_, ring_size_); }
double Prequential::recall(ClassIndex label) const {
  return ratio(hit_[static_cast<std::size_t>(label)], seen(label));
}
double Prequential::no_change_accuracy() const { return ratio(repeated_, samples_); }
double Prequential::majority_accuracy() const {
  return ratio(*std::max_element(seen_.begin(), seen_.end()), samples_);
}

double Prequential::kappa() const {
  // kappa = (p0 - pe) / (1 - pe), pe = sum_c P(label = c) P(predicted = c).
  double chance = 0;
  for (std::size_t c = 0; c < seen_.size(); ++c)
    chance += ratio(seen_[c], samples_) * ratio(said_[c], samples_);
  return chance >= 1.0 ? 0.0 : (accuracy() - chance) / (1.0 - chance);
}

Bytes Prequential::encode() const {
  ByteWriter out;
  out.put(static_cast<std::uint32_t>(seen_.size()));
  out.put(static_cast<std::uint32_t>(ring_.size()));
  out.put(repeated_);
  out.put(previous_);
  for (const auto* counts : {&seen_, &hit_, &said_})
    out.put_array(std::span<const std::uint64_t>(*counts));
  out.put(static_cast<std::uint32_t>(ring_next_));
  out.put(static_cast<std::uint32_t>(ring_size_));
  out.put_array(std::span<const std::uint8_t>(ring_));
  return out.take();
}

Result<Prequential> Prequential::decode(ByteView bytes) {
  const auto damaged = [](const char* what) {
    return fail(ErrorCode::malformed,
                fmt::format("the metrics are damaged: {}; start them anew", what));
  };
  ByteReader in(bytes);
  const auto classes = in.get<std::uint32_t>();
  const auto window = in.get<std::uint32_t>();
  if (!in.ok() || classes < 1 || classes > kMaxClasses || window < 1 || window > kMaxWindow ||
      in.remaining() != 8u + 4u + 24ull * classes + 8u + window) {
    return damaged("their size does not fit");
  }
  Prequential out(classes, window);
  out.repeated_ = in.get<std::uint64_t>();
  out.previous_ = in.get<ClassIndex>();
  for (auto* counts : {&out.seen_, &out.hit_, &out.said_})
    in.get_array(std::span<std::uint64_t>(*counts));
  out.ring_next_ = in.get<std::uint32_t>();
  out.ring_size_ = in.get<std::uint32_t>();
  in.get_array(std::span<std::uint8_t>(out.ring_));
  std::uint64_t said = 0;
  constexpr std::uint64_t kMaxCount = std::uint64_t{1} << 53;  // sums of 1024 of them stay in range
  for (std::size_t c = 0; c < classes; ++c) {
    if (out.seen_[c] > kMaxCount || out.said_[c] > kMaxCount || out.hit_[c] > out.seen_[c] ||
        out.hit_[c] > out.said_[c]) {
      return damaged("their counts contradict each other");
    }
    out.samples_ += out.seen_[c];
    out.correct_ += out.hit_[c];
    said += out.said_[c];
  }
  if (said > out.samples_ || out.repeated_ > out.samples_ || out.previous_ < kNoClass ||
      out.previous_ >= static_cast<ClassIndex>(classes) ||
      out.ring_size_ != std::min<std::uint64_t>(out.samples_, window) ||
      out.ring_next_ != out.samples_ % window) {
    return damaged("their counts contradict each other");
  }
  // An unused entry of the ring is zero, so the sum over all of it is the sum over the used part.
  for (const std::uint8_t bit : out.ring_) {
    if (bit > 1) return damaged("the window holds something else than hits and misses");
    out.ring_correct_ += bit;
  }
  if (out.ring_correct_ > std::min<std::uint64_t>(out.ring_size_, out.correct_)) {
    return damaged("their counts contradict each other");
  }
  return out;
}

}  // namespace p2p::learner
