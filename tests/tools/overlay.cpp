#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <set>

#include "metadata/base/random.hpp"
#include "metadata/record.hpp"
#include "tests/tools/files.hpp"
#include "tools/cli/experience.hpp"
#include "tools/cli/overlay_json.hpp"
#include "tools/cli/overlay_map.hpp"
#include "tools/cli/overlay_places.hpp"
#include "tools/cli/overlay_survey.hpp"

namespace p2p::tools {
namespace {

using Catch::Matchers::Contains;
using metadata::By;
using metadata::Place;

metadata::Task task_of(std::size_t classes, std::uint32_t columns = 2) {
  metadata::Task task;
  task.name = "small";
  task.features = {{.name = "x", .count = columns, .minimum = 0, .maximum = 10}};
  for (std::size_t c = 0; c < classes; ++c) task.classes.push_back(fmt::format("c{}", c));
  task.family = "perceptron";
  task.bandwidth = 1;
  return task;
}

TEST_CASE("a bucket's name is read back as the same bucket", "[tools]") {
  const auto task = task_of(3);
  for (const Place& place :
       {Place{Place::Kind::joint, 0, 0, 0}, Place{Place::Kind::joint, 1, 24, (1u << 24) - 1}, Place{Place::Kind::marginal, 0, 3, 5},
        Place{Place::Kind::label, 2, 0, 0}}) {
    const auto read = parse_place(place_text(place, task), task);
    REQUIRE(read);
    CHECK(*read == place);
  }
}

TEST_CASE("what is no bucket is refused with a sentence that says what one is called", "[tools]") {
  const auto task = task_of(3);
  for (const char* text : {"", "joint", "joint/0/3", "joint/0/3/8", "joint/0/1/0", "joint/2/0/0", "joint/0/27/0", "joint/0/3/-1",
                           "joint/0/3/5/", "joint//3/5", "marginal/1/0/0", "label/", "label/c3", "label", "lable/c1", "joint/0/3/5x",
                           "joint/0/3/99999999999999999999"}) {
    INFO(text);
    const auto read = parse_place(text, task);
    REQUIRE_FALSE(read);
    CHECK(read.error().code == ErrorCode::invalid_argument);
    CHECK_THAT(read.error().message, Contains("label/CLASS") && Contains("multiple of 3"));
  }
}

TEST_CASE("classes 64 apart share a bucket, and it names all of them", "[tools]") {
  const auto task = task_of(140);
  const auto place = parse_place("label/c70", task);
  REQUIRE(place);
  CHECK(place_text(*place, task) == "label/c6");
  CHECK(classes_of(*place, task) == std::vector<std::string>{"c6", "c70", "c134"});
  CHECK(classes_of(*parse_place("joint/0/0/0", task), task).empty());
  CHECK(classes_of(*parse_place("label/c2", task_of(3)), task_of(3)) == std::vector<std::string>{"c2"});
}

TEST_CASE("a key is told from a name, in either case", "[tools]") {
  CHECK(parse_key(std::string(40, 'a')));
  CHECK(parse_key("00FFaa0000000000000000000000000000000000") == parse_key("00ffAA0000000000000000000000000000000000"));
  for (const auto& text : {std::string(39, 'a'), std::string(41, 'a'), std::string(40, 'g'), std::string(), std::string("joint/0/0/0")}) {
    CHECK_FALSE(parse_key(text));
  }
}

TEST_CASE("a bucket is found by its key: shallow ones always, deep ones if they are named", "[tools]") {
  const auto task = task_of(3);
  const auto tag = metadata::tag(metadata::id(task));
  for (const Place& place : {Place{Place::Kind::joint, 1, 0, 0}, Place{Place::Kind::marginal, 0, 12, 4095},
                             Place{Place::Kind::joint, 0, 9, 77}, Place{Place::Kind::label, 1, 0, 0}}) {
    CHECK(find_place(metadata::place_key(tag, place), task, {}) == place);
  }
  const Place deep{Place::Kind::joint, 0, 15, 30'000};
  CHECK_FALSE(find_place(metadata::place_key(tag, deep), task, {}));
  CHECK(find_place(metadata::place_key(tag, deep), task, std::vector{deep}) == deep);
  const auto other = metadata::tag(metadata::id(task_of(4)));
  CHECK_FALSE(find_place(metadata::place_key(other, deep), task, std::vector{deep}));
}

TEST_CASE("the eight buckets below one are the eighths of its arc", "[tools]") {
  CHECK(ring_position(0, 0) == 0);
  CHECK(ring_position(0b1, 3) == 0.5);
  CHECK(ring_position(0b110, 3) == 0.375);
  for (const std::uint32_t above : {0u, 3u, 7u}) {
    std::set<double> eighths;
    for (std::uint32_t i = 0; i < 8; ++i) {
      const double offset = (ring_position(above | i << 3, 6) - ring_position(above, 3)) * 64;
      CHECK(offset == std::floor(offset));
      eighths.insert(offset);
    }
    CHECK(eighths == std::set<double>{0, 1, 2, 3, 4, 5, 6, 7});
  }
}

// ---- What is asked

metadata::Fingerprint experience(const metadata::Task& task, std::uint64_t seed = 1) {
  metadata::FingerprintBuilder builder(
      {.dimensions = task.embedding_dimensions, .classes = static_cast<std::uint32_t>(task.classes.size()), .half_life = 0});
  Random random(seed);
  std::vector<float> phi(task.embedding_dimensions);
  for (int i = 0; i < 200; ++i) {
    for (auto& value : phi) value = static_cast<float>(random.uniform() - 0.5);
    builder.add(phi, static_cast<std::int32_t>(random.below(task.classes.size())), true);
  }
  return builder.build();
}

Json sent(const metadata::Need& need) { return Json::parse(to_line(need_json(need))); }

TEST_CASE("a need travels over the control socket and arrives as it was", "[tools]") {
  const auto task = task_of(5);
  const auto own = experience(task, 2);
  for (const auto& need : {metadata::Need{experience(task), {}, By::joint}, metadata::Need{experience(task), {}, By::marginal},
                           metadata::Need{experience(task), {0, 4}, By::classes}}) {
    const auto read = parse_need(sent(need), task, own);
    REQUIRE(read);
    CHECK(read->by == need.by);
    CHECK(read->classes == need.classes);
    CHECK(read->experience == need.experience);
  }
  const auto blank = parse_need(Json{{"by", "classes"}, {"classes", {1}}}, task, own);
  REQUIRE(blank);
  CHECK(blank->experience.samples() == 0);
  CHECK(blank->experience.classes == 5);
  CHECK(parse_need(Json::object(), task, own)->experience == own);
}

TEST_CASE("the longest need of a large task fits the line that the control socket takes for it", "[tools]") {
  auto task = task_of(1000);
  task.embedding_dimensions = 256;
  metadata::Need need{metadata::FingerprintBuilder({.dimensions = 256, .classes = 1000, .half_life = 0}).build(), {}, By::classes};
  for (std::int32_t c = 0; c < 1000; ++c) need.classes.push_back(c);
  std::fill(need.experience.count.begin(), need.experience.count.end(), 1.0f);
  std::fill(need.experience.joint.begin(), need.experience.joint.end(), std::int8_t{1});
  std::fill(need.experience.scale.begin(), need.experience.scale.end(), 1.0f);
  auto request = need_json(need);
  request["command"] = "overlay_lookup";
  request["want"] = 64;
  request["deadline_ms"] = 60000.0;
  const auto line = to_line(request);
  CHECK(line.size() > 64 * 1024);
  CHECK(line.size() <= longest_need(task));
  CHECK(parse_need(Json::parse(line), task, {}));
}

TEST_CASE("a need that does not fit the task is refused", "[tools]") {
  const auto task = task_of(5);
  const auto own = experience(task);
  const auto refused = [&](const Json& request) {
    const auto read = parse_need(request, task, own);
    return !read && (read.error().code == ErrorCode::invalid_argument || read.error().code == ErrorCode::malformed);
  };
  auto wide = task_of(5);
  wide.embedding_dimensions = 64;
  CHECK(refused(sent({experience(wide), {}, By::joint})));
  CHECK(refused(sent({experience(task_of(4)), {}, By::joint})));
  CHECK(refused(sent({experience(task_of(6)), {}, By::joint})));
  CHECK(refused(Json{{"fingerprint", "zz"}}));
  CHECK(refused(Json{{"fingerprint", "abc"}}));
  CHECK(refused(Json{{"fingerprint", 3}}));
  CHECK(refused(Json{{"fingerprint", ""}}));
  CHECK(refused(Json{{"by", "name"}}));
  CHECK(refused(Json{{"by", 1}}));
  CHECK(refused(Json{{"by", "classes"}}));
  CHECK(refused(Json{{"by", "classes"}, {"classes", Json::array()}}));
  CHECK(refused(Json{{"classes", {5}}}));
  CHECK(refused(Json{{"classes", {-1}}}));
  CHECK(refused(Json{{"classes", {"c1"}}}));
  CHECK(refused(Json{{"classes", {1.5}}}));
  CHECK(refused(Json{{"classes", 1}}));
  CHECK(refused(Json{{"classes", {0, 1, 2, 3, 4, 0}}}));
  CHECK_FALSE(parse_need(Json::object(), task, metadata::FingerprintBuilder({.dimensions = 32, .classes = 5, .half_life = 0}).build()));
}

// ---- Samples

TEST_CASE("samples of a file become the fingerprint that a node would have of them", "[tools]") {
  const test::TemporaryDirectory dir;
  const auto task = task_of(2);
  std::string text = "a,b,y\n", bare = "a,b\n", other = "a,b,y\n";
  for (int i = 0; i < 50; ++i) {
    text += std::to_string(i % 10) + ",5," + (i % 10 < 5 ? "c0" : "c1") + "\n";
    bare += std::to_string(i % 10) + ",5\n";
    other += std::to_string(i % 10) + ",1," + (i % 10 < 5 ? "c1" : "c0") + "\n";
  }
  const auto read = [&](const std::string& content, bool labelled, std::uint64_t samples = 0) {
    return read_experience({.data = {.path = dir.write("x.csv", content)}, .labelled = labelled, .samples = samples}, task);
  };
  const auto all = read(text, true);
  REQUIRE(all);
  CHECK(all->samples == 50);
  CHECK(all->fingerprint.count == std::vector<float>{25, 25});
  CHECK(metadata::joint_distance(all->fingerprint, read(text + ",,\n", true)->fingerprint) == 0);
  CHECK(metadata::joint_distance(all->fingerprint, read(other, true)->fingerprint) > 0.3);
  CHECK(read(text, true, 10)->samples == 10);
  CHECK(read(text + "1,1,\n", true)->unlabelled == 1);
  // Inputs alone: the same with and without a column of labels.
  const auto inputs = read(text, false), unlabelled = read(bare, false);
  REQUIRE(inputs);
  REQUIRE(unlabelled);
  CHECK(unlabelled->samples == 50);
  CHECK(metadata::marginal_distance(inputs->fingerprint, unlabelled->fingerprint) < 1e-6);
  CHECK(metadata::marginal_distance(all->fingerprint, unlabelled->fingerprint) < 0.01);
}

TEST_CASE("samples that do not fit the task are refused with their place", "[tools]") {
  const test::TemporaryDirectory dir;
  const auto task = task_of(2);
  const auto refusal = [&](const std::string& content, bool labelled = true) {
    const auto read = read_experience({.data = {.path = dir.write("x.csv", content)}, .labelled = labelled}, task);
    return read ? std::string("accepted") : read.error().text();
  };
  CHECK_THAT(refusal("a,b,y\n1,2,c9\n"), Contains("x.csv, line 2") && Contains("c9"));
  CHECK_THAT(refusal("a,b,c,y\n1,2,3,c1\n"), Contains("x.csv, line 2"));
  CHECK_THAT(refusal("a,b,y\n1,2,\n"), Contains("--unlabelled"));
  CHECK_THAT(refusal("a,b\n", false), Contains("no sample"));
  CHECK_FALSE(read_experience({.data = {.path = dir / "none.csv"}}, task));
}

// ---- The survey

/// A table of buckets that answers as a node does.
struct Buckets {
  metadata::Task task = task_of(3);
  std::map<std::string, std::pair<std::size_t, double>> held;  // entries, crowd
  std::set<std::string> silent;
  std::vector<std::string> asked;

  ReadBucket reader() {
    return [this](const std::string& name) -> tl::expected<Json, Refusal> {
      asked.push_back(name);
      if (silent.contains(name)) return tl::unexpected(Refusal{{ErrorCode::timeout, "late", {}}, Context::answer});
      const auto found = held.find(name);
      const auto [entries, crowd] = found == held.end() ? std::pair<std::size_t, double>{0, 0} : found->second;
      Json list = Json::array();
      for (std::size_t i = 0; i < entries; ++i) {
        list.push_back(Json{{"id", fmt::format("{} {}", name, i)}, {"prefixes", Json{{"joint/0", i}, {"joint/1", 0}, {"marginal/0", 0}}}});
      }
      return Json{{"bucket", name}, {"entries", list}, {"crowd", crowd}};
    };
  }
  tl::expected<Survey, Refusal> look(const SurveyPlan& plan) {
    return survey(plan, task, reader(), [](std::size_t, std::size_t) {});
  }
};

TEST_CASE("a survey goes deeper where more belong than are listed, and nowhere else", "[tools]") {
  Buckets table;
  table.held = {{"joint/0/0/0", {8, 40}}, {"joint/0/3/2", {8, 30}}, {"joint/0/3/5", {3, 3}}, {"joint/0/6/10", {7, 7}}};
  const auto found = table.look({.tables = {0}, .labels = true});
  REQUIRE(found);
  CHECK(table.asked.size() == 3 + 1 + 8 + 8);
  CHECK(found->buckets.size() == table.asked.size());
  CHECK(std::set<std::string>(table.asked.begin(), table.asked.end()).size() == table.asked.size());
  CHECK(std::count(table.asked.begin(), table.asked.end(), "joint/0/6/10") == 1);  // prefix 2 and 1 << 3
  CHECK(found->unread == 0);
}

TEST_CASE("a survey reads no more buckets than it may, and says how many were left", "[tools]") {
  Buckets table;
  table.held = {{"joint/0/0/0", {8, 40}}};
  const auto found = table.look({.tables = {0, 1}, .labels = false, .most = 4});
  REQUIRE(found);
  CHECK(table.asked.size() == 4);
  CHECK(found->unread == 10 - 4);
}

TEST_CASE("a bucket that looks empty is opened where somebody is known to be below it", "[tools]") {
  Buckets table;
  SurveyPlan plan{.tables = {0}, .labels = false};
  complete(plan, Json{{"buckets", {Json{{"bucket", "joint/0/6/1"}, {"depth", 6}}, Json{{"bucket", "joint/1/9/1"}, {"depth", 9}}}}},
           Json{{"nodes", {Json{{"prefixes", Json{{"joint/0", 0b101'010}, {"joint/1", 0}, {"marginal/0", 0}}}}}},
                {"prefixes", nullptr}});
  CHECK(plan.depth[0] == 6);
  CHECK(plan.known[0] == std::vector<std::uint32_t>{0b101'010});
  const auto found = table.look(plan);
  REQUIRE(found);
  CHECK(table.asked.size() == 1 + 8 + 8);
  CHECK(std::count(table.asked.begin(), table.asked.end(), "joint/0/6/42") == 1);
}

TEST_CASE("a bucket that does not come is told and passed over, but not the first", "[tools]") {
  Buckets table;
  table.held = {{"joint/0/0/0", {8, 40}}};
  table.silent = {"joint/0/3/4"};
  const auto found = table.look({.tables = {0}, .labels = false});
  REQUIRE(found);
  CHECK(found->failed == std::vector<std::string>{"joint/0/3/4"});
  CHECK(found->buckets.size() == 8);
  table.silent = {"joint/0/0/0"};
  const auto none = table.look({.tables = {0}, .labels = false});
  REQUIRE_FALSE(none);
  CHECK(none.error().error.code == ErrorCode::timeout);
}

// ---- The map

Json routing() { return Json{{"good_nodes", 5}, {"known_nodes", 7}}; }

OverlayMap drawn(Buckets& table) {
  Json nodes{{"nodes", Json::array()}, {"prefixes", Json{{"joint/0", 1}, {"joint/1", 0}, {"marginal/0", 0}}},
             {"routing", routing()}, {"estimated_nodes", 12.0}};
  for (const bool near : {true, false}) {
    nodes["nodes"].push_back(Json{{"id", near ? "near<&" : "far"}, {"endpoint", "127.0.0.1:1"}, {"near", near},
                                  {"distance", near ? Json(0.25) : Json(nullptr)}, {"heard_ago_s", near ? 1.0 : 400.0},
                                  {"prefixes", Json{{"joint/0", near ? 1 : 0}, {"joint/1", 0}, {"marginal/0", 0}}}});
  }
  const auto found = table.look({.tables = {0}, .labels = true});
  REQUIRE(found);
  return make_map("me", 0, nodes, *found, table.task);
}

TEST_CASE("the map shows each bucket where it lies, hot ones as hot, and gaps", "[tools]") {
  Buckets table;
  table.held = {{"joint/0/0/0", {3, 40}}, {"joint/0/3/1", {20, 20}}, {"joint/0/3/2", {12, 12}}, {"label/c1", {4, 4}}};
  const auto map = drawn(table);
  CHECK(map.own == 0.5);
  CHECK(map.labels.size() == 3);
  const auto text = map_text(map);
  CHECK_THAT(text, Contains(fmt::format("depth 0  |{:3<64}|", "")));
  // Prefix 1 begins at a half, prefix 2 at a quarter.
  CHECK_THAT(text, Contains(fmt::format("depth 3  |{0:.<16}{0:+<8}{0:.<8}{0:#<8}{0:.<24}|", "")));
  CHECK_THAT(text, Contains(fmt::format("near     |{0:.<32}1{0:.<31}|", "")));
  CHECK_THAT(text, Contains(fmt::format("itself   |{0: <32}^", "")));
  CHECK_THAT(text, Contains("c1 4") && Contains("5 of 7 known nodes") && Contains("joint/0/3/1 lists 20") && Contains("hot buckets: 1 of 25"));
  CHECK_THAT(text, Contains("2 contacts, 1 of them near; 1 not heard"));
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find('\n', at), text.size());
    CHECK(end - at <= 120);
    at = end + 1;
  }
}

TEST_CASE("the map as SVG has an arc for each bucket, and names are escaped", "[tools]") {
  Buckets table;
  table.held = {{"joint/0/0/0", {3, 40}}, {"joint/0/3/1", {20, 20}}};
  const auto map = drawn(table);
  const auto svg = map_svg(map);
  const auto count = [&](const std::string& what) {
    std::size_t out = 0;
    for (auto at = svg.find(what); at != std::string::npos; at = svg.find(what, at + 1)) ++out;
    return out;
  };
  CHECK(count("<path class=\"hot\"") == 1);
  CHECK(count("<path class=\"few\"") == 1);
  CHECK(count("<path class=\"none\"") == 7 + 8);
  CHECK(count("<circle class=\"far silent\"") == 1);
  CHECK_THAT(svg, Contains("near&lt;&amp;") && !Contains("near<&") && !Contains("nan"));
  CHECK(svg.rfind("</svg>") != std::string::npos);
}

TEST_CASE("the map of a table where nobody is listed says so", "[tools]") {
  Buckets table;
  OverlayMap map;
  map.table = "joint/0";
  CHECK_THAT(map_text(map), Contains("Nobody is listed in this table."));
  CHECK_THAT(map_svg(map), Contains("</svg>"));
  map.unread = 3;
  CHECK_THAT(map_text(map), Contains("3 buckets were left unread"));
}

}  // namespace
}  // namespace p2p::tools
