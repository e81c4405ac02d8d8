#include "overlay/pacer.hpp"

#include <algorithm>
#include <memory>

namespace p2p::overlay {

namespace {

constexpr double kBurstSeconds = 0.1;
constexpr std::size_t kLeastChunk = 1024;

}  // namespace

Pacer::Pacer(Executor& executor, std::size_t rate, std::size_t largest)
    : executor_(executor),
      rate_(static_cast<double>(rate)),
      burst_(std::max(chunk_bytes(largest) + 512, static_cast<std::size_t>(rate_ * kBurstSeconds))),
      tokens_(static_cast<double>(burst_)),
      refilled_(executor.now()) {}

std::size_t Pacer::chunk_bytes(std::size_t wanted) const {
  if (!limited()) return wanted;
  return std::min(wanted, std::max(kLeastChunk, static_cast<std::size_t>(rate_ * static_cast<double>(kPatience.count()) / 1e6)));
}

bool Pacer::admits(std::size_t bytes, std::size_t mine) const {
  if (!limited() || queued_ == 0) return true;
  const double room = rate_ * static_cast<double>(kPatience.count()) / 1e6 * (mine == 0 ? 2 : 1);
  return static_cast<double>(queued_ + bytes) <= room;
}

Duration Pacer::backlog() const {
  if (!limited()) return Duration(0);
  return Duration(static_cast<std::int64_t>((static_cast<double>(queued_) - std::min(tokens_, 0.0)) / rate_ * 1e6));
}

void Pacer::refill() {
  const auto now = executor_.now();
  tokens_ = std::min(static_cast<double>(burst_), tokens_ + rate_ * 1e-6 * static_cast<double>((now - refilled_).count()));
  refilled_ = now;
}

bool Pacer::enough(std::size_t bytes) const {
  if (bytes == 0) return tokens_ > -static_cast<double>(burst_);
  return tokens_ + 0.5 >= static_cast<double>(std::min(bytes, burst_));
}

bool Pacer::ready(std::size_t bytes) {
  if (!limited()) return true;
  refill();
  return (bytes == 0 || waiting_.empty()) && enough(bytes);
}

void Pacer::wait(std::size_t bytes, std::function<void()> turn) {
  if (bytes == 0) {
    waiting_.push_front({bytes, std::move(turn)});
    timer_.reset();
  } else {
    waiting_.push_back({bytes, std::move(turn)});
  }
  arm();
}

void Pacer::spend(std::size_t bytes) {
  if (!limited()) return;
  refill();
  tokens_ -= static_cast<double>(bytes);
}

void Pacer::arm() {
  if (timer_ || waiting_.empty()) return;
  refill();
  const auto bytes = waiting_.front().bytes;
  const auto burst = static_cast<double>(burst_);
  const double missing = (bytes == 0 ? -burst : std::min(static_cast<double>(bytes), burst)) - tokens_;
  const Duration time(missing > 0 ? static_cast<std::int64_t>(missing / rate_ * 1e6) + 1 : 0);
  timer_ = executor_.after(time, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->serve();
  });
}

void Pacer::serve() {
  timer_.reset();
  refill();
  while (!waiting_.empty() && enough(waiting_.front().bytes)) {
    const auto turn = std::move(waiting_.front().turn);
    waiting_.pop_front();
    turn();
    refill();
  }
  arm();
}

}  // namespace p2p::overlay
