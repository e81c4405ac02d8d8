#include "overlay/host/snapshot_writer.hpp"

#include <thread>

#include <catch2/catch.hpp>

#include "tests/host/temporary_directory.hpp"

using namespace p2p;
using namespace p2p::testing;
using host::SnapshotWriter;

TEST_CASE("What waits is written before the writer goes") {
  TemporaryDirectory directory;
  {
    SnapshotWriter writer(directory / "snapshot");
    writer.write_later(1, {1, 2, 3});
  }
  CHECK(contents(directory / "snapshot") == Bytes{1, 2, 3});
}

TEST_CASE("An older snapshot never replaces a newer one, whoever writes last") {
  TemporaryDirectory directory;
  SnapshotWriter writer(directory / "snapshot");
  REQUIRE(writer.write_now(5, {5}).has_value());
  REQUIRE(writer.write_now(4, {4}).has_value());
  CHECK(contents(directory / "snapshot") == Bytes{5});
  for (std::uint64_t order = 6; order < 200; ++order) {
    writer.write_later(order, {static_cast<std::uint8_t>(order)});
    if (order % 3 == 0) REQUIRE(writer.write_now(order + 1, {static_cast<std::uint8_t>(order + 1)}).has_value());
    const auto on_disk = contents(directory / "snapshot");
    REQUIRE(on_disk.size() == 1);
    if (order % 3 == 0) REQUIRE(on_disk[0] == order + 1);
  }
}

TEST_CASE("A write that fails is told, leaves the former file, and the next one is tried as usual") {
  TemporaryDirectory directory;
  const auto inner = directory / "state";
  std::filesystem::create_directory(inner);
  SnapshotWriter writer(inner + "/snapshot");
  REQUIRE(writer.write_now(1, {1}).has_value());
  CHECK(writer.last_error().empty());
  std::filesystem::rename(inner, directory / "elsewhere");
  const auto failed = writer.write_now(2, {2});
  REQUIRE_FALSE(failed.has_value());
  CHECK_FALSE(writer.last_error().empty());
  CHECK(contents(directory / "elsewhere/snapshot") == Bytes{1});
  std::filesystem::rename(directory / "elsewhere", inner);
  REQUIRE(writer.write_now(3, {3}).has_value());
  CHECK(writer.last_error().empty());
  CHECK(contents(inner + "/snapshot") == Bytes{3});
}
