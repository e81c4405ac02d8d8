// The index by itself, on fingerprints of real streams, against brute force: sketches, the walk, buckets, load. No
// network and no virtual time (tests/directory/bench_directory has both): one process holds who knows whom, by the same
// rules (metadata::Sketch, directory::roles, directory::Walk, lots and levels), so that a million nodes fit.
//
//   bench_index DATA [set=fashion] [nodes=8000] [mode=sketch,walk,load,rivals,best] [seed=1] [lookups=300]
#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <numeric>
#include <queue>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include <fmt/format.h>

#include "learner/model.hpp"
#include "metadata/cover.hpp"
#include "overlay/directory/contacts.hpp"
#include "overlay/directory/directory.hpp"
#include "overlay/directory/walk.hpp"
#include "tests/directory/population.hpp"

namespace p2p::directory::bench {
namespace {

using metadata::Fingerprint;
using metadata::Sketch;
using metadata::Target;

constexpr std::size_t kTruth = 10;       // recall@10
constexpr double kCrowd = 8;

struct Options {
  std::string data, set = "fashion", mode = "sketch,walk";
  std::size_t nodes = 8000, lookups = 300, questions = 16, fetches = 24;
  std::uint64_t seed = 1;
  std::size_t rounds = 24;  // of gossip after all have joined
  std::size_t settled = 10, hints = 16, anybody = 4, cover = 17, known = 32, deeper = 3, probes = 16;
  double full = 2;  // times the crowd, from which on a bucket is left for a deeper one
  std::size_t approaching = 2, around = 5;  // Walk::Options
  RoleOptions roles = {};
  bool has(const char* what) const { return ("," + mode + ",").find("," + std::string(what) + ",") != std::string::npos; }
};

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Who is there, who is like whom.
struct World {
  explicit World(const Population& from, const Options& with)
      : population(from), options(with), sketcher(from.task()) {
    const double began = seconds();
    for (std::size_t i = 0; i < with.nodes; ++i) {
      fingerprints.push_back(from.node(i));
      sketches.push_back(sketcher.sketch(fingerprints.back()));
      outlines.push_back(metadata::outline_of(sketches.back()));
      knows.push_back(metadata::entry_of(fingerprints.back(), sketches.back()).knows());
      ids.push_back(Random(with.seed).fork(i).next());
    }
    std::printf("%zu nodes of %s, seed %llu, made in %.0f s\n", with.nodes, with.set.c_str(),
                static_cast<unsigned long long>(with.seed), seconds() - began);
  }
  std::size_t size() const { return sketches.size(); }
  Hint hint(std::uint32_t i, const Target& target) const {
    Hint out;
    std::memcpy(out.id.data(), &ids[i], sizeof ids[i]);
    out.remoteness = static_cast<float>(metadata::remoteness(target, sketches[i], knows[i]));
    out.outline = outlines[i];
    // An address of its own, or a walk would take all of them for presences of one node.
    out.at = {fmt::format("10.{}.{}.{}", i >> 16 & 255, i >> 8 & 255, i & 255), 1};
    return out;
  }
  /// The `count` nearest, nearest first.
  template <typename Distance>
  std::vector<std::uint32_t> nearest(std::size_t count, Distance distance) const {
    std::vector<std::pair<double, std::uint32_t>> all(size());
    for (std::uint32_t i = 0; i < size(); ++i) all[i] = {distance(i), i};
    count = std::min(count, all.size());
    std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count), all.end());
    std::vector<std::uint32_t> out;
    for (std::size_t i = 0; i < count; ++i) out.push_back(all[i].second);
    return out;
  }
  std::vector<std::uint32_t> truth(const Fingerprint& asked) const {
    return nearest(kTruth, [&](std::uint32_t i) { return metadata::joint_distance(asked, fingerprints[i]); });
  }

  const Population& population;
  const Options& options;
  metadata::Sketcher sketcher;
  std::vector<Fingerprint> fingerprints;
  std::vector<Sketch> sketches;
  std::vector<metadata::Outline> outlines;
  std::vector<metadata::ClassMask> knows;
  std::vector<std::uint64_t> ids;
};

double overlap(const std::vector<std::uint32_t>& truth, std::span<const std::uint32_t> found) {
  const std::unordered_set<std::uint32_t> have(found.begin(), found.end());
  return static_cast<double>(std::count_if(truth.begin(), truth.end(), [&](auto t) { return have.contains(t); })) /
         static_cast<double>(truth.size());
}

// ---- Sketches

/// Signs of the same coordinates, for comparison.
double sign_distance(const Sketch& a, const Sketch& b) {
  int differing = 0;
  for (std::size_t i = Sketch::kMarginal; i < Sketch::kMarginal + Sketch::kJoint; ++i) {
    differing += (a.level(i) >= 0) != (b.level(i) >= 0);
  }
  return differing;
}

void measure_sketches(const World& world) {
  struct Row {
    const char* name;
    std::array<double, 4> recall{};
  };
  constexpr std::array<std::size_t, 4> kTops{10, 16, 24, 40};
  std::array<Row, 3> rows{{{"joint, by sketch"}, {"joint, by the sketch's signs"}, {"marginal, by sketch"}}};
  for (std::size_t q = 0; q < world.options.lookups; ++q) {
    const auto asked = world.population.asker(q);
    const auto sketch = world.sketcher.sketch(asked);
    const auto joint = world.truth(asked);
    const auto marginal = world.nearest(
        kTruth, [&](std::uint32_t i) { return metadata::marginal_distance(asked, world.fingerprints[i]); });
    const std::array<std::vector<std::uint32_t>, 3> order{
        world.nearest(kTops.back(), [&](auto i) { return metadata::joint_distance(sketch, world.sketches[i]); }),
        world.nearest(kTops.back(), [&](auto i) { return sign_distance(sketch, world.sketches[i]); }),
        world.nearest(kTops.back(), [&](auto i) { return metadata::marginal_distance(sketch, world.sketches[i]); })};
    for (std::size_t r = 0; r < rows.size(); ++r) {
      for (std::size_t t = 0; t < kTops.size(); ++t) {
        const auto top = std::span(order[r]).first(std::min(kTops[t], order[r].size()));
        rows[r].recall[t] += overlap(r == 2 ? marginal : joint, top) / static_cast<double>(world.options.lookups);
      }
    }
  }
  std::printf("\nof the ten nearest, within the first          10     16     24     40\n");
  for (const auto& row : rows) {
    std::printf("  %-38s", row.name);
    for (const double r : row.recall) std::printf("  %.3f", r);
    std::printf("\n");
  }
}

// ---- Who knows whom

class Graph {
 public:
  explicit Graph(const World& world) : world_(world), random_(world.options.seed), lists_(world.size()) {}

  void grow() {
    const double began = seconds();
    for (std::uint32_t i = 0; i < world_.size(); ++i) join(i);
    const double joined = seconds();
    for (std::size_t round = 0; round < world_.options.rounds; ++round) {
      for (std::uint32_t i = 0; i < world_.size(); ++i) gossip(i);
    }
    double contacts = 0;
    for (const auto& list : lists_) contacts += static_cast<double>(list.ids.size()) / static_cast<double>(world_.size());
    std::printf("\njoined one after the other in %.0f s, %zu rounds of gossip in %.0f s; %.0f contacts each\n",
                joined - began, world_.options.rounds, seconds() - joined, contacts);
  }

  const std::vector<std::uint32_t>& contacts(std::uint32_t node) const { return lists_[node].ids; }
  double usual(std::uint32_t node) const { return lists_[node].usual; }

  /// Whom the asker need not be told of.
  std::vector<std::uint64_t> best_known(const Walk& walk) const {
    std::vector<std::uint64_t> out;
    for (const auto* known : walk.best(world_.options.known)) out.push_back(brief(known->hint));
    return out;
  }
  /// What `node` answers.
  void answer(std::uint32_t node, const Target& target, const std::vector<std::uint64_t>& known,
              std::vector<std::uint32_t>& out) {
    const auto& ids = lists_[node].ids;
    scratch_.clear();
    for (const auto id : ids) {
      if (std::find(known.begin(), known.end(), world_.ids[id]) != known.end()) continue;
      scratch_.emplace_back(metadata::remoteness(target, world_.sketches[id], world_.knows[id]), id);
    }
    const auto count = std::min(world_.options.hints, scratch_.size());
    std::partial_sort(scratch_.begin(), scratch_.begin() + static_cast<std::ptrdiff_t>(count), scratch_.end());
    out.clear();
    for (std::size_t i = 0; i < count; ++i) out.push_back(scratch_[i].second);
    for (std::size_t i = 0; i < world_.options.anybody && !ids.empty(); ++i) out.push_back(ids[random_.below(ids.size())]);
  }

 private:
  struct List {
    std::vector<std::uint32_t> ids;
    std::vector<float> distances;
    double worst_near = INFINITY, usual = INFINITY;
    std::array<float, 65> worst_of_level{};
    std::uint64_t worst_far = ~std::uint64_t{0};
    bool trimmed = false;
  };
  std::uint64_t hash(std::uint32_t node, std::uint32_t other) const {
    return Random(world_.ids[other] ^ (world_.ids[node] * 0x9E3779B97F4A7C15ull)).next();
  }

  void offer(std::uint32_t node, std::uint32_t other) {
    if (node == other) return;
    List& list = lists_[node];
    const auto distance = static_cast<float>(metadata::joint_distance(world_.sketches[node], world_.sketches[other]));
    const auto h = hash(node, other);
    const auto level = static_cast<std::size_t>(std::countl_zero(h));
    if (list.trimmed && !(distance < list.worst_near) && h >= list.worst_far && !(distance < list.worst_of_level[level])) {
      return;
    }
    if (std::find(list.ids.begin(), list.ids.end(), other) != list.ids.end()) return;
    list.ids.push_back(other);
    list.distances.push_back(distance);
    trim(node);
  }

  void trim(std::uint32_t node) {
    List& list = lists_[node];
    std::vector<Acquaintance> all;
    for (std::size_t i = 0; i < list.ids.size(); ++i) all.push_back({list.distances[i], hash(node, list.ids[i])});
    const RoleOptions& options = world_.options.roles;
    const auto kept = roles(all, options);
    std::size_t to = 0, near = 0, far = 0;
    std::array<std::size_t, 65> on_level{};
    list.worst_near = -1;
    list.worst_far = 0;
    list.worst_of_level.fill(-1);
    std::vector<float> near_distances;
    for (std::size_t i = 0; i < kept.size(); ++i) {
      if (!kept[i].any()) continue;
      const auto level = static_cast<std::size_t>(std::countl_zero(all[i].hash));
      if (kept[i].near) {
        ++near;
        near_distances.push_back(list.distances[i]);
        list.worst_near = std::max<double>(list.worst_near, list.distances[i]);
      } else if (kept[i].ladder) {
        ++on_level[level];
        list.worst_of_level[level] = std::max(list.worst_of_level[level], list.distances[i]);
      }
      if (kept[i].far) {
        ++far;
        list.worst_far = std::max(list.worst_far, all[i].hash);
      }
      list.ids[to] = list.ids[i];
      list.distances[to++] = list.distances[i];
    }
    list.ids.resize(to);
    list.distances.resize(to);
    if (near < options.near) list.worst_near = INFINITY;
    if (far < options.far) list.worst_far = ~std::uint64_t{0};
    for (std::size_t level = 0; level < on_level.size(); ++level) {
      if (on_level[level] < options.per_level) list.worst_of_level[level] = INFINITY;
    }
    if (!near_distances.empty()) {
      const auto middle = near_distances.begin() + static_cast<std::ptrdiff_t>(near_distances.size() / 2);
      std::nth_element(near_distances.begin(), middle, near_distances.end());
      list.usual = *middle;
    }
    list.trimmed = true;
  }

  /// A newcomer asks for its own like, from four of those who are there; whoever is asked hears of it.
  void join(std::uint32_t node) {
    index_[world_.ids[node]] = node;
    if (node == 0) return;
    const Target target{.sketch = world_.sketches[node]};
    Walk walk(target, {.questions = world_.options.questions});
    walk.shun(world_.ids[node]);
    for (int i = 0; i < 4; ++i) walk.hear(world_.hint(static_cast<std::uint32_t>(random_.below(node)), target), Walk::kOurselves);
    std::vector<std::uint32_t> told;
    while (const auto hint = walk.next()) {
      const auto asked = index_.at(brief(*hint));
      answer(asked, target, best_known(walk), told);
      walk.answered(brief(*hint), world_.sketches[asked], world_.knows[asked]);
      offer(node, asked);
      offer(asked, node);
      for (const auto other : told) {
        walk.hear(world_.hint(other, target), world_.ids[asked]);
        offer(node, other);
      }
    }
  }

  /// One turn: a contact is asked for our like, and hears of us.
  void gossip(std::uint32_t node) {
    if (lists_[node].ids.empty()) return;
    const auto asked = lists_[node].ids[random_.below(lists_[node].ids.size())];
    std::vector<std::uint32_t> told;
    answer(asked, Target{.sketch = world_.sketches[node]}, {}, told);
    offer(asked, node);
    for (const auto other : told) offer(node, other);
  }

  const World& world_;
  Random random_;
  std::vector<List> lists_;
  std::unordered_map<std::uint64_t, std::uint32_t> index_;
  std::vector<std::pair<double, std::uint32_t>> scratch_;
};

// ---- Buckets

/// Listings as the shelves of all nodes would settle: the level by crowd, the lowest lots at each level above.
class Buckets {
 public:
  explicit Buckets(const World& world) : world_(world), start_(metadata::depth_for(static_cast<double>(world.size()), kCrowd)) {
    for (std::uint16_t table = 0; table < metadata::Place::kJointTables; ++table) {
      std::map<metadata::Place, std::vector<std::uint32_t>> all;
      for (int depth = 0; depth <= metadata::Place::kMaxDepth; depth += metadata::Place::kLevelBits) {
        for (std::uint32_t i = 0; i < world.size(); ++i) all[place(world.sketches[i], table, depth)].push_back(i);
      }
      std::vector<int> level(world.size(), start_);
      for (std::uint32_t i = 0; i < world.size(); ++i) {
        const auto crowd = [&](int depth) { return static_cast<double>(all.at(place(world.sketches[i], table, depth)).size()); };
        while (level[i] > 0 && crowd(level[i]) <= 1) level[i] -= metadata::Place::kLevelBits;
        while (level[i] < metadata::Place::kMaxDepth && crowd(level[i]) > world.options.full * kCrowd) {
          level[i] += metadata::Place::kLevelBits;
        }
      }
      for (auto& [where, members] : all) {
        const auto crowd = members.size();
        std::erase_if(members, [&](auto i) { return level[i] < where.depth; });
        if (members.empty()) continue;
        std::sort(members.begin(), members.end(), [&](auto x, auto y) { return lot(x, table) < lot(y, table); });
        if (members.size() > static_cast<std::size_t>(kCrowd)) members.resize(static_cast<std::size_t>(kCrowd));
        buckets_[where] = {std::move(members), crowd};
      }
    }
  }
  static metadata::Place place(const Sketch& sketch, std::uint16_t table, int depth) {
    return metadata::place_of(sketch, metadata::Place::Kind::joint, table, static_cast<std::uint8_t>(depth));
  }
  struct Bucket {
    std::vector<std::uint32_t> listed;
    std::size_t crowd = 0;
  };
  const Bucket* at(const metadata::Place& place) const {
    const auto found = buckets_.find(place);
    return found == buckets_.end() ? nullptr : &found->second;
  }
  std::uint8_t start() const { return start_; }

 private:
  double lot(std::uint32_t node, std::uint16_t table) const {
    return static_cast<double>(Random(world_.ids[node] ^ (table + 1)).next());
  }
  const World& world_;
  std::uint8_t start_;
  std::map<metadata::Place, Bucket> buckets_;
};

// ---- Lookups

struct Load {
  std::vector<double> questions, fetches, table;
};

struct Found {
  std::vector<std::uint32_t> fetched;  ///< by true distance
  std::vector<std::uint32_t> heard;    ///< best first, by sketch
  std::size_t questions = 0, gets = 0;
  double ms = 0;  ///< of the walk
};

class Asker {
 public:
  Asker(const World& world, Graph& graph, const Buckets& buckets, Load* load)
      : world_(world), graph_(graph), buckets_(buckets), load_(load), random_(world.options.seed + 77) {
    for (std::uint32_t i = 0; i < world.size(); ++i) index_[world.ids[i]] = i;
    for (std::uint32_t i = 0; i < world.size(); ++i) by_key_.emplace_back(Random(world.ids[i]).next(), i);
    std::sort(by_key_.begin(), by_key_.end());
  }

  /// How a lookup begins, and when it reads buckets. directory::Lookup reads them late; the others are for comparison.
  struct Way {
    const char* name;
    enum class From : std::uint8_t { contacts, neighbours, buckets } from = From::contacts;
    std::size_t gets = 0;
    bool late = false;  ///< only where the walk ends at nobody near, else all at the start
  };

  /// As directory::Lookup does it.
  Found ask(std::uint32_t asker, const Fingerprint& experience, const Way& way) {
    using From = Way::From;
    Found out;
    const Target target{.sketch = world_.sketcher.sketch(experience)};
    Walk walk(target, {.settled = world_.options.settled, .questions = world_.options.questions, .approaching = world_.options.approaching,
                       .around = world_.options.around, .from_afar = way.from != From::buckets});
    walk.shun(world_.ids[asker]);
    if (way.from == From::contacts) {
      for (const auto id : graph_.contacts(asker)) walk.hear(world_.hint(id, target), Walk::kOurselves);
    }
    const double noise = 1 / std::sqrt(std::max(1.0, experience.samples()));
    const double near_enough = kRemote * graph_.usual(asker) + noise;
    const auto remote = [&] {
      const auto best = walk.best(1);
      return best.empty() || best[0]->hint.remoteness > near_enough;
    };
    std::priority_queue<Event, std::vector<Event>, std::greater<>> events;
    double now_ms = 0;
    const auto get = [&](const metadata::Place& place) {
      if (const auto* bucket = read(place, out)) {
        for (const auto node : bucket->listed) {
          events.push({.at_ms = now_ms + kFirstValueMs + random_.uniform() * (kGetMs - kFirstValueMs), .place = place, .entry = node});
        }
      }
      events.push({.at_ms = now_ms + kGetMs, .place = place});
    };
    const auto first = random_.below(metadata::Place::kJointTables);
    const auto get_next = [&] {
      const auto some = metadata::probes(target.sketch, metadata::Place::Kind::joint,
                                         static_cast<std::uint16_t>((first + out.gets) % metadata::Place::kJointTables),
                                         static_cast<std::uint8_t>(buckets_.start() + world_.options.deeper),
                                         world_.options.probes);
      get(some[random_.below(some.size())]);
    };
    const auto round_trip_ms = [&] {
      return 2 * kLeastDelayMs + (random_.uniform() + random_.uniform()) * (kMostDelayMs - kLeastDelayMs);
    };
    if (way.from == From::neighbours) {
      for (std::size_t k = 0; k < kKnocks; ++k) {
        const auto some = static_cast<std::uint32_t>(random_.below(world_.size()));
        if (some != asker) events.push({.at_ms = round_trip_ms(), .asked = world_.hint(some, target), .known = {}, .knock = true});
      }
    } else if (way.from == From::buckets) {
      get_next();  // the next once it is known that nobody is there
    } else if (!way.late) {
      while (out.gets < way.gets) get_next();
    }
    std::vector<std::uint32_t> told;
    const auto pump = [&] {
      while (walk.pending() < walk.width()) {
        const auto hint = walk.next();
        if (!hint) break;
        events.push({.at_ms = now_ms + round_trip_ms(), .asked = *hint, .known = graph_.best_known(walk)});
      }
    };
    pump();
    for (;;) {
      const bool over = walk.pending() == 0 && walk.settled() && walk.known() > 0;
      if (over && (way.late || way.from != From::contacts) && !remote()) break;  // nobody waits for a bucket any more
      if (events.empty()) {
        if (!way.late || out.gets > 0 || way.gets == 0 || !remote()) break;
        walk.grant(LookupOptions::kMoreQuestions);
        get_next();
      }
      const Event event = events.top();
      events.pop();
      now_ms = event.at_ms;
      if (event.entry) {
        walk.hear(world_.hint(*event.entry, target), event.place->table + 1u);
      } else if (event.place) {
        auto above = *event.place;
        if (!buckets_.at(above) && above.depth > 0 && out.gets < way.gets) {
          above.depth = static_cast<std::uint8_t>(above.depth - metadata::Place::kLevelBits);
          above.prefix &= (1u << above.depth) - 1;
          get(above);
        }
      } else {
        const Brief node = brief(*event.asked);
        const auto asked = index_.at(node);
        if (load_) ++load_->questions[asked];
        ++out.questions;
        graph_.answer(asked, target, event.known, told);
        if (event.knock) {
          walk.met(*event.asked, false);
        } else {
          walk.answered(node, world_.sketches[asked], world_.knows[asked]);
        }
        for (const auto other : told) walk.hear(world_.hint(other, target), node);
      }
      pump();
    }
    out.ms = now_ms;
    for (const auto* known : walk.best(walk.known())) out.heard.push_back(index_.at(brief(known->hint)));
    const auto fetch = [&](std::size_t count, const std::vector<const Walk::Known*>& order) {
      for (const auto* known : order) {
        const auto node = index_.at(brief(known->hint));
        if (out.fetched.size() >= count) return;
        if (std::find(out.fetched.begin(), out.fetched.end(), node) != out.fetched.end()) continue;
        if (load_) ++load_->fetches[node];
        out.fetched.push_back(node);
      }
    };
    const std::size_t fetches = world_.options.fetches, by_cover = fetches * world_.options.cover / 100;
    fetch(fetches - by_cover, walk.best(fetches));
    if (by_cover > 0) {
      const metadata::Cover cover(world_.sketcher, {experience, {}, metadata::By::joint});
      fetch(fetches, walk.best(walk.known(), cover));
    }
    std::vector<std::pair<double, std::uint32_t>> order;
    for (const auto node : out.fetched) {
      order.emplace_back(metadata::joint_distance(experience, world_.fingerprints[node]), node);
    }
    std::sort(order.begin(), order.end());
    for (std::size_t i = 0; i < order.size(); ++i) out.fetched[i] = order[i].second;
    return out;
  }

 private:
  struct Event {
    double at_ms = 0;
    std::optional<Hint> asked = {};           // an answer
    std::vector<std::uint64_t> known = {};    // as its question said
    bool knock = false;
    std::optional<metadata::Place> place = {};  // the end of a get, or, with an entry, a value of it
    std::optional<std::uint32_t> entry = {};
    bool operator>(const Event& other) const { return at_ms > other.at_ms; }
  };
  // One way, evenly between; and a get on such links (bench_directory mode=table).
  static constexpr double kLeastDelayMs = 20, kMostDelayMs = 80, kFirstValueMs = 300, kGetMs = 600;
  // As in lookup.cpp and dht_directory.cpp.
  static constexpr double kRemote = 2;
  static constexpr std::size_t kKnocks = 4;

  const Buckets::Bucket* read(const metadata::Place& place, Found& out) {
    ++out.gets;
    const auto* bucket = buckets_.at(place);
    if (load_) {
      // Eight holders answer for the key and each of its values; some twenty others are passed on the way.
      const auto key = metadata::place_key({}, place);
      std::uint64_t at = 0;
      std::memcpy(&at, key.data(), sizeof at);
      for (const auto holder : holders(at)) {
        load_->table[holder] += 1 + static_cast<double>(bucket ? bucket->listed.size() : 0);
      }
      for (int i = 0; i < 20; ++i) load_->table[random_.below(world_.size())] += 1;
    }
    return bucket;
  }
  std::vector<std::uint32_t> holders(std::uint64_t key) const {
    for (int bits = 63; bits >= 0; --bits) {
      const std::uint64_t mask = ~std::uint64_t{0} << (64 - bits);
      const std::uint64_t low = bits == 0 ? 0 : key & mask;
      const std::uint64_t high = bits == 0 ? ~std::uint64_t{0} : low | ~mask;
      const auto a = std::lower_bound(by_key_.begin(), by_key_.end(), std::pair(low, 0u));
      const auto b = std::upper_bound(by_key_.begin(), by_key_.end(), std::pair(high, ~0u));
      if (b - a < 8 && bits > 0) continue;
      std::vector<std::pair<std::uint64_t, std::uint32_t>> near;
      for (auto it = a; it != b; ++it) near.emplace_back(it->first ^ key, it->second);
      std::sort(near.begin(), near.end());
      if (near.size() > 8) near.resize(8);
      std::vector<std::uint32_t> out;
      for (const auto& [distance, node] : near) out.push_back(node);
      return out;
    }
    return {};
  }

  const World& world_;
  Graph& graph_;
  const Buckets& buckets_;
  Load* load_;
  Random random_;
  std::unordered_map<std::uint64_t, std::uint32_t> index_;
  std::vector<std::pair<std::uint64_t, std::uint32_t>> by_key_;
};

void measure_walk(const World& world, Graph& graph, const Buckets& buckets) {
  using Way = Asker::Way;
  constexpr std::array kWays{Way{.name = "contacts only"},
                             Way{.name = "1 get", .gets = 1},
                             Way{.name = "2 gets", .gets = 2},
                             Way{.name = "4 gets", .gets = 4},
                             Way{.name = "a bucket if the walk ends far away", .gets = 4, .late = true},
                             Way{.name = "a newcomer, by neighbours of its table", .from = Way::From::neighbours, .gets = 4, .late = true},
                             Way{.name = "a newcomer, by buckets", .from = Way::From::buckets, .gets = 4}};
  std::vector<Fingerprint> askers;
  std::vector<std::vector<std::uint32_t>> truths;
  for (std::size_t q = 0; q < world.options.lookups; ++q) {
    askers.push_back(world.population.asker(q));
    truths.push_back(world.truth(askers.back()));
  }
  std::printf("\n%zu lookups, at most %zu questions and %zu fetches\n", askers.size(), world.options.questions,
              world.options.fetches);
  std::printf("  %-40s recall@10  heard of  distance  questions  gets   (heard of: of the ten nearest; distance: of the ten found to that of the ten nearest)\n", "");
  for (const auto& way : kWays) {
    Asker asker(world, graph, buckets, nullptr);
    Random random(world.options.seed);
    double recall = 0, heard = 0, questions = 0, gets = 0, further = 0, took = 0;
    const auto spread = [&](const Fingerprint& asked, std::span<const std::uint32_t> nodes) {
      double sum = 0;
      for (const auto node : nodes) sum += metadata::joint_distance(asked, world.fingerprints[node]);
      return sum / static_cast<double>(std::max<std::size_t>(1, nodes.size()));
    };
    for (std::size_t q = 0; q < askers.size(); ++q) {
      const auto who = static_cast<std::uint32_t>(random.below(world.size()));
      const auto found = asker.ask(who, askers[q], way);
      const auto ten = std::span(found.fetched).first(std::min(kTruth, found.fetched.size()));
      recall += overlap(truths[q], ten);
      heard += overlap(truths[q], found.heard);
      further += (spread(askers[q], ten) + 1e-6) / (spread(askers[q], std::span(truths[q]).first(ten.size())) + 1e-6);
      questions += static_cast<double>(found.questions);
      gets += static_cast<double>(found.gets);
      took += found.ms;
    }
    const auto n = static_cast<double>(askers.size());
    std::printf("  %-40s %.3f      %.3f     %.3f     %4.1f       %.1f   %.0f ms\n", way.name, recall / n, heard / n, further / n, questions / n, gets / n, took / n);
  }
}

void print_load(const char* what, const std::vector<double>& load) {
  std::vector<double> sorted = load;
  std::sort(sorted.begin(), sorted.end());
  const double mean = std::accumulate(sorted.begin(), sorted.end(), 0.0) / static_cast<double>(sorted.size());
  if (mean == 0) return;
  std::printf("  %-22s mean %6.1f   busiest / mean %5.1f   99.9 %% / mean %5.1f   99 %% / mean %4.1f\n", what, mean,
              sorted.back() / mean, sorted[static_cast<std::size_t>(0.999 * static_cast<double>(sorted.size() - 1))] / mean,
              sorted[static_cast<std::size_t>(0.99 * static_cast<double>(sorted.size() - 1))] / mean);
}

void measure_load(const World& world, Graph& graph, const Buckets& buckets) {
  for (const Asker::Way& way : {Asker::Way{.name = "contacts only"}, Asker::Way{.name = "a bucket if the walk ends far away", .gets = 4, .late = true},
                                Asker::Way{.name = "2 gets always", .gets = 2}}) {
    Load load{std::vector<double>(world.size()), std::vector<double>(world.size()), std::vector<double>(world.size())};
    Asker asker(world, graph, buckets, &load);
    for (std::uint32_t i = 0; i < world.size(); ++i) {
      asker.ask(i, world.population.asker(100'000'000 + i), way);
    }
    std::vector<double> total(world.size());
    for (std::size_t i = 0; i < total.size(); ++i) total[i] = load.questions[i] + load.fetches[i] + load.table[i];
    std::printf("\nload, one lookup by each node, %s: messages received\n", way.name);
    print_load("questions", load.questions);
    print_load("fetches", load.fetches);
    print_load("table", load.table);
    print_load("in all", total);
  }
}

// ---- What was not taken

/// All listed everywhere, nobody walks: recall by the number of buckets read and candidates that come with them.
void measure_rivals(const World& world) {
  std::printf("\nLSH alone, all who belong to a bucket listed, 16 gets: table, depth, candidates, recall@10\n");
  for (const auto& [tables, probes_each, depth] : {std::tuple{2, 8, 6}, std::tuple{2, 8, 9}, std::tuple{2, 8, 12}}) {
    std::map<metadata::Place, std::vector<std::uint32_t>> buckets;
    for (std::uint32_t i = 0; i < world.size(); ++i) {
      for (std::uint16_t t = 0; t < tables; ++t) buckets[Buckets::place(world.sketches[i], t, depth)].push_back(i);
    }
    double recall = 0, candidates = 0;
    for (std::size_t q = 0; q < world.options.lookups; ++q) {
      const auto asked = world.population.asker(q);
      const auto sketch = world.sketcher.sketch(asked);
      std::unordered_set<std::uint32_t> seen;
      for (std::uint16_t t = 0; t < tables; ++t) {
        for (const auto& place : metadata::probes(sketch, metadata::Place::Kind::joint, t, static_cast<std::uint8_t>(depth),
                                                  static_cast<std::size_t>(probes_each))) {
          const auto found = buckets.find(place);
          if (found != buckets.end()) seen.insert(found->second.begin(), found->second.end());
        }
      }
      const std::vector<std::uint32_t> all(seen.begin(), seen.end());
      recall += overlap(world.truth(asked), all);
      candidates += static_cast<double>(all.size());
    }
    const auto n = static_cast<double>(world.options.lookups);
    std::printf("  %d tables x %d probes, %2d bits: %7.0f candidates, %.3f\n", tables, probes_each, depth, candidates / n, recall / n);
  }
  std::printf("landmarks (256 published fingerprints, chosen by hash; listed at the 2 nearest), gets, candidates, recall@10\n");
  constexpr std::size_t kLandmarks = 256;
  std::vector<std::vector<std::uint32_t>> of(kLandmarks);
  const auto to_landmarks = [&](const Sketch& sketch, std::size_t count) {
    std::vector<std::pair<double, std::size_t>> all;
    for (std::size_t l = 0; l < kLandmarks; ++l) {
      all.emplace_back(metadata::joint_distance(sketch, world.sketches[l * world.size() / kLandmarks]), l);
    }
    std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count), all.end());
    all.resize(count);
    return all;
  };
  for (std::uint32_t i = 0; i < world.size(); ++i) {
    for (const auto& [distance, l] : to_landmarks(world.sketches[i], 2)) of[l].push_back(i);
  }
  std::size_t largest = 0;
  for (const auto& members : of) largest = std::max(largest, members.size());
  for (const std::size_t gets : {4, 8, 16}) {
    double recall = 0, candidates = 0;
    for (std::size_t q = 0; q < world.options.lookups; ++q) {
      const auto asked = world.population.asker(q);
      std::unordered_set<std::uint32_t> seen;
      for (const auto& [distance, l] : to_landmarks(world.sketcher.sketch(asked), gets)) seen.insert(of[l].begin(), of[l].end());
      const std::vector<std::uint32_t> all(seen.begin(), seen.end());
      recall += overlap(world.truth(asked), all);
      candidates += static_cast<double>(all.size());
    }
    const auto n = static_cast<double>(world.options.lookups);
    std::printf("  %2zu gets: %7.0f candidates, %.3f (fullest bucket %zu)\n", gets, candidates / n, recall / n, largest);
  }
}

// ---- Is the nearest the best?

/// What of expected_accuracy() is in use.
struct Terms {
  bool evidence = true, recall = true, nearness = true, noise = false;
  double recall_power = 0.5;
};
double expected(const metadata::Need& need, const Fingerprint& other, const Terms& terms) {
  double sum = 0, weight = 0;
  const Fingerprint& mine = need.experience;
  for (std::size_t c = 0; c < mine.classes; ++c) {
    const double m = mine.count[c], n = other.count[c];
    if (!(m > 0)) continue;
    weight += m;
    if (!(n > 0)) continue;
    const double apart = metadata::class_distance(mine, other, c);
    double norm = 0;
    for (std::size_t d = 0; d < other.dimensions; ++d) {
      const double v = other.joint[c * other.dimensions + d] * other.scale[c] / other.prior(c);
      norm += v * v;
    }
    const double noise = terms.noise ? (1 / n + 1 / m) * std::max(0.0, 1 - norm) : 0;
    sum += m * (terms.evidence ? n / (n + 10) : 1) * (terms.recall ? std::pow(other.accuracy[c], terms.recall_power) : 1) *
           (terms.nearness ? std::exp(-std::max(0.0, apart * apart - noise) / 0.2) : 1);
  }
  return weight > 0 ? sum / weight : 0;
}

/// Of a thousand nodes the best on some samples is partly the luckiest. So the samples that come next are dealt into two
/// halves; whoever is best on one is scored on the other, and the other way round. The asker itself can only choose by the
/// window that it has seen.
void measure_best(World& world, Graph& graph, const Buckets& buckets) {
  std::vector<std::unique_ptr<learner::Model>> models;
  const auto classes = static_cast<std::uint32_t>(world.population.task().classes.size());
  for (std::size_t i = 0; i < world.size(); ++i) {
    auto model = learner::make_model({.family = "softmax", .features = Population::kModelDimensions, .classes = classes, .params = {}});
    // What it would publish of its recall: predict, then learn.
    std::vector<double> seen(classes), right(classes);
    for (const auto& sample : world.population.samples_of_node(i)) {
      const auto c = static_cast<std::size_t>(sample.y);
      ++seen[c];
      right[c] += (*model)->predict_then_learn(sample.x, sample.y) == sample.y;
    }
    for (std::size_t c = 0; c < classes; ++c) {
      world.fingerprints[i].accuracy[c] = static_cast<float>(seen[c] > 0 ? right[c] / seen[c] : 0);
    }
    models.push_back(std::move(*model));
  }
  constexpr std::size_t kWindow = 100, kJudged = 1000;
  struct Score {
    std::array<double, 2> half{};
    double window = 0;
    double all() const { return (half[0] + half[1]) / 2; }
  };
  struct Order {
    const char* name;
    std::function<double(const metadata::Need&, const Fingerprint&)> place;  // lower is better
    double first = 0, luckiest = 0, best = 0, tried = 0;
  };
  const auto by = [](const Terms& terms) {
    return [terms](const metadata::Need& need, const Fingerprint& other) { return -expected(need, other, terms); };
  };
  std::vector<Order> orders;
  const auto order = [&](const char* name, auto place) { orders.push_back({.name = name, .place = place}); };
  order("joint distance", [](const auto& need, const auto& other) { return metadata::joint_distance(need.experience, other); });
  order("distance of class means", [](const auto& need, const auto& other) { return metadata::need_distance(need, other); });
  order("that less recall", [](const auto& need, const auto& other) {
    double recall = 0;
    for (std::size_t c = 0; c < other.classes; ++c) recall += need.experience.prior(c) * static_cast<double>(other.accuracy[c]);
    return metadata::need_distance(need, other) - recall;
  });
  order("expected_accuracy", [](const auto& need, const auto& other) { return -metadata::expected_accuracy(need, other); });
  order("  without evidence", by({.evidence = false}));
  order("  without recall", by({.recall = false}));
  order("  recall, not its root", by({.recall_power = 1}));
  order("  without nearness", by({.nearness = false}));
  order("  less what is chance", by({.noise = true}));
  Asker asker(world, graph, buckets, nullptr);
  Random random(world.options.seed);
  std::vector<Score> scores(world.size());
  double luckiest = 0, best = 0, tried = 0, any = 0, fetched = 0;
  // Whom the samples of one half, or the window, would choose; and what comes of it.
  const auto held_out = [&](std::span<const std::uint32_t> of) {
    double sum = 0;
    for (const std::size_t h : {0u, 1u}) {
      const auto chosen = *std::max_element(of.begin(), of.end(), [&](auto a, auto b) { return scores[a].half[h] < scores[b].half[h]; });
      sum += scores[chosen].half[1 - h] / 2;
    }
    return sum;
  };
  const auto by_window = [&](std::span<const std::uint32_t> of) {
    return scores[*std::max_element(of.begin(), of.end(), [&](auto a, auto b) { return scores[a].window < scores[b].window; })].all();
  };
  const auto highest = [&](std::span<const std::uint32_t> of) {
    double top = 0;
    for (const auto node : of) top = std::max(top, scores[node].all());
    return top;
  };
  std::vector<std::uint32_t> everybody(world.size());
  std::iota(everybody.begin(), everybody.end(), 0u);
  for (std::size_t q = 0; q < world.options.lookups; ++q) {
    const auto samples = world.population.samples_of_asker(q, kWindow + kJudged);
    for (std::size_t i = 0; i < world.size(); ++i) {
      std::array<double, 3> right{}, of{};
      for (std::size_t k = 0; k < samples.size(); ++k) {
        const std::size_t part = k < kWindow ? 2 : k % 2;
        right[part] += models[i]->predict(samples[k].x) == samples[k].y;
        ++of[part];
      }
      scores[i] = {{right[0] / of[0], right[1] / of[1]}, right[2] / of[2]};
    }
    const auto who = static_cast<std::uint32_t>(random.below(world.size()));
    const metadata::Need need{world.population.asker(q), {}, metadata::By::joint};
    auto found = asker.ask(who, need.experience, {.name = "", .gets = 4}).fetched;
    luckiest += highest(everybody);
    best += held_out(everybody);
    tried += by_window(everybody);
    any += scores[who].all();
    fetched += held_out(found);
    for (auto& o : orders) {
      std::stable_sort(found.begin(), found.end(), [&](auto a, auto b) {
        return o.place(need, world.fingerprints[a]) < o.place(need, world.fingerprints[b]);
      });
      const auto five = std::span<const std::uint32_t>(found).first(std::min<std::size_t>(5, found.size()));
      o.first += scores[found[0]].all();
      o.luckiest += highest(five);
      o.best += held_out(five);
      o.tried += by_window(five);
    }
  }
  const auto n = static_cast<double>(world.options.lookups);
  std::printf("\naccuracy on the asker's next samples               first  chosen on one half,  on all of them  by the asker's\n"
              "                                                          scored on the other  (the luckiest)  window\n");
  const auto line = [&](const char* name, double first, double half, double lucky, double window) {
    std::printf("  %-46s %6.3f   %6.3f               %6.3f          %6.3f\n", name, first / n, half / n, lucky / n, window / n);
  };
  line("of all nodes (first: one at random)", any, best, luckiest, tried);
  std::printf("  of all that were fetched                                %6.3f\n  of the first five by\n", fetched / n);
  for (const auto& o : orders) line(o.name, o.first, o.best, o.luckiest, o.tried);
}

int run(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: bench_index DATA [set=mnist|fashion|beijing|ton_iot] [nodes=N] [mode=sketch,walk,load,rivals,best] "
                         "[seed=N] [lookups=N] [questions=N] [fetches=N] "
                         "[settled=N] [cover=PERCENT] [hints=N] [anybody=N] [known=N] [approaching=N] [around=N] [near=N] [per_level=N] [far=N] [rounds=N]\nDATA: the folder with mnist/, beijing_air/, ton_iot/\n");
    return 2;
  }
  Options options;
  options.data = argv[1];
  for (int i = 2; i < argc; ++i) {
    const std::string text = argv[i];
    const auto equals = text.find('=');
    const std::string name = text.substr(0, equals), value = equals == std::string::npos ? "" : text.substr(equals + 1);
    const auto number = std::strtoull(value.c_str(), nullptr, 10);
    if (name == "set") options.set = value;
    else if (name == "mode") options.mode = value;
    else if (name == "nodes") options.nodes = number;
    else if (name == "lookups") options.lookups = number;
    else if (name == "questions") options.questions = number;
    else if (name == "fetches") options.fetches = number;
    else if (name == "seed") options.seed = number;
    else if (name == "rounds") options.rounds = number;
    else if (name == "settled") options.settled = number;
    else if (name == "full") options.full = std::strtod(value.c_str(), nullptr);
    else if (name == "deeper") options.deeper = number;
    else if (name == "probes") options.probes = number;
    else if (name == "known") options.known = number;
    else if (name == "cover") options.cover = number;
    else if (name == "hints") options.hints = number;
    else if (name == "anybody") options.anybody = number;
    else if (name == "approaching") options.approaching = number;
    else if (name == "around") options.around = number;
    else if (name == "near") options.roles.near = number;
    else if (name == "per_level") options.roles.per_level = number;
    else if (name == "far") options.roles.far = number;
    else {
      std::fprintf(stderr, "bench_index: unknown argument \"%s\"\n", argv[i]);
      return 2;
    }
  }
  auto population = Population::load({.data = options.data, .name = options.set, .seed = options.seed, .models = options.has("best")});
  if (!population) {
    std::fprintf(stderr, "bench_index: %s\n", population.error().text().c_str());
    return 1;
  }
  World world(*population, options);
  if (options.has("sketch")) measure_sketches(world);
  if (options.has("rivals")) measure_rivals(world);
  if (options.has("walk") || options.has("load") || options.has("best")) {
    Graph graph(world);
    graph.grow();
    const Buckets buckets(world);
    if (options.has("walk")) measure_walk(world, graph, buckets);
    if (options.has("load")) measure_load(world, graph, buckets);
    if (options.has("best")) measure_best(world, graph, buckets);
  }
  return 0;
}

}  // namespace
}  // namespace p2p::directory::bench

int main(int argc, char** argv) { return p2p::directory::bench::run(argc, argv); }
