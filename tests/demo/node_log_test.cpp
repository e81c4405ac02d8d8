#include "tools/demo_cmd/node_log.hpp"

#include <catch2/catch.hpp>

using namespace p2p;
using namespace p2p::tools;

namespace {

std::string event(const std::string& kind, std::uint64_t id, const std::string& rest) {
  return R"({"type":"event","event":")" + kind + R"(","samples":1520,"text":"words","drift":{"id":)" +
         std::to_string(id) + R"(,"detected_at":1510,"cause":"new_class","classes":["bag"])" + rest + "}}";
}

}  // namespace

TEST_CASE("A node's life is gathered from its lines") {
  NodeLog log;
  REQUIRE(log.add(
      R"({"type":"ready","name":"n1","id":"ab12","dht":"127.0.0.1:4","link":"127.0.0.1:5","task":"t","control":"/x"})"));
  CHECK(log.ready);
  CHECK(log.dht == "127.0.0.1:4");
  CHECK(log.control == "/x");
  REQUIRE(log.add(R"({"type":"correctness","from":0,"node":"0110","twin":"0011"})"));
  REQUIRE(log.add(R"({"type":"correctness","from":4,"node":"11","twin":"00"})"));
  CHECK(log.node == Hits{0, 1, 1, 0, 1, 1});
  CHECK(log.twin == Hits{0, 0, 1, 1, 0, 0});
  REQUIRE(log.add(
      R"({"type":"progress","samples":6,"windowed_accuracy":0.5,"twin_windowed_accuracy":null,"phase":"learning","peers":7})"));
  CHECK(log.samples == 6);
  CHECK(log.windowed == 0.5);
  CHECK(log.twin_windowed == 0);
  CHECK(log.peers == 7);
  REQUIRE(log.add(R"({"type":"end","samples":6})"));
  CHECK(log.at_end);
  REQUIRE(log.add(
      R"({"type":"summary","traffic":{"chunk":100,"link":7},"overlay":{"sent_bytes":5,"received_bytes":6},"rss_bytes":9,"threads":4,"cpu_s":1.5,"drifts":[]})"));
  CHECK(log.cost.traffic.at("chunk") == 100);
  CHECK(log.cost.dht_sent == 5);
  CHECK(log.cost.threads == 4);
}

TEST_CASE("The events of one drift make one story, closed by its verdict") {
  NodeLog log;
  REQUIRE(log.add(event("drift_detected", 3, R"(,"helper":null)")));
  REQUIRE(log.stories.size() == 1);
  CHECK(log.stories[0].open);
  REQUIRE(log.add(event("lookup_done", 3, R"(,"lookup_ms":12.5,"gets":16,"candidates":4)")));
  REQUIRE(log.add(event(
      "merged", 3,
      R"(,"accepted":true,"blocks":2,"bytes_pulled":4000,"helper":"ab","detect_to_merge_ms":300.0,"merged_at":1550,"lookup_ms":12.5)")));
  REQUIRE(log.stories.size() == 1);
  CHECK_FALSE(log.stories[0].open);
  CHECK(log.stories[0].accepted);
  CHECK(log.stories[0].lookup_ms == 12.5);
  CHECK(log.stories[0].detect_to_merge_ms == 300);
  CHECK(log.stories[0].classes == std::vector<std::string>{"bag"});
  REQUIRE(log.add(event("drift_detected", 4, "")));
  CHECK(log.stories.size() == 2);
  CHECK(log.take_news().size() == 4);
  CHECK(log.take_news().empty());
}

TEST_CASE("What is no line of a node is refused and changes nothing") {
  NodeLog log;
  CHECK_FALSE(log.add("garbage"));
  CHECK_FALSE(log.add("[1,2]"));
  CHECK_FALSE(log.add(R"({"type":"correctness","from":0,"node":"01","twin":"0"})"));
  CHECK_FALSE(log.add(R"({"type":"correctness","from":5,"node":"01","twin":"01"})"));
  CHECK_FALSE(log.add(R"({"type":"correctness","from":0,"node":"0x","twin":"01"})"));
  CHECK(log.node.empty());
  // Another type of value where a number belongs is read as nothing, not thrown at.
  CHECK(log.add(R"({"type":"progress","samples":"many","phase":7})"));
  CHECK(log.samples == 0);
  CHECK(log.add(R"({"type":"something newer"})"));
}
