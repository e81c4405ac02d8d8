// The simulated hash table: values on the reachable hosts nearest to their key, with the policies of real holders.
#include <algorithm>

#include "metadata/base/error.hpp"
#include "overlay/sim/world.hpp"

namespace p2p::sim {

namespace {

constexpr std::uint64_t kQuestionBytes = 300;  // a question and its bare answer, as measured with OpenDHT
constexpr unsigned kTries = 3;
constexpr std::uint64_t kDatagramHeader = 5;   // what tells a datagram from OpenDHT's packets, and which network's it is

std::string brief(const DhtKey& key) { return to_hex(key).substr(0, 8); }

}  // namespace

Duration World::search_time() {
  Duration time{0};
  const auto range = static_cast<double>((network.latency_high - network.latency_low).count());
  for (unsigned i = 0; i < table.hops; ++i) {
    time += 2 * (network.latency_low + Duration(static_cast<std::int64_t>(random.uniform() * range)));
  }
  return time;
}

std::vector<HostState*>::iterator Members::place(const HostState& host) {
  return std::lower_bound(hosts_.begin(), hosts_.end(), &host,
                          [](const HostState* a, const HostState* b) { return a->table_id < b->table_id; });
}

void Members::add(HostState& host) { hosts_.insert(place(host), &host); }

void Members::remove(HostState& host) {
  const auto it = place(host);
  P2P_ASSERT(it != hosts_.end() && *it == &host);
  hosts_.erase(it);
}

void Members::visit_nearest(const DhtKey& key, const std::function<bool(HostState&)>& visit) const {
  const auto bit_of = [](const DhtKey& id, std::size_t bit) { return (id[bit / 8] >> (7 - bit % 8) & 1) != 0; };
  // Hosts first .. last share the first `bit` bits of their ids. False: enough.
  const auto descend = [&](const auto& self, std::size_t first, std::size_t last, std::size_t bit) -> bool {
    if (first == last) return true;
    if (last - first == 1) return visit(*hosts_[first]);
    P2P_ASSERT(bit < 8 * key.size());  // ids are hashes of keys, and no two hosts have one key
    const auto middle = static_cast<std::size_t>(
        std::partition_point(hosts_.begin() + static_cast<std::ptrdiff_t>(first),
                             hosts_.begin() + static_cast<std::ptrdiff_t>(last),
                             [&](const HostState* host) { return !bit_of(host->table_id, bit); }) -
        hosts_.begin());
    if (bit_of(key, bit)) return self(self, middle, last, bit + 1) && self(self, first, middle, bit + 1);
    return self(self, first, middle, bit + 1) && self(self, middle, last, bit + 1);
  };
  descend(descend, 0, hosts_.size(), 0);
}

void World::enrol(Run& run, std::uint64_t number) {
  auto& present = run.table.overlay_number;
  if (present == number) return;
  if (present != 0) {
    const auto it = overlays.find(present);
    it->second.remove(run.host);
    if (it->second.size() == 0) overlays.erase(it);
  }
  present = number;
  if (number != 0) overlays[number].add(run.host);
}

const Members* World::members(const Run& run) const {
  const auto it = overlays.find(run.table.overlay_number);
  return it == overlays.end() ? nullptr : &it->second;
}

std::vector<HostState*> World::holders(const HostState& asker, const DhtKey& key) {
  std::vector<HostState*> out;
  const Members* const known = members(asker.run());
  if (known == nullptr || table.holders == 0) return out;
  known->visit_nearest(key, [&](HostState& host) {
    if (reachable(asker, host)) out.push_back(&host);
    return out.size() < table.holders;
  });
  return out;
}

/// One question to one holder: there, an action, and back; lost, late and doubled as the dials say.
struct Ask : std::enable_shared_from_this<Ask> {
  Ask(World& the_world, Run& the_asker, HostState& the_holder)
      : world(the_world), asker(the_asker), holder(the_holder) {}
  World& world;
  Run& asker;
  HostState& holder;
  std::function<void(Run&)> at_holder;   // at every arrival
  std::function<void(bool)> back;        // once
  unsigned tries = 0;
  bool answered = false;

  void send() {
    ++tries;
    auto& sent = asker.table.counters;
    sent.sent_packets += 1;
    sent.sent_bytes += kQuestionBytes;
    const int copies = world.chance(world.network.duplication) ? 2 : 1;
    for (int i = 0; i < copies; ++i) {
      if (!world.chance(world.network.loss)) arrive_after(world.latency(asker.host, holder));
    }
    world.queue.at(world.queue.now() + world.table.retry, asker.owner, [self = shared_from_this()] {
      if (self->answered) return;
      if (self->tries < kTries) return self->send();
      self->answered = true;
      self->back(false);
    });
  }

 private:
  void arrive_after(Duration delay) {
    world.queue.at(world.queue.now() + delay, EventQueue::kNobody, [self = shared_from_this()] {
      World& w = self->world;
      if (!w.reachable(self->asker.host, self->holder) || !self->asker.alive) return;
      self->at_holder(self->holder.run());
      if (w.chance(w.network.loss)) return;
      w.queue.at(w.queue.now() + w.latency(self->holder, self->asker.host), self->asker.owner, [self] {
        self->asker.table.counters.received_packets += 1;
        self->asker.table.counters.received_bytes += kQuestionBytes;
        if (self->answered) return;
        self->answered = true;
        self->back(true);
      });
    });
  }
};

void HostTable::expire(const DhtKey& key) {
  const TimePoint now = run_.world.queue.now();
  if (const auto it = values.find(key); it != values.end()) {
    std::erase_if(it->second, [&](const auto& entry) { return entry.second.expires <= now; });
    if (it->second.empty()) values.erase(it);
  }
}

void HostTable::store(const DhtKey& key, const overlay::DhtValue& value, bool checked) {
  World& world = run_.world;
  expire(key);
  auto& bucket = values[key];
  const auto old = bucket.find(value.id);
  if (checked && !run_.host.liar) {
    metadata::StoreCheck check{.key = key, .bytes = value.data, .old_bytes = std::nullopt,
                               .now_ms = run_.executor.wall_ms()};
    if (old != bucket.end()) check.old_bytes = old->second.data;
    const bool room = old != bucket.end() || bucket.size() < world.table.values_per_key;
    if (const auto may = metadata::may_store(check); !may || !room) {
      world.note(run_.host, "refused to store under " + brief(key));
      if (bucket.empty()) values.erase(key);
      return;
    }
  }
  bucket[value.id] = {value.data, world.queue.now() + world.table.expiry};
}

void HostTable::join(const std::vector<std::string>& seeds) {
  if (!run_.alive) return;
  left = false;
  if (seeds.empty()) {
    if (overlay_number == 0) run_.world.enrol(run_, run_.world.next_overlay++);
    return;
  }
  run_.executor.post([this, seeds] { try_join(seeds); });
}

void HostTable::try_join(const std::vector<std::string>& seeds) {
  World& world = run_.world;
  for (const auto& seed : seeds) {
    const auto it = world.by_endpoint.find(seed);
    if (it == world.by_endpoint.end() || it->second == &run_.host) continue;
    HostState& other = *it->second;
    if (!world.reachable(run_.host, other) || other.run().table.overlay_number == 0) continue;
    const auto round_trip = world.latency(run_.host, other) + world.latency(other, run_.host);
    world.queue.at(world.queue.now() + round_trip, run_.owner, [this, &other, seeds] {
      const auto theirs = other.up() ? other.run().table.overlay_number : 0;
      if (theirs == 0) return try_join(seeds);
      const auto mine = overlay_number;
      if (mine == theirs) return;
      // Whoever knew this host learns of the others through it: two overlays become one.
      std::vector<HostState*> moving{&run_.host};
      if (const Members* const known = run_.world.members(run_)) moving = known->all();
      for (HostState* host : moving) run_.world.enrol(host->run(), theirs);
      run_.world.note(run_.host, "joined by " + other.name);
    });
    return;
  }
  world.queue.at(world.queue.now() + 1s, run_.owner, [this, seeds] { try_join(seeds); });
}

void HostTable::put(const DhtKey& key, overlay::DhtValue value, std::function<void(bool)> done) {
  if (!run_.alive) return;
  World& world = run_.world;
  world.queue.at(world.queue.now() + world.search_time(), run_.owner,
                 [this, key, value = std::move(value), done = std::move(done)] {
    World& w = run_.world;
    const auto holders = w.table.down ? std::vector<HostState*>{} : w.holders(run_.host, key);
    // A host that knows nobody has no table to put into.
    if (holders.empty() || (holders.size() == 1 && holders[0] == &run_.host)) {
      w.note(run_.host, "put failed under " + brief(key));
      return done(false);
    }
    struct Put {
      std::size_t waiting = 0;
      bool stored = false;
    };
    auto put = std::make_shared<Put>();
    put->waiting = holders.size();
    for (HostState* holder : holders) {
      auto ask = std::make_shared<Ask>(w, run_, *holder);
      counters.sent_bytes += value.data.size();
      ask->at_holder = [key, value](Run& there) { there.table.store(key, value, true); };
      ask->back = [this, put, key, done](bool ok) {
        put->stored |= ok;
        if (--put->waiting > 0) return;
        run_.world.note(run_.host, (put->stored ? "put under " : "put lost under ") + brief(key));
        done(put->stored);
      };
      ask->send();
    }
  });
}

void HostTable::get(const DhtKey& key, std::function<bool(const overlay::DhtValue&)> on_value,
                    std::function<void(bool)> done) {
  if (!run_.alive) return;
  World& world = run_.world;
  struct Get {
    std::function<bool(const overlay::DhtValue&)> on_value;
    std::function<void(bool)> done;
    std::size_t waiting = 0, values = 0;
    bool answered = false, over = false;
  };
  auto get = std::make_shared<Get>();
  get->on_value = std::move(on_value);
  get->done = std::move(done);
  world.queue.at(world.queue.now() + world.search_time(), run_.owner, [this, key, get] {
    World& w = run_.world;
    const auto holders = w.table.down ? std::vector<HostState*>{} : w.holders(run_.host, key);
    if (holders.empty() || (holders.size() == 1 && holders[0] == &run_.host)) {
      w.note(run_.host, "get failed of " + brief(key));
      return get->done(false);
    }
    get->waiting = holders.size();
    for (HostState* holder : holders) {
      auto ask = std::make_shared<Ask>(w, run_, *holder);
      // The answer as it was when the question arrived; a doubled question is answered twice.
      auto answers = std::make_shared<std::vector<overlay::DhtValue>>();
      ask->at_holder = [key, answers](Run& there) {
        there.table.expire(key);
        const auto it = there.table.values.find(key);
        if (it != there.table.values.end()) {
          for (const auto& [id, stored] : it->second) answers->push_back({id, stored.data});
        }
        if (!there.host.liar) return;
        Random& random = there.world.random;
        const std::size_t real = answers->size();
        for (std::size_t i = 0; i < real; ++i) {
          overlay::DhtValue damaged = (*answers)[i];
          if (!damaged.data.empty()) damaged.data[random.below(damaged.data.size())] ^= 1;
          answers->push_back(std::move(damaged));
        }
        overlay::DhtValue junk{random.next(), Bytes(64 + random.below(500))};
        for (auto& byte : junk.data) byte = static_cast<std::uint8_t>(random.next());
        answers->push_back(std::move(junk));
        for (const auto& [other_key, bucket] : there.table.values) {
          if (other_key == key || bucket.empty()) continue;
          answers->push_back({bucket.begin()->first, bucket.begin()->second.data});
          break;
        }
      };
      ask->back = [this, get, key, answers](bool ok) {
        get->answered |= ok;
        --get->waiting;
        if (get->over) return;
        for (std::size_t i = 0; ok && i < answers->size() && !get->over; ++i) {
          counters.received_bytes += (*answers)[i].data.size();
          ++get->values;
          if (!get->on_value((*answers)[i])) get->over = true;
        }
        if (!get->over && get->waiting > 0) return;
        get->over = true;
        run_.world.note(run_.host, "got " + std::to_string(get->values) + " of " + brief(key));
        const auto finished = std::move(get->done);
        get->on_value = nullptr;
        finished(get->answered);
      };
      ask->send();
    }
  });
}

void HostTable::put_text(const DhtKey& key, std::uint64_t id, std::string text) {
  if (!run_.alive || run_.world.table.down) return;
  for (HostState* holder : run_.world.holders(run_.host, key)) {
    auto ask = std::make_shared<Ask>(run_.world, run_, *holder);
    ask->at_holder = [key, id, text](Run& there) {
      there.table.texts[key][id] = {text,
                                    there.world.queue.now() + there.world.table.text_expiry};
    };
    ask->back = [](bool) {};
    ask->send();
  }
}

void HostTable::send(const Endpoint& to, Bytes datagram) {
  if (!run_.alive || left || datagram.size() > kMaxDatagramBytes || run_.world.table.down) return;
  World& world = run_.world;
  const std::uint64_t bytes = kDatagramHeader + datagram.size();
  counters.sent_packets += 1;
  counters.sent_bytes += bytes;
  counters.sent_datagrams += 1;
  counters.sent_datagram_bytes += bytes;
  const auto it = world.by_endpoint.find(to.text());
  if (it == world.by_endpoint.end()) return;
  HostState& from = run_.host;
  HostState& there = *it->second;
  const auto content = std::make_shared<const Bytes>(std::move(datagram));
  const int copies = world.chance(world.network.duplication) ? 2 : 1;
  for (int i = 0; i < copies; ++i) {
    if (world.chance(world.network.loss)) continue;
    // On its way it is nobody's: it arrives though its sender has crashed, and at whoever has that address then.
    world.queue.at(world.queue.now() + world.latency(from, there), EventQueue::kNobody, [&world, &from, &there, content] {
      if (!there.up() || (world.partitioned && from.group != there.group)) return;
      world.log.mix(from.index << 32 | there.index);
      there.run().table.arrive(from.endpoint, *content);
    });
  }
}

void HostTable::arrive(const Endpoint& from, ByteView datagram) {
  if (left) return;
  const std::uint64_t bytes = kDatagramHeader + datagram.size();
  counters.received_packets += 1;
  counters.received_bytes += bytes;
  counters.received_datagrams += 1;
  counters.received_datagram_bytes += bytes;
  const auto handler = datagram_handler;  // a copy: it may be replaced from inside
  if (handler) handler(from, datagram);
}

void HostTable::on_datagram(DatagramHandler handler) {
  if (run_.alive) datagram_handler = std::move(handler);
}

Endpoint HostTable::local() const { return run_.host.endpoint; }

std::vector<Endpoint> HostTable::neighbours(std::size_t most) const {
  std::vector<Endpoint> out;
  const Members* const known = run_.world.members(run_);
  if (known == nullptr || most == 0) return out;
  // Those nearest to us by id, as in a routing table's bucket.
  DhtKey own{};
  std::copy_n(run_.host.key.id().bytes.begin(), own.size(), own.begin());
  known->visit_nearest(own, [&](HostState& host) {
    if (&host != &run_.host && run_.world.reachable(run_.host, host)) out.push_back(host.run().table.local());
    return out.size() < most;
  });
  return out;
}

overlay::DhtStats HostTable::stats() const {
  overlay::DhtStats out = counters;
  const TimePoint now = run_.world.queue.now();
  for (const auto& [key, bucket] : values) {
    for (const auto& [id, stored] : bucket) {
      if (stored.expires <= now) continue;
      ++out.stored_values;
      out.stored_bytes += stored.data.size();
    }
  }
  const Members* const known = run_.world.members(run_);
  if (known == nullptr) return out;
  out.known_nodes = out.good_nodes = known->size() - 1;
  if (run_.world.partitioned) {
    out.good_nodes = static_cast<std::size_t>(
        std::count_if(known->all().begin(), known->all().end(), [&](const HostState* host) {
          return host != &run_.host && run_.world.reachable(run_.host, *host);
        }));
  }
  out.estimated_nodes = static_cast<double>(out.good_nodes + 1);
  return out;
}

void HostTable::leave(std::function<void()> done) {
  run_.world.enrol(run_, 0);
  left = true;
  datagram_handler = nullptr;
  values.clear();
  texts.clear();
  run_.executor.post(std::move(done));
}

// ---- What only a simulation can do

void Simulation::plant(const DhtKey& key, const overlay::DhtValue& value) {
  for (const auto& host : world_->hosts) {
    if (!host->up() || host->run().table.overlay_number == 0) continue;
    for (HostState* holder : world_->holders(*host, key)) {
      holder->run().table.store(key, value, false);
    }
    return;
  }
}

std::size_t Simulation::copies(const DhtKey& key) const {
  std::size_t count = 0;
  for (const auto& host : world_->hosts) {
    if (!host->up()) continue;
    auto& table = host->run().table;
    table.expire(key);
    if (const auto it = table.values.find(key); it != table.values.end()) count += it->second.size();
  }
  return count;
}

std::optional<std::string> Simulation::text(const DhtKey& key) const {
  for (const auto& host : world_->hosts) {
    if (!host->up()) continue;
    const auto it = host->run().table.texts.find(key);
    if (it == host->run().table.texts.end()) continue;
    for (const auto& [id, stored] : it->second) {
      if (stored.expires > now()) return stored.text;
    }
  }
  return std::nullopt;
}

}  // namespace p2p::sim
