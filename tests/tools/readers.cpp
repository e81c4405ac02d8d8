#include <fcntl.h>
#include <unistd.h>

#include <cmath>

#include "tests/tools/files.hpp"
#include "tools/data/byte_stream.hpp"
#include "tools/data/sample_source.hpp"

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

/// Reads until the first error and returns it.
Error first_error(Result<std::unique_ptr<SampleSource>> source) {
  if (!source) return source.error();
  Row row;
  for (int i = 0; i < 1'000'000; ++i) {
    const auto got = (*source)->next(row);
    if (!got) return got.error();
    REQUIRE(*got == SampleSource::Got::row);
  }
  FAIL("no error");
  return {};
}

Error csv_error(const TemporaryDirectory& dir, const std::string& text,
                const std::string& label = "") {
  return first_error(open_csv({.path = dir.write("bad.csv", text), .label = label}));
}

const std::string kImages = idx({3, 1, 2}, std::string("\x00\x01\x02\x03\xfe\xff", 6));
const std::string kLabels = idx({3}, std::string("\x07\x00\x09", 3));

TEST_CASE("an idx pair gives its records in order, gzip or plain", "[tools]") {
  const TemporaryDirectory dir;
  for (const bool zipped : {false, true}) {
    const auto images = dir.write("images", zipped ? gzip(kImages) : kImages);
    const auto labels = dir.write("labels", zipped ? gzip(kLabels) : kLabels);
    auto source = open_idx(images, labels);
    REQUIRE(source);
    CHECK((*source)->features() == 2);
    CHECK((*source)->size() == 3);
    const auto rows = read_all(**source);
    REQUIRE(rows.size() == 3);
    CHECK(rows[0].x == std::vector<float>{0, 1});
    CHECK(rows[2].x == std::vector<float>{254, 255});
    CHECK(rows[0].label == "7");
    CHECK(rows[2].label == "9");
    CHECK(rows[2].line == 3);
  }
}

TEST_CASE("skipping n records leaves the same stream as reading them", "[tools]") {
  const TemporaryDirectory dir;
  const auto images = dir.write("images.gz", gzip(kImages));
  const auto labels = dir.write("labels", kLabels);
  const auto csv = dir.write("t.csv", "a,y\n1,u\n\n2,v\n3,u\n");
  for (std::uint64_t n = 0; n <= 4; ++n) {
    for (const bool as_idx : {true, false}) {
      auto skipping = as_idx ? open_idx(images, labels) : open_csv({.path = csv});
      auto reading = as_idx ? open_idx(images, labels) : open_csv({.path = csv});
      REQUIRE(skipping);
      REQUIRE(reading);
      auto expected = read_all(**reading);
      const auto passed = (*skipping)->skip(n);
      REQUIRE(passed);
      CHECK(*passed == std::min<std::uint64_t>(n, 3));
      const auto rest = read_all(**skipping);
      REQUIRE(rest.size() == 3 - *passed);
      for (std::size_t i = 0; i < rest.size(); ++i) {
        CHECK(rest[i].x == expected[i + *passed].x);
        CHECK(rest[i].label == expected[i + *passed].label);
        CHECK(rest[i].line == expected[i + *passed].line);
      }
    }
  }
}

TEST_CASE("each way in which an idx pair can be wrong is named with its file and byte", "[tools]") {
  const TemporaryDirectory dir;
  const auto images = dir.write("images", kImages);
  const auto labels = dir.write("labels", kLabels);
  const auto check = [&](const std::string& image_path, const std::string& label_path,
                         ErrorCode code, std::initializer_list<const char*> words) {
    const auto error = first_error(open_idx(image_path, label_path));
    CHECK(error.code == code);
    for (const char* word : words) CHECK_THAT(error.text(), Contains(word));
  };
  check(dir / "none", labels, ErrorCode::not_found, {"no file", "none"});
  check(labels, images, ErrorCode::malformed, {"labels", "byte 0", "0x00000801", "exchanged"});
  check(dir.write("text", "sepal,petal\n1,2\n"), labels, ErrorCode::malformed,
        {"text", "byte 0", "magic"});
  check(dir.write("empty", ""), labels, ErrorCode::malformed, {"empty", "byte 0", "magic"});
  check(dir.write("short", kImages.substr(0, 9)), labels, ErrorCode::malformed,
        {"short", "byte 9", "header"});
  check(dir.write("zero", idx({3, 0, 2}, "")), labels, ErrorCode::malformed,
        {"zero", "byte 8", "is 0"});
  check(dir.write("none-in", idx({0, 1, 2}, "")), labels, ErrorCode::malformed, {"byte 4", "is 0"});
  check(dir.write("huge", idx({3, 0xffffffff, 0xffffffff}, "")), labels, ErrorCode::malformed,
        {"huge", "byte 8", "65536"});
  check(dir.write("cut", kImages.substr(0, kImages.size() - 1)), labels, ErrorCode::malformed,
        {"cut", "byte 21", "promises 22"});
  check(dir.write("long", kImages + "x"), labels, ErrorCode::malformed,
        {"long", "byte 22", "promises 22"});
  check(images, dir.write("two", idx({2}, "ab")), ErrorCode::malformed,
        {"two", "2 labels", "3 images"});
  // The same inside gzip, where the size on disk says nothing.
  check(dir.write("cut.gz", gzip(kImages.substr(0, kImages.size() - 1))), labels,
        ErrorCode::malformed, {"cut.gz", "byte 21", "record 3 of 3"});
  check(dir.write("long.gz", gzip(kImages + "x")), labels, ErrorCode::malformed,
        {"long.gz", "byte 22", "behind its last record"});
}

TEST_CASE("a truncated or damaged gzip file is named at the byte where it breaks off", "[tools]") {
  const TemporaryDirectory dir;
  const auto labels = dir.write("labels", kLabels);
  const auto whole = gzip(kImages);
  for (std::size_t keep = 2; keep < whole.size(); ++keep) {
    const auto error = first_error(open_idx(dir.write("i.gz", whole.substr(0, keep)), labels));
    INFO(keep << ": " << error.text());
    CHECK(error.code == ErrorCode::malformed);
    CHECK_THAT(error.text(), Contains("i.gz"));
    CHECK_THAT(error.text(), Contains("truncated"));
    CHECK_THAT(error.text(), Contains("byte " + std::to_string(keep)));
  }
  auto damaged = whole;
  damaged[damaged.size() - 6] ^= 0x20;  // the checksum
  const auto error = first_error(open_idx(dir.write("d.gz", damaged), labels));
  CHECK(error.code == ErrorCode::malformed);
  CHECK_THAT(error.text(), Contains("damaged"));
}

TEST_CASE("several gzip members in one file are one stream", "[tools]") {
  const TemporaryDirectory dir;
  auto source = open_csv({.path = dir.write("m.csv.gz", gzip("a,y\n1,u\n") + gzip("2,v\n"))});
  REQUIRE(source);
  CHECK(read_all(**source).size() == 2);
}

TEST_CASE("a csv file gives numbers, missing values and labels", "[tools]") {
  const TemporaryDirectory dir;
  const std::string text =
      "\xEF\xBB\xBF\"a, b\",cls,c\r\n"
      "1.5,up,-2e3\r\n"
      "\r\n"
      " +7 , \"do\"\"wn\" ,NaN\r\n"
      ",,?\r\n"
      "1e-999,up,0";
  for (const bool zipped : {false, true}) {
    auto source = open_csv({.path = dir.write("t", zipped ? gzip(text) : text), .label = "cls"});
    REQUIRE(source);
    CHECK((*source)->features() == 2);
    CHECK((*source)->feature_names() == std::vector<std::string>{"a, b", "c"});
    const auto rows = read_all(**source);
    REQUIRE(rows.size() == 4);
    CHECK(rows[0].x == std::vector<float>{1.5f, -2000.f});
    CHECK(rows[0].label == "up");
    CHECK(rows[1].x[0] == 7.f);
    CHECK(std::isnan(rows[1].x[1]));
    CHECK(rows[1].label == "do\"wn");
    CHECK(rows[1].line == 4);
    CHECK_FALSE(rows[2].labelled);
    CHECK(std::isnan(rows[2].x[0]));
    CHECK(rows[3].x[0] == 0.f);
  }
}

TEST_CASE("semicolons and tabs separate where the header has them", "[tools]") {
  const TemporaryDirectory dir;
  for (const char separator : {';', '\t'}) {
    std::string text = "a|b|y\n1|2|u\n";
    std::replace(text.begin(), text.end(), '|', separator);
    auto source = open_csv({.path = dir.write("t", text)});
    REQUIRE(source);
    CHECK(read_all(**source).at(0).x == std::vector<float>{1, 2});
  }
}

TEST_CASE("each way in which a csv file can be wrong is named with its file, line and column",
          "[tools]") {
  const TemporaryDirectory dir;
  const auto check = [&](const std::string& text, std::initializer_list<const char*> words,
                         const std::string& label = "") {
    const auto error = csv_error(dir, text, label);
    for (const char* word : words) CHECK_THAT(error.text(), Contains(word));
  };
  check("", {"bad.csv", "is empty"});
  check("\n\n", {"is empty"});
  check("a,b,y\n1,2,u\n1,u\n", {"bad.csv, line 3", "2 fields", "header has 3"});
  check("a,b,y\n1,2,u\n1,2,3,u\n", {"line 3", "4 fields"});
  check("a,b,y\n1,tcp,u\n", {"line 2, column 2 (b)", "\"tcp\" is no number"});
  check("a,b,y\n1,inf,u\n", {"line 2, column 2 (b)", "not finite"});
  check("a,b,y\n1,-Infinity,u\n", {"not finite"});
  check("a,b,y\n1,1e999,u\n", {"not finite"});
  check("a,b,y\n1,1e39,u\n", {"not finite"});
  check("a,b,y\n1,2x,u\n", {"no number"});
  check("a,b,y\n1,\"2,u\n", {"line 2", "not closed"});
  check("0.5,1.5,2\n0.5,2.5,1\n", {"line 1", "header is needed"});
  check("y\nu\n", {"one column"});
  check("a,b,y\n1,2,u\n", {"no column \"class\"", "a, b, y"}, "class");
  check("a,b,y\n" + std::string(5u << 20, '1') + ",2,u\n", {"line 2", "longer than"});
  check(std::string("a,b\0,y\n", 7), {"zero bytes"});
  const auto missing = first_error(open_csv({.path = dir / "none.csv"}));
  CHECK(missing.code == ErrorCode::not_found);
  CHECK_THAT(missing.text(), Contains("none.csv"));
  CHECK_THAT(first_error(open_csv({.path = dir.path()})).text(), Contains("is a directory"));
}

TEST_CASE("a label is a class by name first, then by index", "[tools]") {
  const std::vector<std::string> classes{"up", "1", "0"};
  CHECK(resolve_label(classes, "up") == 0);
  CHECK(resolve_label(classes, "1") == 1);
  CHECK(resolve_label(classes, "0") == 2);
  CHECK(resolve_label(classes, "2") == 2);
  for (const char* unknown : {"3", "-1", "", "Up", "0 ", "99999999999999999999"}) {
    const auto index = resolve_label(classes, unknown);
    REQUIRE_FALSE(index);
    CHECK_THAT(index.error().text(), Contains("unknown class") && Contains("up, 1, 0"));
  }
}

struct Pipe {
  Pipe() {
    REQUIRE(::pipe(fd) == 0);
    REQUIRE(::fcntl(fd[0], F_SETFL, O_NONBLOCK) == 0);
  }
  ~Pipe() {
    ::close(fd[0]);
    close_writer();
  }
  void close_writer() {
    if (fd[1] >= 0) ::close(fd[1]);
    fd[1] = -1;
  }
  void write(const std::string& text) {
    REQUIRE(::write(fd[1], text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }
  int fd[2];
};

TEST_CASE("json lines arrive in pieces and are read as they become whole", "[tools]") {
  Pipe pipe;
  const auto source = json_lines(pipe.fd[0]);
  Row row;
  CHECK(source->next(row) == SampleSource::Got::wait);
  pipe.write("{\"x\": [1, nu");
  CHECK(source->next(row) == SampleSource::Got::wait);
  pipe.write("ll, NaN], \"y\": \"a NaN\"}\n{\"x\":[2],\"y\":3}\n{\"x\":[4]}");
  REQUIRE(source->next(row) == SampleSource::Got::row);
  REQUIRE(row.x.size() == 3);
  CHECK(row.x[0] == 1.f);
  CHECK(std::isnan(row.x[1]));
  CHECK(std::isnan(row.x[2]));
  CHECK(row.label == "a NaN");
  CHECK(row.labelled);
  REQUIRE(source->next(row) == SampleSource::Got::row);
  CHECK(row.label == "3");
  CHECK(row.line == 2);
  CHECK(source->next(row) == SampleSource::Got::wait);
  pipe.close_writer();
  REQUIRE(source->next(row) == SampleSource::Got::row);  // the last line has no end
  CHECK_FALSE(row.labelled);
  CHECK(source->next(row) == SampleSource::Got::end);
  CHECK(source->next(row) == SampleSource::Got::end);
}

TEST_CASE("a json line with a ticket is a label alone, and the sample behind it has none", "[tools]") {
  Pipe pipe;
  const auto source = json_lines(pipe.fd[0]);
  pipe.write("{\"x\":[1]}\n{\"ticket\":\"a-1\",\"y\":\"b\"}\n{\"ticket\":\"a-2\",\"y\":3}\n{\"x\":[2]}\n");
  Row row;
  REQUIRE(source->next(row) == SampleSource::Got::row);
  CHECK(row.ticket.empty());
  REQUIRE(source->next(row) == SampleSource::Got::row);
  CHECK(row.ticket == "a-1");
  CHECK(row.label == "b");
  CHECK(row.x.empty());
  REQUIRE(source->next(row) == SampleSource::Got::row);
  CHECK(row.label == "3");
  REQUIRE(source->next(row) == SampleSource::Got::row);
  CHECK(row.ticket.empty());
  CHECK_FALSE(row.labelled);
  CHECK(row.x == std::vector<float>{2});
}

TEST_CASE("a file of json lines has no labels that come late", "[tools]") {
  const TemporaryDirectory dir;
  const auto source = open_json(dir.write("late.jsonl", "{\"x\":[1]}\n{\"ticket\":\"a-1\",\"y\":\"b\"}\n"));
  REQUIRE(source.has_value());
  Row row;
  REQUIRE((*source)->next(row) == SampleSource::Got::row);
  const auto refused = (*source)->next(row);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::malformed);
  CHECK_THAT(refused.error().text(), Contains("line 2") && Contains("standard input"));
}

TEST_CASE("a malformed json line is an error with its number, and the next line is read",
          "[tools]") {
  const std::vector<std::string> bad{
      "not json",
      "{\"x\":[1]",
      "[1,2]",
      "{\"y\":1}",
      "{\"x\":3}",
      "{\"x\":[\"a\"]}",
      "{\"x\":[1e999]}",
      "{\"x\":[1e39]}",
      "{\"x\":[Infinity]}",
      "{\"x\":[1],\"y\":1.5}",
      "{\"x\":[1],\"y\":[]}",
      "{\"x\":[1],\"z\":2}",
      "{\"x\":[true]}",
      "{\"ticket\":\"a-1\"}",
      "{\"ticket\":\"a-1\",\"y\":null}",
      "{\"ticket\":\"\",\"y\":\"a\"}",
      "{\"ticket\":7,\"y\":\"a\"}",
      "{\"ticket\":\"" + std::string(65, '1') + "\",\"y\":\"a\"}",
      "{\"ticket\":\"a-1\",\"y\":[]}",
      "{\"ticket\":\"a-1\",\"y\":\"a\",\"x\":[1]}",
      "{\"ticket\":\"a-1\",\"y\":\"a\",\"z\":1}",
      "\xff\xfe",
      std::string(2000, '['),
  };
  for (const auto& line : bad) {
    Pipe pipe;
    const auto source = json_lines(pipe.fd[0]);
    pipe.write("{\"x\":[1]}\n\n" + line + "\n{\"x\":[5]}\n");
    pipe.close_writer();
    Row row;
    REQUIRE(source->next(row) == SampleSource::Got::row);
    const auto error = source->next(row);
    INFO(line.substr(0, 40));
    REQUIRE_FALSE(error);
    CHECK_THAT(error.error().text(), Contains("line 3: "));
    CHECK(source->goes_on_after_error());
    REQUIRE(source->next(row) == SampleSource::Got::row);
    CHECK(row.x == std::vector<float>{5});
    CHECK(row.line == 4);
  }
}

TEST_CASE("a json line beyond the limit is refused once and skipped to its end", "[tools]") {
  const TemporaryDirectory dir;
  const auto path = dir.write(
      "long", "{\"x\":[" + std::string(LineReader::kMaxLineBytes * 3, '1') + "]}\n{\"x\":[5]}\n");
  const int fd = ::open(path.c_str(), O_RDONLY);
  const auto source = json_lines(fd);
  Row row;
  const auto error = source->next(row);
  REQUIRE_FALSE(error);
  CHECK(error.error().code == ErrorCode::limit_exceeded);
  REQUIRE(source->next(row) == SampleSource::Got::row);
  CHECK(row.line == 2);
  CHECK(source->next(row) == SampleSource::Got::end);
  ::close(fd);
}

}  // namespace
}  // namespace p2p::tools
