#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "metadata/crypto.hpp"
#include "overlay/net/files.hpp"
#include "tools/cli/commands.hpp"
#include "tools/cli/config.hpp"

namespace p2p::tools {

namespace {

struct Options {
  std::string out = "key.pem";
  std::string state_dir;
  bool force = false, json = false;
};

bool exists(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0;
}

ExitCode generate(const Options& options) {
  std::string path = options.out;
  if (!options.state_dir.empty()) {
    if (auto ok = net::make_directories(options.state_dir); !ok) {
      return report_error(ok.error(), Context::run, options.json);
    }
    path = key_path(options.state_dir);
  }
  if (exists(path) && !options.force) {
    return report_error(
        Error{ErrorCode::in_use,
              fmt::format("{} is there already and is not overwritten: who replaces a node's key "
                          "makes another node of it. Choose another file, or use --force",
                          path),
              {}},
        Context::config, options.json);
  }
  const auto key = metadata::KeyPair::generate();
  if (auto ok = net::write_atomically(path, view(net::key_text(key)), 0600); !ok) {
    return report_error(ok.error(), Context::run, options.json);
  }
  if (options.json) {
    std::puts(to_line(Json{{"id", key.id().hex()}, {"file", path}}).c_str());
  } else {
    std::puts(key.id().hex().c_str());
  }
  return ExitCode::ok;
}

}  // namespace

void add_keygen_command(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  auto* command =
      app.add_subcommand("keygen", "Make a node key (Ed25519, PEM) and print the node id");
  auto* out =
      command->add_option("--out", options->out, "File to write, mode 0600")->capture_default_str();
  command
      ->add_option("--state-dir", options->state_dir,
                   "Write it where a node with this state directory looks")
      ->excludes(out);
  command->add_flag("--force", options->force, "Overwrite a key that is there");
  command->add_flag("--json", options->json, "Print {\"id\", \"file\"}");
  command->footer(
      "A node makes its own key at its first start; this is for those who want the id beforehand.\n"
      "Keys of `openssl genpkey -algorithm ed25519` work as well.");
  command->callback([&action, options] { action = [options] { return generate(*options); }; });
}

}  // namespace p2p::tools
