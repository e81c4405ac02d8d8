#include "tools/demo_cmd/workspace.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tools/cli/output.hpp"
#include "tools/data/sample_source.hpp"
#include "tools/demo_cmd/options.hpp"

using namespace p2p;
using namespace p2p::tools;

namespace {

namespace fs = std::filesystem;

std::string text_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream all;
  all << in.rdbuf();
  return all.str();
}

/// 3 x 3 images whose pixels tell class, example and place.
DataSet small_images(std::size_t per_class) {
  DataSet data;
  data.name = "small";
  data.features = 9;
  data.side = 3;
  for (std::size_t i = 0; i < per_class * 5; ++i) {
    data.labels.push_back(static_cast<std::uint16_t>(i % 5));
    for (std::size_t f = 0; f < 9; ++f)
      data.pixels.push_back(static_cast<std::uint8_t>((i % 5) * 40 + f + (i / 5) % 7));
  }
  for (int c = 0; c < 5; ++c) data.classes.push_back(std::to_string(c));
  return data;
}

}  // namespace

TEST_CASE("A quarter turn is clockwise, and four of them are none") {
  DataSet data = small_images(1);
  std::vector<std::uint8_t> plain(9), turned(9), inverted(9);
  data.image(0, Transform::none, plain);
  data.image(0, Transform::rotated, turned);
  data.image(0, Transform::inverted, inverted);
  // The left column, read upwards, becomes the top row.
  CHECK(turned[0] == plain[6]);
  CHECK(turned[1] == plain[3]);
  CHECK(turned[2] == plain[0]);
  CHECK(turned[8] == plain[2]);
  for (std::size_t f = 0; f < 9; ++f) CHECK(inverted[f] == 255 - plain[f]);
  for (std::size_t start = 0; start < 9; ++start) {
    std::size_t at = start;
    for (int i = 0; i < 4; ++i) at = rotated_from(at, 9, 3);
    CHECK(at == start);
  }
  CHECK(rotated_from(0, 6, 0) == 5);  // a table: the columns in the opposite order
}

TEST_CASE("What the reader gets from a written stream is what the script says, sample by sample") {
  const DataSet data = small_images(900);
  const auto scenario = *make_scenario({.seed = 2, .nodes = 4, .samples = 2800, .classes = 5});
  const auto draw = *draw_streams(scenario, data.labels);
  auto folder = WorkFolder::open("");
  REQUIRE(folder);
  const auto space = write_workspace(folder->path(), scenario, draw, data);
  REQUIRE(space);
  std::vector<std::uint8_t> expected(9);
  for (std::size_t node = 0; node < 4; ++node) {
    const std::string at = space->node_folder(scenario.plans[node].name);
    auto source = open_idx(at + "/images.idx", at + "/labels.idx");
    REQUIRE(source);
    REQUIRE((*source)->size() == 2800);
    Row row;
    std::size_t wrong = 0;
    for (std::size_t s = 0; s < 2800; ++s) {
      REQUIRE((*source)->next(row));
      data.image(draw.examples[node][s], scenario.phase_at(node, s).transform, expected);
      wrong += row.label != std::to_string(data.labels[draw.examples[node][s]]);
      for (std::size_t f = 0; f < 9; ++f) wrong += row.x[f] != static_cast<float>(expected[f]);
    }
    CHECK(wrong == 0);
  }
  const auto task = metadata::parse_task(text_of(space->task), "task.toml");
  REQUIRE(task);
  CHECK(task->raw_features() == 9);
  CHECK(task->classes.size() == 5);
  CHECK(task->bandwidth > 0);
  const Json script = Json::parse(text_of(space->root + "/script.json"));
  CHECK(script["nodes"].size() == 4);
}

TEST_CASE("A table's stream keeps missing values and labels with quotes") {
  DataSet data;
  data.name = "table";
  data.features = 2;
  data.classes = {"plain", "with, comma", "with \"quote\"", "x"};
  for (std::size_t i = 0; i < 4000; ++i) {
    data.labels.push_back(static_cast<std::uint16_t>(i % 4));
    data.cells.push_back(i % 10 == 0 ? NAN : static_cast<float>(i % 97) / 97);
    data.cells.push_back(static_cast<float>(i % 4) / 4);
  }
  const auto scenario = *make_scenario({.nodes = 4, .samples = 2800, .classes = 4});
  const auto draw = *draw_streams(scenario, data.labels);
  auto folder = WorkFolder::open("");
  const auto space = write_workspace(folder->path(), scenario, draw, data);
  REQUIRE(space);
  auto source = open_csv({.path = space->node_folder("n1") + "/stream.csv", .label = "label"});
  REQUIRE(source);
  Row row;
  std::size_t wrong = 0;
  for (std::size_t s = 0; s < 2800; ++s) {
    const auto got = (*source)->next(row);
    REQUIRE(got);
    const std::uint32_t example = draw.examples[0][s];
    wrong += row.label != data.classes[data.labels[example]];
    wrong += std::isnan(row.x[0]) != std::isnan(data.cells[example * 2]);
    if (!std::isnan(row.x[0])) wrong += row.x[0] != Approx(data.cells[example * 2]);
  }
  CHECK(wrong == 0);
}

TEST_CASE("A temporary work folder goes with its owner, a named one stays and must be empty") {
  std::string path;
  {
    auto folder = WorkFolder::open("");
    REQUIRE(folder);
    path = folder->path();
    std::ofstream(path + "/something") << "x";
    CHECK(fs::exists(path));
  }
  CHECK_FALSE(fs::exists(path));
  const std::string named = path + "-named";
  {
    auto folder = WorkFolder::open(named);
    REQUIRE(folder);
    std::ofstream(named + "/something") << "x";
  }
  CHECK(fs::exists(named));
  const auto again = WorkFolder::open(named);
  REQUIRE_FALSE(again);
  CHECK(again.error().code == ErrorCode::in_use);
  fs::remove_all(named);
  CHECK_FALSE(WorkFolder::open("/proc/nowhere"));
}

TEST_CASE("A data set that is not there, or is not one, is refused by name") {
  CHECK(load_data_set("/no/such/place").error().message.find("/no/such/place") != std::string::npos);
  auto folder = WorkFolder::open("");
  const auto empty = load_data_set(folder->path());
  REQUIRE_FALSE(empty);
  CHECK(empty.error().code == ErrorCode::not_found);
  std::ofstream(folder->path() + "/train-images-idx3-ubyte") << "not idx";
  std::ofstream(folder->path() + "/train-labels-idx1-ubyte") << "not idx";
  const auto damaged = load_data_set(folder->path());
  REQUIRE_FALSE(damaged);
  CHECK(damaged.error().text().find("train-images-idx3-ubyte") != std::string::npos);
}

TEST_CASE("Columns of a table are mapped to 0 .. 1 by their range, classes in the order of their names") {
  auto folder = WorkFolder::open("");
  const std::string path = folder->path() + "/t.csv";
  std::ofstream(path) << "a,b,label\n10,7,y\n20,7,x\n15,7,x\n,7,y\n";
  const auto data = load_data_set(path);
  REQUIRE(data);
  CHECK(data->classes == std::vector<std::string>{"x", "y"});
  CHECK(data->labels == std::vector<std::uint16_t>{1, 0, 0, 1});
  CHECK(data->cells[0] == 0);
  CHECK(data->cells[2] == 1);
  CHECK(data->cells[4] == Approx(0.5));
  CHECK(std::isnan(data->cells[6]));
  CHECK(data->cells[1] == 0);  // a constant column says nothing
}

TEST_CASE("A range of seeds is two numbers, or one") {
  CHECK(*parse_seed_range("1-5") == std::vector<std::uint64_t>{1, 2, 3, 4, 5});
  CHECK(*parse_seed_range("7") == std::vector<std::uint64_t>{7});
  for (const char* bad : {"", "-", "5-1", "a-b", "1-", "1-2-3", "1-500", " 1"}) {
    INFO(bad);
    CHECK_FALSE(parse_seed_range(bad));
  }
}
