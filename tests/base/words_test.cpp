#include "metadata/base/words.hpp"

#include <catch2/catch.hpp>

#include <cstdint>

using namespace p2p;

TEST_CASE("one thing is named in the singular, none and several in the plural", "[base]") {
  CHECK(counted(1, "node") == "1 node");
  CHECK(counted(0, "node") == "0 nodes");
  CHECK(counted(std::uint64_t{2}, "node") == "2 nodes");
  CHECK(counted(1u, "entry", "entries") == "1 entry");
  CHECK(counted(21u, "entry", "entries") == "21 entries");
  CHECK(plural(1, "belongs", "belong") == "belongs");
  CHECK(plural(2, "belongs", "belong") == "belong");
}

TEST_CASE("two words are as far apart as the slips of the keyboard between them", "[base]") {
  CHECK(edit_distance("", "") == 0);
  CHECK(edit_distance("abc", "") == 3);
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance("rate", "rtae") == 1);
}
