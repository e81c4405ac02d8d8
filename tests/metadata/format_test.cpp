// FORMAT.md's worked example is the golden file: its bytes are read from there and compared.
#include <catch2/catch.hpp>

#include "metadata/codec.hpp"
#include "tests/metadata/examples.hpp"
#include "tests/metadata/hex_blocks.hpp"

using p2p::to_hex;
using p2p::testing::bytes_of;
using namespace p2p::metadata;
using namespace p2p::metadata::testing;

namespace {

p2p::testing::HexBlocks examples() { return p2p::testing::read_hex_blocks(P2P_FORMAT_MD); }

}  // namespace

TEST_CASE("this build writes the bytes of FORMAT.md's example") {
  const auto all = examples();
  const auto expect = [&](const std::string& name, p2p::ByteView bytes) {
    INFO(name);
    REQUIRE(all.count(name) == 1);
    CHECK(to_hex(bytes) == all.at(name));
  };
  const Entry entry = example_entry();
  expect("task", canonical(example_task()));
  expect("task-id", id(example_task()).bytes);
  expect("second-task", canonical(flow_task()));
  expect("node-id", example_key().id().bytes);
  expect("fingerprint", encode(example_fingerprint()));
  expect("entry", seal(entry, example_key()));
  expect("description", seal(example_description(), example_key()));
  expect("listing", pack(example_listing()));
  expect("sketch", entry.sketch.bytes);
  expect("outline", outline_of(entry.sketch).bytes);
  expect("place-key", place_key(entry.task, example_place()));
  expect("twin-key", text_key(twin_name(entry.node)));
  expect("presence", presence_of(example_key().id(), 7).bytes);
  CHECK(all.size() == 14);
}

TEST_CASE("this build reads the bytes of FORMAT.md's example") {
  const auto all = examples();
  CHECK(decode_task(bytes_of(all, "task")) == example_task());
  CHECK(decode_task(bytes_of(all, "second-task")) == flow_task());
  CHECK(decode_fingerprint(bytes_of(all, "fingerprint"), 3) == example_fingerprint());
  CHECK(open_entry(bytes_of(all, "entry")) == example_entry());
  CHECK(seal(example_entry(), example_key()) == unpack_listing(bytes_of(all, "listing"))->entry);
  CHECK(unpack_listing(bytes_of(all, "listing"))->place == example_place());
  const auto description = open_description(bytes_of(all, "description"), 3);
  REQUIRE(description);
  CHECK(description->fingerprint == example_fingerprint());
  CHECK(description->version == kExampleTime);
}

TEST_CASE("the first eight bytes of FORMAT.md's hash are the example's lot") {
  const auto bytes = bytes_of(examples(), "lot");
  p2p::ByteReader reader(bytes);
  const auto number = reader.get<std::uint64_t>();
  REQUIRE(reader.ok());
  CHECK(lot(example_entry().node, example_place()) == static_cast<double>(number >> 11) / 9007199254740992.0);
}

TEST_CASE("the example's sketch has the steps, levels, prefixes and length that FORMAT.md gives") {
  const Sketch sketch = example_entry().sketch;
  CHECK(sketch.bytes[0] == 118);
  CHECK(sketch.bytes[1] == 117);
  CHECK(sketch.level(0) == -17);
  CHECK(example_place().prefix == 13);
  CHECK(place_of(sketch, Place::Kind::joint, 1, 24).prefix == 0x87ea0d);
  CHECK(place_of(sketch, Place::Kind::joint, 0, 24).prefix == 0xed05da);
  CHECK(place_of(sketch, Place::Kind::marginal, 0, 24).prefix == 0xcad728);
  const Sketch none = Sketcher(example_task()).sketch(FingerprintBuilder({.dimensions = 2, .classes = 3}).build());
  CHECK(joint_distance(sketch, none) == Approx(0.778).margin(0.0005));
}

TEST_CASE("projections do not change between builds: the sketch of an embedding of several blocks") {
  Fingerprint f;
  f.dimensions = 30;
  f.classes = 11;  // 330 numbers, padded to 512
  for (int i = 0; i < 330; ++i) f.joint.push_back(static_cast<std::int8_t>((i * 37 + i / 30 * 11) % 255 - 127));
  f.scale.assign(11, 1.f / 1024);
  f.count.assign(11, 10.f);
  f.accuracy.assign(11, 0.5f);
  CHECK(to_hex(Sketcher(id(example_task()), 30, 11).sketch(f).bytes) ==
        "797dbbb8ea12794f3d291dfd9730b3106d0edcb80c9ae89d4ed249ef43f132d623e8e029da11021117e021ec37dd3916cd"
        "fc14fa30053105fbfc431c04beb3ddfe43f55ac508a805f42be4def387dce1d8d114f76f35dc06ae14ccf1b6f01340e4ee"
        "cdf6fad7e9eeb614d005041b3a08e8241835f23fe83a32f703edaafd18ef15e52700322d0e0d092dec26f933e5f5d30100"
        "d8ebf70421244fe42ac5100304d9ef");
}
