// FORMAT.md's worked example is the golden file: its bytes are read from there and compared.
#include <catch2/catch.hpp>
#include <fstream>
#include <map>
#include <sstream>

#include "metadata/codec.hpp"
#include "tests/metadata/examples.hpp"

using p2p::Bytes;
using p2p::to_hex;
using namespace p2p::metadata;
using namespace p2p::metadata::testing;

namespace {

/// The blocks "```hex NAME ... ```" of FORMAT.md; what follows a '#' in a line is comment.
std::map<std::string, std::string> examples() {
  std::ifstream file(P2P_FORMAT_MD);
  REQUIRE(file);
  std::map<std::string, std::string> out;
  std::string line, name;
  while (std::getline(file, line)) {
    if (line.rfind("```hex ", 0) == 0) {
      name = line.substr(7);
      REQUIRE(out.count(name) == 0);
      out[name];
    } else if (line == "```") {
      name.clear();
    } else if (!name.empty()) {
      for (const char c : line.substr(0, line.find('#'))) {
        if (c != ' ') out[name] += c;
      }
    }
  }
  return out;
}

Bytes bytes_of(const std::map<std::string, std::string>& all, const std::string& name) {
  INFO(name);
  REQUIRE(all.count(name) == 1);
  const auto bytes = p2p::from_hex(all.at(name));
  REQUIRE(bytes);
  return *bytes;
}

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
  expect("place-key", place_key(entry.task, entry.place));
  expect("twin-key", text_key(twin_name(entry.node)));
  CHECK(all.size() == 9);
}

TEST_CASE("this build reads the bytes of FORMAT.md's example") {
  const auto all = examples();
  CHECK(decode_task(bytes_of(all, "task")) == example_task());
  CHECK(decode_task(bytes_of(all, "second-task")) == flow_task());
  CHECK(decode_fingerprint(bytes_of(all, "fingerprint"), 3) == example_fingerprint());
  CHECK(open_entry(bytes_of(all, "entry")) == example_entry());
  const auto description = open_description(bytes_of(all, "description"), 3);
  REQUIRE(description);
  CHECK(description->fingerprint == example_fingerprint());
  CHECK(description->version == kExampleTime);
}

TEST_CASE("the planes of the index do not change between builds: the example's sketch and places") {
  const Index index(id(example_task()), 2, 3, {});
  const auto all = index.publish_places(example_fingerprint());
  std::vector<std::uint32_t> prefixes;
  for (const auto& place : all) {
    if (place.kind == Place::Kind::joint) prefixes.push_back(place.prefix);
  }
  CHECK(to_hex(index.sketch(example_fingerprint()).bits) == "a03cdd508c2f77f4fbf489f151b94f03e91ea01444ab16850725769c832c7608");
  CHECK(prefixes == std::vector<std::uint32_t>{2, 0, 0, 1});
}
