#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <future>
#include <memory>

#include "learner/snapshot.hpp"
#include "metadata/base/words.hpp"
#include "overlay/net/control_socket.hpp"
#include "overlay/net/files.hpp"
#include "overlay/net/loop.hpp"
#include "overlay/net/tls_transport.hpp"
#include "tools/cli/check_network.hpp"
#include "tools/cli/commands.hpp"
#include "tools/cli/config.hpp"
#include "tools/cli/control_protocol.hpp"
#include "tools/cli/table.hpp"
#include "tools/data/row_coder.hpp"
#include "tools/data/sample_source.hpp"

namespace p2p::tools {

namespace {

struct Options {
  std::string config;
  double timeout_s = 5;
  bool json = false;
};

/// The findings, printed as they come.
class Report {
 public:
  explicit Report(bool json) : json_(json) {}

  void ok(const std::string& what, const std::string& text) { add(what, true, text); }
  /// Could not be looked at, or there was no need to: neither good nor bad.
  void skipped(const std::string& what, const std::string& text) { add(what, nullptr, text); }
  void bad(const std::string& what, const std::string& text, ExitCode code) {
    if (first_ == ExitCode::ok) first_ = code;
    add(what, false, text);
  }
  void bad(const std::string& what, const Error& error, Context context) {
    bad(what, error.text(), exit_code(error, context));
  }
  ExitCode finish() {
    if (json_)
      std::puts(to_line(Json{{"ok", first_ == ExitCode::ok}, {"checks", checks_}}).c_str());
    return first_;
  }

 private:
  /// `good`: null where nothing was judged.
  void add(const std::string& what, const Json& good, const std::string& text) {
    checks_.push_back(Json{{"check", what}, {"ok", good}, {"text", text}});
    if (json_) return;
    fmt::print("{:<4}  {:<10}  {}\n", good.is_null() ? "--" : good == true ? "ok" : "FAIL", what, text);
    std::fflush(stdout);
  }
  bool json_;
  Json checks_ = Json::array();
  ExitCode first_ = ExitCode::ok;
};

void check_source(Report& report, const NodeConfig& config, const metadata::Task& task) {
  const auto& from = config.source;
  if (!from.finite()) return report.skipped("source", "not judged: there is nothing to open beforehand");
  auto source = from.kind == SourceConfig::Kind::csv
                    ? open_csv({.path = from.path, .label = from.label, .text = true})
                    : open_idx(from.images, from.labels);
  if (!source) return report.bad("source", source.error(), Context::data);
  const auto& file = from.kind == SourceConfig::Kind::csv ? from.path : from.images;
  if ((*source)->features() != task.raw_features()) {
    return report.bad(
        "source",
        fmt::format("{} has {} features where the task has {}; name the data of this task", file,
                    (*source)->features(), task.raw_features()),
        ExitCode::data);
  }
  if (auto ok = RowCoder(task).check_columns((*source)->feature_names()); !ok) {
    return report.bad("source", fmt::format("{}: {}", file, ok.error().text()), ExitCode::data);
  }
  Row row;
  const auto got = (*source)->next(row);
  if (!got) return report.bad("source", got.error(), Context::data);
  if (*got == SampleSource::Got::row) {
    if (auto ok = RowCoder(task).code(row); !ok) {
      return report.bad("source", fmt::format("{}, line {}: {}", file, row.line, ok.error().text()), ExitCode::data);
    }
  }
  if (*got == SampleSource::Got::row && row.labelled) {
    if (auto label = resolve_label(task.classes, row.label); !label) {
      return report.bad("source", fmt::format("{}: {}", file, label.error().text()),
                        ExitCode::data);
    }
  }
  report.ok("source",
            fmt::format("{}: {}, the first sample fits the task", file, counted(row.x.size(), "feature")));
}

/// Can a file be made there? Leaves nothing behind.
Result<void> try_writing(const std::string& directory) {
  const auto probe = directory + "/.check";
  auto ok = net::write_atomically(probe, view("p2p-learner check\n"), 0600);
  ::unlink(probe.c_str());
  return ok;
}

void check_state(Report& report, const std::string& directory) {
  if (directory.empty()) {
    return report.ok("state", "nothing is kept: node.state_dir is empty, a restart begins anew");
  }
  const net::NewState nothing_stays(directory, {});
  if (auto ok = net::make_directories(directory); !ok)
    return report.bad("state", ok.error(), Context::start);
  if (auto ok = try_writing(directory); !ok) return report.bad("state", ok.error(), Context::run);
  struct statvfs info {};
  constexpr std::uint64_t kEnough = 16u << 20;
  if (::statvfs(directory.c_str(), &info) == 0) {
    const auto free = static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
    if (free < kEnough) {
      return report.bad("state",
                        fmt::format("{} has only {} left; snapshots need room twice, make some",
                                    directory, bytes_text(static_cast<double>(free))),
                        ExitCode::disk_full);
    }
  }
  report.ok("state", fmt::format("{} can be written", directory));
}

void check_key(Report& report, const std::string& directory) {
  if (directory.empty())
    return report.ok("key", "a new one at each start, for node.state_dir is empty");
  const auto path = key_path(directory);
  const auto key = net::load_key(path);
  if (key) return report.ok("key", fmt::format("{}: node {}", path, key->id().hex()));
  if (key.error().code == ErrorCode::not_found) {
    return report.ok("key", fmt::format("{} is not there yet; the first start makes it", path));
  }
  report.bad("key", key.error(), Context::key);
}

void check_snapshot(Report& report, const std::string& directory) {
  if (directory.empty()) return;
  const auto path = directory + "/snapshot";
  const auto bytes = net::read_file(path, learner::Snapshot::kMaxBytes);
  if (!bytes && bytes.error().code == ErrorCode::not_found) {
    return report.ok("snapshot", "none yet; the node starts with a new model");
  }
  if (!bytes) return report.bad("snapshot", bytes.error(), Context::start);
  if (const auto snapshot = learner::decode_snapshot(*bytes); !snapshot) {
    return report.bad("snapshot",
                      fmt::format("{}: {}. Restore it from a backup, or move it away to start anew",
                                  path, snapshot.error().text()),
                      ExitCode::snapshot);
  }
  report.ok("snapshot",
            fmt::format("{}: {}, whole", path, bytes_text(static_cast<double>(bytes->size()))));
}

void check_port(Report& report, const NodeConfig& config, bool udp, const Json& running) {
  const std::string what = udp ? "dht port" : "link port";
  const auto port = udp ? config.node.dht_port : config.node.link_port;
  const auto address = metadata::Endpoint{config.node.bind, port}.text();
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  if (::inet_pton(AF_INET, config.node.bind.c_str(), &to.sin_addr) != 1) {
    return report.bad(what, fmt::format("node.bind = \"{}\" is no IPv4 address", config.node.bind),
                      ExitCode::usage);
  }
  const int fd = ::socket(AF_INET, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
  const int on = 1;
  if (!udp) ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const bool bound = fd >= 0 &&
                     ::bind(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0 &&
                     (udp || ::listen(fd, 1) == 0);
  const int error = errno;
  if (fd >= 0) ::close(fd);
  if (bound) {
    return report.ok(what, port == 0 ? fmt::format("any free one on {}", config.node.bind)
                                     : fmt::format("{} {} is free", udp ? "udp" : "tcp", address));
  }
  const char* key = udp ? "dht" : "link";
  if (error == EADDRINUSE && running.contains(key) && running[key] == address) {
    return report.ok(what, fmt::format("{} {} is held by this node, which is running",
                                       udp ? "udp" : "tcp", address));
  }
  if (error == EADDRINUSE) {
    return report.bad(
        what,
        fmt::format("{} {} is taken by another program; end it (`ss -{}lnp` names it) or change "
                    "node.{}_port",
                    udp ? "udp" : "tcp", address, udp ? "u" : "t", udp ? "dht" : "link"),
        ExitCode::in_use);
  }
  report.bad(what,
             fmt::format("{} {} cannot be used: {}; change node.bind or node.{}_port",
                         udp ? "udp" : "tcp", address, std::strerror(error), udp ? "dht" : "link"),
             error == EADDRNOTAVAIL ? ExitCode::usage : ExitCode::failed);
}

void check_clock(Report& report) {
  // Holders refuse records that are stamped more than ten minutes off their own clock.
  constexpr std::time_t kBuilt = 1'704'067'200;  // 2024-01-01, before the first release
  constexpr std::time_t kEnd = 4'102'444'800;    // 2100-01-01
  const auto now = std::time(nullptr);
  char text[32] = "";
  std::tm utc{};
  if (::gmtime_r(&now, &utc) != nullptr)
    std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &utc);
  if (now < kBuilt || now > kEnd) {
    return report.bad(
        "clock",
        fmt::format(
            "this machine's clock says {}; set it (timedatectl set-ntp true), or other nodes "
            "refuse this one's records",
            text),
        ExitCode::failed);
  }
  timex state{};
  const bool synchronised = ::adjtimex(&state) >= 0 && (state.status & STA_UNSYNC) == 0;
  report.ok(
      "clock",
      fmt::format("{}, {}", text,
                  synchronised
                      ? "synchronised"
                      : "not known to be synchronised; keep it within ten minutes of the others"));
}

void check_registry(Report& report, const NodeConfig& config, double timeout_s) {
  const auto& at = *config.node.registry;
  net::Loop loop;
  if (auto ok = loop.start(); !ok) return report.bad("registry", ok.error(), Context::start);
  std::unique_ptr<net::TlsTransport> transport;
  std::promise<Result<void>> promise;
  auto linked = promise.get_future();
  const auto begun = std::chrono::steady_clock::now();
  std::ignore = loop.call_and_wait([&] {
    auto made = net::TlsTransport::make(loop, metadata::KeyPair::generate());
    if (!made) return promise.set_value(tl::unexpected(made.error()));
    transport = std::move(*made);
    transport->connect(at, config.node.registry_key,
                       std::chrono::duration_cast<overlay::Duration>(std::chrono::duration<double>(timeout_s)),
                       [&promise](Result<std::shared_ptr<overlay::Link>> link) {
                         promise.set_value(link ? Result<void>() : tl::unexpected(link.error()));
                       });
  });
  const auto result = linked.get();
  std::ignore = loop.call_and_wait([&] { transport.reset(); });
  loop.stop();
  if (result) {
    const auto took = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun);
    return report.ok("registry", fmt::format("{} proved its key after {:.0f} ms", at.text(), took.count()));
  }
  if (result.error().code == ErrorCode::untrusted) {
    return report.bad("registry",
                      fmt::format("what answers at {} does not hold node.registry_key; take the key that "
                                  "`p2p-learner registry` prints",
                                  at.text()),
                      ExitCode::key);
  }
  report.bad("registry",
             fmt::format("{} cannot be reached ({}): is `p2p-learner registry` running there, is TCP open on the way?",
                         at.text(), result.error().text()),
             ExitCode::no_node);
}

void check_seeds(Report& report, const NodeConfig& config, double timeout_s) {
  if (config.node.seeds.empty()) {
    return report.skipped("seeds",
                     "none: this node is the first of its network, or others name it as theirs");
  }
  OverlayCheckOptions options;
  options.bind = config.node.bind;
  options.network = config.node.network;
  options.seeds = config.node.seeds;
  options.answer_within =
      std::chrono::duration_cast<overlay::Duration>(std::chrono::duration<double>(timeout_s));
  const auto result = check_overlay(options);
  if (!result) return report.bad("seeds", result.error(), Context::start);
  std::size_t reachable = 0;
  std::string first;
  for (const auto& seed : result->seeds) {
    if (seed.reachable) {
      if (++reachable == 1) first = seed.seed;
      report.ok("seed", fmt::format("{} answered after {:.0f} ms; {} seen through it",
                                    seed.seed, seed.took_ms, counted(seed.good_nodes, "node")));
    } else {
      report.bad("seed",
                 fmt::format("{} did not answer within {:.0f} s: is a node running there, is UDP "
                             "open on the way, is "
                             "its network \"{}\" too?",
                             seed.seed, timeout_s, config.node.network),
                 ExitCode::no_node);
    }
  }
  if (!result->compared) {
    return report.skipped("overlay", reachable == 0 ? "not judged: no seed answers"
                                                     : "not judged: one seed answers; with two, a split could be noticed");
  }
  if (result->split_from_first.empty()) {
    return report.ok(
        "overlay",
        fmt::format("whole: what is stored through {} is read through every other seed", first));
  }
  for (const auto& other : result->split_from_first) {
    report.bad("overlay",
               fmt::format("split: {} and {} do not see each other; let a node of one side name "
                           "one of the other as "
                           "a seed and restart it",
                           first, other),
               ExitCode::no_node);
  }
}

ExitCode check_all(const Options& options) {
  Report report(options.json);
  const auto config = load_config(options.config);
  if (!config) {
    report.bad("config", config.error(), Context::config);
    return report.finish();
  }
  report.ok("config", fmt::format("{} is understood", options.config));
  const auto task = load_task(config->task_path);
  if (!task) {
    report.bad("task", task.error(), Context::config);
  } else if (auto model = learner::make_model(node::model_spec(*task)); !model) {
    report.bad("task", model.error(), Context::config);
  } else {
    report.ok("task", fmt::format("{}: \"{}\", id {}", config->task_path, task->name,
                                  to_hex(metadata::id(*task).view())));
    check_source(report, *config, *task);
  }
  const auto& directory = config->node.state_dir;
  check_state(report, directory);
  check_key(report, directory);
  check_snapshot(report, directory);
  check_clock(report);
  if (config->node.isolated) {
    report.skipped("overlay", "not judged: node.isolated is true, there is none");
    return report.finish();
  }
  Json running = Json::object();
  if (!directory.empty()) {
    if (auto status = ask_node(control_path(directory), "status")) running = *status;
  }
  if (!config->node.registry) check_port(report, *config, true, running);
  check_port(report, *config, false, running);
  if (config->node.registry) {
    check_registry(report, *config, options.timeout_s);
    return report.finish();
  }
  check_seeds(report, *config, options.timeout_s);
  return report.finish();
}

}  // namespace

void add_check_command(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  auto* command = app.add_subcommand("check",
                                     "Check a configuration and what it needs: files, key, ports, "
                                     "clock, seeds or registry, and whether the overlay is split");
  command->add_option("--config", options->config, "Configuration (TOML)")->required();
  command->add_option("--timeout", options->timeout_s, "Seconds that a seed has to answer")
      ->check(CLI::Range(0.1, 60.0))
      ->capture_default_str();
  command->add_flag("--json", options->json,
                    "{\"ok\", \"checks\": [{\"check\", \"ok\", \"text\"}]}; \"ok\" of a check is null where nothing was judged");
  command->footer(
      "One line a check, with how to mend what fails; -- is before what was not judged. The exit status is that of the first "
      "failure; a seed\n"
      "that does not answer and a split overlay count as 8. A node that is running is not "
      "disturbed.");
  command->callback([&action, options] { action = [options] { return check_all(*options); }; });
}

}  // namespace p2p::tools
