#include "overlay/directory/shelf.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "overlay/directory/node_quota.hpp"
#include "overlay/directory/walk.hpp"

namespace p2p::directory {

namespace {

constexpr Duration kFirstRetry = 1s;   // after a put that failed; doubles
constexpr Duration kLastRetry = 15s;
constexpr double kDeeper = 2;          // times the crowd, from which on a bucket is left for a deeper one
constexpr unsigned kMostMoves = 8;     // levels in one go
constexpr double kStay = 1.5;          // who is listed stays until his lot is that far beyond the limit
constexpr Duration kReadBack = std::chrono::seconds(60);  // after a put, to see whether it is there
constexpr std::size_t kTables = Place::kJointTables + 1;
constexpr std::size_t kRest = 4;        // refreshes for each in which a table is looked at
constexpr unsigned kMostReadBacks = 3;  // between two refreshes
constexpr std::size_t kCopies = 16;    // of each value, from its holders, that are taken


}  // namespace

double crowd_of(const Place& place, const std::vector<metadata::Entry>& entries) {
  double highest = 0;
  for (const auto& entry : entries) highest = std::max(highest, metadata::lot(entry.presence(), place));
  const auto count = static_cast<double>(entries.size());
  if (entries.size() < 4 || highest <= 0) return count;
  return std::max(count, (count - 1) / highest);
}

void read_bucket(overlay::Dht& dht, const metadata::TaskTag& task, const Place& place, std::weak_ptr<int> alive,
                 std::function<void(Bucket, bool)> done) {
  struct Reading {
    Bucket bucket;
    std::map<NodeId, metadata::Entry> entries;
    std::set<metadata::Hash> seen;
    NodeQuota nodes;
    std::size_t received = 0;
  };
  auto reading = std::make_shared<Reading>();
  reading->bucket.place = place;
  reading->bucket.key = metadata::place_key(task, place);
  dht.get(
      reading->bucket.key,
      [reading, alive, task, place](const overlay::DhtValue& value) {
        if (alive.expired() || ++reading->received > kCopies * kMostRead) return false;
        const ByteView bytes(value.data.data(), std::min(value.data.size(), metadata::Listing::kMaxBytes + 1));
        if (reading->nodes.used_up(value.data) || !reading->seen.insert(metadata::sha256(bytes)).second) return true;
        if (auto entry = metadata::open_listed(value.data, task, place)) {
          const auto known = reading->entries.find(entry->presence());
          if (known != reading->entries.end()) {
            if (known->second.version <= entry->version) known->second = std::move(*entry);
          } else if (reading->nodes.take(entry->node)) {
            reading->entries.emplace(entry->presence(), std::move(*entry));
          }
        }
        return reading->seen.size() < kMostRead;
      },
      [reading, alive, done = std::move(done)](bool ok) {
        if (alive.expired()) return;
        reading->bucket.values = reading->seen.size();
        for (auto& [presence, entry] : reading->entries) reading->bucket.entries.push_back(std::move(entry));
        reading->bucket.crowd = crowd_of(reading->bucket.place, reading->bucket.entries);
        done(std::move(reading->bucket), ok);
      });
}

Shelf::Shelf(Context context, const Options& options)
    : context_(std::move(context)), options_(options), jitter_(brief(context_.self)) {
  if (options.only_table) {
    slots_.push_back(Slot{.kind = Place::Kind::joint, .table = *options.only_table});
    return;
  }
  for (std::uint16_t table = 0; table < Place::kJointTables; ++table) slots_.push_back(Slot{.kind = Place::Kind::joint, .table = table});
  slots_.push_back(Slot{.kind = Place::Kind::marginal, .table = 0});
}

Duration Shelf::jittered(Duration time) {
  return Duration(static_cast<std::int64_t>(static_cast<double>(time.count()) * (0.9 + 0.1 * jitter_.uniform())));
}

void Shelf::publish(const metadata::Entry& entry) {
  const bool first = !entry_;
  const bool moved = first || entry_->sketch != entry.sketch;
  const bool relabelled = first || entry_->knows() != entry.knows();
  entry_ = entry;
  if (first) {
    for (auto& slot : slots_) slot.depth = metadata::depth_for(std::max(context_.nodes(), 1.0), options_.crowd);
    arm();
  }
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    slot.moves = 0;
    if (!slot.looked) {
      look(i);
    } else if (moved) {
      slot.confirmed = false;
      list(i);
      read_back(i, false);
    }
  }
  if (relabelled) list_labels();
  drop_unwanted();
}

void Shelf::withdraw() {
  entry_.reset();
  puts_.clear();
  refresh_.reset();
  for (auto& slot : slots_) {
    slot.looked = slot.confirmed = false;
    slot.timer.reset();
  }
}

void Shelf::arm() {
  refresh_ = context_.executor.after(jittered(options_.refresh), [this] {
    arm();
    if (!entry_) return;
    // Now and then one table is looked at, and so read back; the others are put again where they are.
    const std::size_t turn = turn_++ % (kRest * kTables);
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      slots_[i].moves = slots_[i].read_backs = 0;
      if (i == turn || !slots_[i].looked || slots_[i].overfull) {
        look(i);
      } else {
        list(i);
      }
    }
    list_labels();
    drop_unwanted();
    for (auto& put : puts_) send(*put);
  });
}

void Shelf::look(std::size_t number) {
  const Slot& slot = slots_[number];
  const Place place = metadata::place_of(entry_->sketch, slot.kind, slot.table, slot.depth);
  read_bucket(context_.dht, context_.task, place, alive_,
              [this, number](const Bucket& bucket, bool ok) { looked(number, bucket, ok); });
}

void Shelf::looked(std::size_t number, const Bucket& bucket, bool ok) {
  if (!entry_) return;
  Slot& slot = slots_[number];
  const Place place = bucket.place;
  if (place.depth != slot.depth) return;  // moved meanwhile
  if (!ok && bucket.entries.empty()) {
    slot.retry = std::clamp(slot.retry * 2, kFirstRetry, kLastRetry);
    slot.timer = context_.executor.after(jittered(slot.retry), [this, number] { look(number); });
    return;
  }
  slot.retry = {};
  slot.timer.reset();
  std::vector<metadata::Entry> all = bucket.entries;
  const auto mine = std::find_if(all.begin(), all.end(), [&](const auto& e) { return e.presence() == context_.self; });
  slot.confirmed = mine != all.end();
  if (!slot.confirmed) all.push_back(*entry_);
  for (const auto& entry : bucket.entries) {
    if (entry.presence() != context_.self) context_.on_met(entry);
  }
  // From those that are listed: the estimate takes them for the lowest lots, and our own may be any.
  slot.crowd = std::max(crowd_of(place, bucket.entries), static_cast<double>(all.size()));
  const bool chase = slot.moves < kMostMoves;
  if (slot.crowd > kDeeper * options_.crowd && slot.depth < Place::kMaxDepth && chase) {
    slot.depth = static_cast<std::uint8_t>(slot.depth + Place::kLevelBits);
    ++slot.moves;
    slot.sent_down = true;
    slot.above = slot.crowd;
    return look(number);
  }
  if (all.size() <= 1 && slot.depth > 0 && chase && !slot.sent_down) {
    slot.depth = static_cast<std::uint8_t>(slot.depth - Place::kLevelBits);
    ++slot.moves;
    slot.above = 0;
    return look(number);
  }
  slot.looked = true;
  slot.sent_down = false;
  slot.overfull = static_cast<double>(all.size()) > 2 * options_.crowd;
  if (Put* put = held(place); put && !slot.confirmed && put->held) send(*put);  // its holders lost it
  list(number);
  drop_unwanted();
  read_back(number, bucket.values >= kMostRead);
}

Shelf::Put* Shelf::held(const Place& place) {
  const auto found = std::find_if(puts_.begin(), puts_.end(), [&](const auto& p) { return p->place == place; });
  return found == puts_.end() ? nullptr : found->get();
}

/// Looks again soon, if it should be listed and was not seen, or if more was there than could be read: then the crowd was
/// underestimated, as it is when many join at once and all find the bucket empty.
void Shelf::read_back(std::size_t number, bool overfull) {
  Slot& slot = slots_[number];
  const Place place = metadata::place_of(entry_->sketch, slot.kind, slot.table, slot.depth);
  if (!overfull && (slot.confirmed || !held(place))) return;
  if (slot.read_backs >= kMostReadBacks) return;
  ++slot.read_backs;
  slot.timer = context_.executor.after(jittered(kReadBack), [this, number] { look(number); });
}

/// Its own bucket and those above, with the crowd of each.
std::vector<std::pair<Place, double>> Shelf::wanted(const Slot& slot) const {
  std::vector<std::pair<Place, double>> out;
  double crowd = std::max(slot.crowd, 1.0);
  for (int depth = slot.depth; depth >= 0; depth -= Place::kLevelBits) {
    if (depth < slot.depth) crowd = std::max(crowd * (1 << Place::kLevelBits), slot.above);
    const Place place = metadata::place_of(entry_->sketch, slot.kind, slot.table, static_cast<std::uint8_t>(depth));
    const auto held = std::find_if(puts_.begin(), puts_.end(), [&](const auto& p) { return p->place == place; });
    const double limit = options_.crowd / crowd * (held != puts_.end() ? kStay : 1.0);
    if (metadata::lot(context_.self, place) < limit) out.emplace_back(place, crowd);
  }
  return out;
}

void Shelf::list(std::size_t number) {
  for (const auto& [place, crowd] : wanted(slots_[number])) put(place, crowd);
}

void Shelf::list_labels() {
  // Of the classes that it knows, those first that hardly anybody else does.
  std::vector<std::pair<double, Place>> order;
  const double nodes = std::max(context_.nodes(), 1.0);
  for (std::size_t c = 0; c < entry_->recall.size(); ++c) {
    if (entry_->listed_recall(static_cast<std::int32_t>(c)) < metadata::Entry::kKnownRecall) continue;
    const Place place{Place::Kind::label, static_cast<std::uint16_t>(c), 0, 0};
    const auto [share, of] = context_.share_knowing(static_cast<std::int32_t>(c));
    // Of few contacts it is not told that a class is common; one that none of them knows is rare.
    const double crowd = of == 0 ? 1 : share * nodes;
    if (crowd > 0 && metadata::lot(context_.self, place) >= options_.crowd / crowd) continue;
    order.emplace_back(crowd, place);
  }
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  if (order.size() > options_.label_listings) order.resize(options_.label_listings);
  std::erase_if(puts_, [&](const auto& p) {
    return p->place.kind == Place::Kind::label &&
           std::none_of(order.begin(), order.end(), [&](const auto& o) { return o.second == p->place; });
  });
  for (const auto& [crowd, place] : order) put(place, crowd);
}

/// Entries whose bucket is no longer ours are left to expire: nobody can take a value out of a table.
void Shelf::drop_unwanted() {
  // First all that is wanted: that depends on what is held, which must not change meanwhile.
  std::set<Place> keep;
  for (const auto& slot : slots_) {
    if (!slot.looked) continue;
    for (const auto& [place, crowd] : wanted(slot)) keep.insert(place);
  }
  std::erase_if(puts_, [&](const auto& p) {
    const auto slot = std::find_if(slots_.begin(), slots_.end(), [&](const Slot& s) {
      return s.kind == p->place.kind && s.table == p->place.table;
    });
    if (slot == slots_.end() || !slot->looked) return !metadata::belongs(*entry_, p->place);  // labels too
    return !keep.contains(p->place);
  });
}

void Shelf::put(const Place& place, double crowd) {
  const auto found = std::find_if(puts_.begin(), puts_.end(), [&](const auto& p) { return p->place == place; });
  if (found != puts_.end()) {
    (*found)->crowd = crowd;
    return;
  }
  auto fresh = std::make_unique<Put>();
  fresh->place = place;
  fresh->crowd = crowd;
  fresh->retry = kFirstRetry;
  puts_.push_back(std::move(fresh));
  send(*puts_.back());
}

void Shelf::send(Put& put) {
  const auto attempt = put.attempt = ++attempts_;
  put.timer.reset();
  const auto again = [this, attempt] {
    const auto found = std::find_if(puts_.begin(), puts_.end(), [&](const auto& p) { return p->attempt == attempt; });
    if (found != puts_.end()) send(**found);
  };
  Bytes sealed = context_.sealed();
  if (sealed.empty()) {  // not reachable yet
    put.timer = context_.executor.after(kFirstRetry, again);
    return;
  }
  const std::weak_ptr<int> alive = alive_;
  context_.dht.put(metadata::place_key(context_.task, put.place),
                   {context_.value_id(put.place), metadata::pack({put.place, std::move(sealed)})},
                   [this, alive, attempt, again](bool stored) {
                     if (alive.expired()) return;
                     const auto found = std::find_if(puts_.begin(), puts_.end(),
                                                     [&](const auto& p) { return p->attempt == attempt; });
                     if (found == puts_.end()) return;
                     Put& mine = **found;
                     mine.held = stored;
                     if (stored) {
                       mine.retry = kFirstRetry;
                       return;
                     }
                     mine.timer = context_.executor.after(jittered(mine.retry), again);
                     mine.retry = std::min(mine.retry * 2, kLastRetry);
                   });
}

std::optional<std::uint8_t> Shelf::depth(Place::Kind kind, std::uint16_t table) const {
  for (const auto& slot : slots_) {
    if (slot.kind == kind && slot.table == table && slot.looked) return slot.depth;
  }
  return std::nullopt;
}

std::vector<Standing::Listed> Shelf::listed() const {
  std::vector<Standing::Listed> out;
  if (!entry_) return out;
  for (const auto& slot : slots_) {
    if (!slot.looked) continue;
    const Place own = metadata::place_of(entry_->sketch, slot.kind, slot.table, slot.depth);
    const bool listed = std::any_of(puts_.begin(), puts_.end(), [&](const auto& p) { return p->place == own; });
    out.push_back({own, metadata::place_key(context_.task, own), slot.crowd, listed, slot.confirmed});
  }
  for (const auto& put : puts_) {
    const auto given = std::find_if(out.begin(), out.end(), [&](const auto& l) { return l.place == put->place; });
    if (given == out.end()) {
      out.push_back({put->place, metadata::place_key(context_.task, put->place), put->crowd, true, put->held});
    }
  }
  return out;
}

}  // namespace p2p::directory
