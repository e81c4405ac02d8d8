#include "tools/demo_cmd/live_view.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace p2p::tools {
namespace {

std::string percent(double value, bool known) {
  return known ? fmt::format("{:.1f}", 100 * value) : "-";
}

std::string helper_of(const ViewState& state, const Story& story) {
  if (story.helper.empty()) return story.open ? "" : "none";
  for (std::size_t i = 0; i < state.logs.size(); ++i) {
    if (state.logs[i].id.starts_with(story.helper)) return state.scenario.plans[i].name;
  }
  return story.helper.substr(0, 8);
}

std::string state_of(const ViewState& state, std::size_t node) {
  const NodeLog& log = state.logs[node];
  if (!state.deaths[node].empty()) return "died";
  if (!log.ready) return "starting";
  if (state.stage == Stage::joining || state.stage == Stage::starting) {
    return state.known_nodes[node] > 0 ? fmt::format("joined, knows {}", state.known_nodes[node])
                                       : "joining";
  }
  if (log.at_end) return "done";
  return log.phase.empty() ? "learning" : log.phase;
}

std::string verdict_of(const Story& story) {
  if (story.open) return "";
  if (story.rolled_back) return "undone";
  if (story.accepted) return "merged";
  return "rejected";
}

TextTable node_table(const ViewState& state, const Paper& paper) {
  TextTable table({{.title = "node"},
                   {.title = "lives through", .rank = 3, .elastic = true},
                   {.title = "samples", .right = true, .rank = 7},
                   {.title = "acc %", .right = true},
                   {.title = "twin", .right = true},
                   {.title = "gain", .right = true, .rank = 6},
                   {.title = "last drift", .rank = 5, .elastic = true},
                   {.title = "peer", .rank = 8},
                   {.title = "verdict", .rank = 4},
                   {.title = "pulled", .right = true, .rank = 8},
                   {.title = "state", .rank = 2}});
  for (std::size_t i = 0; i < state.logs.size(); ++i) {
    const NodeLog& log = state.logs[i];
    const bool running = log.samples > 0;
    const double gain = 100 * (log.windowed - log.twin_windowed);
    const Story* last = log.stories.empty() ? nullptr : &log.stories.back();
    std::string gained = running ? fmt::format("{:+.1f}", gain) : "";
    if (gain >= 2) gained = paper.ink(Ink::green, gained);
    if (gain <= -2) gained = paper.ink(Ink::red, gained);
    std::string verdict = last ? verdict_of(*last) : "";
    if (verdict == "merged") verdict = paper.ink(Ink::green, verdict);
    if (verdict == "undone") verdict = paper.ink(Ink::yellow, verdict);
    std::string doing = state_of(state, i);
    if (doing == "died") doing = paper.ink(Ink::red, doing);
    if (doing == "looking_up" || doing == "asking" || doing == "pulling" || doing == "trying") {
      doing = paper.ink(Ink::cyan, doing == "looking_up" ? "looking up" : doing);
    }
    table.add({paper.ink(Ink::bold, state.scenario.plans[i].name), state.scenario.plans[i].role,
               running ? std::to_string(log.samples) : "", percent(log.windowed, running),
               percent(log.twin_windowed, running), gained,
               last ? fmt::format("{} @{}", last->cause, last->detected_at) : "",
               last ? helper_of(state, *last) : "", verdict,
               log.bytes_pulled > 0 ? human_bytes(log.bytes_pulled) : "", doing});
  }
  return table;
}

std::string_view stage_text(Stage stage) {
  switch (stage) {
    case Stage::starting:
      return "starting the nodes";
    case Stage::joining:
      return "the overlay is forming";
    case Stage::streaming:
      return "learning";
    case Stage::ending:
      return "ending the nodes";
  }
  return "";
}

}  // namespace

double stream_done(const ViewState& state) {
  std::uint64_t through = 0, all = 0;
  for (std::size_t i = 0; i < state.logs.size(); ++i) {
    all += state.scenario.options.samples;
    // A dead node has nothing left to do.
    through += state.deaths[i].empty()
                   ? std::min(state.logs[i].samples, state.scenario.options.samples)
                   : state.scenario.options.samples;
  }
  return all == 0 ? 1 : static_cast<double>(through) / static_cast<double>(all);
}

double seconds_left(const ViewState& state) {
  if (state.rate <= 0 || state.stage == Stage::ending) return 0;
  std::uint64_t slowest = state.scenario.options.samples;
  for (std::size_t i = 0; i < state.logs.size(); ++i) {
    if (state.deaths[i].empty()) slowest = std::min(slowest, state.logs[i].samples);
  }
  return static_cast<double>(state.scenario.options.samples - slowest) / state.rate;
}

std::vector<std::string> frame(const ViewState& state, const Paper& paper) {
  std::vector<std::string> out;
  const std::size_t width = paper.width;
  const auto put = [&](const std::string& line) {
    out.push_back(display_width(line) > width ? fit(line, width) : line);
  };
  put(paper.ink(Ink::bold, "p2p-learner demo") + fmt::format("  {}, {} nodes, seed {}", state.data,
                                                             state.logs.size(),
                                                             state.scenario.options.seed));
  put(paper.ink(
      Ink::dim,
      "acc: right over the latest 200 samples; twin: same learner, same samples, no peers"));
  const double done = stream_done(state);
  const std::string tail = fmt::format(" {:3.0f} %  {} left  {}", 100 * done,
                                       human_time(seconds_left(state)), stage_text(state.stage));
  const std::size_t bar =
      width > display_width(tail) + 10 ? std::min<std::size_t>(width - display_width(tail), 60) : 0;
  put(paper.ink(Ink::green, progress_bar(done, bar, paper.unicode)) + tail);
  for (const std::string& line : node_table(state, paper).lines(paper, width)) put(line);
  const std::size_t room = paper.height > out.size() + 1 ? paper.height - 1 - out.size() : 0;
  const std::size_t news = std::min({room, state.news.size(), std::size_t{8}});
  for (std::size_t i = state.news.size() - news; i < state.news.size(); ++i)
    put(paper.ink(Ink::dim, state.news[i]));
  if (paper.height > 1 && out.size() > paper.height - 1) out.resize(paper.height - 1);
  return out;
}

bool notable(const EventNote& note) {
  return note.event == "drift_detected" || note.event == "merged" || note.event == "rejected" ||
         note.event == "rolled_back" || note.event == "peer_refused";
}

std::string event_line(const Scenario& scenario, std::size_t node, const EventNote& note) {
  std::string what = note.event;
  std::replace(what.begin(), what.end(), '_', ' ');
  return fmt::format("{} @{} {}{}{}", scenario.plans[node].name, note.samples, what,
                     note.text.empty() ? "" : ": ", note.text);
}

void Screen::write(const std::string& text) {
  std::string_view rest = text;
  while (ok_ && !rest.empty()) {
    const ssize_t n = ::write(fd_, rest.data(), rest.size());
    if (n > 0) {
      rest.remove_prefix(static_cast<std::size_t>(n));
    } else if (errno != EINTR && errno != EAGAIN) {
      ok_ = false;
    }
  }
}

void Screen::draw(const ViewState& state) {
  if (!paper_.live) return;
  paper_ = paper_for(fd_);
  const std::vector<std::string> lines = frame(state, paper_);
  std::string out;
  if (!hidden_) out += "\x1b[?25l";
  hidden_ = true;
  if (drawn_ > 0) out += fmt::format("\x1b[{}A", drawn_);
  for (const std::string& line : lines) out += line + "\x1b[K\n";
  // Fewer lines than before: clear what is left of the former frame, and stay below the new one.
  out += "\x1b[J";
  drawn_ = lines.size();
  write(out);
}

void Screen::say(const std::string& line) {
  if (!paper_.live) write(line + "\n");
}

void Screen::finish() {
  if (hidden_) write("\x1b[?25h");
  hidden_ = false;
  drawn_ = 0;
}

}  // namespace p2p::tools
