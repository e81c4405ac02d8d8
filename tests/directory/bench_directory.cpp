// Figures of the directory on real OpenDHT nodes in virtual time, not a test: it measures, and checks nothing.
//
//     bench_directory DATA [set=fashion] [nodes=1000] [seed=1] [lookups=100] [settle=5] [mode=lookups]
//
//   lookups  recall, latency and cost: of published nodes with a fresh window, of themselves, and of nodes just started
//   table    what the table alone costs a node that has just been started, and one that has not: joining, and one get
//   idle     what a node sends over 30 minutes; `publish=0`: without a directory, OpenDHT alone
//   deaths   30 % killed at once, and recall every two minutes
//   churn    10 % per minute leaving and joining, for 15 minutes
//   flash    all join through one seed within 2 s and publish at once
//   hostile  30 % liars, and `junk` (2000) valid listings of nobody under each key that a query may read; `needs` (3)
//            different queries, because each key costs as many signatures
//   load     one lookup per node within ten minutes
//   settling how many of its nearest a node knows, and recall, every minute until `settle` minutes after all have published
//   archive  recall and cost of lookups near what is live, and near what only archives know (with archived=3 apart=1)
//
// `archived=N` (0): each node remembers N concepts besides, others than anybody serves. `apart=1`: live ones are all on one
// side of a plane, archived ones on the other.
//
// Recall is that of the 10 nearest of 24 candidates among the 10 nearest of all presences that are alive by the
// distance of their fingerprints; who is no further than the tenth counts.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "metadata/record.hpp"
#include "overlay/directory/directory.hpp"
#include "overlay/directory/messages.hpp"
#include "swarm.hpp"
#include "tests/directory/population.hpp"

namespace p2p::directory::bench {
namespace {

using std::chrono::minutes;
using swarm::Kind;
using swarm::kKinds;
using swarm::Swarm;
using swarm::Traffic;

constexpr std::size_t kNearest = 10;
constexpr double kLiars = 0.3;

struct Options {
  std::string data, set = "fashion", mode = "lookups";
  std::size_t nodes = 1000, lookups = 100, settle = 5, junk = 2000, needs = 3, publish = 1, archived = 0, apart = 0;
  std::size_t questions = 16, fetches = 24;
  std::uint64_t seed = 1;
};

double ms(Duration time) { return static_cast<double>(time.count()) / 1e3; }

struct Spread {
  double mean = 0, median = 0, p95 = 0, p999 = 0, most = 0;
};
Spread spread(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const auto at = [&](double q) {
    return values[std::min(values.size() - 1, static_cast<std::size_t>(q * static_cast<double>(values.size())))];
  };
  return {std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size()), at(0.5), at(0.95),
          at(0.999), values.back()};
}
void print(const char* what, const std::vector<double>& values) {
  const auto s = spread(values);
  std::printf("    %-34s n=%zu mean %.2f median %.2f p95 %.2f max %.2f\n", what, values.size(), s.mean, s.median, s.p95,
              s.most);
}

metadata::KeyPair key_of(std::uint64_t number) {
  std::array<std::uint8_t, 32> seed{};
  for (std::size_t i = 0; i < 8; ++i) seed[i] = static_cast<std::uint8_t>(number >> 8 * i);
  seed[31] = 1;
  return metadata::KeyPair::from_seed(seed);
}

/// A node's table with an attacker between it and the directory: the directory makes the node known as an honest one does,
/// and every question is answered with what the asker wants to hear.
class LyingDht final : public overlay::Dht {
 public:
  /// `lie`: the answer to a question.
  LyingDht(overlay::Dht& dht, std::function<Answer(const Question&)> lie) : dht_(dht), lie_(std::move(lie)) {}
  void join(const std::vector<std::string>& seeds) override { dht_.join(seeds); }
  void put(const DhtKey& key, overlay::DhtValue value, std::function<void(bool)> done) override {
    dht_.put(key, std::move(value), std::move(done));
  }
  void get(const DhtKey& key, std::function<bool(const overlay::DhtValue&)> on_value,
           std::function<void(bool)> done) override {
    dht_.get(key, std::move(on_value), std::move(done));
  }
  void put_text(const DhtKey& key, std::uint64_t id, std::string text) override {
    dht_.put_text(key, id, std::move(text));
  }
  std::vector<Endpoint> neighbours(std::size_t most) const override { return dht_.neighbours(most); }
  void send(const Endpoint& to, Bytes datagram) override { dht_.send(to, std::move(datagram)); }
  void on_datagram(std::function<void(const Endpoint&, ByteView)> handler) override {
    if (!handler) return dht_.on_datagram({});
    dht_.on_datagram([this, handler = std::move(handler)](const Endpoint& from, ByteView datagram) {
      const auto message = decode(datagram);
      const auto* question = message ? std::get_if<Question>(&*message) : nullptr;
      if (!question) return handler(from, datagram);
      dht_.send(from, encode(lie_(*question)));
      if (question->description) dht_.send(from, encode(Described{question->nonce, {}, {}}));
    });
  }
  Endpoint local() const override { return dht_.local(); }
  overlay::DhtStats stats() const override { return dht_.stats(); }
  void leave(std::function<void()> done) override { dht_.leave(std::move(done)); }

 private:
  overlay::Dht& dht_;
  std::function<Answer(const Question&)> lie_;
};

struct Peer {
  swarm::Node* node = nullptr;
  std::optional<metadata::KeyPair> key;
  std::optional<metadata::Fingerprint> fingerprint;  ///< published
  std::vector<Archived> archive;                     ///< remembered
  std::unique_ptr<LyingDht> lying;
  std::unique_ptr<Directory> directory;
  bool live() const { return node->alive() && fingerprint; }
  std::vector<const metadata::Fingerprint*> shown() const {
    std::vector<const metadata::Fingerprint*> out;
    if (fingerprint) out.push_back(&*fingerprint);
    for (const auto& one : archive) out.push_back(&one.fingerprint);
    return out;
  }
  /// Null: it shows no such concept.
  const metadata::Fingerprint* of(std::uint32_t concept_id) const {
    if (concept_id == 0) return fingerprint ? &*fingerprint : nullptr;
    const auto found = std::find_if(archive.begin(), archive.end(), [&](const auto& a) { return a.concept_id == concept_id; });
    return found == archive.end() ? nullptr : &found->fingerprint;
  }
};

/// Of lookups of one kind.
struct Measured {
  std::vector<double> recall, done_ms, fifth_ms, kilobytes, packets, datagram_kilobytes;
  double gets = 0, values = 0, refused = 0, questions = 0, answers = 0, fetches = 0, fingerprints = 0;
  std::array<Traffic, kKinds> kinds{};
  std::size_t asked = 0;
};

class Bench {
 public:
  Bench(const Options& options, const Population& population)
      : options_(options), population_(population), sketcher_(population.task()),
        tag_(metadata::tag(metadata::id(population.task()))), swarm_({.seed = options.seed}) {}

  void run() {
    const double start = swarm::real_seconds();
    if (options_.mode == "flash") {
      flash();
    } else {
      settle();
      if (options_.mode == "lookups") lookups();
      if (options_.mode == "table") table();
      if (options_.mode == "idle") idle();
      if (options_.mode == "deaths") deaths();
      if (options_.mode == "churn") churn();
      if (options_.mode == "hostile") hostile();
      if (options_.mode == "load") load();
      if (options_.mode == "archive") archive();
    }
    std::printf("in all: %.0f s of virtual time in %.0f s, %.1f M events\n", ms(swarm_.now() - TimePoint{}) / 1e3,
                swarm::real_seconds() - start, static_cast<double>(swarm_.events()) / 1e6);
  }

 private:
  bool liar(std::size_t i) const {
    return options_.mode == "hostile" && i > 0 && i < options_.nodes && Random(options_.seed).fork(i).uniform() < kLiars;
  }

  Peer& add() {
    auto& node = swarm_.add();
    if (node.index() > 0) node.dht().join({swarm_.node(0).seed()});
    return dress(node);
  }
  /// The directory for a node.
  Peer& dress(swarm::Node& node) {
    const std::size_t i = node.index();
    if (peers_.size() <= i) peers_.resize(i + 1);
    peers_[i] = std::make_unique<Peer>();
    Peer& peer = *peers_[i];
    peer.node = &node;
    if (options_.publish == 0) return peer;
    peer.key = key_of(options_.seed << 32 | i);
    if (liar(i)) {
      peer.lying = std::make_unique<LyingDht>(node.dht(), [this, i](const Question& q) { return lie(i, q); });
    }
    overlay::Dht& dht = peer.lying ? static_cast<overlay::Dht&>(*peer.lying) : node.dht();
    Endpoint link = node.endpoint();
    link.port = 7000;
    peer.directory = make_dht_directory({node.executor(), dht, population_.task(), *peer.key, [link] { return link; }}, {});
    number_[peer.key->id()] = i;
    return peer;
  }
  void publish(Peer& peer) {
    if (!peer.directory) return;
    peer.fingerprint = one_of(false, [this](std::size_t i) { return population_.node(i); }, next_live_, peer.node->index());
    sketches_[peer.node->index()] = sketcher_.sketch(*peer.fingerprint);
    peer.directory->publish(*peer.fingerprint);
    for (std::size_t k = 0; k < options_.archived; ++k) {
      peer.archive.push_back({static_cast<std::uint32_t>(k + 1),
                              one_of(true, [this](std::size_t i) { return population_.node(i); }, next_archived_,
                                     next_archived_)});
    }
    if (!peer.archive.empty()) peer.directory->remember(peer.archive);
  }
  /// Number `plain`; with `apart` the next on that side of the plane.
  metadata::Fingerprint one_of(bool archived, const std::function<metadata::Fingerprint(std::size_t)>& draw,
                               std::size_t& next, std::size_t plain) {
    if (options_.apart == 0) return ++next, draw(plain);
    for (;;) {
      auto drawn = draw(next++);
      const auto place = metadata::place_of(sketcher_.sketch(drawn), metadata::Place::Kind::joint, 0, 3);
      if ((place.prefix & 1) == (archived ? 1 : 0)) return drawn;
    }
  }

  /// "I am what you are looking for, and so are these": some of them liars, some nowhere.
  Answer lie(std::size_t i, const Question& question) {
    Answer out;
    out.nonce = question.nonce;
    if (!peers_[i]->fingerprint) return out;
    metadata::Entry entry = metadata::entry_of(*peers_[i]->fingerprint, question.target.sketch);
    entry.task = tag_;
    entry.node = peers_[i]->key->id();
    entry.version = swarm_.wall_ms();
    entry.endpoint = peers_[i]->node->endpoint();
    entry.endpoint.port = 7000;
    entry.table_port = peers_[i]->node->endpoint().port;
    out.entry = metadata::seal(entry, *peers_[i]->key);
    for (std::size_t h = 0; h < Answer::kMaxHints; ++h) {
      Hint hint;
      if (h % 2 == 0) {
        std::size_t other = swarm_.random().below(peers_.size());
        while (!liar(other)) other = swarm_.random().below(peers_.size());
        std::copy_n(key_of(options_.seed << 32 | other).id().bytes.begin(), 8, hint.id.begin());
        hint.at = swarm_.node(other).endpoint();
      } else {
        for (auto& byte : hint.id) byte = static_cast<std::uint8_t>(swarm_.random().below(256));
        hint.at = {"10.200." + std::to_string(swarm_.random().below(250)) + ".7", 4222};
      }
      out.hints.push_back(hint);
    }
    return out;
  }

  /// Nodes join over a minute and publish over the four that follow.
  void settle() {
    const double start = swarm::real_seconds();
    for (std::size_t i = 0; i < options_.nodes; ++i) {
      const auto share = static_cast<double>(i) / static_cast<double>(options_.nodes);
      swarm_.at(TimePoint{} + Duration(static_cast<std::int64_t>(share * 60e6)), [this] { add(); });
      swarm_.at(TimePoint{} + 60s + Duration(static_cast<std::int64_t>(share * 240e6)), [this, i] { publish(*peers_[i]); });
    }
    swarm_.run_for(300s);
    for (std::size_t minute = 0; minute < options_.settle; ++minute) {
      if (options_.mode == "settling") settling(minute);
      swarm_.run_for(TimePoint{} + 300s + minutes(static_cast<int>(minute) + 1) - swarm_.now());
    }
    std::printf("%s, %zu nodes, seed %llu: settled for %zu min in %.0f s; OpenDHT estimates %.0f nodes\n",
                options_.set.c_str(), options_.nodes, static_cast<unsigned long long>(options_.seed), options_.settle,
                swarm::real_seconds() - start, swarm_.node(1).dht().stats().estimated_nodes);
    if (options_.publish != 0) {
      std::vector<double> contacts, listed;
      for (const auto& peer : peers_) {
        const auto standing = peer->directory->standing();
        contacts.push_back(static_cast<double>(standing.contacts.size()));
        listed.push_back(static_cast<double>(
            std::count_if(standing.places.begin(), standing.places.end(), [](const auto& p) { return p.listed; })));
      }
      print("contacts", contacts);
      print("buckets listed in", listed);
    }
    std::fflush(stdout);
  }

  /// Of the nodes nearest to one by their sketches, the share that it keeps in mind.
  void settling(std::size_t minute) {
    constexpr std::size_t kSample = 200;
    std::vector<double> known, near, asked;
    for (std::size_t s = 0; s < kSample; ++s) {
      const Peer& peer = any_live();
      const auto standing = peer.directory->standing();
      std::set<NodeId> contacts;
      for (const auto& contact : standing.contacts) {
        if (contact.entry.concept_id == 0) contacts.insert(contact.entry.node);
      }
      const auto sketch = sketcher_.sketch(*peer.fingerprint);
      std::vector<std::pair<double, NodeId>> all;
      for (const auto& other : peers_) {
        if (!other->live() || other.get() == &peer) continue;
        all.emplace_back(metadata::joint_distance(sketch, sketches_.at(other->node->index())), other->key->id());
      }
      const auto share = [&](std::size_t count) {
        count = std::min(count, all.size());
        std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count), all.end());
        const auto met = std::count_if(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count),
                                       [&](const auto& one) { return contacts.contains(one.second); });
        return static_cast<double>(met) / static_cast<double>(count);
      };
      known.push_back(share(kNearest));
      near.push_back(share(32));
      asked.push_back(static_cast<double>(standing.questions_answered));
    }
    std::printf("  %2zu min after all have published: of its 10 nearest a node knows %.3f, of 32 %.3f; questions answered by one %.0f; ",
                minute, spread(known).mean, spread(near).mean, spread(asked).mean);
    std::printf("recall@10 %.3f\n", recall_now());
    std::fflush(stdout);
  }

  Peer& any_live() {
    for (;;) {
      Peer& peer = *peers_[swarm_.random().below(peers_.size())];
      if (peer.live() && !peer.lying) return peer;
    }
  }

  /// The distance of the tenth nearest, of all presences of living, honest nodes but the asker.
  double tenth(const metadata::Need& need, const Peer& asker) const {
    std::vector<double> all;
    for (const auto& peer : peers_) {
      if (!peer->live() || peer->lying || peer.get() == &asker) continue;
      for (const auto* shown : peer->shown()) all.push_back(metadata::joint_distance(need.experience, *shown));
    }
    std::nth_element(all.begin(), all.begin() + kNearest - 1, all.end());
    return all[kNearest - 1];
  }
  double recall(const metadata::Need& need, const LookupResult& result, const Peer& asker) const {
    auto found = result.candidates;
    std::erase_if(found, [&](const Candidate& c) {
      const auto at = number_.find(c.entry.node);
      return !c.fingerprint || at == number_.end() || peers_[at->second]->lying != nullptr;
    });
    std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.distance < b.distance; });
    if (found.size() > kNearest) found.resize(kNearest);
    const double limit = tenth(need, asker) + 1e-9;
    std::size_t hits = 0;
    for (const auto& c : found) {
      const Peer& peer = *peers_[number_.at(c.entry.node)];
      const auto* shown = peer.of(c.entry.concept_id);
      hits += peer.live() && shown && metadata::joint_distance(need.experience, *shown) <= limit ? 1 : 0;
    }
    return static_cast<double>(hits) / kNearest;
  }

  LookupOptions thorough(std::size_t gets = 3) const {
    LookupOptions out;
    out.want = 24;
    out.questions = options_.questions;
    out.fetches = options_.fetches;
    out.gets = gets;
    out.deadline = 3s;
    return out;
  }

  /// One lookup, alone: what the asker sends and receives until a second after it is done is its cost.
  void ask(Peer& asker, const metadata::Fingerprint& experience, LookupOptions with, Measured& into) {
    const metadata::Need need{experience, {}, metadata::By::joint};
    const TimePoint start = swarm_.now();
    std::array<Traffic, kKinds> before{};
    for (std::size_t k = 0; k < kKinds; ++k) before[k] = asker.node->traffic(static_cast<Kind>(k));
    std::size_t described = 0;
    double fifth = 0;
    with.on_candidate = [&](const Candidate&) {
      if (++described == 5) fifth = ms(swarm_.now() - start);
    };
    std::optional<LookupResult> result;
    asker.directory->lookup(need, with, [&](LookupResult r) { result = std::move(r); });
    swarm_.run_until([&] { return result.has_value(); }, 10s);
    ++into.asked;
    if (!result) return;
    into.recall.push_back(recall(need, *result, asker));
    into.done_ms.push_back(ms(result->took));
    if (fifth > 0) into.fifth_ms.push_back(fifth);
    swarm_.run_for(1s);
    Traffic sum;
    for (std::size_t k = 0; k < kKinds; ++k) {
      const auto spent = asker.node->traffic(static_cast<Kind>(k)) - before[k];
      into.kinds[k] += spent;
      sum += spent;
    }
    into.kilobytes.push_back(static_cast<double>(sum.sent_bytes + sum.received_bytes) / 1e3);
    into.packets.push_back(static_cast<double>(sum.sent_packets + sum.received_packets));
    into.datagram_kilobytes.push_back(static_cast<double>(result->datagram_bytes) / 1e3);
    into.gets += static_cast<double>(result->gets);
    into.values += static_cast<double>(result->values);
    into.refused += static_cast<double>(result->refused);
    into.questions += static_cast<double>(result->questions);
    into.answers += static_cast<double>(result->answers);
    into.fetches += static_cast<double>(result->fetches);
    into.fingerprints += static_cast<double>(result->fingerprints);
  }
  void report(const std::string& what, const Measured& m) const {
    const auto n = static_cast<double>(std::max<std::size_t>(m.recall.size(), 1));
    std::printf("  %s: recall@10 %.3f (%zu lookups)\n", what.c_str(), spread(m.recall).mean, m.recall.size());
    print("done, ms", m.done_ms);
    print("fifth fingerprint, ms", m.fifth_ms);
    if (!m.kilobytes.empty()) {
      print("sent and received, KB", m.kilobytes);
      print("packets", m.packets);
      print("of which questions and fetches, KB", m.datagram_kilobytes);
      std::printf("    gets %.2f values %.1f refused %.1f questions %.1f answers %.1f fetches %.1f fingerprints %.1f; KB",
                  m.gets / n, m.values / n, m.refused / n, m.questions / n, m.answers / n, m.fetches / n,
                  m.fingerprints / n);
      for (std::size_t k = 0; k < kKinds; ++k) {
        const auto bytes = static_cast<double>(m.kinds[k].sent_bytes + m.kinds[k].received_bytes) / 1e3 / n;
        if (bytes > 0.005) std::printf(" %s %.2f", std::string(swarm::name(static_cast<Kind>(k))).c_str(), bytes);
      }
      std::printf("\n");
    }
    std::fflush(stdout);
  }

  void lookups() {
    LookupOptions quick;
    quick.want = 5;
    quick.deadline = 2s;
    const auto warm = [&](const std::string& what, const LookupOptions& with) {
      Measured m;
      for (std::size_t i = 0; i < options_.lookups; ++i) ask(any_live(), population_.asker(i), with, m);
      report(what, m);
    };
    const auto cold = [&](const std::string& what, const LookupOptions& with) {
      Measured m;
      for (std::size_t i = 0; i < options_.lookups; ++i) {
        Peer& fresh = add();
        ask(fresh, population_.asker(i), with, m);
        swarm_.kill(*fresh.node);
      }
      report(what, m);
    };
    warm("warm, want 24", thorough());
    warm("warm, want 5", quick);
    cold("cold, want 24", thorough());
    cold("cold, want 5", quick);
    warm("warm, want 24, gets 0", thorough(0));
    cold("cold, want 24, gets 4", thorough(4));
    warm("warm, want 24, gets 4", thorough(4));
    Measured own;
    for (std::size_t i = 0; i < options_.lookups; ++i) {
      Peer& peer = any_live();
      ask(peer, *peer.fingerprint, thorough(), own);
    }
    report("warm, with its own experience, want 24", own);
  }

  void table() {
    const auto sketch = sketcher_.sketch(population_.asker(0));
    const auto depth = metadata::depth_for(static_cast<double>(options_.nodes), 8);
    const auto root = metadata::place_of(sketch, metadata::Place::Kind::joint, 0, 0);
    const auto deep = metadata::place_of(sketch, metadata::Place::Kind::joint, 0, depth);
    const auto nothing = metadata::place_of(sketch, metadata::Place::Kind::joint, 0, metadata::Place::kMaxDepth);
    struct Case {
      const char* what;
      std::optional<metadata::Place> place;
      Duration wait;
    };
    for (const Case& of : {Case{"joining, 3 s", std::nullopt, 0s}, Case{"joining and getting an empty key", nothing, 0s},
                           Case{"joining and getting a bucket", deep, 0s}, Case{"joining and getting the root", root, 0s},
                           Case{"nothing, 3 s, joined 10 s ago", std::nullopt, 10s},
                           Case{"getting an empty key, joined 10 s ago", nothing, 10s},
                           Case{"getting a bucket, joined 10 s ago", deep, 10s},
                           Case{"getting the root, joined 10 s ago", root, 10s}}) {
      std::vector<double> kilobytes, packets, first, done;
      double values = 0;
      for (std::size_t i = 0; i < options_.lookups; ++i) {
        auto& node = swarm_.add();
        node.dht().join({swarm_.node(0).seed()});
        swarm_.run_for(of.wait);
        const Traffic before = node.traffic();
        const TimePoint start = swarm_.now();
        bool any = false;
        if (of.place) {
          node.dht().get(
              metadata::place_key(tag_, *of.place),
              [&](const overlay::DhtValue&) {
                if (!any) first.push_back(ms(swarm_.now() - start));
                any = true;
                ++values;
                return true;
              },
              [&](bool) { done.push_back(ms(swarm_.now() - start)); });
        }
        swarm_.run_for(3s);
        const Traffic spent = node.traffic() - before;
        kilobytes.push_back(static_cast<double>(spent.sent_bytes + spent.received_bytes) / 1e3);
        packets.push_back(static_cast<double>(spent.sent_packets + spent.received_packets));
        swarm_.kill(node);
      }
      std::printf("  %s: values with copies %.1f\n", of.what, values / static_cast<double>(options_.lookups));
      print("KB", kilobytes);
      print("packets", packets);
      print("first value, ms", first);
      print("done, ms", done);
    }
  }

  void archive() {
    for (const bool archived : {false, true}) {
      for (const bool cold : {false, true}) {
        Measured m;
        std::size_t next = 0;
        for (std::size_t i = 0; i < options_.lookups; ++i) {
          const auto need = one_of(archived, [this](std::size_t k) { return population_.asker(k); }, next, next);
          Peer& asker = cold ? add() : any_live();
          ask(asker, need, thorough(), m);
          if (cold) swarm_.kill(*asker.node);
        }
        report(std::string(archived ? "near what is archived" : "near what is live") + (cold ? ", cold" : ", warm"), m);
      }
    }
  }

  void idle() {
    if (options_.settle < 15) swarm_.run_for(minutes(static_cast<int>(15 - options_.settle)));
    std::array<Traffic, kKinds> before{};
    for (std::size_t k = 0; k < kKinds; ++k) before[k] = swarm_.traffic(static_cast<Kind>(k));
    constexpr double kSeconds = 1800;
    swarm_.run_for(minutes(30));
    const double share = 1 / (kSeconds * static_cast<double>(options_.nodes));
    Traffic sum;
    for (std::size_t k = 0; k < kKinds; ++k) {
      const auto spent = swarm_.traffic(static_cast<Kind>(k)) - before[k];
      sum += spent;
      if (spent.sent_packets > 0) {
        std::printf("  %-9s %7.2f B/s %6.3f packets/s\n", std::string(swarm::name(static_cast<Kind>(k))).c_str(),
                    static_cast<double>(spent.sent_bytes) * share, static_cast<double>(spent.sent_packets) * share);
      }
    }
    std::printf("  idle, sent per node%s: %.1f B/s, %.3f packets/s\n", options_.publish == 0 ? " (OpenDHT alone)" : "",
                static_cast<double>(sum.sent_bytes) * share, static_cast<double>(sum.sent_packets) * share);
  }

  /// `lookups` at once, spread over ten seconds.
  double recall_now() {
    struct Open {
      Peer* asker;
      metadata::Need need;
    };
    std::vector<double> recalls;
    std::size_t begun = 0, died = 0;
    const TimePoint start = swarm_.now();
    for (std::size_t i = 0; i < options_.lookups; ++i) {
      swarm_.at(start + Duration(static_cast<std::int64_t>(i * 10'000'000 / options_.lookups)), [&, this] {
        Peer& asker = any_live();
        auto open = std::make_shared<Open>(Open{&asker, {population_.asker(next_asker_++), {}, metadata::By::joint}});
        ++begun;
        asker.directory->lookup(open->need, thorough(), [&, this, open](const LookupResult& result) {
          recalls.push_back(recall(open->need, result, *open->asker));
        });
      });
    }
    swarm_.run_for(14s);
    died = begun - recalls.size();
    if (died > 0) std::printf("    (%zu of %zu askers died)\n", died, begun);
    return spread(recalls).mean;
  }

  void deaths() {
    std::printf("  before: recall@10 %.3f\n", recall_now());
    for (std::size_t dead = 0; dead < options_.nodes * 3 / 10;) {
      auto& node = swarm_.node(swarm_.random().below(swarm_.size()));
      if (node.index() == 0 || !node.alive()) continue;
      swarm_.kill(node);
      ++dead;
    }
    const TimePoint start = swarm_.now();
    for (int minute = 0; minute <= 16; minute += 2) {
      const auto wait = start + minutes(minute) - swarm_.now();
      if (wait.count() > 0) swarm_.run_for(wait);
      std::printf("  30 %% dead, after %2d min: recall@10 %.3f\n", minute, recall_now());
      std::fflush(stdout);
    }
  }

  void churn() {
    std::printf("  before: recall@10 %.3f\n", recall_now());
    const TimePoint start = swarm_.now();
    for (int step = 0; step < 150; ++step) {
      swarm_.at(start + step * 6s, [this] {
        for (std::size_t i = 0; i < std::max<std::size_t>(options_.nodes / 100, 1); ++i) {
          Peer& peer = any_live();
          if (peer.node->index() != 0) swarm_.kill(*peer.node);
          publish(add());
        }
      });
    }
    for (int minute = 3; minute <= 18; minute += 3) {
      swarm_.run_for(start + minutes(minute) - swarm_.now());
      std::printf("  10 %% per minute%s, after %2d min: recall@10 %.3f\n", minute > 15 ? " until 15 min" : "", minute,
                  recall_now());
      std::fflush(stdout);
    }
  }

  void flash() {
    for (std::size_t i = 0; i < options_.nodes; ++i) {
      swarm_.at(TimePoint{} + Duration(static_cast<std::int64_t>(i * 2'000'000 / options_.nodes)),
                [this] { publish(add()); });
    }
    swarm_.run_for(2s);
    for (const auto second : {10, 30, 60, 300}) {
      const auto wait = TimePoint{} + 2s + std::chrono::seconds(second) - swarm_.now();
      if (wait.count() > 0) swarm_.run_for(wait);
      std::printf("  flash join of %zu, after %d s: recall@10 %.3f\n", options_.nodes, second, recall_now());
      std::fflush(stdout);
    }
  }

  std::pair<double, double> stored() const {
    std::vector<double> values;
    for (const auto& peer : peers_) {
      if (peer->live() && !peer->lying) values.push_back(static_cast<double>(peer->node->dht().stats().stored_values));
    }
    return {spread(values).mean, spread(values).most};
  }

  void hostile() {
    std::vector<std::size_t> liars;
    for (std::size_t i = 0; i < peers_.size(); ++i) {
      if (peers_[i]->lying) liars.push_back(i);
    }
    const auto measure = [&](const std::string& what) {
      Measured m;
      for (std::size_t i = 0; i < options_.lookups; ++i) {
        ask(any_live(), population_.asker(i % options_.needs), thorough(), m);
      }
      report(what, m);
      Measured cold;
      for (std::size_t i = 0; i < options_.lookups; ++i) {
        Peer& fresh = add();
        ask(fresh, population_.asker(i % options_.needs), thorough(), cold);
        swarm_.kill(*fresh.node);
      }
      report(what + ", cold", cold);
    };
    measure(std::to_string(liars.size()) + " liars");
    if (options_.junk == 0) return;
    const auto before = stored();
    std::set<metadata::Place> keys;
    std::size_t junk = 0, kept = 0;
    const TimePoint start = swarm_.now();
    for (std::size_t n = 0; n < options_.needs; ++n) {
      const auto sketch = sketcher_.sketch(population_.asker(n));
      for (std::uint16_t table = 0; table < metadata::Place::kJointTables; ++table) {
        for (int depth = metadata::depth_for(static_cast<double>(options_.nodes), 8); depth >= 0;
             depth -= metadata::Place::kLevelBits) {
          for (const auto& place : metadata::probes(sketch, metadata::Place::Kind::joint, table,
                                                    static_cast<std::uint8_t>(depth), 4)) {
            if (!keys.insert(place).second) continue;
            // Coordinates with the signs that the bucket asks for.
            metadata::Sketch fits = sketch;
            for (std::size_t bit = 0; bit < place.depth; ++bit) {
              const std::size_t at = 2 + metadata::Sketch::kMarginal + 24 * table + bit;
              const int level = std::max(1, std::abs(static_cast<int>(static_cast<std::int8_t>(fits.bytes[at]))));
              fits.bytes[at] = static_cast<std::uint8_t>(place.prefix >> bit & 1 ? std::min(level, 127) : -level);
            }
            for (std::size_t j = 0; j < options_.junk; ++j) {
              const std::size_t by = liars[j % liars.size()];
              swarm_.at(start + Duration(static_cast<std::int64_t>(j * 60'000'000 / options_.junk)),
                        [this, &kept, by, place, fits, j] { put_junk(by, place, fits, j, kept); });
              ++junk;
            }
          }
        }
      }
    }
    swarm_.run_for(90s);
    const auto after = stored();
    std::printf("  junk: %zu listings under %zu keys, %zu puts said to be stored; an honest node stores %.1f values (most %.0f), "
                "before %.1f (most %.0f)\n",
                junk, keys.size(), kept, after.first, after.second, before.first, before.second);
    measure(std::to_string(liars.size()) + " liars and junk");
  }
  void put_junk(std::size_t by, const metadata::Place& place, const metadata::Sketch& sketch, std::size_t j,
                std::size_t& kept) {
    const auto key = key_of(std::uint64_t{1} << 48 | j);
    metadata::Entry entry = metadata::entry_of(*peers_[by]->fingerprint, sketch);
    entry.task = tag_;
    entry.node = key.id();
    entry.version = swarm_.wall_ms();
    entry.endpoint = {"10.201." + std::to_string(j / 250 % 250) + "." + std::to_string(j % 250 + 1), 7000};
    entry.table_port = 4222;
    swarm_.node(by).dht().put(metadata::place_key(tag_, place), {j + 1, metadata::pack({place, metadata::seal(entry, key)})},
                              [&kept](bool ok) { kept += ok ? 1 : 0; });
  }

  void load() {
    // Datagrams alone: the table's packets come in bursts, when a node refreshes its listings, and those of idle minutes
    // cannot be subtracted; and hardly a lookup of a published node reads the table.
    const auto received = [&] {
      std::vector<std::uint64_t> out;
      for (const auto& peer : peers_) out.push_back(peer->node->traffic(Kind::datagram).received_packets);
      return out;
    };
    const auto first = received();
    swarm_.run_for(minutes(10));
    const auto idle = received();
    std::size_t done = 0, gets = 0;
    const TimePoint start = swarm_.now();
    for (std::size_t i = 0; i < options_.nodes; ++i) {
      swarm_.at(start + Duration(static_cast<std::int64_t>(swarm_.random().below(590'000'000))), [&, this, i] {
        peers_[i]->directory->lookup({population_.asker(i), {}, metadata::By::joint}, LookupOptions{},
                                     [&](const LookupResult& result) {
                                       ++done;
                                       gets += result.gets;
                                     });
      });
    }
    swarm_.run_for(minutes(10));
    const auto busy = received();
    std::vector<double> extra;
    for (std::size_t i = 0; i < options_.nodes; ++i) {
      extra.push_back(static_cast<double>(busy[i]) - 2.0 * static_cast<double>(idle[i]) + static_cast<double>(first[i]));
    }
    const auto s = spread(extra);
    std::printf("  load of %zu lookups in 10 min (%zu gets), datagrams received per node less those of 10 idle min: mean %.1f "
                "median %.1f p95 %.1f p99.9 %.1f max %.1f; max/mean %.2f, p99.9/mean %.2f\n",
                done, gets, s.mean, s.median, s.p95, s.p999, s.most, s.most / s.mean, s.p999 / s.mean);
  }

  const Options options_;
  const Population& population_;
  const metadata::Sketcher sketcher_;
  const metadata::TaskTag tag_;
  Swarm swarm_;
  std::vector<std::unique_ptr<Peer>> peers_;
  std::map<NodeId, std::size_t> number_;
  std::map<std::size_t, metadata::Sketch> sketches_;  // of what is published
  std::size_t next_asker_ = 1'000'000, next_live_ = 0, next_archived_ = 2'000'000;
};

int run(int count, char** words) {
  Options options;
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    const auto equals = word.find('=');
    if (equals == std::string::npos) {
      options.data = word;
      continue;
    }
    const std::string name = word.substr(0, equals), value = word.substr(equals + 1);
    const auto number = static_cast<std::size_t>(std::strtoull(value.c_str(), nullptr, 10));
    const std::map<std::string, std::size_t*> numbers{
        {"nodes", &options.nodes}, {"lookups", &options.lookups}, {"settle", &options.settle},
        {"junk", &options.junk},   {"needs", &options.needs},     {"publish", &options.publish},
        {"archived", &options.archived}, {"apart", &options.apart},
        {"questions", &options.questions}, {"fetches", &options.fetches}};
    if (name == "set") options.set = value;
    else if (name == "mode") options.mode = value;
    else if (name == "seed") options.seed = number;
    else if (const auto at = numbers.find(name); at != numbers.end()) *at->second = number;
    else return std::fprintf(stderr, "%s: no option \"%s\"\n", words[0], name.c_str()), 2;
  }
  const auto population = Population::load({.data = options.data, .name = options.set, .seed = options.seed});
  if (!population) return std::fprintf(stderr, "%s\n", population.error().message.c_str()), 1;
  Bench(options, *population).run();
  return 0;
}

}  // namespace
}  // namespace p2p::directory::bench

int main(int count, char** words) { return p2p::directory::bench::run(count, words); }
