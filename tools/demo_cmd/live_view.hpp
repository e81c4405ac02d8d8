// What the person watching sees while it runs.
#pragma once

#include <string>
#include <vector>

#include "tools/demo_cmd/node_log.hpp"
#include "tools/demo_cmd/scenario.hpp"
#include "tools/demo_cmd/terminal.hpp"

namespace p2p::tools {

/// Where a demonstration is.
enum class Stage { starting, joining, streaming, ending };

/// Everything a frame shows; the session fills it in.
struct ViewState {
  const Scenario& scenario;
  const std::vector<NodeLog>& logs;
  std::string data;
  Stage stage = Stage::starting;
  double elapsed_s = 0;                    ///< since the first process was started
  double rate = 0;                         ///< samples per second and node
  std::vector<std::size_t> known_nodes{};  ///< per node: others that its directory knows
  std::vector<std::string> deaths{};       ///< per node, empty where none
  std::vector<std::string> news{};         ///< latest last
};

/// Share of the whole stream that is through, and seconds until the rest is.
double stream_done(const ViewState& state);
double seconds_left(const ViewState& state);

/// The picture as lines, none wider than the paper, not more than its height - 1.
std::vector<std::string> frame(const ViewState& state, const Paper& paper);

/// One line on one event: "n2 @2466 drift detected: ...".
std::string event_line(const Scenario& scenario, std::size_t node, const EventNote& note);
/// Is it worth a line? The others are bookkeeping.
bool notable(const EventNote& note);

/// Draws frames over each other on a terminal; on anything else it prints nothing of them.
class Screen {
 public:
  Screen(int fd, const Paper& paper) : fd_(fd), paper_(paper) {}
  ~Screen() { finish(); }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  const Paper& paper() const { return paper_; }
  /// Asks for the size again: the window may have changed.
  void draw(const ViewState& state);
  /// One line for those without a terminal.
  void say(const std::string& line);
  /// Leaves the last frame standing and gives the cursor back.
  void finish();
  /// False once the reader went away.
  bool ok() const { return ok_; }

 private:
  void write(const std::string& text);
  int fd_;
  Paper paper_;
  std::size_t drawn_ = 0;
  bool hidden_ = false;
  bool ok_ = true;
};

}  // namespace p2p::tools
