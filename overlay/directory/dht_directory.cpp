#include "overlay/directory.hpp"

#include <algorithm>
#include <cmath>

#include "metadata/base/random.hpp"
#include "overlay/lookup.hpp"

namespace p2p::overlay {

namespace {

using metadata::Entry;
using metadata::Place;

constexpr Duration kFirstRetry = 1s;   // after a put that failed; doubles
constexpr Duration kLastRetry = 15s;
constexpr Duration kTwinInterval = 10s;  // between readable twins, at the least

class NoDirectory final : public Directory {
 public:
  explicit NoDirectory(Executor& executor) : executor_(executor) {}
  void publish(const metadata::Fingerprint&) override {}
  void withdraw() override {}
  void lookup(const metadata::Need&, const LookupOptions&, std::function<void(LookupResult)> done) override {
    executor_.post([done = std::move(done)] { done({}); });
  }

 private:
  Executor& executor_;
};

class DhtDirectory final : public Directory {
 public:
  DhtDirectory(const DirectoryContext& context, const DhtDirectoryOptions& options)
      : executor_(context.executor),
        dht_(context.dht),
        task_(context.task),
        task_id_(metadata::id(context.task)),
        key_(context.key),
        endpoint_(context.endpoint),
        options_(options),
        index_(task_id_, task_.embedding_dimensions, static_cast<std::uint32_t>(task_.classes.size()),
               options.index),
        jitter_(spread(context.key.id())) {}

  ~DhtDirectory() override {
    for (const auto& [number, lookup] : lookups_) lookup->drop();
  }

  void publish(const metadata::Fingerprint& fingerprint) override {
    experience_ = fingerprint;
    const auto places = index_.publish_places(fingerprint);
    // Entries whose bucket is no longer ours are left to expire: nobody can take a value out of a table.
    std::erase_if(listed_, [&](const auto& entry) {
      return std::find(places.begin(), places.end(), entry.first) == places.end();
    });
    for (const auto& place : places) put(place, false);
    if (!twin_timer_ || executor_.now() - twin_put_ >= kTwinInterval) put_twin();
  }

  void withdraw() override {
    listed_.clear();
    twin_timer_.reset();
    experience_.reset();
  }

  void lookup(const metadata::Need& need, const LookupOptions& options,
              std::function<void(LookupResult)> done) override {
    const auto places = index_.query_places(need.experience, need.classes);
    auto lookup = std::make_shared<Lookup>(Lookup::Setting{.executor = executor_,
                                                           .task = task_id_,
                                                           .self = key_.id(),
                                                           .max_values_per_key = options_.max_values_per_key,
                                                           .good_recall = options_.index.label_accuracy},
                                           need, options, index_.sketch(need.experience), std::move(done));
    const auto number = next_lookup_++;
    lookups_[number] = lookup;
    lookup->on_over = [this, number] { lookups_.erase(number); };
    lookup->start(dht_, index_, places);
  }

 private:
  struct Listed {
    Entry entry;                     ///< as it was put last
    std::uint64_t value_id = 0;
    std::uint64_t attempt = 0;       ///< results of older puts are of no interest
    Duration retry = kFirstRetry;
    Executor::TimerHandle timer;     ///< of the next refresh or retry
  };

  static std::uint64_t spread(const metadata::NodeId& id) {
    std::uint64_t seed = 0;
    std::copy_n(id.bytes.begin(), sizeof seed, reinterpret_cast<std::uint8_t*>(&seed));
    return seed;
  }

  /// Nodes that start together must not refresh together.
  Duration jittered(Duration time) {
    return Duration(static_cast<std::int64_t>(static_cast<double>(time.count()) * (0.8 + 0.4 * jitter_.uniform())));
  }

  /// The same id for the same bucket as long as the key lives, also after a restart, so that an entry replaces its
  /// older self; nobody else can tell it beforehand, for it comes from a signature.
  std::uint64_t value_id(const Place& place) const {
    ByteWriter text;
    text.put_array(std::span<const std::uint8_t>(view("p2p-learner/value-id/1")));
    text.put_array(std::span<const std::uint8_t>(index_.key(place)));
    const auto hash = metadata::sha256(key_.sign(text.bytes()));
    std::uint64_t id = 0;
    std::copy_n(hash.bytes.begin(), sizeof id, reinterpret_cast<std::uint8_t*>(&id));
    return id == 0 ? 1 : id;
  }

  std::uint64_t next_version() {
    version_ = std::max(version_ + 1, executor_.wall_ms());
    return version_;
  }

  Entry entry_for(const Place& place) const {
    Entry entry;
    entry.task = task_id_;
    entry.node = key_.id();
    entry.place = place;
    entry.endpoint = endpoint_();
    entry.sketch = index_.sketch(*experience_);
    entry.samples = static_cast<std::uint32_t>(std::min(experience_->samples(), 4e9));
    entry.accuracy = static_cast<std::uint8_t>(std::lround(255 * std::clamp(experience_->overall_accuracy(), 0.0, 1.0)));
    const std::size_t classes = std::min<std::size_t>(experience_->classes, Entry::kMaxListedClasses);
    for (std::size_t c = 0; c < classes; ++c) {
      const bool known = experience_->count[c] >= options_.index.label_count;
      const double recall = std::clamp(static_cast<double>(experience_->accuracy[c]), 0.0, 1.0);
      entry.recall.push_back(known ? static_cast<std::uint8_t>(1 + std::lround(254 * recall)) : 0);
    }
    return entry;
  }

  /// `refresh`: also when nothing has changed.
  void put(const Place& place, bool refresh) {
    Listed& listed = listed_[place];
    if (listed.value_id == 0) listed.value_id = value_id(place);
    Entry entry = entry_for(place);
    if (entry.endpoint.port == 0) {  // not listening yet
      listed.timer = executor_.after(kFirstRetry, [this, place] { put(place, true); });
      return;
    }
    // The mere number of samples grows all the time and is no news.
    Entry former = listed.entry;
    former.samples = entry.samples;
    former.version = entry.version;
    if (listed.attempt > 0 && entry == former && !refresh) return;
    // A fresh stamp each time: holders refuse old ones, and readers take the newest.
    entry.version = next_version();
    const auto attempt = ++listed.attempt;
    listed.timer = executor_.after(jittered(options_.refresh), [this, place] { put(place, true); });
    Bytes sealed = metadata::seal(entry, key_);
    listed.entry = std::move(entry);
    const std::weak_ptr<int> alive = alive_;
    dht_.put(index_.key(place), {listed.value_id, std::move(sealed)}, [this, alive, place, attempt](bool stored) {
      if (alive.expired()) return;
      const auto found = listed_.find(place);
      if (found == listed_.end() || found->second.attempt != attempt) return;
      Listed& mine = found->second;
      if (stored) {
        mine.retry = kFirstRetry;
        return;
      }
      mine.timer = executor_.after(jittered(mine.retry), [this, place] { put(place, true); });
      mine.retry = std::min(mine.retry * 2, kLastRetry);
    });
  }

  void put_twin() {
    if (!experience_) return;
    twin_put_ = executor_.now();
    Entry entry = entry_for(listed_.empty() ? Place{} : listed_.begin()->first);
    if (entry.endpoint.port != 0) {
      entry.version = executor_.wall_ms();
      const auto text_place = metadata::text_key(metadata::twin_name(key_.id()));
      dht_.put_text(text_place, twin_id(), metadata::twin_text(entry, task_, options_.node_name));
    }
    const Duration next = entry.endpoint.port != 0 ? jittered(options_.refresh) : kFirstRetry;
    twin_timer_ = executor_.after(next, [this] { put_twin(); });
  }

  std::uint64_t twin_id() const {
    const auto id = spread(key_.id());
    return id == 0 ? 1 : id;
  }

  Executor& executor_;
  Dht& dht_;
  const metadata::Task task_;
  const metadata::TaskId task_id_;
  const metadata::KeyPair key_;
  const std::function<metadata::Endpoint()> endpoint_;
  const DhtDirectoryOptions options_;
  const metadata::Index index_;
  Random jitter_;
  std::optional<metadata::Fingerprint> experience_;
  std::map<Place, Listed> listed_;
  std::uint64_t version_ = 0;
  Executor::TimerHandle twin_timer_;
  TimePoint twin_put_;
  std::map<std::uint64_t, std::shared_ptr<Lookup>> lookups_;
  std::uint64_t next_lookup_ = 1;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace

std::unique_ptr<Directory> make_no_directory(Executor& executor) {
  return std::make_unique<NoDirectory>(executor);
}

std::unique_ptr<Directory> make_dht_directory(const DirectoryContext& context, const DhtDirectoryOptions& options) {
  return std::make_unique<DhtDirectory>(context, options);
}

}  // namespace p2p::overlay
