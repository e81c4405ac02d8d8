#include "tools/cli/plot_text.hpp"
#include "tools/demo_cmd/report.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>

#include "tools/demo_cmd/svg.hpp"

using namespace p2p;
using namespace p2p::tools;

namespace {

DemoResult made_up() {
  static const Scenario scenario = *make_scenario({.nodes = 4, .samples = 3000});
  static std::vector<NodeLog> logs = [] {
    std::vector<NodeLog> made(4);
    for (std::size_t i = 0; i < 4; ++i) {
      for (std::size_t s = 0; s < 3000; ++s) {
        made[i].node.push_back(s % 5 != 0);
        made[i].twin.push_back(s % 3 != 0);
      }
    }
    Story story;
    story.id = 1;
    story.detected_at = scenario.script[0].at_sample + 12;
    story.cause = "new_class";
    story.reason = "a peer's <script>alert(1)</script> & \"more\"";
    made[0].stories.push_back(story);
    made[0].cost.traffic["chunk"] = 5000;
    return made;
  }();
  std::vector<std::string> classes(10, "<b>bold</b>");
  return make_result({.scenario = scenario,
                      .logs = logs,
                      .deaths = std::vector<std::string>(4),
                      .last_errors = std::vector<std::vector<std::string>>(4),
                      .data = "set <i>",
                      .classes = classes,
                      .sample_bytes = 785});
}

std::size_t occurrences(const std::string& text, const std::string& what) {
  std::size_t n = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
  return n;
}

}  // namespace

TEST_CASE("Text is text wherever it stands in the page") {
  CHECK(markup_escaped("a<b> & \"c\" 'd'") == "a&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;");
  const std::string page = report_html(made_up());
  CHECK(page.find("<script") == std::string::npos);
  CHECK(page.find("<b>bold") == std::string::npos);
  CHECK(page.find("set <i>") == std::string::npos);
  CHECK(page.find("&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;more&quot;") != std::string::npos);
}

TEST_CASE("The page needs nothing but itself") {
  const std::string page = report_html(made_up());
  for (const char* outside : {"http://", "https://", "src=", "href=", "url(", "@import", "<link", "<img"}) {
    INFO(outside);
    CHECK(page.find(outside) == std::string::npos);
  }
  CHECK(page.find("prefers-color-scheme: dark") != std::string::npos);
}

TEST_CASE("Every tag that opens is closed") {
  const std::string page = report_html(made_up());
  for (const char* tag : {"svg", "table", "tr", "td", "th", "p", "h2", "h3", "div", "span", "style", "g",
                          "title", "text", "body"}) {
    INFO(tag);
    const std::string name(tag);
    CHECK(occurrences(page, "<" + name + ">") + occurrences(page, "<" + name + " ") ==
          occurrences(page, "</" + name + ">"));
  }
}

TEST_CASE("There is a plot for each node, with its changes and alarms marked at their samples") {
  const DemoResult result = made_up();
  const std::string page = report_html(result);
  for (const NodeResult& node : result.nodes)
    CHECK(page.find(node.name + ": " + node.role) != std::string::npos);
  // One line per change and one in the key.
  CHECK(occurrences(page, "class=\"change\"") == result.drifts.size() + 1);
  CHECK(occurrences(page, "class=\"alarm\"") == 2);
}

TEST_CASE("The curve is the mean over the latest samples") {
  Hits hits(150, 0);
  std::fill_n(hits.begin(), 50, 1);
  const auto points = trailing_accuracy(hits, 100, 50);
  REQUIRE(points.size() == 3);
  CHECK(points[0] == std::pair<double, double>(50, 1));
  CHECK(points[1] == std::pair<double, double>(100, 0.5));
  CHECK(points[2] == std::pair<double, double>(150, 0));
  CHECK(trailing_accuracy({}, 100, 50).empty());
}

TEST_CASE("Bars are as long as their values are large") {
  const std::string bars =
      svg_bars({{"half", "50", 50, false}, {"whole", "100", 100, true}, {"none", "0", 0, false}});
  CHECK(bars.find("width=\"420.0\"") != std::string::npos);
  CHECK(bars.find("width=\"210.0\"") != std::string::npos);
  CHECK(bars.find("width=\"1.0\"") != std::string::npos);
}

TEST_CASE("A report that cannot be written says where it was to go") {
  CHECK_FALSE(check_folder("/proc/nowhere"));
  CHECK(check_folder(""));
  const auto written = write_report(made_up(), "/proc/nowhere");
  REQUIRE_FALSE(written);
  CHECK(written.error().message.find("/proc/nowhere/demo-seed-1.html") != std::string::npos);
  const auto folder = std::filesystem::temp_directory_path() / "p2p-demo-report-test";
  const auto path = write_report(made_up(), folder.string());
  REQUIRE(path);
  CHECK(std::filesystem::file_size(*path) > 10'000);
  std::filesystem::remove_all(folder);
}
