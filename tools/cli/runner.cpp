#include "tools/cli/runner.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "overlay/net/control_socket.hpp"
#include "overlay/net/files.hpp"
#include "overlay/net/loop.hpp"
#include "overlay/net/opendht.hpp"
#include "tools/cli/control_protocol.hpp"
#include "tools/cli/overlay_json.hpp"
#include "tools/cli/history.hpp"
#include "tools/cli/status_json.hpp"

namespace p2p::tools {

namespace {
using Clock = std::chrono::steady_clock;
constexpr auto kLookAround = std::chrono::seconds(2);
}  // namespace

WakeUp::WakeUp() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) { P2P_ASSERT(fd_ >= 0); }
WakeUp::~WakeUp() { ::close(fd_); }
void WakeUp::signal() const {
  const std::uint64_t one = 1;
  // Fails only when the counter is full, and then the descriptor is readable anyway.
  std::ignore = ::write(fd_, &one, sizeof one);
}
void WakeUp::clear() const {
  std::uint64_t count = 0;
  std::ignore = ::read(fd_, &count, sizeof count);
}

Runner::Runner(NodeConfig config, metadata::Task task, LineWriter& out)
    : config_(std::move(config)),
      task_(std::move(task)),
      coder_(task_),
      out_(out),
      run_(fmt::format("{:x}", std::chrono::duration_cast<std::chrono::milliseconds>(
                                   std::chrono::system_clock::now().time_since_epoch())
                                   .count())) {}

Runner::~Runner() {
  close_control();
  if (signals_ >= 0) ::close(signals_);
}

void Runner::close_control() {
  if (!control_loop_) return;
  std::ignore = control_loop_->call_and_wait([this] { control_server_.reset(); });
  control_loop_->stop();
  control_loop_.reset();
}

ExitCode Runner::run() {
  {
    net::NewState made(config_.node.state_dir, {"twin/snapshot", "twin/key.pem", "twin/lock", "twin", "control.sock", "snapshot", "key.pem"});
    if (const auto code = start(); code != ExitCode::ok) {
      close_control();
      desk_.reset();
      twin_.reset();
      node_.reset();
      return code;
    }
    made.keep();
  }
  while (!stop_asked_) {
    drain_events();
    look_around(false);
    if (start_asked_ && !started_) {
      started_ = true;
      pace_from_ = Clock::now();
    }
    const bool busy = feed();
    if (!out_.flush()) {
      log(LogLevel::warning, "nobody reads the output any more; ending");
      break;
    }
    if (feeder_done_ && !config_.source.stay_at_end) break;
    if (exit_ != ExitCode::ok) break;
    wait(busy);
  }
  finish();
  return exit_;
}

ExitCode Runner::start() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  signals_ = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  P2P_ASSERT(signals_ >= 0);

  const auto give_up = [&](const Error& error, Context context) {
    stop_with(error, context);
    out_.flush();
    return exit_;
  };
  if (auto ok = open_source(); !ok) return give_up(ok.error(), Context::data);

  auto& options = config_.node;
  options.task = task_;
  if (!options.state_dir.empty() && !options.isolated) {
    // Read here too, so that a bad key is told from bad state.
    if (const auto key = net::load_key(key_path(options.state_dir));
        !key && key.error().code != ErrorCode::not_found) {
      return give_up(key.error(), Context::key);
    }
  }
  options.on_event = [this](const node::Event& event) {
    const std::lock_guard lock(events_mutex_);
    if (events_.size() < kMaxEvents) {
      events_.push_back(event);
    } else {
      ++events_dropped_;
    }
    wake_.signal();
  };
  options.on_trouble = [](const Error& error) { log(LogLevel::warning, error.text()); };
  auto node = host::EdgeNode::start(options);
  if (!node) return give_up(node.error(), Context::start);
  node_ = std::move(*node);
  desk_.emplace(*node_, task_);

  if (config_.twin) {
    auto twin_options = options;
    twin_options.name += " (twin)";
    twin_options.isolated = true;
    twin_options.node.library.bytes = 0;
    twin_options.dht_port = twin_options.link_port = 0;
    twin_options.seeds.clear();
    twin_options.registry.reset();
    twin_options.on_event = nullptr;
    if (!options.state_dir.empty()) twin_options.state_dir = options.state_dir + "/twin";
    auto twin = host::EdgeNode::start(std::move(twin_options));
    if (!twin) return give_up(twin.error(), Context::start);
    twin_ = std::move(*twin);
  }
  if (auto ok = start_control(); !ok) return give_up(ok.error(), Context::start);
  announce();
  if (auto ok = resume(); !ok) return give_up(ok.error(), Context::data);
  started_ = !config_.source.hold;
  pace_from_ = Clock::now();
  return ExitCode::ok;
}

Result<void> Runner::start_control() {
  if (config_.node.state_dir.empty()) return {};
  control_loop_ = std::make_unique<net::Loop>();
  if (auto ok = control_loop_->start(); !ok) {
    control_loop_.reset();
    return ok;
  }
  const auto path = control_path(config_.node.state_dir);
  const auto opened = control_loop_->call_and_wait([&]() -> Result<void> {
    auto server = net::ControlServer::open(
        *control_loop_, path,
        [this](const std::string& line, const net::ControlServer::Reply& reply) {
          reply(answer(line));
        },
        {.line_bytes = std::max(net::ControlOptions{}.line_bytes, longest_need(task_))});
    if (!server) return tl::unexpected(server.error());
    control_server_ = std::move(*server);
    return {};
  });
  if (opened) control_ = path;
  return opened;
}

std::string Runner::answer(const std::string& line) {
  ControlHandlers handlers;
  handlers.status = [this] { return full_status(); };
  handlers.peers = [this] {
    const auto status = to_json(node_->status());
    return Json{{"id", status["id"]}, {"overlay", status["overlay"]}, {"peers", status["peers"]}};
  };
  handlers.lookup = [this] { return to_json(node_->lookup(), task_); };
  handlers.overlay = [this](std::string_view command, const Json& request) { return desk_->answer(command, request); };
  handlers.journal = [this](std::string_view command, const Json& request) -> Result<Json> {
    const auto asked = parse_journal_request(command, request);
    if (!asked) return tl::unexpected(asked.error());
    if (command == "rollback") {
      if (auto done = asked->redo ? node_->redo(*asked->id) : node_->rollback(*asked->id); !done) {
        return tl::unexpected(done.error());
      }
    }
    return history_json(node_->drifts(), *asked, task_);
  };
  handlers.start = [this] {
    start_asked_ = true;
    wake_.signal();
  };
  handlers.stop = [this] {
    stop_asked_ = true;
    wake_.signal();
  };
  return answer_control(line, handlers);
}

Json Runner::full_status() const {
  const auto status = node_->status();
  Json out = to_json(status);
  out["network"] = config_.node.network;
  out["network_id"] =
      config_.node.isolated || config_.node.registry ? Json(nullptr) : Json(net::network_id(config_.node.network));
  if (twin_) {
    const auto twin = twin_->status().node;
    out["twin_samples"] = twin.samples;
    out["twin_accuracy"] = twin.accuracy;
    out["twin_windowed_accuracy"] = twin.windowed_accuracy;
  }
  out["dht_bytes"] = status.overlay.sent_bytes + status.overlay.received_bytes;
  const Json usage = to_json(process_usage());
  for (const auto& [key, value] : usage.items()) out[key] = value;
  out["input_errors"] = input_errors_.load();
  out["source"] = source_state_.load() == SourceState::ended     ? "ended"
                  : source_state_.load() == SourceState::holding ? "holding"
                                                                 : "reading";
  return out;
}

void Runner::announce() {
  const auto status = node_->status();
  const auto json = to_json(status);
  out_.put(Json{
      {"type", "ready"},
      {"name", status.name},
      {"id", status.id},
      {"dht", json["dht"]},
      {"link", json["link"]},
      {"task", status.task_id},
      {"network_id",
       config_.node.isolated || config_.node.registry ? Json(nullptr) : Json(net::network_id(config_.node.network))},
      {"samples", status.node.samples},
      {"control", control_.empty()
                      ? Json(nullptr)
                      : Json(std::filesystem::absolute(control_).lexically_normal().string())},
  });
  out_.flush();
  log(LogLevel::info,
      status.node.samples > 0
          ? fmt::format("goes on behind sample {}, from its snapshot", status.node.samples)
          : std::string("starts with a new model"));
}

void Runner::stop_with(const Error& error, Context context) {
  exit_ = exit_code(error, context);
  out_.put(Json{{"type", "error"},
                {"code", name(error.code)},
                {"exit", static_cast<int>(exit_)},
                {"text", error.text()}});
  log(LogLevel::error, error.text());
}

void Runner::wait(bool busy) {
  pollfd fds[3] = {{wake_.fd(), POLLIN, 0}, {signals_, POLLIN, 0}, {-1, POLLIN, 0}};
  const bool reading = started_ && !feeder_done_;
  if (reading && source_waits_) fds[2].fd = source_->wait_fd();
  int timeout = static_cast<int>(std::chrono::milliseconds(kLookAround).count());
  if (busy) {
    timeout = 0;
  } else if (reading && !source_waits_ && config_.source.rate > 0) {
    const std::chrono::duration<double> until(static_cast<double>(paced_) / config_.source.rate);
    const auto left =
        std::chrono::duration<double, std::milli>(until - (Clock::now() - pace_from_)).count();
    timeout = std::clamp(static_cast<int>(std::ceil(left)), 0, timeout);
  }
  if (::poll(fds, 3, timeout) <= 0) return;
  if (fds[0].revents != 0) wake_.clear();
  if (fds[1].revents != 0) {
    signalfd_siginfo info{};
    if (::read(signals_, &info, sizeof info) == sizeof info) {
      log(LogLevel::info,
          fmt::format("{}: ending in order", ::strsignal(static_cast<int>(info.ssi_signo))));
      stop_asked_ = true;
    }
  }
  if (fds[2].revents != 0) source_waits_ = false;
}

void Runner::drain_events() {
  std::deque<node::Event> events;
  std::uint64_t dropped = 0;
  {
    const std::lock_guard lock(events_mutex_);
    events.swap(events_);
    std::swap(dropped, events_dropped_);
  }
  for (const auto& event : events) {
    out_.put(to_json(event, task_));
    log(LogLevel::debug, event.text);
  }
  if (dropped > 0)
    log(LogLevel::warning, fmt::format("{} events were dropped: the output is not read", dropped));
}

void Runner::look_around(bool now) {
  const auto time = Clock::now();
  if (!now && time < next_look_) return;
  next_look_ = time + kLookAround;
  desk_->drop_forgotten(time);
  auto error = node_->status().last_snapshot_error;
  if (twin_ && error.empty()) error = twin_->status().last_snapshot_error;
  if (error == snapshot_error_) return;
  snapshot_error_ = error;
  if (error.empty()) {
    log(LogLevel::info, "snapshots are written again");
    return;
  }
  out_.put(Json{{"type", "error"}, {"code", "snapshot"}, {"text", error}});
  log(LogLevel::error, error);
}

void Runner::finish() {
  drain_events();
  flush_correctness();
  for (auto* node : {node_.get(), twin_.get()}) {
    if (node == nullptr || config_.node.state_dir.empty()) continue;
    if (auto ok = node->save(); !ok && exit_ == ExitCode::ok) stop_with(ok.error(), Context::run);
  }
  Json summary{{"type", "summary"}};
  const Json status = full_status();
  for (const auto& [key, value] : status.items()) summary[key] = value;
  Json drifts = Json::array();
  for (const auto& report : node_->drifts()) drifts.push_back(to_json(report, task_));
  summary["drifts"] = std::move(drifts);
  out_.put(summary);
  out_.flush();
}

}  // namespace p2p::tools
