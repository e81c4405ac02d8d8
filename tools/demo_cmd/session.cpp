#include "tools/demo_cmd/session.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>

#include "overlay/net/control_socket.hpp"
#include "tools/demo_cmd/result.hpp"

namespace p2p::tools {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// How long is waited for what may not come.
constexpr auto kReadyDeadline = 20s;  // a process until it says that it is ready
constexpr auto kFullOverlay = 3s;     // for everybody to know everybody
constexpr auto kJoinDeadline = 15s;   // for everybody to know somebody
constexpr auto kEndDeadline = 10s;    // from SIGTERM to SIGKILL
constexpr auto kFrameTime = 200ms;
constexpr auto kPlainTime = 5s;  // between two lines of progress without a terminal
constexpr auto kControlTimeout = 500ms;
constexpr auto kLastWords = 1s;
constexpr std::size_t kNews = 50;

double seconds(Clock::duration d) { return std::chrono::duration<double>(d).count(); }

class Session {
 public:
  Session(const Scenario& scenario, const Workspace& workspace, const SessionOptions& options,
          SignalWatch& signals, Screen& screen)
      : scenario_(scenario),
        workspace_(workspace),
        options_(options),
        signals_(signals),
        screen_(screen),
        children_(scenario.plans.size()),
        logs_(scenario.plans.size()),
        view_{scenario, logs_, options.data} {
    view_.rate = options.rate;
    view_.known_nodes.assign(scenario.plans.size(), 0);
    view_.deaths.assign(scenario.plans.size(), "");
    network_ = fmt::format("demo-{}-{}", ::getpid(), scenario.options.seed);
  }

  Result<SessionOutcome> run() {
    if (auto started = start_all(); !started) {
      end_all();
      return tl::unexpected(started.error());
    }
    if (going_on()) join();
    if (going_on()) stream();
    end_all();
    SessionOutcome out;
    out.interrupted = interrupted_;
    out.elapsed_s = seconds(Clock::now() - began_);
    out.stream_s =
        stream_began_ ? seconds(stream_ended_.value_or(Clock::now()) - *stream_began_) : 0;
    for (std::size_t i = 0; i < logs_.size(); ++i) {
      out.last_errors.emplace_back();
      if (!view_.deaths[i].empty() && children_[i]) {
        out.last_errors[i].assign(children_[i]->last_errors().begin(),
                                  children_[i]->last_errors().end());
      }
    }
    out.logs = std::move(logs_);
    out.deaths = view_.deaths;
    return out;
  }

 private:
  bool alive(std::size_t i) const { return children_[i] && view_.deaths[i].empty(); }
  std::size_t living() const {
    std::size_t n = 0;
    for (std::size_t i = 0; i < children_.size(); ++i) n += alive(i);
    return n;
  }
  bool going_on() const { return !interrupted_ && screen_.ok() && living() > 0; }

  void note(const std::string& text) {
    const std::string line = fmt::format("{:5.1f} s  {}", seconds(Clock::now() - began_), text);
    view_.news.push_back(line);
    if (view_.news.size() > kNews) view_.news.erase(view_.news.begin());
    screen_.say(line);
  }

  void set_stage(Stage stage, const std::string& text) {
    view_.stage = stage;
    note(text);
  }

  void died(std::size_t i, std::string how) {
    view_.deaths[i] = std::move(how);
    note(fmt::format("{} died: {}", scenario_.plans[i].name, view_.deaths[i]));
    for (const std::string& line :
         children_[i] ? children_[i]->last_errors() : std::deque<std::string>{}) {
      note(fmt::format("{}   {}", scenario_.plans[i].name, line));
    }
  }

  Result<void> launch(std::size_t i, const std::vector<std::string>& seeds) {
    const std::string& name = scenario_.plans[i].name;
    auto config = write_config(workspace_, name,
                               {.rate = options_.rate,
                                .samples = scenario_.options.samples,
                                .network = network_,
                                .seeds = seeds});
    if (!config) return tl::unexpected(config.error());
    auto child = ChildProcess::start({options_.program, "run", "--config", *config});
    if (!child) return tl::unexpected(child.error());
    children_[i].emplace(std::move(*child));
    return {};
  }

  /// The first node that comes up is the door through which all others join.
  Result<void> start_all() {
    set_stage(Stage::starting, fmt::format("starting {} nodes", children_.size()));
    std::size_t first = 0;
    for (; first < children_.size() && !interrupted_; ++first) {
      if (auto ok = launch(first, {}); !ok) return ok;
      wait_for(kReadyDeadline, [&] { return logs_[first].ready || !alive(first); });
      if (logs_[first].ready || interrupted_) break;
      if (alive(first)) give_up(first, "it did not say that it is ready");
    }
    if (interrupted_) return {};
    if (first == children_.size()) {
      std::string why = view_.deaths[0];
      if (children_[0] && !children_[0]->last_errors().empty())
        why = children_[0]->last_errors().back();
      return fail(ErrorCode::unavailable, "no node could be started", why);
    }
    note(fmt::format("{} is up: directory at {}", scenario_.plans[first].name, logs_[first].dht));
    for (std::size_t i = first + 1; i < children_.size(); ++i) {
      if (auto ok = launch(i, {logs_[first].dht}); !ok) return ok;
    }
    wait_for(kReadyDeadline, [&] { return all([&](std::size_t i) { return logs_[i].ready; }); });
    for (std::size_t i = 0; i < children_.size(); ++i) {
      if (!interrupted_ && alive(i) && !logs_[i].ready)
        give_up(i, "it did not say that it is ready");
    }
    return {};
  }

  void join() {
    set_stage(Stage::joining, "the overlay is forming");
    const auto began = Clock::now();
    auto next_question = began;
    wait_for(kJoinDeadline, [&] {
      const auto now = Clock::now();
      if (now < next_question) return false;
      next_question = now + 300ms;
      for (std::size_t i = 0; i < children_.size(); ++i) {
        if (alive(i)) ask_known(i);
      }
      const std::size_t others = living() - 1;
      const std::size_t wanted =
          now - began < kFullOverlay ? others : std::min<std::size_t>(others, 1);
      return all([&](std::size_t i) { return view_.known_nodes[i] >= wanted; });
    });
    std::vector<std::size_t> known;
    for (std::size_t i = 0; i < children_.size(); ++i) {
      if (alive(i)) known.push_back(view_.known_nodes[i]);
    }
    if (known.empty()) return;
    note(fmt::format("the overlay stands: {} nodes, each knows {} to {} others", known.size(),
                     *std::min_element(known.begin(), known.end()),
                     *std::max_element(known.begin(), known.end())));
  }

  void ask_known(std::size_t i) {
    const auto answer =
        net::control_request(logs_[i].control, R"({"command":"status"})",
                             std::chrono::duration_cast<overlay::Duration>(kControlTimeout));
    if (!answer) return;
    const auto json = nlohmann::json::parse(*answer, nullptr, false);
    if (!json.is_object()) return;
    const auto overlay = json.find("overlay");
    if (overlay == json.end() || !overlay->is_object()) return;
    const auto good = overlay->find("good_nodes");
    if (good != overlay->end() && good->is_number_unsigned())
      view_.known_nodes[i] = good->get<std::size_t>();
  }

  void stream() {
    set_stage(Stage::streaming, fmt::format("{} samples to each node, {:.0f} a second",
                                            scenario_.options.samples, options_.rate));
    stream_began_ = Clock::now();
    for (std::size_t i = 0; i < children_.size(); ++i) {
      if (!alive(i)) continue;
      const auto answer = net::control_request(logs_[i].control, R"({"command":"start"})",
                                               std::chrono::duration_cast<overlay::Duration>(2s));
      if (answer) continue;
      // If it is dead, this tells of what it died; its pipes may close a moment after its sockets.
      const auto patience = Clock::now() + kLastWords;
      while (alive(i) && Clock::now() < patience) pump(20ms);
      if (alive(i))
        give_up(i, fmt::format("it could not be told to start: {}", answer.error().text()));
    }
    const double planned = static_cast<double>(scenario_.options.samples) / options_.rate;
    const bool whole =
        wait_for(std::chrono::milliseconds(static_cast<long>(1000 * (2 * planned + 20))),
                 [&] { return all([&](std::size_t i) { return logs_[i].at_end; }); });
    stream_ended_ = Clock::now();
    if (!whole && going_on()) note("some nodes are far behind their streams; ending here");
  }

  /// SIGTERM, time to say goodbye, SIGKILL. A signal meanwhile cuts the time short.
  void end_all() {
    if (!stream_ended_ && stream_began_) stream_ended_ = Clock::now();
    set_stage(Stage::ending, interrupted_ ? "interrupted: ending the nodes" : "ending the nodes");
    for (auto& child : children_) {
      if (child) child->signal(SIGTERM);
    }
    const auto deadline = Clock::now() + kEndDeadline;
    const auto over = [&] {
      return std::all_of(children_.begin(), children_.end(), [](const auto& child) {
        return !child || (child->out_fd() < 0 && child->err_fd() < 0);
      });
    };
    hurry_ = false;
    while (!over() && Clock::now() < deadline && !hurry_) pump(50ms);
    for (std::size_t i = 0; i < children_.size(); ++i) {
      if (!children_[i]) continue;
      const bool in_time = children_[i]->ended() || children_[i]->out_fd() < 0;
      if (!in_time && view_.deaths[i].empty()) {
        view_.deaths[i] =
            hurry_ ? "killed by the second signal" : "it did not end within 10 s of SIGTERM";
      }
      // With its outputs closed it is about to be gone; whatever is left after a moment is killed.
      for (int tries = 0; in_time && !children_[i]->ended() && tries < 100; ++tries)
        ::usleep(20'000);
      children_[i]->signal(SIGKILL);
      for (int tries = 0; !children_[i]->ended() && tries < 100; ++tries) ::usleep(20'000);
      children_[i]->read_out([&](std::string_view line) { take(i, line); });
      children_[i]->read_err();
      const auto status = children_[i]->exit_status();
      if (view_.deaths[i].empty() && status != 0 && !(interrupted_ && status == 130)) {
        died(i, children_[i]->how_it_ended());
      }
    }
    show(true);
  }

  void give_up(std::size_t i, std::string why) {
    children_[i]->signal(SIGKILL);
    died(i, std::move(why));
  }

  template <typename Predicate>
  bool all(Predicate predicate) const {
    for (std::size_t i = 0; i < children_.size(); ++i) {
      if (alive(i) && !predicate(i)) return false;
    }
    return true;
  }

  /// Pumps until `done`, the deadline, a signal, or the last node is gone.
  template <typename Predicate>
  bool wait_for(Clock::duration deadline, Predicate done) {
    const auto until = Clock::now() + deadline;
    while (going_on() && Clock::now() < until) {
      if (done()) return true;
      pump(50ms);
    }
    return going_on() && done();
  }

  void take(std::size_t i, std::string_view line) {
    if (auto ok = logs_[i].add(line); !ok && !strange_) {
      strange_ = true;
      note(
          fmt::format("{} said something strange: {}", scenario_.plans[i].name, ok.error().text()));
    }
    for (const EventNote& news : logs_[i].take_news()) {
      if (notable(news)) note(with_names(event_line(scenario_, i, news), logs_, scenario_));
    }
  }

  void pump(std::chrono::milliseconds timeout) {
    std::vector<pollfd> fds = {{signals_.fd(), POLLIN, 0}};
    for (const auto& child : children_) {
      if (child && child->out_fd() >= 0) fds.push_back({child->out_fd(), POLLIN, 0});
      if (child && child->err_fd() >= 0) fds.push_back({child->err_fd(), POLLIN, 0});
    }
    ::poll(fds.data(), fds.size(), static_cast<int>(timeout.count()));
    if (signals_.take() > 0) {
      hurry_ = interrupted_;  // the second one
      interrupted_ = true;
    }
    for (std::size_t i = 0; i < children_.size(); ++i) {
      if (!children_[i]) continue;
      children_[i]->read_err();
      children_[i]->read_out([&](std::string_view line) { take(i, line); });
      if (view_.stage != Stage::ending && alive(i) && children_[i]->out_fd() < 0 &&
          children_[i]->ended()) {
        children_[i]->read_err();
        died(i, children_[i]->how_it_ended());
      }
    }
    show(false);
  }

  void show(bool now) {
    const auto time = Clock::now();
    view_.elapsed_s = seconds(time - began_);
    if (now || time - drawn_ >= kFrameTime) {
      drawn_ = time;
      screen_.draw(view_);
    }
    if (!screen_.paper().live && view_.stage == Stage::streaming && time - said_ >= kPlainTime) {
      said_ = time;
      double ours = 0, theirs = 0;
      std::size_t n = 0;
      for (std::size_t i = 0; i < logs_.size(); ++i) {
        if (!alive(i) || logs_[i].samples == 0) continue;
        ours += logs_[i].windowed;
        theirs += logs_[i].twin_windowed;
        ++n;
      }
      if (n > 0) {
        const auto count = static_cast<double>(n);
        note(
            fmt::format("{:3.0f} % done, {} left; accuracy over the latest 200, mean: nodes "
                        "{:.3f}, twins {:.3f}",
                        100 * stream_done(view_), human_time(seconds_left(view_)), ours / count,
                        theirs / count));
      }
    }
  }

  const Scenario& scenario_;
  const Workspace& workspace_;
  const SessionOptions& options_;
  SignalWatch& signals_;
  Screen& screen_;
  std::vector<std::optional<ChildProcess>> children_;
  std::vector<NodeLog> logs_;
  ViewState view_;
  std::string network_;
  const Clock::time_point began_ = Clock::now();
  std::optional<Clock::time_point> stream_began_, stream_ended_;
  Clock::time_point drawn_{}, said_ = Clock::now();
  bool interrupted_ = false, hurry_ = false, strange_ = false;
};

}  // namespace

Result<SessionOutcome> run_session(const Scenario& scenario, const Workspace& workspace,
                                   const SessionOptions& options, SignalWatch& signals,
                                   Screen& screen) {
  return Session(scenario, workspace, options, signals, screen).run();
}

}  // namespace p2p::tools
