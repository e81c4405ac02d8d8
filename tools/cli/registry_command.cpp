#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>

#include <cstdio>
#include <memory>
#include <optional>

#include "overlay/directory/registry_server.hpp"
#include "overlay/net/files.hpp"
#include "overlay/net/loop.hpp"
#include "overlay/net/tls_transport.hpp"
#include "tools/cli/commands.hpp"
#include "tools/cli/config.hpp"
#include "tools/cli/end_signals.hpp"

namespace p2p::tools {

namespace {

constexpr std::size_t kOtherFiles = 64;       // descriptors that are no links
constexpr auto kFarewell = std::chrono::milliseconds(300);  // for goodbyes to leave

struct Options {
  std::string bind = "127.0.0.1";
  std::uint16_t port = 0;
  std::string state_dir;
  std::size_t nodes = directory::registry::Table::Limits{}.nodes;
  std::size_t links = directory::RegistryServerOptions{}.links;
  bool json = false;
};

/// As many descriptors as there may be links, or as many as the system gives.
std::size_t allow_links(std::size_t links) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return links;
  const rlim_t wanted = links + kOtherFiles;
  if (limit.rlim_cur < wanted) {
    limit.rlim_cur = limit.rlim_max == RLIM_INFINITY ? wanted : std::min(wanted, limit.rlim_max);
    ::setrlimit(RLIMIT_NOFILE, &limit);
    ::getrlimit(RLIMIT_NOFILE, &limit);
  }
  return limit.rlim_cur > kOtherFiles ? std::min<std::size_t>(links, limit.rlim_cur - kOtherFiles) : 1;
}

Result<metadata::KeyPair> own_key(const std::string& state_dir) {
  if (state_dir.empty()) return metadata::KeyPair::generate();
  return net::load_or_create_key(key_path(state_dir));
}

Error with_advice(Error error, const Options& options) {
  if (error.code == ErrorCode::in_use) {
    error.message = fmt::format(
        "{} is taken; choose another --port, or 0 for any free one (`ss -ltnp` shows who has it)",
        metadata::Endpoint{options.bind, options.port}.text());
  }
  return error;
}

ExitCode serve(const Options& options) {
  const auto signals = block_end_signals();
  const auto refuse = [&](const Error& error, Context context) { return report_error(error, context, options.json); };
  if (const auto host = metadata::parse_host(options.bind); !host) {
    return refuse({ErrorCode::invalid_argument,
                   fmt::format("--bind {} is no numeric address; use 127.0.0.1 or this machine's own", options.bind), {}},
                  Context::config);
  }
  net::NewState fresh(options.state_dir, {"key.pem"});  // before the lock, which must be gone when it ends
  std::optional<net::DirectoryLock> lock;
  if (!options.state_dir.empty()) {
    if (auto made = net::make_directories(options.state_dir); !made) return refuse(made.error(), Context::start);
    auto taken = net::DirectoryLock::take(options.state_dir);
    if (!taken) return refuse(taken.error(), Context::start);
    lock = std::move(*taken);
  }
  const auto key = own_key(options.state_dir);
  if (!key) return refuse(key.error(), Context::key);

  directory::RegistryServerOptions limits;
  limits.table.nodes = options.nodes;
  limits.links = allow_links(options.links);
  if (limits.links < options.links) {
    log(LogLevel::warning, fmt::format("this system allows {} links; `ulimit -n {}` allows {}", limits.links,
                                       options.links + kOtherFiles, options.links));
  }
  net::Loop loop;
  if (auto running = loop.start(); !running) return refuse(running.error(), Context::start);
  std::unique_ptr<net::TlsTransport> transport;
  std::unique_ptr<directory::RegistryServer> server;
  const auto opened = loop.call_and_wait([&]() -> Result<metadata::Endpoint> {
    // The server ends links in order before the transport would drop them.
    auto made = net::TlsTransport::make(loop, *key, {.half_open = 256, .links = limits.links + 512});
    if (!made) return tl::unexpected(made.error());
    transport = std::move(*made);
    if (auto listening = transport->listen({options.bind, options.port}); !listening) {
      transport.reset();
      return tl::unexpected(with_advice(listening.error(), options));
    }
    server = std::make_unique<directory::RegistryServer>(loop, *transport, limits);
    server->listen();
    return transport->local();
  });
  if (!opened) {
    loop.stop();
    return refuse(opened.error(), Context::start);
  }
  fresh.keep();
  if (options.json) {
    std::puts(to_line(Json{{"type", "ready"}, {"address", opened->text()}, {"key", key->id().hex()}}).c_str());
  } else {
    fmt::print("{} {}\n", opened->text(), key->id().hex());
  }
  std::fflush(stdout);
  log(LogLevel::info, fmt::format("nodes find this registry with  registry = \"{}\"  and  registry_key = \"{}\"{}",
                                  opened->text(), key->id().hex(),
                                  options.state_dir.empty() ? "; without --state-dir the key is another one next time" : ""));
  if (!metadata::connectable(*opened)) {
    log(LogLevel::warning, fmt::format("{} is every address of this machine: write the one that nodes reach into their "
                                       "configuration",
                                       options.bind));
  }

  int number = 0;
  while (::sigwait(&signals, &number) != 0) {
  }
  directory::RegistryStats stats;
  std::ignore = loop.call_and_wait([&] {
    stats = server->stats();
    server->shutdown();
    transport->stop_listening();
  });
  timespec farewell{0, std::chrono::nanoseconds(stats.links == 0 ? std::chrono::milliseconds(0) : kFarewell).count()};
  ::nanosleep(&farewell, nullptr);
  std::ignore = loop.call_and_wait([&] {
    server.reset();
    transport.reset();
  });
  loop.stop();
  if (options.json) {
    std::puts(to_line(Json{{"type", "end"},
                           {"nodes", stats.nodes},
                           {"tasks", stats.tasks},
                           {"links", stats.links},
                           {"publications", stats.publications},
                           {"lookups", stats.lookups},
                           {"pushes", stats.pushes},
                           {"refused", stats.refused}})
                  .c_str());
  }
  log(LogLevel::info, fmt::format("ended; {} nodes were listed, {} lookups answered, {} requests refused", stats.nodes,
                                  stats.lookups, stats.refused));
  return ExitCode::ok;
}

}  // namespace

void add_registry_command(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  auto* command =
      app.add_subcommand("registry", "Run a central registry of nodes, which they can use instead of the DHT");
  command->add_option("--bind", options->bind, "Numeric address to listen at (TCP)")->capture_default_str();
  command->add_option("--port", options->port, "Port; 0: any free one")->capture_default_str();
  command->add_option("--state-dir", options->state_dir,
                      "Directory for its key, made if it is missing; without one the key is new at every start");
  command->add_option("--nodes", options->nodes, "Nodes that it lists at most")
      ->check(CLI::Range(std::size_t{1}, std::size_t{10'000'000}).description(""))
      ->capture_default_str();
  command->add_option("--links", options->links, "Links that it keeps open at most; nodes stay listed without one")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1'000'000}).description(""))
      ->capture_default_str();
  command->add_flag("--json", options->json, "Print {\"type\": \"ready\", \"address\", \"key\"}, and counters at the end");
  command->footer(
      "Prints one line, its address and its key, and answers until SIGINT or SIGTERM. Nodes name both in\n"
      "their configuration, instead of seeds:\n"
      "  [node]\n"
      "  registry = \"127.0.0.1:4300\"\n"
      "  registry_key = \"<64 hexadecimal digits>\"\n"
      "Who is listed is kept in memory only: after a restart all nodes list themselves again within a minute.\n"
      "Models do not pass through it; nodes fetch them from each other.");
  command->callback([&action, options] { action = [options] { return serve(*options); }; });
}

}  // namespace p2p::tools
