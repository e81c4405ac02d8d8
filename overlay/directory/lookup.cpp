#include "overlay/lookup.hpp"

#include <algorithm>
#include <utility>

namespace p2p::overlay {

namespace {

using metadata::Entry;
using metadata::Place;

constexpr std::size_t kCopies = 64;  // of each value, from its holders, that are taken before a bucket is given up

constexpr double kLifetimeMs = 20 * 60 * 1000;

/// What a candidate is worth: what it says of its recall where help is needed, less how far its experience is from
/// the query, less a little for age. Two unrelated sketches are half of the scale apart, near ones a tenth, so that
/// the three terms have comparable spans.
double score(const Candidate& candidate, std::uint64_t now_ms) {
  const double age_ms = now_ms > candidate.entry.version ? static_cast<double>(now_ms - candidate.entry.version) : 0;
  return candidate.needed_recall - candidate.sketch_distance - 0.1 * std::min(1.0, age_ms / kLifetimeMs);
}

}  // namespace

double listed_recall(const metadata::Entry& entry, const metadata::Need& need) {
  const auto recall = [&](std::size_t c) {
    const bool known = c < entry.recall.size() && entry.recall[c] > 0;
    return known ? static_cast<double>(entry.recall[c] - 1) / 254.0 : 0.0;
  };
  double sum = 0;
  std::size_t count = 0;
  if (!need.classes.empty()) {
    for (const auto c : need.classes) {
      if (c < 0) continue;
      sum += recall(static_cast<std::size_t>(c));
      ++count;
    }
  } else {
    for (std::size_t c = 0; c < need.experience.count.size(); ++c) {
      if (need.experience.count[c] <= 0) continue;
      sum += recall(c);
      ++count;
    }
  }
  return count > 0 ? sum / static_cast<double>(count) : 0.0;
}

Lookup::Lookup(Setting setting, metadata::Need need, const LookupOptions& options,
               const metadata::Sketch& sketch, Done done)
    : setting_(std::move(setting)),
      need_(std::move(need)),
      options_(options),
      sketch_(sketch),
      done_(std::move(done)) {}

void Lookup::start(Dht& dht, const metadata::Index& index, const std::vector<Place>& places) {
  started_ = setting_.executor.now();
  const std::weak_ptr<Lookup> weak = weak_from_this();
  deadline_ = setting_.executor.after(options_.deadline, [weak] {
    if (const auto self = weak.lock()) self->finish();
  });
  buckets_.resize(places.size());
  result_.gets = places.size();
  for (std::size_t i = 0; i < places.size(); ++i) {
    dht.get(
        index.key(places[i]),
        [weak, i, place = places[i]](const DhtValue& value) {
          const auto self = weak.lock();
          return self && self->on_value(i, place, value);
        },
        [weak, i](bool) {
          if (const auto self = weak.lock()) self->on_done(i);
        });
  }
  if (places.empty()) {
    setting_.executor.post([weak] {
      if (const auto self = weak.lock()) self->finish();
    });
  }
}

void Lookup::drop() {
  done_ = nullptr;
  on_over = nullptr;
  deadline_.reset();
  settle_.reset();
}

bool Lookup::on_value(std::size_t number, const Place& place, const DhtValue& value) {
  if (!done_) return false;
  Bucket& bucket = buckets_[number];
  if (bucket.seen.size() >= setting_.max_values_per_key) return false;
  if (++bucket.received > kCopies * setting_.max_values_per_key) return false;
  // Each holder sends the same record: it counts, and costs a signature check, once. No more of it is hashed than
  // tells that it is too long to be an entry.
  const ByteView bytes(value.data.data(), std::min(value.data.size(), Entry::kMaxBytes + 1));
  if (!bucket.seen.insert(metadata::sha256(bytes)).second) return true;
  bucket.answered = true;
  if (!first_value_) first_value_ = setting_.executor.now() - started_;
  ++result_.values;
  auto entry = metadata::open_entry(value.data);
  if (!entry || entry->task != setting_.task || entry->place != place) {
    ++result_.refused;
  } else if (entry->node != setting_.self) {
    auto& found = found_[entry->node];
    const bool first = found.buckets.empty();
    found.buckets.insert(number);
    if (first || entry->version > found.entry.version) found.entry = std::move(*entry);
  }
  consider();
  return done_ && bucket.seen.size() < setting_.max_values_per_key;
}

void Lookup::on_done(std::size_t number) {
  if (!done_) return;
  buckets_[number].done = buckets_[number].answered = true;
  if (std::all_of(buckets_.begin(), buckets_.end(), [](const auto& b) { return b.done; })) {
    finish();
  } else {
    consider();
  }
}

void Lookup::consider() {
  const auto good = std::count_if(found_.begin(), found_.end(), [&](const auto& found) {
    return listed_recall(found.second.entry, need_) >= setting_.good_recall && !skipped(found.first);
  });
  if (static_cast<std::size_t>(good) < options_.want) return;
  const auto answered = static_cast<std::size_t>(
      std::count_if(buckets_.begin(), buckets_.end(), [](const auto& b) { return b.answered; }));
  const Duration elapsed = setting_.executor.now() - started_;
  const bool most = answered * 4 >= buckets_.size() * 3;
  const Duration patience = most ? elapsed / 4 : 2 * first_value_.value_or(elapsed) - elapsed;
  const TimePoint at = setting_.executor.now() + std::max<Duration>(patience, 1ms);
  if (settle_ && settle_at_ <= at) return;
  const std::weak_ptr<Lookup> weak = weak_from_this();
  settle_at_ = at;
  settle_ = setting_.executor.after(at - setting_.executor.now(), [weak] {
    if (const auto self = weak.lock()) self->finish();
  });
}

void Lookup::finish() {
  if (!done_) return;
  const auto self = shared_from_this();
  const auto now_ms = setting_.executor.wall_ms();
  std::vector<std::pair<double, Candidate>> ranked;
  for (auto& [node, found] : found_) {
    if (skipped(node)) {
      ++result_.skipped;
      continue;
    }
    Candidate candidate;
    candidate.sketch_distance = metadata::sketch_distance(found.entry.sketch, sketch_);
    candidate.needed_recall = listed_recall(found.entry, need_);
    candidate.seen_in = found.buckets.size();
    candidate.entry = std::move(found.entry);
    const double worth = score(candidate, now_ms);
    ranked.emplace_back(worth, std::move(candidate));
  }
  // found_ is in the order of keys: ties keep it.
  std::stable_sort(ranked.begin(), ranked.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  if (ranked.size() > options_.want) ranked.resize(options_.want);
  for (auto& [worth, candidate] : ranked) result_.candidates.push_back(std::move(candidate));
  result_.took = setting_.executor.now() - started_;
  deadline_.reset();
  settle_.reset();
  const auto done = std::exchange(done_, nullptr);
  if (on_over) on_over();
  done(std::move(result_));
}

}  // namespace p2p::overlay
