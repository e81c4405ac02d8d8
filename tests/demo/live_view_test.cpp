#include "tools/demo_cmd/live_view.hpp"

#include <catch2/catch.hpp>

#include "tools/demo_cmd/final_screen.hpp"
#include "tools/demo_cmd/result.hpp"

using namespace p2p;
using namespace p2p::tools;

namespace {

struct View {
  Scenario scenario = *make_scenario({.nodes = 8});
  std::vector<NodeLog> logs{8};
  ViewState state{scenario, logs, "Fashion-MNIST"};

  View() {
    scenario.options.samples = 6000;
    state.known_nodes.assign(8, 7);
    state.deaths.assign(8, "");
    state.rate = 100;
    for (int i = 0; i < 20; ++i)
      state.news.push_back("n1 @1500 drift detected: a new class with a rather long name came up");
  }
  std::string text(const Paper& paper) const {
    std::string all;
    for (const std::string& line : frame(state, paper)) all += line + "\n";
    return all;
  }
};

}  // namespace

TEST_CASE("A frame fits its window, whatever that is") {
  View view;
  view.logs[0].samples = 3000;
  view.logs[0].stories.push_back({});
  for (const std::size_t width : {20u, 40u, 60u, 80u, 100u, 200u}) {
    for (const std::size_t height : {3u, 10u, 24u, 60u}) {
      for (const bool colour : {false, true}) {
        Paper paper;
        paper.width = width;
        paper.height = height;
        paper.colour = colour;
        paper.unicode = colour;
        const auto lines = frame(view.state, paper);
        CHECK(lines.size() < height);
        for (const std::string& line : lines) CHECK(display_width(line) <= width);
      }
    }
  }
}

TEST_CASE("The table shows the overlay forming, then learning, then a drift being healed") {
  View view;
  Paper paper;
  paper.width = 140;
  paper.height = 40;
  CHECK(view.text(paper).find("starting") != std::string::npos);
  for (NodeLog& log : view.logs) log.ready = true;
  view.state.stage = Stage::joining;
  CHECK(view.text(paper).find("joined, knows 7") != std::string::npos);
  view.state.stage = Stage::streaming;
  NodeLog& log = view.logs[0];
  log.samples = 3000;
  log.windowed = 0.812;
  log.twin_windowed = 0.555;
  log.phase = "looking_up";
  log.bytes_pulled = 20'480;
  view.logs[3].id = "abcdef0123456789ffff";
  Story story;
  story.cause = "new_class";
  story.detected_at = 2466;
  story.helper = "abcdef0123456789";
  story.accepted = true;
  story.open = false;
  log.stories.push_back(story);
  const std::string text = view.text(paper);
  for (const char* expected :
       {"81.2", "55.5", "+25.7", "new_class @2466", "n4", "merged", "20.5 KB", "looking up"}) {
    INFO(expected);
    CHECK(text.find(expected) != std::string::npos);
  }
  view.state.deaths[5] = "killed by signal 9";
  CHECK(view.text(paper).find("died") != std::string::npos);
}

TEST_CASE("Progress is of all nodes, time left of the slowest that lives") {
  View view;
  view.state.stage = Stage::streaming;
  for (NodeLog& log : view.logs) log.samples = 3000;
  view.logs[2].samples = 1500;
  CHECK(stream_done(view.state) == Approx((7 * 3000 + 1500) / 48000.0));
  CHECK(seconds_left(view.state) == Approx(45));
  view.state.deaths[2] = "gone";
  CHECK(seconds_left(view.state) == Approx(30));
}

TEST_CASE("Only what a person wants to know gets a line") {
  EventNote note{"drift_detected", 1510, "classes bag", 1};
  CHECK(notable(note));
  const Scenario scenario = *make_scenario({});
  CHECK(event_line(scenario, 1, note) == "n2 @1510 drift detected: classes bag");
  note.event = "published";
  CHECK_FALSE(notable(note));
}

TEST_CASE("The final screen fits its window, also when nothing was reached") {
  const Scenario scenario = *make_scenario({});
  const std::vector<NodeLog> logs(8);
  std::vector<std::string> deaths(8);
  deaths[4] = "killed by signal 9 (Killed)";
  std::vector<std::vector<std::string>> errors(8);
  errors[4] = {
      "p2p-learner: a very long last line that goes on and on and on and on and on and on and on "
      "and on and on"};
  DemoResult result = make_result({.scenario = scenario,
                                   .logs = logs,
                                   .deaths = deaths,
                                   .last_errors = errors,
                                   .data = "d",
                                   .classes = std::vector<std::string>(10, "a long class name")});
  result.interrupted = true;
  for (const std::size_t width : {20u, 50u, 80u, 100u, 160u}) {
    Paper paper;
    paper.width = width;
    std::string all;
    for (const std::string& line : final_screen(result, paper)) {
      CHECK(display_width(line) <= width);
      all += line;
    }
    CHECK(all.find("Interrupted") != std::string::npos);
    for (const std::string& line : medians_screen({result, result}, paper))
      CHECK(display_width(line) <= width);
  }
}

TEST_CASE("Numbers on the screen say what is not known") {
  CHECK(recovery_text(120, true, 1200) == "120");
  CHECK(recovery_text(std::nullopt, true, 1200) == ">1000");
  CHECK(recovery_text(std::nullopt, false, 1200) == "-");
  CHECK(ratio_text(Censored{2.14, false}) == "2.1");
  CHECK(ratio_text(Censored{0, true}) == "never");
  CHECK(ratio_text(std::nullopt) == "-");
  Scripted s;
  s.classes = {0, 2};
  CHECK(change_text(s, {"a", "b", "c"}) == "new: a, c");
  s.returning = true;
  CHECK(change_text(s, {"a", "b", "c"}) == "back: a, c");
  s.workload = Workload::real_concept;
  s.transform = Transform::inverted;
  CHECK(change_text(s, {}) == "images inverted");
}
