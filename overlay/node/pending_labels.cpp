#include "overlay/node/pending_labels.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include <fmt/format.h>

namespace p2p::node {

std::uint64_t PendingLabels::keep(learner::Features x, learner::ClassIndex predicted) {
  const auto ticket = count();
  if (capacity_ == 0) {
    lose(ticket);
    return ticket;
  }
  if (waiting_.size() == capacity_) {
    lose(waiting_.begin()->first);
    waiting_.erase(waiting_.begin());
  }
  waiting_.emplace(ticket, Sample{{x.begin(), x.end()}, predicted});
  return ticket;
}

void PendingLabels::lose(std::uint64_t ticket) {
  given_up_ = ticket;
  if (lost_.size() == kRemembered) lost_.pop_front();
  lost_.push_back(ticket);
}

std::size_t PendingLabels::unlabelled_after(std::uint64_t ticket) const {
  const auto waiting = std::distance(waiting_.upper_bound(ticket), waiting_.end());
  const auto lost = std::distance(std::upper_bound(lost_.begin(), lost_.end(), ticket), lost_.end());
  return static_cast<std::size_t>(waiting + lost);
}

Result<PendingLabels::Sample> PendingLabels::take(std::uint64_t ticket) {
  if (const auto at = waiting_.find(ticket); at != waiting_.end()) {
    auto sample = std::move(at->second);
    waiting_.erase(at);
    return sample;
  }
  if (ticket == 0 || ticket > issued_) {
    return fail(ErrorCode::not_found,
                "no sample has this ticket; tickets come with the predictions of samples without a label, and hold only until the "
                "node is started again");
  }
  if (ticket <= given_up_) {
    return fail(ErrorCode::not_found,
                fmt::format("the sample with this ticket is no longer kept: only the latest {} without a label are; "
                            "raise pending_labels if labels come later than that",
                            capacity_));
  }
  return fail(ErrorCode::invalid_argument, "the sample with this ticket has its label already; a label is given once");
}

void PendingLabels::give_up() {
  waiting_.clear();
  lost_.clear();
  given_up_ = issued_;
}

}  // namespace p2p::node
