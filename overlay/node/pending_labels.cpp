#include "overlay/node/pending_labels.hpp"

#include <utility>

#include <fmt/format.h>

namespace p2p::node {

std::uint64_t PendingLabels::keep(learner::Features x, learner::ClassIndex predicted) {
  const auto ticket = count();
  if (capacity_ == 0) {
    given_up_ = ticket;
    return ticket;
  }
  if (waiting_.size() == capacity_) {
    given_up_ = waiting_.begin()->first;
    waiting_.erase(waiting_.begin());
  }
  waiting_.emplace(ticket, Sample{{x.begin(), x.end()}, predicted});
  return ticket;
}

Result<PendingLabels::Sample> PendingLabels::take(std::uint64_t ticket) {
  if (const auto at = waiting_.find(ticket); at != waiting_.end()) {
    auto sample = std::move(at->second);
    waiting_.erase(at);
    return sample;
  }
  if (ticket == 0 || ticket > issued_) {
    return fail(ErrorCode::not_found,
                fmt::format("no sample has the ticket {}; tickets come from process(), the latest is {}, and they hold "
                            "only until the node is started again",
                            ticket, issued_));
  }
  if (ticket <= given_up_) {
    return fail(ErrorCode::not_found,
                fmt::format("the sample with the ticket {} is no longer kept: only the latest {} without a label are; "
                            "raise pending_labels if labels come later than that",
                            ticket, capacity_));
  }
  return fail(ErrorCode::invalid_argument,
              fmt::format("the sample with the ticket {} has its label already; a label is given once", ticket));
}

void PendingLabels::give_up() {
  waiting_.clear();
  given_up_ = issued_;
}

}  // namespace p2p::node
