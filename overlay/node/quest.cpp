#include "overlay/node/quest.hpp"

#include <algorithm>
#include <utility>

#include <fmt/core.h>

#include "overlay/node/blocks.hpp"

namespace p2p::node {
namespace {

constexpr Duration kLookupGrace = std::chrono::seconds(1);  // a directory that misses its own deadline
constexpr double kUnseen = 2;  // what need_distance counts for a class that the other has not seen

/// Says whose fault an error is: bytes that do not decode or verify are the peer's.
bool peers_fault(const Error& error) {
  return error.code == ErrorCode::malformed || error.code == ErrorCode::untrusted ||
         error.code == ErrorCode::limit_exceeded;
}

}  // namespace

double needed_accuracy(const metadata::Need& need, const metadata::Fingerprint& fingerprint) {
  if (need.by == metadata::By::marginal) return fingerprint.overall_accuracy();
  double weight = 0, sum = 0;
  const auto add = [&](std::size_t c, double w) {
    if (c >= fingerprint.classes) return;
    weight += w;
    if (fingerprint.count[c] > 0) sum += w * static_cast<double>(fingerprint.accuracy[c]);
  };
  const auto& counts = need.experience.count;
  if (need.classes.empty()) {
    for (std::size_t c = 0; c < counts.size(); ++c) add(c, counts[c]);
  } else {
    for (const auto c : need.classes) {
      const auto index = static_cast<std::size_t>(c);
      add(index, index < counts.size() ? std::max(1.0, static_cast<double>(counts[index])) : 1.0);
    }
  }
  return weight > 0 ? sum / weight : 0;
}

bool Helper::better_than(const Helper& other) const {
  const double ours = expected + trust, theirs = other.expected + other.trust;
  if (ours != theirs) return ours > theirs;
  return peer.id != other.peer.id ? peer.id < other.peer.id : concept_id < other.concept_id;
}

Quest::Quest(const Context& context, const Options& options, Request request, Observer observer)
    : context_(context), options_(options), request_(std::move(request)), observer_(std::move(observer)) {}

void Quest::start() {
  stage_began_ = context_.executor.now();
  awaited_ = 1;
  arm(options_.lookup.deadline + kLookupGrace, &Quest::lookup_late);
  auto lookup = options_.lookup;
  lookup.skip = [weak = weak_from_this()](const metadata::NodeId& peer) {
    const auto self = weak.lock();
    return self && !self->done_ && self->request_.skip && self->request_.skip(peer);
  };
  context_.directory.lookup(request_.need, lookup,
                            [weak = weak_from_this()](directory::LookupResult result) {
                              if (const auto self = weak.lock()) self->asked(std::move(result));
                            });
}

void Quest::cancel() {
  done_ = true;
  timer_.reset();
  observer_ = {};
}

void Quest::arm(Duration deadline, void (Quest::*then)()) {
  timer_ = context_.executor.after(deadline, [weak = weak_from_this(), then] {
    if (const auto self = weak.lock(); self && !self->done_) ((*self).*then)();
  });
}

void Quest::lookup_late() { finish("the directory did not answer in time"); }

void Quest::asked(directory::LookupResult result) {
  if (done_ || stage_ != Stage::looking_up) return;
  const auto now = context_.executor.now();
  findings_.lookup = now - stage_began_;
  findings_.gets = result.gets;
  findings_.questions = result.questions;
  findings_.candidates = result.candidates.size();
  if (result.candidates.empty()) {
    return finish(result.skipped == 0 ? "nobody with such experience was found on the overlay"
                                      : "everybody found had been tried or refused before");
  }
  stage_ = Stage::asking;
  stage_began_ = now;
  observer_.on_stage(stage_, findings_);
  if (done_) return;
  // The directory has fetched most fingerprints already; a link is made only for those that no datagram could carry.
  std::vector<overlay::Exchange::Peer> silent;
  for (auto& candidate : result.candidates) {
    const overlay::Exchange::Peer peer{candidate.entry.node, candidate.entry.endpoint};
    if (candidate.fingerprint) {
      consider(peer, candidate.entry.concept_id, std::move(*candidate.fingerprint));
      if (done_) return;
    } else if (silent.size() < options_.ask && candidate.entry.concept_id == 0) {
      silent.push_back(peer);
    }
  }
  awaited_ = silent.size();
  if (silent.empty()) return rank();
  arm(options_.ask_deadline, &Quest::ask_late);
  for (const auto& peer : silent) {
    context_.exchange.describe(peer, context_.task, context_.classes,
                               [weak = weak_from_this(), peer](Result<metadata::Description> answer) {
                                 if (const auto self = weak.lock()) self->described(peer, std::move(answer));
                               });
  }
}

void Quest::described(const overlay::Exchange::Peer& peer, Result<metadata::Description> result) {
  if (done_ || stage_ != Stage::asking) return;
  --awaited_;
  if (result) {
    consider(peer, 0, std::move(result->fingerprint));
  } else if (peers_fault(result.error())) {
    observer_.on_refused(peer.id, result.error());
  }
  if (!done_ && awaited_ == 0) rank();
}

void Quest::consider(const overlay::Exchange::Peer& peer, std::uint32_t concept_id,
                     metadata::Fingerprint fingerprint) {
  if (fingerprint.dimensions != request_.need.experience.dimensions ||
      fingerprint.classes != request_.need.experience.classes) {
    return observer_.on_refused(peer.id,
                                {ErrorCode::malformed, "the peer's fingerprint is not of this task's shape", {}});
  }
  ++findings_.described;
  Helper helper{.peer = peer, .concept_id = concept_id, .fingerprint = std::move(fingerprint)};
  if (request_.trust) helper.trust = request_.trust(peer.id);
  helper.distance = request_.need.by == metadata::By::marginal
                        ? metadata::plain_distance(request_.need, helper.fingerprint)
                        : metadata::need_distance(request_.need, helper.fingerprint);
  helper.accuracy = needed_accuracy(request_.need, helper.fingerprint);
  helper.expected = metadata::expected_accuracy(request_.need, helper.fingerprint);
  if (helper.distance < kUnseen && helper.accuracy > request_.own_accuracy) helpers_.push_back(std::move(helper));
}

void Quest::ask_late() { rank(); }

void Quest::rank() {
  std::sort(helpers_.begin(), helpers_.end(), [](const Helper& a, const Helper& b) { return a.better_than(b); });
  if (helpers_.size() > 2) {
    // A claim of accuracy costs nothing, and who lies wins by it: the second is whoever's data are nearest.
    const auto nearest = std::min_element(helpers_.begin() + 1, helpers_.end(),
                                          [](const Helper& a, const Helper& b) { return a.distance < b.distance; });
    std::rotate(helpers_.begin() + 1, nearest, nearest + 1);
  }
  const auto now = context_.executor.now();
  findings_.ask = now - stage_began_;
  if (helpers_.empty()) {
    return finish(findings_.described == 0 ? "none of the peers found answered"
                                           : "none of the peers found does better on these classes");
  }
  findings_.nearest = helpers_.front().distance;
  findings_.nearest_id = helpers_.front().peer.id.brief();
  stage_ = Stage::pulling;
  stage_began_ = now;
  awaited_ = 0;
  observer_.on_stage(stage_, findings_);
  if (done_) return;
  arm(options_.pull_deadline, &Quest::pull_late);
  pull_next();
}

void Quest::pull_next() {
  const std::size_t end = std::min(helpers_.size(), next_helper_ + options_.pull_from);
  awaited_ = end - next_helper_;
  for (; next_helper_ < end; ++next_helper_) {
    const Helper& helper = helpers_[next_helper_];
    context_.exchange.pull({helper.peer}, metadata::concept_task(context_.task, helper.concept_id), request_.need.classes,
                           [weak = weak_from_this(), helper](Result<overlay::PulledPart> part) {
                             if (const auto self = weak.lock()) self->pulled(helper, std::move(part));
                           });
  }
}

void Quest::pulled(const Helper& helper, Result<overlay::PulledPart> result) {
  if (done_ || stage_ != Stage::pulling) return;
  --awaited_;
  if (!result) {
    if (peers_fault(result.error())) observer_.on_refused(helper.peer.id, result.error());
    if (done_) return;
  } else if (!result->blocks.empty()) {
    findings_.blocks += result->blocks.size();
    const std::uint64_t bytes = result->bytes_received;
    findings_.parts.push_back({helper, to_part(std::move(*result)), bytes});
    observer_.on_part(findings_.parts.back());
    if (done_) return;
    if (findings_.parts.size() == 1 && awaited_ > 0) arm(options_.pull_grace, &Quest::pull_late);
  }
  if (awaited_ > 0) return;
  if (findings_.parts.empty() && next_helper_ < helpers_.size()) return pull_next();
  pull_late();
}

void Quest::pull_late() {
  findings_.pull = context_.executor.now() - stage_began_;
  finish(findings_.parts.empty() ? fmt::format("{} peer{} could help, but no part arrived", helpers_.size(),
                                               helpers_.size() == 1 ? "" : "s")
                                 : "");
}

void Quest::finish(std::string nothing) {
  done_ = true;
  timer_.reset();
  findings_.nothing = std::move(nothing);
  // The order of arrival depends on the network; the ranking does not.
  std::sort(findings_.parts.begin(), findings_.parts.end(),
            [](const Received& a, const Received& b) { return a.helper.better_than(b.helper); });
  const auto on_done = std::move(observer_.on_done);
  observer_ = {};
  on_done(std::move(findings_));
}

}  // namespace p2p::node
