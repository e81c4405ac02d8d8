// Every decoder of the room against damaged bytes: it says no, or gives a value that it would itself write.
#include <catch2/catch.hpp>
#include <cmath>
#include <functional>

#include "metadata/codec.hpp"
#include "tests/metadata/examples.hpp"

using p2p::Bytes;
using p2p::ByteView;
using p2p::Random;
using namespace p2p::metadata;
using namespace p2p::metadata::testing;

namespace {

struct Decoder {
  const char* name;
  Bytes valid;
  /// Decodes; true when it accepted. What it accepts is checked inside.
  std::function<bool(ByteView)> decode;
  /// Must a change of any bit be refused? (Signed, or canonical and hashed.)
  bool sealed;
};

/// Whatever an entry says, what is computed from it is a number within bounds.
void check_entry(const Entry& entry) {
  const Sketch mine = example_entry().sketch;
  REQUIRE(std::isfinite(joint_distance(mine, entry.sketch)));
  REQUIRE(std::isfinite(marginal_distance(mine, entry.sketch)));
  for (const By by : {By::joint, By::marginal, By::classes}) {
    const double apart = remoteness({by, mine, 7, false}, entry.sketch, entry.knows());
    REQUIRE(std::isfinite(apart));
    REQUIRE(apart >= 0);
  }
  REQUIRE(entry.recall.size() <= Entry::kMaxListedClasses);
  for (std::int32_t c = -1; c < 130; ++c) {
    REQUIRE(entry.listed_recall(c) >= 0);
    REQUIRE(entry.listed_recall(c) <= 1);
  }
  REQUIRE(connectable(entry.endpoint));
  REQUIRE(connectable(entry.table_endpoint()));
}

std::vector<Decoder> decoders() {
  return {
      {"document", canonical(example_task()),
       [](ByteView bytes) {
         const auto document = Document::parse(bytes, {});
         if (!document) return false;
         // Walks all of it, so that a sanitizer sees every reference that it holds.
         std::size_t sum = 0;
         const std::function<void(Value)> walk = [&](Value v) {
           if (const auto text = v.text()) {
             for (const char c : *text) sum += static_cast<unsigned char>(c);
           }
           if (const auto binary = v.binary()) {
             for (const auto b : *binary) sum += b;
           }
           for (std::size_t i = 0; i < v.size(); ++i) {
             if (v.kind() == Value::Kind::array) walk(v[i]);
             if (v.kind() == Value::Kind::map) {
               walk(v.entry(i).first);
               walk(v.entry(i).second);
             }
           }
         };
         walk(document->root());
         return true;
       },
       false},
      {"task", canonical(example_task()),
       [](ByteView bytes) {
         const auto task = decode_task(bytes);
         if (!task) return false;
         const Bytes again = canonical(*task);
         REQUIRE(std::equal(again.begin(), again.end(), bytes.begin(), bytes.end()));
         REQUIRE(parse_task(to_toml(*task), "again") == *task);
         return true;
       },
       false},
      {"task file", [] {
         const auto text = to_toml(example_task());
         return Bytes(text.begin(), text.end());
       }(),
       [](ByteView bytes) {
         const auto task = parse_task(p2p::to_string(bytes), "hostile");
         if (task) REQUIRE(decode_task(canonical(*task)) == *task);
         return task.has_value();
       },
       false},
      {"fingerprint", encode(example_fingerprint()),
       [](ByteView bytes) {
         const auto f = decode_fingerprint(bytes, 3);
         if (!f) return false;
         REQUIRE(decode_fingerprint(encode(*f), 3) == *f);
         REQUIRE(f->joint.size() == std::size_t{f->dimensions} * f->classes);
         REQUIRE(std::isfinite(f->samples()));
         REQUIRE(std::isfinite(f->overall_accuracy()));
         return true;
       },
       false},
      {"entry", seal(example_entry(), example_key()),
       [](ByteView bytes) {
         const auto peeked = peek_entry(bytes);
         if (peeked) check_entry(*peeked);
         const auto entry = open_entry(bytes);
         if (entry) REQUIRE(*entry == *peeked);
         return entry.has_value();
       },
       true},
      {"listing", pack(example_listing()),
       [](ByteView bytes) {
         const auto listing = unpack_listing(bytes);
         if (listing) {
           REQUIRE(valid(listing->place));
           const auto entry = peek_entry(listing->entry);
           if (entry && listing->place.kind != Place::Kind::label) REQUIRE(belongs(*entry, listing->place));
           if (entry) check_entry(*entry);
         }
         const Entry e = example_entry();
         const StoreCheck check{place_key(e.task, example_place()), bytes, bytes, e.version};
         return may_store(check).has_value();
       },
       true},
      {"description", seal(example_description(), example_key()),
       [](ByteView bytes) { return open_description(bytes, 3).has_value(); }, true},
      {"key", [] {
         const auto pem = example_key().to_pem();
         return Bytes(pem.begin(), pem.end());
       }(),
       [](ByteView bytes) {
         const auto key = KeyPair::from_pem(p2p::to_string(bytes));
         if (key) REQUIRE(verify(key->id(), p2p::view("x"), key->sign(p2p::view("x"))));
         return key.has_value();
       },
       false},
      {"endpoint", [] {
         const auto text = example_entry().endpoint.text();
         return Bytes(text.begin(), text.end());
       }(),
       [](ByteView bytes) {
         const auto endpoint = parse_endpoint(p2p::to_string(bytes));
         if (endpoint) REQUIRE(parse_endpoint(endpoint->text()) == *endpoint);
         return endpoint.has_value();
       },
       false},
      {"node id", [] {
         const auto text = example_key().id().hex();
         return Bytes(text.begin(), text.end());
       }(),
       [](ByteView bytes) { return parse_node_id(p2p::to_string(bytes)).has_value(); }, false},
  };
}

}  // namespace

TEST_CASE("every decoder takes what was encoded for it") {
  for (const auto& d : decoders()) {
    INFO(d.name);
    CHECK(d.decode(d.valid));
  }
}

TEST_CASE("packed bytes cut short anywhere are refused; a text may end early only where a shorter one is whole") {
  for (const auto& d : decoders()) {
    const std::string name = d.name;
    const bool text = name == "task file" || name == "endpoint" || name == "key";
    for (std::size_t size = 0; size < d.valid.size(); ++size) {
      INFO(name << " cut to " << size << " of " << d.valid.size());
      const Bytes cut(d.valid.begin(), d.valid.begin() + static_cast<std::ptrdiff_t>(size));  // exact heap size
      const bool accepted = d.decode(cut);
      if (!text) REQUIRE_FALSE(accepted);
    }
    Bytes longer = d.valid;
    longer.push_back(0);
    if (!text) CHECK_FALSE(d.decode(longer));
  }
}

TEST_CASE("every single flipped bit of a signed record is noticed, and none hurts any other decoder") {
  for (const auto& d : decoders()) {
    for (std::size_t bit = 0; bit < d.valid.size() * 8; ++bit) {
      INFO(d.name << ", bit " << bit);
      Bytes bytes = d.valid;
      bytes[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
      const bool accepted = d.decode(bytes);
      if (d.sealed) REQUIRE_FALSE(accepted);
    }
  }
}

TEST_CASE("bytes overwritten with what msgpack makes the most of are survived") {
  // Headers that claim the largest sizes, and numbers that are not finite.
  const std::vector<Bytes> nasty = {
      {0xdd, 0xff, 0xff, 0xff, 0xff}, {0xdf, 0x7f, 0xff, 0xff, 0xff}, {0xc6, 0xff, 0xff, 0xff, 0xff},
      {0xdb, 0x00, 0xff, 0xff, 0xff}, {0xc9, 0xff, 0xff, 0xff, 0xff}, {0xca, 0x7f, 0xc0, 0x00, 0x00},
      {0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0}, {0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
      {0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0}, {0x91, 0x91, 0x91, 0x91, 0x91, 0x91}, {0xc1}, {0x00, 0x00, 0xc0, 0x7f},
      {0x00, 0x00, 0x80, 0xff}};
  for (const auto& d : decoders()) {
    for (std::size_t at = 0; at < d.valid.size(); ++at) {
      for (const auto& patch : nasty) {
        INFO(d.name << ", " << p2p::to_hex(patch) << " at " << at);
        Bytes bytes = d.valid;
        for (std::size_t i = 0; i < patch.size() && at + i < bytes.size(); ++i) bytes[at + i] = patch[i];
        const bool accepted = d.decode(bytes);
        if (d.sealed && bytes != d.valid) REQUIRE_FALSE(accepted);
      }
    }
  }
}

TEST_CASE("random bytes and random splices are survived") {
  const auto seed = test_seed();
  P2P_SHOW_SEED(seed);
  Random random(seed);
  const auto all = decoders();
  for (int round = 0; round < 3000; ++round) {
    const auto& d = all[random.below(all.size())];
    const auto& donor = all[random.below(all.size())].valid;
    Bytes bytes = d.valid;
    if (random.below(4) == 0) {
      bytes.resize(random.below(200));
      for (auto& b : bytes) b = static_cast<std::uint8_t>(random.next());
    }
    for (auto n = random.below(4); n > 0; --n) {
      const auto from = random.below(donor.size());
      const auto size = random.below(donor.size() - from + 1);
      const auto at = random.below(bytes.size() + 1);
      bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(at), donor.begin() + static_cast<std::ptrdiff_t>(from),
                   donor.begin() + static_cast<std::ptrdiff_t>(from + size));
    }
    INFO(d.name << ": " << p2p::to_hex(bytes));
    const bool accepted = d.decode(bytes);
    if (d.sealed && bytes != d.valid) REQUIRE_FALSE(accepted);
  }
}
