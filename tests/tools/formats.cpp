// libsvm, ARFF, text in CSV and JSON, and opening a data set by what it is.
#include <cmath>

#include "metadata/base/random.hpp"
#include "tests/tools/files.hpp"
#include "tools/data/open_data.hpp"

namespace p2p::tools {
namespace {

using Catch::Matchers::Contains;
using test::gzip;
using test::idx;
using test::TemporaryDirectory;

std::vector<Row> read_all(SampleSource& source) {
  std::vector<Row> rows;
  Row row;
  while (true) {
    const auto got = source.next(row);
    INFO((got ? std::string() : got.error().text()));
    REQUIRE(got);
    if (*got == SampleSource::Got::end) return rows;
    rows.push_back(row);
  }
}

std::string first_error(Result<std::unique_ptr<SampleSource>> source) {
  if (!source) return source.error().text();
  Row row;
  for (int i = 0; i < 1000; ++i) {
    const auto got = (*source)->next(row);
    if (!got) return got.error().text();
    REQUIRE(*got == SampleSource::Got::row);
  }
  FAIL("no error");
  return {};
}

/// "column=text" of each text cell.
std::vector<std::string> texts(const Row& row) {
  std::vector<std::string> out;
  for (const auto& cell : row.texts) out.push_back(std::to_string(cell.column) + "=" + cell.text);
  return out;
}

TEST_CASE(
    "a libsvm file gives dense rows, gzip or plain, with as many features as its largest index",
    "[tools]") {
  const TemporaryDirectory dir;
  const std::string text = "spam 1:0.5 3:-2e0 # a comment 9:9\n\n+1 qid:7 2:1\n4:1\nham\n";
  for (const bool zipped : {false, true}) {
    auto source = open_libsvm(dir.write("d", zipped ? gzip(text) : text));
    REQUIRE(source);
    CHECK((*source)->features() == 4);
    const auto rows = read_all(**source);
    REQUIRE(rows.size() == 4);
    CHECK(rows[0].x == std::vector<float>{0.5f, 0, -2, 0});
    CHECK(rows[0].label == "spam");
    CHECK(rows[1].x == std::vector<float>{0, 1, 0, 0});
    CHECK(rows[1].label == "+1");
    CHECK(rows[1].line == 3);
    CHECK_FALSE(rows[2].labelled);
    CHECK(rows[2].x == std::vector<float>{0, 0, 0, 1});
    CHECK(rows[3].x == std::vector<float>{0, 0, 0, 0});
    CHECK(rows[3].label == "ham");
  }
  auto wide = open_libsvm(dir.write("d", text), 6);
  REQUIRE(wide);
  CHECK(read_all(**wide)[0].x == std::vector<float>{0.5f, 0, -2, 0, 0, 0});
}

TEST_CASE(
    "the header of numbers that some libsvm sets have is passed over, a row of one number is not",
    "[tools]") {
  const TemporaryDirectory dir;
  auto with_header = open_libsvm(dir.write("a", "2 4 2 1\n1 4:1\n"));
  REQUIRE(with_header);
  CHECK(read_all(**with_header).size() == 1);
  auto without = open_libsvm(dir.write("b", "1\n1 4:1\n"));
  REQUIRE(without);
  CHECK(read_all(**without).size() == 2);
}

TEST_CASE("each way in which a libsvm file can be wrong is named with its file and line",
          "[tools]") {
  const TemporaryDirectory dir;
  const struct {
    const char *text, *says;
  } cases[] = {
      {"1 1:2\n1 0:1\n", "line 2: index 0; indices start at 1"},
      {"1 2:1 2:1\n", "line 1: index 2 after 2; indices must increase"},
      {"1 1:1\n1 2:x\n", "line 2: \"2:x\" is not INDEX:VALUE"},
      {"1 1:1 7\n", "line 1: \"7\" is not INDEX:VALUE"},
      {"1 1:1e99\n", "line 1: the value of index 1 is not finite"},
      {"1 1:inf\n", "line 1: the value of index 1 is not finite"},
      {"1 65537:1\n", "line 1: index 65537; at most 65536 features"},
      {"1 99999999999999999999:1\n", "no INDEX:VALUE"},
      {"", "no INDEX:VALUE at all"},
      {"just words\n", "no INDEX:VALUE at all"},
  };
  for (const auto& c : cases) {
    INFO(c.text);
    const auto path = dir.write("bad.svm", c.text);
    const auto error = first_error(open_libsvm(path));
    CHECK_THAT(error, Contains(path));
    CHECK_THAT(error, Contains(c.says));
  }
  CHECK_THAT(first_error(open_libsvm(dir.write("bad.svm", "1 9:1\n"), 8)), Contains("--features"));
  CHECK_THAT(first_error(open_libsvm(dir / "none")), Contains("no file"));
}

constexpr const char* kWeather = R"(% a comment
@RELATION weather

@attribute outlook {sunny, 'over cast', "rain\"y"}
@attribute 'wind speed' real
@attribute note string
@attribute play {yes, no}

@DATA
sunny, 1.5, ?, no
% another
'over cast',?,'it''s' , yes
"rain\"y"	2	calm	?
)";

TEST_CASE("an ARFF file gives numbers, text and what it declares, gzip or plain", "[tools]") {
  const TemporaryDirectory dir;
  std::string text = kWeather;
  text.replace(text.find("'it''s'"), 7, "'it\\'s'");
  for (const bool zipped : {false, true}) {
    auto source = open_arff({.path = dir.write("w", zipped ? gzip(text) : text)});
    REQUIRE(source);
    CHECK((*source)->features() == 3);
    CHECK((*source)->feature_names() == std::vector<std::string>{"outlook", "wind speed", "note"});
    CHECK((*source)->declared_classes() == std::vector<std::string>{"yes", "no"});
    CHECK((*source)->declared_categories() ==
          std::vector<std::vector<std::string>>{{"sunny", "over cast", "rain\"y"}, {}, {}});
    const auto rows = read_all(**source);
    REQUIRE(rows.size() == 3);
    CHECK(texts(rows[0]) == std::vector<std::string>{"0=sunny"});
    CHECK(rows[0].x[1] == 1.5f);
    CHECK(std::isnan(rows[0].x[2]));
    CHECK(rows[0].label == "no");
    CHECK(texts(rows[1]) == std::vector<std::string>{"0=over cast", "2=it's"});
    CHECK(std::isnan(rows[1].x[1]));
    CHECK(texts(rows[2]) == std::vector<std::string>{"0=rain\"y", "2=calm"});
    CHECK_FALSE(rows[2].labelled);
    CHECK(rows[2].line == 13);
  }
}

TEST_CASE("a sparse ARFF row is 0, or the first declared value, where it says nothing", "[tools]") {
  const TemporaryDirectory dir;
  auto source =
      open_arff({.path = dir.write("s",
                                   "@relation r\n@attribute a numeric\n@attribute b {u,v}\n"
                                   "@attribute c integer\n@attribute y {p,q}\n@data\n"
                                   "{0 2, 3 q}\n{}\n{1 v,2 ?}\n"),
                 .label = "y"});
  REQUIRE(source);
  const auto rows = read_all(**source);
  REQUIRE(rows.size() == 3);
  CHECK(rows[0].x[0] == 2);
  CHECK(rows[0].x[2] == 0);
  CHECK(texts(rows[0]) == std::vector<std::string>{"1=u"});
  CHECK(rows[0].label == "q");
  CHECK(rows[1].label == "p");
  CHECK(rows[1].x[0] == 0);
  CHECK(texts(rows[2]) == std::vector<std::string>{"1=v"});
  CHECK(std::isnan(rows[2].x[2]));
}

TEST_CASE("the label of an ARFF file may be any attribute, and attributes may be ignored",
          "[tools]") {
  const TemporaryDirectory dir;
  auto source =
      open_arff({.path = dir.write("w",
                                   "@relation r\n@attribute a numeric\n@attribute b {u,v}\n"
                                   "@attribute c numeric\n@data\n1,v,3\n"),
                 .label = "b",
                 .ignore = {"a"}});
  REQUIRE(source);
  const auto rows = read_all(**source);
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].x == std::vector<float>{3});
  CHECK(rows[0].label == "v");
}

TEST_CASE("each way in which an ARFF file can be wrong is named with its file and line",
          "[tools]") {
  const TemporaryDirectory dir;
  const std::string head = "@relation r\n@attribute a numeric\n@attribute y {p,q}\n@data\n";
  const struct {
    std::string text;
    const char* says;
  } cases[] = {
      {"a,y\n1,p\n", "line 1: \"a,y\" where @relation, @attribute or @data is expected"},
      {"@relation r\n@attribute a numeric\n", "no line \"@data\""},
      {"@attribute a date\n@data\n",
       "line 1: attribute \"a\" is of type \"date\", which is not supported"},
      {"@attribute a relational\n@data\n", "\"relational\", which is not supported"},
      {"@attribute a\n@data\n", "line 1: attribute \"a\" has no type"},
      {"@attribute\n@data\n", "line 1: an attribute without name"},
      {"@attribute 'a numeric\n@data\n", "line 1: the quoted name of an attribute is not closed"},
      {"@attribute a {u,v\n@data\n", "line 1: attribute \"a\": the list of values lacks its \"}\""},
      {"@attribute a {u,'v}\n@data\n", "line 1: attribute \"a\": a quoted value is not closed"},
      {"@attribute a {u,,v}\n@data\n", "line 1: attribute \"a\": an empty value"},
      {"@attribute a {}\n@data\n", "line 1: attribute \"a\" has no values"},
      {"@attribute a {u,u}\n@data\n", "line 1: attribute \"a\" has the value \"u\" twice"},
      {"@attribute a numeric\n@data\n", "less than two attributes"},
      {head + "1\n", "line 5: 1 values where there are 2 attributes"},
      {head + "1,p,3\n", "line 5: more values than the 2 attributes"},
      {head + "1,p,{2}\n", "line 5: weights of instances are not supported"},
      {head + ",p\n", "line 5: value 1 is empty; write ?"},
      {head + "x,p\n", "line 5: attribute \"a\": \"x\" is no number"},
      {head + "1e99,p\n", "line 5: attribute \"a\": \"1e99\" is not finite"},
      {head + "1,r\n", "line 5: attribute \"y\": \"r\" is none of its declared values"},
      {head + "1,'p\n", "line 5: a quoted value is not closed"},
      {head + "{0 1\n", "line 5: a sparse row must end in \"}\""},
      {head + "{0 1} 2\n", "line 5: a sparse row must end in \"}\""},
      {head + "{2 1}\n", "line 5: index 2 where the attributes are 0 to 1"},
      {head + "{0 1,0 2}\n", "line 5: index 0 twice"},
      {head + "{x 1}\n", "line 5: a sparse row must be {index value"},
      {head + "{0}\n", "line 5: index 0 has no value"},
  };
  for (const auto& c : cases) {
    INFO(c.text);
    const auto path = dir.write("bad.arff", c.text);
    const auto error = first_error(open_arff({.path = path}));
    CHECK_THAT(error, Contains(path));
    CHECK_THAT(error, Contains(c.says));
  }
  const auto good = dir.write("good.arff", head + "1,p\n");
  CHECK_THAT(first_error(open_arff({.path = good, .label = "z"})),
             Contains("no attribute \"z\" for the label"));
  CHECK_THAT(first_error(open_arff({.path = good, .ignore = {"z"}})),
             Contains("no attribute \"z\" to ignore"));
  CHECK_THAT(first_error(open_arff({.path = good, .ignore = {"a"}})),
             Contains("no attribute is left"));
}

TEST_CASE("text in CSV is kept with its column where it is asked for, and refused elsewhere",
          "[tools]") {
  const TemporaryDirectory dir;
  const auto path = dir.write(
      "t.csv", "size,wind,ignored,y\n1.5,NNW,7,a\n,\"say \"\"hi\"\", now\",8,b\n2,NA,9,a\n");
  auto source = open_csv({.path = path, .text = true, .ignore = {"ignored"}});
  REQUIRE(source);
  CHECK((*source)->features() == 2);
  CHECK((*source)->feature_names() == std::vector<std::string>{"size", "wind"});
  const auto rows = read_all(**source);
  REQUIRE(rows.size() == 3);
  CHECK(rows[0].x[0] == 1.5f);
  CHECK(std::isnan(rows[0].x[1]));
  CHECK(texts(rows[0]) == std::vector<std::string>{"1=NNW"});
  CHECK(std::isnan(rows[1].x[0]));
  CHECK(texts(rows[1]) == std::vector<std::string>{"1=say \"hi\", now"});
  CHECK(std::isnan(rows[2].x[1]));
  CHECK(rows[2].texts.empty());
  CHECK_THAT(first_error(open_csv({.path = path})),
             Contains("line 2, column 2 (wind): \"NNW\" is no number"));
  CHECK_THAT(first_error(open_csv({.path = path, .ignore = {"none"}})),
             Contains("no column \"none\" to ignore"));
  CHECK_THAT(first_error(open_csv({.path = path, .ignore = {"size", "wind", "ignored"}})),
             Contains("no column is left"));
}

TEST_CASE("a CSV file without header has columns x1, x2, ..., and its first line is a row",
          "[tools]") {
  const TemporaryDirectory dir;
  const auto path = dir.write("t.csv", "\n0,tcp,0,a\n1,udp,2,b\n");
  CHECK_THAT(first_error(open_csv({.path = path, .text = true})), Contains("--no-header"));
  auto source = open_csv({.path = path, .text = true, .ignore = {"x1"}, .header = false});
  REQUIRE(source);
  CHECK((*source)->feature_names() == std::vector<std::string>{"x2", "x3"});
  const auto rows = read_all(**source);
  REQUIRE(rows.size() == 2);
  CHECK(texts(rows[0]) == std::vector<std::string>{"0=tcp"});
  CHECK(rows[0].line == 2);
  CHECK(rows[1].label == "b");
  CHECK(rows[1].line == 3);
}

TEST_CASE("JSON lines from a file, gzip or plain, may hold text", "[tools]") {
  const TemporaryDirectory dir;
  const std::string text = "{\"x\":[1,\"tcp\",null],\"y\":\"a\"}\n\n{\"x\":[2,\"udp\",3]}\n";
  for (const bool zipped : {false, true}) {
    auto source = open_json(dir.write("t.jsonl", zipped ? gzip(text) : text));
    REQUIRE(source);
    const auto rows = read_all(**source);
    REQUIRE(rows.size() == 2);
    CHECK(texts(rows[0]) == std::vector<std::string>{"1=tcp"});
    CHECK_FALSE(rows[1].labelled);
    CHECK(rows[1].line == 3);
  }
  CHECK_THAT(first_error(open_json(dir.write("bad.jsonl", "{\"x\":[1]}\n{\"x\":[}\n"))),
             Contains("line 2: this is not JSON"));
}

TEST_CASE("a data set is opened by what it is, whatever its name", "[tools]") {
  const TemporaryDirectory dir;
  const struct {
    const char* name;
    std::string content;
    DataFormat format;
  } cases[] = {
      {"a.csv", "a,y\n1,u\n", DataFormat::csv},
      {"b", "a,y\n1,u\n", DataFormat::csv},
      {"c", "% c\n@relation r\n@attribute a numeric\n@attribute y {u}\n@data\n1,u\n",
       DataFormat::arff},
      {"d.csv", "@relation r\n@attribute a numeric\n@attribute y {u}\n@data\n1,u\n",
       DataFormat::arff},
      {"e", "+1 1:0.5 7:2\n", DataFormat::libsvm},
      {"f.data", "# a comment\n1:0.5\n", DataFormat::libsvm},
      {"g", "{\"x\":[1],\"y\":\"u\"}\n", DataFormat::json},
      {"h.libsvm", "1\n1 2:1\n", DataFormat::libsvm},
      {"i.csv", "time 12:30,y\n1,u\n", DataFormat::csv},
  };
  for (const auto& c : cases) {
    for (const bool zipped : {false, true}) {
      INFO(c.name << (zipped ? " (gzip)" : ""));
      const auto name = std::string(c.name) + (zipped ? ".gz" : "");
      auto data = open_data({.path = dir.write(name, zipped ? gzip(c.content) : c.content)});
      INFO((data ? std::string() : data.error().text()));
      REQUIRE(data);
      CHECK(data->format == c.format);
    }
  }
}

TEST_CASE("idx labels are found beside their images, and a set in its folder", "[tools]") {
  const TemporaryDirectory dir;
  const auto images = idx({2, 1, 1}, std::string("\x01\x02", 2)),
             labels = idx({2}, std::string("\x00\x01", 2));
  const auto more_images = idx({1, 1, 1}, std::string("\x03", 1)),
             more_labels = idx({1}, std::string("\x01", 1));
  CHECK_THAT(open_data({.path = dir.path()}).error().text(), Contains("without train-images"));
  dir.write("train-images-idx3-ubyte.gz", gzip(images));
  const auto alone = check_options({.path = dir.path()});
  REQUIRE_FALSE(alone);
  CHECK(alone.error().code == ErrorCode::invalid_argument);
  CHECK_THAT(alone.error().text(), Contains("--labels"));
  dir.write("train-labels-idx1-ubyte", labels);
  dir.write("t10k-images-idx3-ubyte", more_images);
  dir.write("t10k-labels-idx1-ubyte.gz", gzip(more_labels));
  auto train = open_data({.path = dir.path()});
  REQUIRE(train);
  CHECK(train->source->size() == 2);
  auto test = open_data({.path = dir.path(), .test_set = true});
  REQUIRE(test);
  CHECK(test->source->size() == 1);
  CHECK(test->place(1) == dir / "t10k-images-idx3-ubyte, record 1");
  CHECK(open_data({.path = dir / "train-images-idx3-ubyte.gz"}));
}

TEST_CASE("an option that does not fit the kind of file is refused by its name", "[tools]") {
  const TemporaryDirectory dir;
  const auto csv = dir.write("a.csv", "a,y\n1,u\n"), svm = dir.write("a.svm", "1 1:1\n");
  const auto refused = [](const DataOptions& options) {
    const auto result = check_options(options);
    REQUIRE_FALSE(result);
    CHECK(result.error().code == ErrorCode::invalid_argument);
    return result.error().text();
  };
  CHECK_THAT(refused({.path = csv, .labels = csv}), Contains("--labels is for idx"));
  CHECK_THAT(refused({.path = svm, .label = "y"}), Contains("--label"));
  CHECK_THAT(refused({.path = svm, .ignore = {"y"}}), Contains("--ignore"));
  CHECK(check_options({.path = csv, .label = "y", .ignore = {"a"}}));
}

}  // namespace
}  // namespace p2p::tools
