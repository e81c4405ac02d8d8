// The directory on a DHT: what a node is listed as, whom it knows, what it answers and what it asks, put together.
#include <algorithm>
#include <deque>
#include <set>

#include "metadata/base/random.hpp"
#include "metadata/cover.hpp"
#include "overlay/directory/contacts.hpp"
#include "overlay/directory/correspondence.hpp"
#include "overlay/directory/directory.hpp"
#include "overlay/directory/lookup.hpp"
#include "overlay/directory/presences.hpp"
#include "overlay/directory/responder.hpp"
#include "overlay/directory/shelf.hpp"
#include "overlay/directory/walk.hpp"

namespace p2p::directory {

namespace {

using metadata::By;
using metadata::Entry;

constexpr Duration kTwinInterval = 10s;  // between readable twins, at the least
constexpr Duration kWatchAgain = std::chrono::minutes(4);  // before Responder::kWatchTime is over
constexpr std::size_t kWatchAt = 4;      // nodes that are asked to tell of newcomers
constexpr std::size_t kMostProspects = 16, kMostWatches = 16, kMostTold = 1024;
constexpr std::size_t kProbes = 16;      // buckets of a table of which one is read
constexpr double kNear = 1.5;            // times the usual distance of neighbours counts as near
constexpr double kRemote = 2;            // and so many times as not found
constexpr std::uint64_t kExchanges = 3;  // every so many turns a contact is asked whom it knows, else if it is there
/// Who is new here, or has moved, asks whom others know near to it, that quickly, until so many in a row have named nobody
/// new: anybody as long as that brings news, then its nearest and anybody by turns. The nearest know each other, and lead to
/// nobody who is a little further away.
constexpr std::size_t kSettling = 24;
constexpr Duration kSettle = 5s;
constexpr std::size_t kNearest = 24;     // contacts of which one is asked so
constexpr double kBusy = 15;             // how many times as often contacts are asked when all of them fail
constexpr Duration kSoon = 2s;           // to the next question while somebody is waiting to be met
constexpr std::size_t kAround = 6;       // contacts near an archived presence of which one is asked
constexpr std::size_t kNeighbours = 24;  // of our table, of whom a few are asked if we know nobody
constexpr Duration kLeastPatience = 60ms, kMostPatience = 400ms;

/// Known to this node alone, and new at each start.
std::uint64_t secret_of(const metadata::KeyPair& key, const Executor& executor) {
  ByteWriter text;
  text.put_array(std::span<const std::uint8_t>(view("p2p-learner/directory/secret/1")));
  text.put(executor.wall_ms());
  text.put(executor.now().us);
  const auto digest = metadata::sha256(key.sign(text.bytes()));
  ByteReader reader(digest.view());
  return reader.get<std::uint64_t>();
}

class DhtDirectory final : public Directory {
 public:
  DhtDirectory(const DirectoryContext& context, const DhtDirectoryOptions& options)
      : executor_(context.executor),
        dht_(context.dht),
        task_(context.task),
        task_id_(metadata::id(context.task)),
        tag_(metadata::tag(task_id_)),
        key_(context.key),
        endpoint_(context.endpoint),
        options_(options),
        sketcher_(context.task),
        secret_(secret_of(context.key, context.executor)),
        random_(brief(context.key.id())),
        presences_({.executor = executor_,
                    .task = task_id_,
                    .key = key_,
                    .endpoint = endpoint_,
                    .table_port = [this] { return dht_.local().port; }}),
        contacts_({.roles = options.contacts, .secret = secret_}),
        correspondence_({.executor = executor_,
                         .dht = dht_,
                         .task = tag_,
                         .dimensions = task_.embedding_dimensions,
                         .classes = static_cast<std::uint32_t>(task_.classes.size()),
                         .secret = secret_,
                         .own_entry = [this] { return presences_.sealed(kLive); },
                         .on_request = [this](const Endpoint& from, const Message& message,
                                              std::size_t bytes) { on_request(from, message, bytes); }}),
        responder_({.executor = executor_,
                    .contacts = contacts_,
                    .correspondence = correspondence_,
                    .task = tag_,
                    .secret = secret_,
                    .own_entry =
                        [this](const PresencePrefix& to) {
                          const auto concept_id = presences_.find(to);
                          return concept_id ? presences_.sealed(*concept_id) : Bytes{};
                        },
                    .own_description =
                        [this](const PresencePrefix& to) {
                          const auto concept_id = presences_.find(to);
                          return concept_id ? presences_.description(*concept_id) : Bytes{};
                        },
                    .own = [this](const metadata::Target& target) { return presences_.hints(target); },
                    .self = key_.id()}),
        shelf_(shelf_context(kLive),
               {.refresh = options.refresh, .crowd = options.crowd, .label_listings = options.label_listings}) {}

  ~DhtDirectory() override {
    for (const auto& [number, lookup] : lookups_) lookup->drop();
  }

  void publish(const metadata::Fingerprint& fingerprint) override {
    if (const auto* shown = presences_.fingerprint(kLive); shown && *shown == fingerprint) return;  // timers keep it fresh
    const auto sketch = sketcher_.sketch(fingerprint);
    const Entry* before = presences_.entry(kLive);
    const bool moved =
        !before || metadata::joint_distance(sketch, before->sketch) > contacts_.usual_distance(By::joint) / 2;
    presences_.show(kLive, fingerprint, sketch);
    contacts_.centre(sketch);
    shelf_.publish(*presences_.entry(kLive));
    if (!twin_timer_ || executor_.now() - twin_put_ >= kTwinInterval) put_twin();
    if (moved) {
      settling_ = kSettling;
      find_neighbours(kLive);
    }
    if (!tick_) arm_tick();
  }

  void remember(const std::vector<Archived>& archive) override {
    P2P_ASSERT(archive.size() <= metadata::kMostArchived);
    std::set<std::uint32_t> kept;
    for (const auto& one : archive) P2P_ASSERT(one.concept_id != kLive && kept.insert(one.concept_id).second);
    for (const auto concept_id : presences_.archived()) {
      if (kept.contains(concept_id)) continue;
      presences_.hide(concept_id);
      archive_shelves_.erase(concept_id);
    }
    std::erase_if(unannounced_, [&](std::uint32_t concept_id) { return !kept.contains(concept_id); });
    std::vector<std::uint32_t> fresh;
    for (const auto& [concept_id, fingerprint] : archive) {
      if (const auto* shown = presences_.fingerprint(concept_id); shown && *shown == fingerprint) continue;
      presences_.show(concept_id, fingerprint, sketcher_.sketch(fingerprint));
      fresh.push_back(concept_id);
    }
    std::vector<metadata::Sketch> sketches;
    for (const auto concept_id : presences_.archived()) sketches.push_back(presences_.entry(concept_id)->sketch);
    contacts_.archive(std::move(sketches));
    for (const auto concept_id : fresh) {
      auto& shelf = archive_shelves_[concept_id];
      // Of the joint tables one, whichever: half of those who are alike are in each.
      const auto table = static_cast<std::uint16_t>(metadata::presence_of(key_.id(), concept_id).bytes[0] % Place::kJointTables);
      if (!shelf) {
        shelf = std::make_unique<Shelf>(shelf_context(concept_id), Shelf::Options{.refresh = options_.refresh,
                                                                                  .crowd = options_.crowd,
                                                                                  .label_listings = 0,
                                                                                  .only_table = table});
      }
      shelf->publish(*presences_.entry(concept_id));
      unannounced_.insert(concept_id);
    }
    announce();
    if (!tick_ && !presences_.empty()) arm_tick();
  }

  void withdraw() override {
    presences_.hide_all();
    contacts_.centre(std::nullopt);
    contacts_.archive({});
    shelf_.withdraw();
    archive_shelves_.clear();
    unannounced_.clear();
    announcing_.reset();
    twin_timer_.reset();
    tick_.reset();
  }

  void lookup(const metadata::Need& need, const LookupOptions& options,
              std::function<void(LookupResult)> done) override {
    start_lookup(need, sketcher_.target(need), options, std::move(done));
  }

  std::uint64_t watch(const metadata::Need& need, double within,
                      std::function<void(const Candidate&)> on_candidate) override {
    if (watches_.size() >= kMostWatches) return 0;
    const auto number = next_number_++;
    Watched& watched = watches_[number];
    watched.need = need;
    watched.target = sketcher_.target(need);
    watched.within = within;
    watched.on_candidate = std::move(on_candidate);
    renew_watch(number);
    return number;
  }
  void unwatch(std::uint64_t number) override { watches_.erase(number); }

  void read(const Place& place, std::function<void(Result<Bucket>)> done) override {
    read_bucket(dht_, tag_, place, alive_, [done = std::move(done)](Bucket bucket, bool ok) {
      // What came before the table fell silent is worth showing; nothing at all would pass for an empty bucket.
      if (ok || bucket.values > 0) return done(std::move(bucket));
      done(fail(ErrorCode::unavailable,
                "the table could not be asked: no other node of it answers; see whether this node has joined "
                "(`p2p-learner peers`)"));
    });
  }

  Standing standing() const override {
    Standing out;
    out.published = presences_.entry(kLive) != nullptr;
    out.archived = presences_.archived().size();
    out.places = shelf_.listed();
    for (const auto& [concept_id, shelf] : archive_shelves_) {
      const auto listed = shelf->listed();
      out.places.insert(out.places.end(), listed.begin(), listed.end());
    }
    for (const auto& [id, contact] : contacts_.all()) {
      out.contacts.push_back({.entry = contact.entry,
                              .near = contact.role.near,
                              .distance = contact.distance,
                              .heard_ago = executor_.now() - contact.heard,
                              .round_trip = contact.round_trip});
    }
    out.estimated_nodes = nodes();
    out.watches_served = responder_.watches();
    out.questions_answered = responder_.counters().questions;
    out.questions_refused = responder_.counters().refused;
    out.fingerprints_given = responder_.counters().descriptions;
    return out;
  }

 private:
  static constexpr std::uint32_t kLive = 0;  // Entry::concept_id

  struct Watched {
    metadata::Need need;
    metadata::Target target;
    double within = 0;
    std::function<void(const Candidate&)> on_candidate;
    std::set<Nonce> nonces;
    std::map<NodeId, std::uint64_t> told;  // versions of presences
    Executor::TimerHandle again;
  };

  /// Somebody who may become a contact.
  struct Prospect {
    Hint whom;
    std::uint32_t as = kLive;      // our presence that it is near, which asks it
    std::optional<Entry> entry;    // its own word
  };

  double nodes() const { return dht_.stats().estimated_nodes; }

  Shelf::Context shelf_context(std::uint32_t concept_id) {
    return {.executor = executor_,
            .dht = dht_,
            .task = tag_,
            .self = metadata::presence_of(key_.id(), concept_id),
            .value_id = [this, concept_id](const Place& place) { return value_id(place, concept_id); },
            .sealed = [this, concept_id] { return presences_.sealed(concept_id); },
            .nodes = [this] { return nodes(); },
            .share_knowing = [this](std::int32_t c) { return contacts_.share_knowing(c); },
            .on_met = [this](const Entry& entry) { meet(entry); }};
  }

  /// The same id for the same bucket as long as the key lives, also after a restart, so that an entry replaces its
  /// older self; nobody else can tell it beforehand, for it comes from a signature.
  std::uint64_t value_id(const Place& place, std::uint32_t concept_id) const {
    ByteWriter text;
    text.put_array(std::span<const std::uint8_t>(view("p2p-learner/value-id/2")));
    text.put(concept_id);
    text.put_array(std::span<const std::uint8_t>(metadata::place_key(tag_, place)));
    const auto digest = metadata::sha256(key_.sign(text.bytes()));
    ByteReader reader(digest.view());
    return std::max<std::uint64_t>(reader.get<std::uint64_t>(), 1);
  }

  void put_twin() {
    const Entry* entry = presences_.entry(kLive);
    if (!entry) return;
    twin_put_ = executor_.now();
    const bool reachable = !presences_.sealed(kLive).empty();
    if (reachable) {
      const auto text_place = metadata::text_key(metadata::twin_name(key_.id()));
      dht_.put_text(text_place, std::max<std::uint64_t>(brief(key_.id()), 1),
                    metadata::twin_text(*entry, task_, options_.node_name, presences_.archived().size()));
    }
    twin_timer_ = executor_.after(reachable ? options_.refresh * 9 / 10 : 1s, [this] { put_twin(); });
  }

  // ---- Asking

  Duration patience() const {
    const auto usual = contacts_.usual_round_trip();
    return usual.count() > 0 ? std::clamp(3 * usual, kLeastPatience, kMostPatience) : kMostPatience;
  }

  /// Buckets where the target's like are listed, the best first.
  std::vector<Place> places(const metadata::Target& target, std::span<const std::int32_t> classes) {
    std::vector<Place> out;
    for (const auto c : classes) {
      if (c >= 0 && out.size() < 2) {
        out.push_back({Place::Kind::label, static_cast<std::uint16_t>(c % Entry::kMaxListedClasses), 0, 0});
      }
    }
    if (target.blank) return out;
    const auto depth = [&](Place::Kind kind, std::uint16_t table) {
      const auto usual = shelf_.depth(kind, table).value_or(metadata::depth_for(nodes(), options_.crowd));
      // Where many are alike buckets are deeper, and there it matters that not all read the same one; elsewhere this one
      // is empty, and the one above it is read next.
      return usual == 0 ? usual : std::min<std::uint8_t>(static_cast<std::uint8_t>(usual + Place::kLevelBits), Place::kMaxDepth);
    };
    // A point of entry need not be in the very bucket, only near it: whichever of several likely ones is read, so that
    // not all who look for the same ask the same few holders.
    std::vector<Place> likely;
    const auto add = [&](Place::Kind kind, std::uint16_t table) {
      const auto some = metadata::probes(target.sketch, kind, table, depth(kind, table), kProbes);
      likely.push_back(some[random_.below(some.size())]);
    };
    if (target.by == By::marginal) {
      add(Place::Kind::marginal, 0);
    } else {
      for (std::uint16_t table = 0; table < Place::kJointTables; ++table) add(Place::Kind::joint, table);
    }
    if (random_.below(2) == 1) std::reverse(likely.begin(), likely.end());
    out.insert(out.end(), likely.begin(), likely.end());
    return out;
  }

  void start_lookup(const metadata::Need& need, const metadata::Target& target, const LookupOptions& options,
                    std::function<void(LookupResult)> done, std::uint32_t asked_as = kLive) {
    // A window of few samples is far from everybody by its noise alone, |noise|^2 being about 1/n.
    const double noise = need.experience.samples() > 0 ? 1 / std::sqrt(need.experience.samples()) : 0;
    const double usual = contacts_.usual_distance(target.by);
    const double total = nodes();
    // Contacts that failed last are not asked: with nobody else, only the table can tell whether anybody is back.
    const auto& contacts = contacts_.all();
    const bool any_answers = std::any_of(contacts.begin(), contacts.end(),
                                         [](const auto& known) { return known.second.failures == 0; });
    std::function<double(const metadata::Outline&)> cover;
    if (need.by == By::joint && !target.blank) cover = metadata::Cover(sketcher_, need);
    auto lookup = std::make_shared<Lookup>(
        Lookup::Setting{.executor = executor_,
                        .dht = dht_,
                        .correspondence = correspondence_,
                        .contacts = contacts_,
                        .task = tag_,
                        .sketch = [this](const metadata::Fingerprint& f) { return sketcher_.sketch(f); },
                        .cover = std::move(cover),
                        .self = key_.id(),
                        .own = archived_presences(),
                        .as = presences_.sealed(asked_as),
                        .places = places(target, need.classes),
                        .neighbours = any_answers ? std::function<std::vector<Endpoint>()>{} : [this] { return some_neighbours(); },
                        .near_enough = std::isfinite(usual) ? kNear * usual + noise : 0,
                        .remote = std::isfinite(usual) ? kRemote * usual + noise : 0,
                        .everybody_known = any_answers &&
                                           static_cast<double>(contacts_.nodes() + 1) >= std::round(total),
                        .patience = patience(),
                        .on_met = [this](const Entry& entry) { meet(entry); }},
        need, target, options, std::move(done));
    const auto number = next_number_++;
    lookups_[number] = lookup;
    lookup->on_over = [this, number] { lookups_.erase(number); };
    lookup->start();
  }

  /// Of our table, by lot, so that those who join at once do not all ask the same.
  std::vector<Endpoint> some_neighbours() {
    auto out = dht_.neighbours(kNeighbours);
    for (std::size_t i = 0; i < out.size(); ++i) std::swap(out[i], out[i + random_.below(out.size() - i)]);
    return out;
  }

  std::vector<NodeId> archived_presences() const {
    std::vector<NodeId> out;
    for (const auto concept_id : presences_.archived()) out.push_back(metadata::presence_of(key_.id(), concept_id));
    return out;
  }

  /// Who is like this presence of ours? Everybody who is asked hears of it.
  void find_neighbours(std::uint32_t concept_id) {
    metadata::Need need{*presences_.fingerprint(concept_id), {}, By::joint};
    LookupOptions options;
    options.want = 1;
    options.fetches = 0;
    options.deadline = 3s;
    start_lookup(need, sketcher_.target(need), options, [](const LookupResult&) {}, concept_id);
  }

  /// What we remember is made known where its like are, once we can be reached there.
  void announce() {
    announcing_.reset();
    if (unannounced_.empty()) return;
    if (presences_.sealed(*unannounced_.begin()).empty()) {
      announcing_ = executor_.after(1s, [this] { announce(); });
      return;
    }
    for (const auto concept_id : std::exchange(unannounced_, {})) find_neighbours(concept_id);
  }

  /// Somebody has shown himself, or has been named to us who had asked for the like of our presence `as`: asked sooner or
  /// later, if it would be a contact.
  void meet(const Entry& entry) {
    if (contacts_.wanted(entry)) await({hint_of(entry), nearest_own(entry.sketch), entry});
  }
  void meet(const Hint& hint, std::uint32_t as) {
    const Prospect prospect{hint, as, std::nullopt};
    if (wanted(prospect)) await(prospect);
  }
  void await(const Prospect& prospect) {
    if (presences_.is_own(prospect.whom) || prospects_.size() >= kMostProspects) return;
    const bool waiting = std::any_of(prospects_.begin(), prospects_.end(),
                                     [&](const Prospect& other) { return other.whom.id == prospect.whom.id; });
    if (waiting) return;
    prospects_.push_back(prospect);
    if (prospects_.size() == 1 && tick_) arm_tick();
  }
  bool wanted(const Prospect& prospect) const {
    if (prospect.entry) return contacts_.wanted(*prospect.entry);
    if (prospect.as == kLive) return contacts_.wanted(prospect.whom, 0);
    const auto own = presences_.archived();
    const auto at = std::find(own.begin(), own.end(), prospect.as);
    return at != own.end() && contacts_.wanted(prospect.whom, 1 + static_cast<std::size_t>(at - own.begin()));
  }

  /// One question now and then keeps the contacts what they should be: who does not answer goes, who is named and is
  /// nearer comes in. The more of them fail, the more often.
  void arm_tick() {
    const bool settles = settling_ > 0 && contacts_.size() > 0;
    Duration delay = !prospects_.empty() ? kSoon : settles ? kSettle : options_.exchange;
    delay = Duration(static_cast<std::int64_t>(static_cast<double>(delay.count()) * (0.8 + 0.4 * random_.uniform()) /
                                               (1 + kBusy * trouble_)));
    tick_ = executor_.after(delay, [this] {
      tick();
      arm_tick();
    });
  }

  void tick() {
    contacts_.expire(executor_.now());
    const auto own = presences_.archived();
    const std::uint32_t first = own.empty() || presences_.entry(kLive) ? kLive : own.front();
    if (presences_.sealed(first).empty()) return;
    if (contacts_.size() == 0 && prospects_.empty()) return find_neighbours(first);
    std::optional<Hint> whom;
    std::uint32_t asked_as = first;
    while (!prospects_.empty() && !whom) {
      if (const auto& prospect = prospects_.front(); wanted(prospect)) {
        whom = prospect.whom;
        asked_as = prospect.as;
      }
      prospects_.pop_front();
    }
    const bool settles = !whom && settling_ > 0;
    if (settles && --settling_ % 2 == 0) {
      whom = around(first, kNearest);
    } else if (settles) {
      if (const auto* any = contacts_.any(random_)) whom = hint_of(any->entry);
    }
    if (!whom) {
      if (++ticks_ % kExchanges != 0) return ping(contacts_.stalest()->entry);
      if (const auto turn = ticks_ / kExchanges; !own.empty() && turn % 2 == 1) {
        // What we remember shares our turns, and is made known to those around it.
        asked_as = own[turn / 2 % own.size()];
        whom = around(asked_as, kAround);
      }
    }
    if (!whom) whom = hint_of(contacts_.stalest()->entry);
    const auto node = brief(*whom);
    Correspondence::Ask ask{.target = {.by = By::joint, .sketch = presences_.entry(asked_as)->sketch},
                            .as = presences_.sealed(asked_as),
                            .timeout = kMostPatience,
                            .on_answer = {},
                            .on_portrait = {}};
    // Whoever is near we know.
    for (const auto* known : contacts_.best(ask.target, Question::kMostKnown)) {
      ask.known.push_back(known_mark(hint_of(known->entry).id));
    }
    ask.on_answer = [this, node, settles, asked_as](Result<Heard> answer) {
      trouble_ = 0.9 * trouble_ + (answer ? 0 : 0.1);
      if (!answer) return contacts_.failed(node);
      contacts_.add(answer->entry, executor_.now(), true, answer->round_trip);
      for (const auto& hint : answer->hints) meet(hint, asked_as);
      if (settles && !prospects_.empty()) settling_ = kSettling;
    };
    correspondence_.ask(*whom, std::move(ask));
  }

  /// One of the nearest to that presence of ours.
  std::optional<Hint> around(std::uint32_t own, std::size_t count) {
    const auto nearest = contacts_.best({.by = By::joint, .sketch = presences_.entry(own)->sketch}, count);
    if (nearest.empty()) return std::nullopt;
    return hint_of(nearest[random_.below(nearest.size())]->entry);
  }

  /// Our presence that somebody of this sketch is most likely to keep in mind.
  std::uint32_t nearest_own(const metadata::Sketch& sketch) const {
    const auto own = presences_.archived();
    const Entry* live = presences_.entry(kLive);
    std::uint32_t best = live || own.empty() ? kLive : own.front();
    for (const auto concept_id : own) {
      if (metadata::joint_distance(presences_.entry(concept_id)->sketch, sketch) <
          metadata::joint_distance(presences_.entry(best)->sketch, sketch)) {
        best = concept_id;
      }
    }
    return best;
  }

  /// Is it still there? A quarter of what a question costs.
  void ping(const Entry& entry) {
    const auto node = brief(entry.presence());
    correspondence_.ping(hint_of(entry), kMostPatience, [this, node](Result<Portrait> portrait) {
      trouble_ = 0.9 * trouble_ + (portrait ? 0 : 0.1);
      if (!portrait || !portrait->entry) return contacts_.failed(node);
      contacts_.add(*portrait->entry, executor_.now(), true);
    });
  }

  // ---- Answering

  void on_request(const Endpoint& from, const Message& message, std::size_t bytes) {
    if (const auto* question = std::get_if<Question>(&message)) {
      responder_.on_question(from, *question, bytes);
    } else if (const auto* fetch = std::get_if<Fetch>(&message)) {
      responder_.on_fetch(from, *fetch, bytes);
    } else if (const auto* notice = std::get_if<Notice>(&message)) {
      on_notice(*notice);
    }
  }

  // ---- Watching

  void renew_watch(std::uint64_t number) {
    Watched& watched = watches_.at(number);
    watched.again = executor_.after(kWatchAgain, [this, number] { renew_watch(number); });
    LookupOptions options;
    options.want = kWatchAt;
    options.deadline = 2s;
    const auto target = watched.target;
    start_lookup(watched.need, target, options, [this, number](const LookupResult& result) {
      const auto found = watches_.find(number);
      if (found == watches_.end()) return;
      found->second.nonces.clear();
      for (const auto& candidate : result.candidates) {
        Correspondence::Ask ask{.target = found->second.target,
                                .within = found->second.within,
                                .timeout = kMostPatience,
                                .on_answer = [](const Result<Heard>&) {},
                                .on_portrait = {}};
        found->second.nonces.insert(correspondence_.ask(hint_of(candidate.entry), std::move(ask)));
      }
      for (const auto& candidate : result.candidates) {
        if (!tell(number, candidate.entry)) return;
      }
    });
  }

  void on_notice(const Notice& notice) {
    for (const auto& [number, watched] : watches_) {
      if (!watched.nonces.contains(notice.nonce)) continue;
      const auto entry = metadata::open_entry(notice.entry);
      if (entry && entry->task == tag_ && entry->node != key_.id()) tell(number, *entry);
      return;
    }
  }

  /// False: the watch has gone.
  bool tell(std::uint64_t number, const Entry& entry) {
    const auto found = watches_.find(number);
    if (found == watches_.end()) return false;
    Watched& watched = found->second;
    Candidate candidate;
    candidate.entry = entry;
    candidate.distance = metadata::remoteness(watched.target, entry.sketch, entry.knows());
    if (candidate.distance > watched.within || watched.told.size() >= kMostTold) return true;
    auto& told = watched.told[entry.presence()];
    if (told >= entry.version) return true;
    told = entry.version;
    candidate.needed_recall = listed_recall(entry, watched.need);
    const auto report = watched.on_candidate;  // it may unwatch
    report(candidate);
    return watches_.contains(number);
  }

  Executor& executor_;
  overlay::Dht& dht_;
  const metadata::Task task_;
  const metadata::TaskId task_id_;
  const metadata::TaskTag tag_;
  const metadata::KeyPair key_;
  const std::function<Endpoint()> endpoint_;
  const DhtDirectoryOptions options_;
  const metadata::Sketcher sketcher_;
  const std::uint64_t secret_;
  Random random_;

  Presences presences_;
  Contacts contacts_;
  Correspondence correspondence_;
  Responder responder_;
  Shelf shelf_;
  std::map<std::uint32_t, std::unique_ptr<Shelf>> archive_shelves_;
  std::set<std::uint32_t> unannounced_;

  std::deque<Prospect> prospects_;
  std::uint64_t ticks_ = 0;
  std::size_t settling_ = 0;  // how many exchanges are still to follow each other quickly, if they name nobody
  double trouble_ = 0;  // share of the latest questions to contacts that were not answered
  Executor::TimerHandle tick_, twin_timer_, announcing_;
  TimePoint twin_put_;
  std::map<std::uint64_t, std::shared_ptr<Lookup>> lookups_;
  std::map<std::uint64_t, Watched> watches_;
  std::uint64_t next_number_ = 1;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace

std::unique_ptr<Directory> make_dht_directory(const DirectoryContext& context, const DhtDirectoryOptions& options) {
  return std::make_unique<DhtDirectory>(context, options);
}

}  // namespace p2p::directory
