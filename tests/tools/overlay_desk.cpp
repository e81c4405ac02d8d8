#include "tools/cli/overlay_desk.hpp"

#include <catch2/catch.hpp>

#include "tools/cli/overlay_json.hpp"

namespace p2p::tools {
namespace {

using std::chrono_literals::operator""s;
using std::chrono_literals::operator""ms;

metadata::Task small_task() {
  metadata::Task task;
  task.name = "small";
  task.features = {{.name = "x", .count = 2, .minimum = 0, .maximum = 10}};
  task.classes = {"a", "b"};
  task.family = "perceptron";
  task.bandwidth = 1;
  return task;
}

/// A node that is the first of its overlay, and its desk.
struct Alone {
  metadata::Task task = small_task();
  std::unique_ptr<host::EdgeNode> node;
  std::optional<OverlayDesk> desk;

  Alone() {
    host::EdgeNodeOptions options;
    options.task = task;
    options.network = "test of the desk";
    auto started = host::EdgeNode::start(options);
    REQUIRE(started);
    node = std::move(*started);
    desk.emplace(*node, task);
  }
  Result<Json> ask(std::string_view command, const Json& more = Json::object()) {
    return desk->answer(command, Json::parse(to_line(more)));
  }
};

const Json kWhoKnowsA{{"by", "classes"}, {"classes", {0}}};

TEST_CASE("the desk gives the task that hashes to its id", "[tools]") {
  Alone alone;
  const auto answer = alone.ask("task");
  REQUIRE(answer);
  const auto task = metadata::parse_task((*answer)["task"].get<std::string>(), "answer");
  REQUIRE(task);
  CHECK(to_hex(metadata::id(*task).view()) == (*answer)["id"]);
  CHECK(*task == alone.task);
  CHECK(alone.ask("overlay_dance").error().code == ErrorCode::invalid_argument);
}

TEST_CASE("a lookup is over once, and then forgotten", "[tools]") {
  Alone alone;
  const auto begun = alone.ask("overlay_lookup", kWhoKnowsA);
  REQUIRE(begun);
  CHECK(alone.desk->open() == 1);
  Result<Json> answer = Json{{"over", false}};
  const auto latest = OverlayDesk::Clock::now() + 20s;
  while (answer && (*answer)["over"] == false && OverlayDesk::Clock::now() < latest) answer = alone.ask("overlay_poll", *begun);
  REQUIRE(answer);
  CHECK((*answer)["over"] == true);
  CHECK((*answer)["candidates"].empty());
  CHECK((*answer)["cost"].contains("gets"));
  CHECK(alone.desk->open() == 0);
  CHECK(alone.ask("overlay_poll", *begun).error().code == ErrorCode::not_found);
  CHECK(alone.ask("overlay_end", *begun).error().code == ErrorCode::not_found);
}

TEST_CASE("a watch that nobody polls ends, one that is polled stays", "[tools]") {
  Alone alone;
  const auto forgotten = alone.ask("overlay_watch", kWhoKnowsA), polled = alone.ask("overlay_watch", kWhoKnowsA);
  REQUIRE(forgotten);
  REQUIRE(polled);
  const auto now = OverlayDesk::Clock::now();
  alone.desk->drop_forgotten(now);
  CHECK(alone.desk->open() == 2);
  while (OverlayDesk::Clock::now() - now < 2ms) {
  }
  REQUIRE(alone.ask("overlay_poll", *polled));
  alone.desk->drop_forgotten(now + OverlayDesk::kForgottenAfter + 1ms);
  CHECK(alone.desk->open() == 1);
  CHECK(alone.ask("overlay_poll", *forgotten).error().code == ErrorCode::not_found);
  CHECK(alone.ask("overlay_poll", *polled));
  CHECK(alone.ask("overlay_end", *polled));
  CHECK(alone.desk->open() == 0);
}

TEST_CASE("the desk holds so many inquiries and no more, and room comes back", "[tools]") {
  Alone alone;
  Json last;
  for (std::size_t i = 0; i < OverlayDesk::kMost; ++i) {
    const auto begun = alone.ask("overlay_watch", kWhoKnowsA);
    REQUIRE(begun);
    last = *begun;
  }
  CHECK(alone.ask("overlay_watch", kWhoKnowsA).error().code == ErrorCode::limit_exceeded);
  CHECK(alone.ask("overlay_lookup", kWhoKnowsA).error().code == ErrorCode::limit_exceeded);
  CHECK(alone.desk->open() == OverlayDesk::kMost);
  REQUIRE(alone.ask("overlay_end", last));
  CHECK(alone.ask("overlay_watch", kWhoKnowsA));
}

}  // namespace
}  // namespace p2p::tools
