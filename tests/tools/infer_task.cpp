// A task from data, and rows coded for a task.
#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "learner/model.hpp"
#include "tests/tools/files.hpp"
#include "tools/cli/infer_task.hpp"
#include "tools/data/open_data.hpp"
#include "tools/data/row_coder.hpp"

namespace p2p::tools {
namespace {

using Catch::Matchers::Contains;

TEST_CASE("a task is inferred with ranges, sorted classes and a bandwidth of the median rule",
          "[tools]") {
  const test::TemporaryDirectory dir;
  // Two points, eight apart in the first column: scaled distance 1, so the median squared distance
  // is 1 or 0.
  std::string text = "a,b,y\n";
  for (int i = 0; i < 10; ++i) text += i % 2 == 0 ? "0,5,10\n" : "8,5,9\n";
  auto source = open_data({.path = dir.write("d.csv", text)});
  REQUIRE(source);
  const auto inferred = infer_task(*source, {.name = "t"});
  REQUIRE(inferred);
  const auto& task = inferred->task;
  CHECK(inferred->rows == 10);
  CHECK(task.classes == std::vector<std::string>{"9", "10"});
  REQUIRE(task.features.size() == 2);
  CHECK(task.features[0].minimum == 0);
  CHECK(task.features[0].maximum == 8);
  CHECK(task.features[1].maximum == 6);  // a constant column still has a range
  CHECK(task.bandwidth == Approx(2.0));
  const auto back = metadata::parse_task(metadata::to_toml(task), "t");
  REQUIRE(back);
  CHECK(metadata::id(*back) == metadata::id(task));
}

TEST_CASE("text becomes named categories, and a numeric column with gaps tells what was missing",
          "[tools]") {
  const test::TemporaryDirectory dir;
  auto source = open_data({.path = dir.write("d.csv",
                                             "rate,kind,code,port,y\n1,udp,0,80,b\n,tcp,2,443,a\n"
                                             "4,,1,80,b\n1,icmp,0,,a\n")});
  REQUIRE(source);
  const auto inferred = infer_task(*source, {.categorical = {"code", "port"}});
  INFO((inferred ? std::string() : inferred.error().text()));
  REQUIRE(inferred);
  const auto& groups = inferred->task.features;
  REQUIRE(groups.size() == 4);
  CHECK(groups[0] ==
        metadata::FeatureGroup{.name = "rate", .minimum = 1, .maximum = 4, .missing = 2});
  CHECK(groups[1].category_names == std::vector<std::string>{"icmp", "tcp", "udp"});
  CHECK(groups[2].category_names.empty());  // whole numbers from 0 are indexes already
  CHECK(groups[2].categories == 3);
  CHECK(groups[3].category_names == std::vector<std::string>{"80", "443"});
  CHECK(inferred->missing == 3);
  CHECK(inferred->task.scaled_features() == 2 + 3 + 3 + 2);
}

TEST_CASE("a row's names become indexes, by letters or by value, and unknown ones become none",
          "[tools]") {
  metadata::Task task;
  task.features = {{.name = "a"},
                   {.name = "k",
                    .kind = metadata::FeatureGroup::Kind::categorical,
                    .categories = 3,
                    .category_names = {"tcp", "1.0", "443"}}};
  RowCoder coder(task);
  const float none = std::numeric_limits<float>::quiet_NaN();
  const auto coded = [&](std::vector<float> x, std::vector<TextCell> texts) {
    Row row;
    row.x = std::move(x);
    row.texts = std::move(texts);
    REQUIRE(coder.code(row));
    return row.x[1];
  };
  CHECK(coded({0, none}, {{1, "tcp"}}) == 0);
  CHECK(coded({0, 1}, {}) == 1);
  CHECK(coded({0, 443}, {}) == 2);
  CHECK(coded({0, none}, {{1, "443"}}) == 2);
  CHECK(coder.unknown() == 0);
  CHECK(std::isnan(coded({0, none}, {{1, "udp"}})));
  CHECK(std::isnan(coded({0, 2}, {})));
  CHECK(coder.unknown() == 2);
  CHECK(coder.missing() == 0);
  CHECK(std::isnan(coded({none, none}, {})));
  CHECK(coder.missing() == 2);
  Row row;
  row.x = {none, 1};
  row.texts = {{0, "2.5"}};
  REQUIRE(coder.code(row));  // a nominal attribute of numbers, in a task that has it as numbers
  CHECK(row.x[0] == 2.5f);
  row.x = {none, 1};
  row.texts = {{0, "many"}};
  REQUIRE_FALSE(coder.code(row));
  CHECK_THAT(coder.code(row).error().text(),
             Contains("column \"a\" is \"many\", which is no number"));
  row.x = {1};
  CHECK_THAT(coder.code(row).error().text(), Contains("1 features where the task has 2"));
}

TEST_CASE("columns without names are joined where they are alike, so that a wide task stays small",
          "[tools]") {
  const test::TemporaryDirectory dir;
  auto few = open_data({.path = dir.write("few.svm", "a 1:1 3:5\nb 2:1 4:1\n")});
  REQUIRE(few);
  const auto task = infer_task(*few, {});
  REQUIRE(task);
  REQUIRE(task->task.features.size() == 3);
  CHECK(task->task.features[0] == metadata::FeatureGroup{.name = "x1", .count = 2});
  CHECK(task->task.features[1] == metadata::FeatureGroup{.name = "x3", .maximum = 5});
  CHECK(task->task.features[2] == metadata::FeatureGroup{.name = "x4"});
  std::string text;
  for (int row = 0; row < 2; ++row) {
    text += row == 0 ? "a" : "b";
    for (int i = 1; i <= 3000; ++i) text += fmt::format(" {}:{}", i, (i + row) % 7);
    text += "\n";
  }
  auto many = open_data({.path = dir.write("many.svm", text)});
  REQUIRE(many);
  const auto wide = infer_task(*many, {});
  REQUIRE(wide);
  REQUIRE(wide->task.features.size() == 1);
  CHECK(wide->task.features[0].count == 3000);
  CHECK(wide->task.features[0].minimum == 0);
  CHECK(wide->task.features[0].maximum == 6);
}

TEST_CASE("the classes and categories that a file declares are the task's, in its order",
          "[tools]") {
  const test::TemporaryDirectory dir;
  auto data =
      open_data({.path = dir.write("d.arff",
                                   "@relation r\n@attribute k {z,a,m}\n@attribute n numeric\n"
                                   "@attribute y {v,u,w}\n@data\na,1,u\nz,2,v\n")});
  REQUIRE(data);
  const auto task = infer_task(*data, {});
  REQUIRE(task);
  CHECK(task->task.classes == std::vector<std::string>{"v", "u", "w"});
  CHECK(task->task.features[0].category_names == std::vector<std::string>{"z", "a", "m"});
}

TEST_CASE("what makes no task is refused with what would", "[tools]") {
  const test::TemporaryDirectory dir;
  const auto infer = [&](const std::string& text, const InferOptions& options) {
    auto source = open_data({.path = dir.write("d.csv", text)});
    REQUIRE(source);
    const auto task = infer_task(*source, options);
    return task ? std::string("none") : task.error().text();
  };
  CHECK_THAT(infer("a,y\n1,u\n2,u\n", {}), Contains("at least two classes"));
  CHECK_THAT(infer("a,y\n1,u\n1,v\n", {}), Contains("--bandwidth"));
  CHECK(infer("a,y\n1,u\n1,v\n", {.bandwidth = 1}) == "none");
  CHECK_THAT(infer("a,b,y\n1,x,u\n1,2,v\n", {}),
             Contains("d.csv, line 3: column \"b\" has both numbers and text (\"x\" in line 2)"));
  CHECK_THAT(infer("a,b,y\n1,2,u\n1,x,v\n", {}),
             Contains("line 3: column \"b\" has both") && Contains("(\"x\")"));
  CHECK_THAT(infer("a,a,y\n1,2,u\n1,2,v\n", {}), Contains("two columns are named \"a\""));
  CHECK_THAT(infer("a,y\n1," + std::string(200, 'u') + "\n2,v\n", {}),
             Contains("at most 128 bytes"));
  std::string texts = "a,y\n";
  for (int i = 0; i < 5000; ++i) texts += fmt::format("t{},{}\n", i, i % 2 == 0 ? "u" : "v");
  CHECK_THAT(infer(texts, {}),
             Contains("more than 4096 different values in column \"a\"") && Contains("--ignore"));
  CHECK_THAT(check_family("oracle").error().message, Contains("oracle") && Contains("rff"));
  CHECK(check_family("rff"));
  CHECK_THAT(infer("a,y\n1,u\n2,v\n", {.classes = {"u", "w"}}),
             Contains("d.csv, line 3") && Contains("\"v\""));
  std::string many = "a,y\n";
  for (int i = 0; i < 1100; ++i) many += fmt::format("{0},{0}\n", i);
  CHECK_THAT(infer(many, {}), Contains("really a class"));
}

}  // namespace
}  // namespace p2p::tools
