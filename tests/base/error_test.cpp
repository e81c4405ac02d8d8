#include "metadata/base/error.hpp"

#include <catch2/catch.hpp>
#include <set>

using p2p::ErrorCode;

TEST_CASE("every error code has a name of its own") {
  std::set<std::string_view> names;
  for (int code = 0; code <= static_cast<int>(ErrorCode::unavailable); ++code) {
    names.insert(p2p::name(static_cast<ErrorCode>(code)));
  }
  CHECK(names.size() == static_cast<std::size_t>(ErrorCode::unavailable) + 1);
  CHECK(names.count("unknown") == 0);
}

TEST_CASE("an error's text shows its cause in brackets, and no brackets without one") {
  CHECK(p2p::Error{ErrorCode::io, "cannot write", "disk on fire"}.text() == "cannot write (disk on fire)");
  CHECK(p2p::Error{ErrorCode::io, "cannot write", ""}.text() == "cannot write");
}

TEST_CASE("fail makes the error side of a result") {
  const p2p::Result<int> result = p2p::fail(ErrorCode::timeout, "too late");
  REQUIRE_FALSE(result);
  CHECK(result.error().code == ErrorCode::timeout);
}
