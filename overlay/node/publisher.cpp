#include "overlay/node/publisher.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "metadata/record.hpp"
#include "metadata/similarity.hpp"

namespace p2p::node {
namespace {

}  // namespace

void Publisher::on_sample() {
  if (context_.directory && context_.serving.samples() % kLook == 0) consider();
}

void Publisher::hurry() {
  due_ = true;
  if (context_.directory) wait(kSoon);
}

void Publisher::wait(overlay::Duration delay) {
  if (timer_) return;
  timer_ = context_.executor.after(delay, [this] {
    timer_.reset();
    consider();
  });
}

bool Publisher::worth_it(const metadata::Fingerprint& now) const {
  if (due_ || !published_) return true;
  if (std::abs(now.overall_accuracy() - published_->overall_accuracy()) > options_.change) return true;
  for (std::size_t c = 0; c < now.classes; ++c) {
    if (metadata::known_well(now, c) != metadata::known_well(*published_, c)) return true;
  }
  return metadata::joint_distance(now, *published_) > options_.change;
}

void Publisher::remember() {
  if (!published_ || context_.library.version() == remembered_) return;
  remembered_ = context_.library.version();
  std::vector<const Archived*> own;
  for (const auto& archived : context_.library.all()) {
    if (!archived.fetched) own.push_back(&archived);
  }
  std::sort(own.begin(), own.end(), [](const Archived* a, const Archived* b) {
    return a->used_at != b->used_at ? a->used_at > b->used_at : a->id > b->id;
  });
  std::vector<directory::Archived> shown;
  for (const auto* archived : own) {
    if (shown.size() < kShown) shown.push_back({archived->id, archived->fingerprint});
  }
  context_.directory->remember(shown);
}

void Publisher::consider() {
  remember();
  if (context_.serving.samples() < options_.after || context_.serving.fingerprint_samples() < kFewest) return;
  if (context_.unsettled()) return;
  auto now = context_.serving.fingerprint();
  if (!worth_it(now)) return;
  const auto time = context_.executor.now();
  if (published_ && time - last_ < options_.interval) return wait(options_.interval - (time - last_));
  context_.directory->publish(now);
  published_ = std::move(now);
  last_ = time;
  due_ = false;
  context_.on_published();
}

void Publisher::stop() {
  timer_.reset();
  if (context_.directory && published_) context_.directory->withdraw();
  published_.reset();
  context_.directory = nullptr;
}

}  // namespace p2p::node
