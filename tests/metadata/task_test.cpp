#include "metadata/task.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "metadata/codec.hpp"
#include "tests/metadata/examples.hpp"

using p2p::Bytes;
using p2p::ErrorCode;
using namespace p2p::metadata;
using p2p::metadata::testing::example_task;
using p2p::metadata::testing::flow_task;

namespace {

constexpr const char* kPump = R"(name = "pump"
classes = ["idle", "running", "worn"]

[[features]]
name = "vibration"
count = 3
minimum = 0
maximum = 4.0

[[features]]
name = "valve"
kind = "categorical"
categories = 3

[model]
family = "rff"
seed = 1
bandwidth = 0.5
[model.params]
dimensions = 128

[embedding]
dimensions = 2
)";

/// kPump with one passage replaced.
std::string pump(std::string_view from, std::string_view to) {
  std::string text = kPump;
  const auto at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

std::string refusal(const std::string& toml, const char* source = "pump.toml") {
  const auto task = parse_task(toml, source);
  REQUIRE_FALSE(task);
  CHECK(task.error().code == ErrorCode::invalid_argument);
  return task.error().message;
}

using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

}  // namespace

TEST_CASE("a task file reads as the task that it describes") {
  const auto task = parse_task(kPump, "pump.toml");
  REQUIRE(task);
  CHECK(*task == example_task());
  CHECK(task->raw_features() == 4);
  CHECK(task->scaled_features() == 6);
  CHECK(task->class_index("worn") == 2);
  CHECK(task->class_index("Worn") == -1);
}

TEST_CASE("kind, count, range, seed, params and the embedding may be left out") {
  const auto task = parse_task(R"(
name = "least"
classes = ["no", "yes"]
[[features]]
name = "x"
[model]
family = "orf"
bandwidth = 1
)",
                               "least.toml");
  REQUIRE(task);
  CHECK(task->features[0] == FeatureGroup{.name = "x"});
  CHECK(task->seed == 1);
  CHECK(task->params.empty());
  CHECK(task->embedding_dimensions == 32);
}

TEST_CASE("comments, order and layout of the file do not change the task's id; every value does") {
  const auto base = id(*parse_task(kPump, "a"));
  CHECK(id(*parse_task("# a comment\n" + std::string(kPump), "b")) == base);
  CHECK(id(*parse_task(pump("minimum = 0\nmaximum = 4.0", "maximum = 4\nminimum = -0.0"), "c")) == base);
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"\"pump\"", "\"pumq\""},
           {"\"worn\"", "\"torn\""},
           {"\"idle\", \"running\"", "\"running\", \"idle\""},
           {"\"vibration\"", "\"vibrations\""},
           {"count = 3", "count = 4"},
           {"minimum = 0", "minimum = 1e-300"},
           {"maximum = 4.0", "maximum = 4.0000000000000009"},
           {"categories = 3", "categories = 4"},
           {"\"rff\"", "\"orf\""},
           {"seed = 1", "seed = 2"},
           {"bandwidth = 0.5", "bandwidth = 0.25"},
           {"dimensions = 128", "dimensions = 129"},
           {"dimensions = 128", "dimension = 128"},
           {"dimensions = 2\n", "dimensions = 3\n"}}) {
    INFO(from << " -> " << to);
    const auto other = parse_task(pump(from, to), "d");
    REQUIRE(other);
    CHECK(id(*other) != base);
  }
}

TEST_CASE("an unknown key is refused with its line and the key that was probably meant") {
  CHECK(refusal(pump("classes =", "clases =")) ==
        "pump.toml:2: unknown key 'clases'; did you mean 'classes'?");
  CHECK(refusal(pump("count = 3", "cuont = 3")) ==
        "pump.toml:6: unknown key 'cuont' in [features[0]]; did you mean 'count'?");
  CHECK(refusal(pump("bandwidth =", "bandwith =")) ==
        "pump.toml:18: unknown key 'bandwith' in [model]; did you mean 'bandwidth'?");
  CHECK(refusal(pump("seed = 1", "zzzzzz = 1")) ==
        "pump.toml:17: unknown key 'zzzzzz' in [model]; known are 'family', 'seed', 'bandwidth', 'params'");
}

TEST_CASE("a missing key is named, with the line of what it is missing from") {
  CHECK(refusal(pump("name = \"pump\"\n", "")) == "pump.toml:1: 'name' is missing");
  CHECK(refusal(pump("family = \"rff\"\n", "")) == "pump.toml:15: 'model.family' is missing");
  CHECK(refusal(pump("bandwidth = 0.5\n", "")) == "pump.toml:15: 'model.bandwidth' is missing");
  CHECK(refusal(pump("name = \"vibration\"\n", "")) == "pump.toml:4: 'features[0].name' is missing");
  CHECK(refusal(pump("categories = 3\n", "")) == "pump.toml:10: 'features[1].categories' is missing");
  CHECK(refusal("") == "pump.toml:1: 'name' is missing");
}

TEST_CASE("a value of a wrong type is refused with what it should be and what it is") {
  CHECK(refusal(pump("\"pump\"", "7")) == "pump.toml:1: 'name' must be a text in quotes, but is a whole number");
  CHECK(refusal(pump("count = 3", "count = 3.0")) ==
        "pump.toml:6: 'features[0].count' must be a whole number, but is a number");
  CHECK(refusal(pump("count = 3", "count = \"3\"")) ==
        "pump.toml:6: 'features[0].count' must be a whole number, but is a text");
  CHECK(refusal(pump("[\"idle\", \"running\", \"worn\"]", "\"idle\"")) ==
        "pump.toml:2: 'classes' must be an array of texts, but is a text");
  CHECK(refusal(pump("\"running\"", "true")) ==
        "pump.toml:2: 'classes[1]' must be a text in quotes, but is true or false");
  CHECK(refusal(pump("dimensions = 128", "dimensions = \"many\"")) ==
        "pump.toml:20: 'model.params.dimensions' must be a number, but is a text");
  CHECK(refusal(pump("[embedding]\ndimensions = 2", "[[embedding]]\ndimensions = 2")) ==
        "pump.toml:22: 'embedding' must be a table, but is an array");
  CHECK(refusal(pump("[[features]]\nname = \"vibration\"\ncount = 3\nminimum = 0\nmaximum = 4.0\n\n"
                     "[[features]]\nname = \"valve\"\nkind = \"categorical\"\ncategories = 3\n",
                     "features = [1]\n")) ==
        "pump.toml:4: 'features[0]' must be a table: [[features]], but is a whole number");
}

TEST_CASE("an impossible value is refused with its line and what would be right") {
  const struct {
    const char *from, *to, *line, *says;
  } cases[] = {
      {"\"pump\"", "\"\"", "pump.toml:1:", "must not be empty"},
      {"\"pump\"", "\"a\\u0007b\"", "pump.toml:1:", "control characters"},
      {"[\"idle\", \"running\", \"worn\"]", "[\"idle\"]", "pump.toml:2:", "must name 2 to 1024 classes"},
      {"\"worn\"", "\"idle\"", "pump.toml:2:", "is the second class named 'idle'"},
      {"count = 3", "count = 0", "pump.toml:6:", "must be 1 to 65536"},
      {"count = 3", "count = -1", "pump.toml:6:", "must be 0 to 4294967295"},
      {"count = 3", "count = 65536", "pump.toml:", "more than 65536 scaled columns"},
      {"maximum = 4.0", "maximum = 0.0", "pump.toml:8:", "must be larger than the minimum"},
      {"maximum = 4.0", "maximum = nan", "pump.toml:8:", "must be a finite number"},
      {"minimum = 0", "minimum = -inf", "pump.toml:7:", "must be a finite number"},
      {"minimum = 0\nmaximum = 4.0", "minimum = -1e308\nmaximum = 1e308", "pump.toml:8:", "too far"},
      {"minimum = 0\nmaximum = 4.0", "minimum = 0\nmaximum = 1e-310", "pump.toml:8:", "too near"},
      {"\"valve\"", "\"vibration\"", "pump.toml:11:", "second group named 'vibration'"},
      {"\"categorical\"", "\"categoric\"", "pump.toml:12:", "did you mean 'categorical'?"},
      {"categories = 3", "categories = 1", "pump.toml:13:", "must be 2 to 65536"},
      {"categories = 3", "categories = 3\nminimum = 0", "pump.toml:14:", "has no minimum or maximum"},
      {"maximum = 4.0", "categories = 4", "pump.toml:8:", "numeric group has no categories"},
      {"seed = 1", "seed = -1", "pump.toml:17:", "must be 0 to 9223372036854775807"},
      {"bandwidth = 0.5", "bandwidth = 0", "pump.toml:18:", "must be a finite number above 0"},
      {"bandwidth = 0.5", "bandwidth = inf", "pump.toml:18:", "must be a finite number above 0"},
      {"dimensions = 128", "dimensions = nan", "pump.toml:20:", "must be a finite number"},
      {"dimensions = 2\n", "dimensions = 0\n", "pump.toml:23:", "must be 1 to 256"},
      {"dimensions = 2\n", "dimensions = 257\n", "pump.toml:23:", "must be 1 to 256"},
  };
  for (const auto& c : cases) {
    INFO(c.from << " -> " << c.to);
    const auto message = refusal(pump(c.from, c.to));
    CHECK_THAT(message, StartsWith(c.line));
    CHECK_THAT(message, Contains(c.says));
  }
}

TEST_CASE("what is not TOML is refused with the line where it stops being TOML") {
  CHECK_THAT(refusal(pump("count = 3", "count = ")), StartsWith("pump.toml:6: this is not TOML: "));
  CHECK_THAT(refusal(pump("seed = 1", "seed = 1\nseed = 2")), StartsWith("pump.toml:18: this is not TOML: "));
  CHECK_THAT(refusal("name = \"\xff\""), Contains("not TOML"));
  const auto deep = "x = " + std::string(100000, '[');
  CHECK_THAT(refusal(deep), Contains("not TOML"));
  const auto large = parse_task(std::string(kMaxTaskBytes + 1, '#'), "pump.toml");
  REQUIRE_FALSE(large);
  CHECK(large.error().code == ErrorCode::limit_exceeded);
}

TEST_CASE("a task written as TOML reads back as the same task") {
  CHECK(*parse_task(to_toml(example_task()), "again") == example_task());
  Task odd = example_task();
  odd.name = "quotes \" and \\ and käse";
  odd.classes = {"a\"b", "\\", "ü"};
  odd.features[0].minimum = -1.0 / 3;
  odd.features[0].maximum = 1e300;
  odd.params = {{"a.b", 0.1}, {"with space", -1e-9}, {"x", 5}};
  odd.bandwidth = 0.1 + 0.2;
  odd.seed = 9223372036854775807ull;
  const auto again = parse_task(to_toml(odd), "again");
  REQUIRE(again);
  CHECK(*again == odd);
  odd.params.clear();
  CHECK(*parse_task(to_toml(odd), "again") == odd);
}

TEST_CASE("a task survives its canonical form, and its id is that form's hash") {
  const Bytes bytes = canonical(example_task());
  CHECK(decode_task(bytes) == example_task());
  CHECK(id(example_task()) == sha256(bytes));
}

TEST_CASE("a task in any but its canonical form is refused, so that it has one id") {
  // Each is a decent msgpack form of a task, with one thing written in another way.
  const auto written = [](const std::function<void(Encoder&)>& params, double minimum) {
    Encoder out;
    out.array(9).integer(1).text("t").array(1).array(5).text("x").integer(0).integer(1).real(minimum).real(1);
    out.array(2).text("a").text("b").text("f");
    params(out);
    out.integer(1).real(1).integer(2);
    return out.take();
  };
  const auto sorted = [](Encoder& out) { out.map(2).text("a").real(1).text("b").real(2); };
  REQUIRE(decode_task(written(sorted, 0)));
  const auto refused = [](const Bytes& bytes) {
    const auto task = decode_task(bytes);
    REQUIRE_FALSE(task);
    return task.error().code;
  };
  CHECK(refused(written([](Encoder& out) { out.map(2).text("b").real(2).text("a").real(1); }, 0)) ==
        ErrorCode::malformed);
  CHECK(refused(written([](Encoder& out) { out.map(2).text("a").real(1).text("a").real(1); }, 0)) ==
        ErrorCode::malformed);
  CHECK(refused(written([](Encoder& out) { out.map(2).text("a").integer(1).text("b").real(2); }, 0)) ==
        ErrorCode::malformed);
  CHECK(refused(written(sorted, -0.0)) == ErrorCode::malformed);
}

TEST_CASE("a task of a newer format is told from a damaged one") {
  Bytes bytes = canonical(example_task());
  bytes[1] = 3;
  REQUIRE_FALSE(decode_task(bytes));
  CHECK(decode_task(bytes).error().code == ErrorCode::version);
  bytes[1] = 0xc0;
  CHECK(decode_task(bytes).error().code == ErrorCode::malformed);
}

TEST_CASE("a task has the second format if and only if it needs it") {
  Bytes plain = canonical(example_task()), named = canonical(flow_task());
  CHECK(plain[1] == 1);
  CHECK(named[1] == 2);
  REQUIRE(decode_task(named));
  CHECK(*decode_task(named) == flow_task());
  plain[1] = 2;
  named[1] = 1;
  for (const auto& bytes : {plain, named}) {
    REQUIRE_FALSE(decode_task(bytes));
    CHECK(decode_task(bytes).error().code == ErrorCode::malformed);
  }
  Task only_missing = flow_task(), only_names = flow_task();
  only_missing.features.pop_back();
  only_names.features.erase(only_names.features.begin());
  for (const auto& task : {only_missing, only_names}) {
    CHECK(canonical(task)[1] == 2);
    CHECK(decode_task(canonical(task)) == task);
  }
}

TEST_CASE("scaling maps each numeric column's range to 0 .. 1, without a clamp at its ends, and categories to one-hot") {
  const Task task = example_task();
  std::vector<float> out(6, 9.f);
  REQUIRE(task.scale(std::vector<float>{0, 2, 8, 1}, out));
  CHECK(out == std::vector<float>{0, 0.5f, 2, 0, 1, 0});
}

TEST_CASE("an absurd number counts as ten thousand ranges away, so that no weight learns from more") {
  std::vector<float> out(6);
  REQUIRE(example_task().scale(std::vector<float>{-1e30f, 2e30f, 4, 1}, out));
  CHECK(out == std::vector<float>{-1e4f, 1e4f, 1, 0, 1, 0});
}

TEST_CASE("a missing value becomes zero after scaling and no category at all") {
  const Task task = [] {
    Task t = example_task();
    t.features[0].minimum = -4;
    return t;
  }();
  const float missing = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> out(6, 9.f);
  REQUIRE(task.scale(std::vector<float>{missing, 0, 4, missing}, out));
  CHECK(out == std::vector<float>{0, 0.5f, 1, 0, 0, 0});
}

TEST_CASE("a sample that cannot be is refused with the name of the column") {
  const Task task = example_task();
  std::vector<float> out(6);
  const auto message = [&](std::vector<float> raw) {
    const auto result = task.scale(raw, out);
    REQUIRE_FALSE(result);
    CHECK(result.error().code == ErrorCode::invalid_argument);
    return result.error().message;
  };
  const float infinity = std::numeric_limits<float>::infinity();
  CHECK_THAT(message({0, infinity, 0, 0}), Contains("'vibration[1]'"));
  CHECK_THAT(message({0, 0, -infinity, 0}), Contains("'vibration[2]'"));
  CHECK_THAT(message({0, 0, 0, 3}), Contains("'valve'") && Contains("0 to 2"));
  CHECK_THAT(message({0, 0, 0, -1}), Contains("'valve'"));
  CHECK_THAT(message({0, 0, 0, 0.5f}), Contains("'valve'"));
  CHECK_THAT(message({0, 0, 0, infinity}), Contains("'valve'"));
  CHECK_THAT(message({0, 0, 0}), Contains("3 values") && Contains("4 columns"));

  Task narrow = task;
  narrow.features[0].maximum = 1e-30;
  const auto result = narrow.scale(std::vector<float>{1e38f, 0, 0, 0}, out);
  REQUIRE_FALSE(result);
  CHECK_THAT(result.error().message, Contains("'vibration[0]'"));
}

namespace {

constexpr const char* kFlow = R"(name = "flow"
classes = ["normal", "scan"]

[[features]]
name = "rate"
count = 2
maximum = 8
missing = 2

[[features]]
name = "protocol"
kind = "categorical"
categories = ["icmp", "tcp", "udp"]

[model]
family = "rff"
bandwidth = 0.5
)";

std::string flow(std::string_view from, std::string_view to) {
  std::string text = kFlow;
  const auto at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("categories may have names, and a numeric group a value for what is missing") {
  const auto task = parse_task(kFlow, "flow.toml");
  REQUIRE(task);
  CHECK(*task == flow_task());
  CHECK(task->raw_features() == 3);
  CHECK(task->scaled_features() == 2 * 2 + 3);
  CHECK(*parse_task(to_toml(*task), "again") == *task);

  Task odd = flow_task();
  odd.features[0].missing = 1.0 / 3;
  odd.features[1].category_names = {"a\"b", "\\", "ü"};
  CHECK(*parse_task(to_toml(odd), "again") == odd);
  odd.features[1].category_names = {"the only one"};
  odd.features[1].categories = 1;
  CHECK(*parse_task(to_toml(odd), "again") == odd);
}

TEST_CASE("names and order of categories, and the value for what is missing, are part of the task's id") {
  const auto base = id(*parse_task(kFlow, "a"));
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"\"udp\"", "\"UDP\""},
           {"\"icmp\", \"tcp\"", "\"tcp\", \"icmp\""},
           {"[\"icmp\", \"tcp\", \"udp\"]", "3"},
           {"missing = 2", "missing = 2.5"},
           {"missing = 2\n", ""}}) {
    INFO(from << " -> " << to);
    const auto other = parse_task(flow(from, to), "b");
    REQUIRE(other);
    CHECK(id(*other) != base);
  }
  CHECK(id(*parse_task(flow("missing = 2", "missing = -0.0"), "c")) == id(*parse_task(flow("missing = 2", "missing = 0"), "d")));
}

TEST_CASE("impossible categories and values for what is missing are refused with their line") {
  const struct {
    const char *from, *to, *says;
  } cases[] = {
      {"\"udp\"", "\"tcp\"", "flow.toml:13: features[1].categories[2] is the second category named 'tcp'"},
      {"\"udp\"", "\"\"", "flow.toml:13: features[1].categories[2] must not be empty"},
      {"\"udp\"", "7", "flow.toml:13: 'features[1].categories[2]' must be a text in quotes, but is a whole number"},
      {"[\"icmp\", \"tcp\", \"udp\"]", "[]", "flow.toml:13: 'features[1].categories' must not be empty"},
      {"[\"icmp\", \"tcp\", \"udp\"]", "\"tcp\"",
       "flow.toml:13: 'features[1].categories' must be a whole number or an array of texts, but is a text"},
      {"missing = 2", "missing = 9", "flow.toml:8: features[0].missing must lie in the range, 0 to 8"},
      {"missing = 2", "missing = nan", "flow.toml:8: features[0].missing must lie in the range, 0 to 8"},
      {"missing = 2", "missing = \"2\"", "flow.toml:8: 'features[0].missing' must be a number, but is a text"},
      {"\"udp\"]", "\"udp\"]\nmissing = 1", "flow.toml:14: a categorical group needs no 'missing'"},
      {"count = 2", "count = 40000", "more than 65536 scaled columns"},
  };
  for (const auto& c : cases) {
    INFO(c.from << " -> " << c.to);
    CHECK_THAT(refusal(flow(c.from, c.to), "flow.toml"), Contains(c.says));
  }
}

TEST_CASE("a missing number becomes the neutral value, and a column of its own tells that it was missing") {
  const Task task = flow_task();
  const float missing = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> out(7, 9.f);
  REQUIRE(task.scale(std::vector<float>{4, missing, 1}, out));
  CHECK(out == std::vector<float>{0.5f, 0.25f, 0, 1, 0, 1, 0});
  REQUIRE(task.scale(std::vector<float>{missing, 8, missing}, out));
  CHECK(out == std::vector<float>{0.25f, 1, 1, 0, 0, 0, 0});
  REQUIRE(task.scale(std::vector<float>{missing, missing, 2}, out));
  CHECK(out == std::vector<float>{0.25f, 0.25f, 1, 1, 0, 0, 1});
}

TEST_CASE("a hostile list of categories is refused before room is made for it") {
  // A group that claims 2^32 - 1 categories, and one whose list is empty.
  for (const bool empty : {true, false}) {
    Encoder out;
    out.array(9).integer(2).text("t").array(1).array(4).text("x").integer(1).integer(1);
    if (empty) out.array(0);
    Bytes bytes = out.take();
    if (!empty) bytes.insert(bytes.end(), {0xdd, 0xff, 0xff, 0xff, 0xff});
    Encoder rest;
    rest.array(2).text("a").text("b").text("f").map(0).integer(1).real(1).integer(2);
    const Bytes tail = rest.take();
    bytes.insert(bytes.end(), tail.begin(), tail.end());
    REQUIRE_FALSE(decode_task(bytes));
    CHECK(decode_task(bytes).error().code == ErrorCode::malformed);
  }
}
