#include "tools/cli/config.hpp"

#include <fmt/format.h>

#include <filesystem>

#include "overlay/net/files.hpp"
#include "overlay/net/opendht.hpp"
#include "tools/cli/node_template.hpp"
#include "tools/cli/toml_reader.hpp"

namespace p2p::tools {

namespace {

constexpr std::uint64_t kMany = 1'000'000;
constexpr std::uint64_t kMaxLibraryBytes = std::uint64_t{1} << 32;
constexpr std::size_t kMaxConfigBytes = 1u << 20;

using Milliseconds = std::chrono::milliseconds;

/// Relative paths start from the configuration's own directory: it can then be run from anywhere.
void resolve(std::string& path, const std::string& config_path) {
  if (path.empty()) return;
  const std::filesystem::path given(path);
  if (given.is_absolute()) return;
  path = (std::filesystem::path(config_path).parent_path() / given).lexically_normal().string();
}

/// As the file has it.
struct RegistryWords {
  std::string address, key;
};

void read_node(TomlTable& table, NodeConfig& out, RegistryWords& registry) {
  table.get("task", out.task_path);
  table.get("name", out.node.name);
  table.get("state_dir", out.node.state_dir);
  table.get("bind", out.node.bind);
  table.get("dht_port", out.node.dht_port, 0, 65535);
  table.get("link_port", out.node.link_port, 0, 65535);
  table.get("seeds", out.node.seeds);
  table.get("registry", registry.address);
  table.get("registry_key", registry.key);
  if (const auto word = table.get_word("registry_similarity", {"embedding", "priors"})) {
    out.node.registry_similarity = static_cast<directory::registry::Similarity>(*word);
  }
  table.get("network", out.node.network);
  table.get("isolated", out.node.isolated);
  double seconds = std::chrono::duration<double>(out.node.snapshot_every).count();
  if (const auto word = table.get_word("without_labels", {"nothing", "own", "agreed"})) {
    out.node.node.without_labels.adopt = static_cast<node::AgreementOptions::Adopt>(*word);
  }
  table.get("snapshot_every_s", seconds, 0.1, 86400);
  out.node.snapshot_every =
      std::chrono::duration_cast<overlay::Duration>(std::chrono::duration<double>(seconds));
}

void read_source(TomlTable& table, SourceConfig& out, node::NodeOptions& node) {
  if (const auto kind = table.get_word("kind", {"stdin", "csv", "idx", "none"})) {
    out.kind = static_cast<SourceConfig::Kind>(*kind);
  }
  table.get("path", out.path);
  table.get("label", out.label);
  table.get("images", out.images);
  table.get("labels", out.labels);
  table.get("rate", out.rate, 0, 1e9);
  table.get("limit", out.limit, 0, INT64_MAX);
  table.get("pending_labels", node.pending_labels, 0, kMany);
  table.get("labels_after", out.labels_after, 0, kMany);
  table.get("hold", out.hold);
  if (const auto word = table.get_word("at_end", {"exit", "stay"})) out.stay_at_end = *word == 1;
}

void read_milliseconds(TomlTable& table, std::string_view key, overlay::Duration& out) {
  auto ms = static_cast<std::uint64_t>(std::chrono::duration_cast<Milliseconds>(out).count());
  table.get(key, ms, 1, 3'600'000);
  out = Milliseconds(ms);
}

void read_tuning(TomlTable& table, node::NodeOptions& out) {
  table.get("window", out.window, 20, 100'000);
  table.get("checkpoint_every", out.checkpoint_every, 1, kMany);
  table.get("watch_samples", out.watch_samples, 0, kMany);
  table.get("shadow_samples", out.shadow.samples, 0, kMany);
  table.get("watch_alpha", out.watch_alpha, 1e-6, 0.5);
  table.get("query_samples", out.query_samples, 1, kMany);
  table.get("trial_lead", out.trial_lead, 0, kMany);
  table.get("retry_after", out.retry_after, 1, kMany);
  table.get("ask", out.ask, 1, 64);
  table.get("pull_from", out.pull_from, 1, 8);
  read_milliseconds(table, "ask_deadline_ms", out.ask_deadline);
  read_milliseconds(table, "pull_deadline_ms", out.pull_deadline);
  read_milliseconds(table, "pull_grace_ms", out.pull_grace);
  read_milliseconds(table, "distrust_for_ms", out.distrust_for);
  if (const auto bits = table.get_number("part_bits", {4, 8, 16, 32})) {
    out.part_precision = static_cast<learner::Precision>(*bits);
  }
  table.get("fingerprint_half_life", out.fingerprint_half_life, 0, 1e9);
  table.get("publish_after", out.publish_after, 1, kMany);
  read_milliseconds(table, "publish_interval_ms", out.publish_interval);
  table.get("publish_change", out.publish_change, 0, 2);
  table.get("library_bytes", out.library.bytes, 0, kMaxLibraryBytes);
  table.get("library_concepts", out.library.concepts, 0, 4096);
  table.get("standby_models", out.standby.models, 0, 64);
  table.get("recall_patience", out.recall_patience, 0, kMany);
  table.get("scout_neighbours", out.scout.neighbours, 0, 32);
  read_milliseconds(table, "scout_interval_ms", out.scout.interval);
  table.get("scout_bytes_per_hour", out.scout.bytes_per_hour, 0, kMaxLibraryBytes);
  table.get("inputs_run_length", out.inputs_run_length, 0, 1e12);
  table.get("lookup_want", out.lookup.want, 1, 64);
  read_milliseconds(table, "lookup_deadline_ms", out.lookup.deadline);
  table.get("trial_alpha", out.trial.alpha, 1e-6, 0.5);
  table.get("class_alpha", out.class_alpha, 1e-6, 0.9);
  table.get("trial_minimum_samples", out.trial.minimum_samples, 1, kMany);
  table.get("trial_maximum_samples", out.trial.maximum_samples, 1, kMany);
  table.get("drift_batch", out.drift.batch, 1, kMany);
  table.get("drift_reference_batches", out.drift.reference_batches, 1, kMany);
  table.get("drift_minimum_batches", out.drift.minimum_batches, 1, kMany);
  table.get("drift_permitted_loss", out.drift.permitted_loss, 0, 1);
  table.get("drift_minimum_class_count", out.drift.minimum_class_count, 1, kMany);
  table.get("drift_cooldown", out.drift.cooldown, 0, kMany);
  table.get("drift_warmup", out.drift.warmup, 0, kMany);
  table.get("drift_adwin_delta", out.drift.adwin_delta, 1e-9, 0.5);
}

std::optional<Error> check_registry(const RegistryWords& registry, const TomlTable& node, NodeConfig& out) {
  const auto at = [&](std::string_view key, const std::string& what) {
    return config_error(out.path, node.line(key), what);
  };
  if (registry.address.empty() && registry.key.empty()) return std::nullopt;
  if (registry.address.empty()) {
    return at("registry_key", "node.registry is missing: the address beside the key that `p2p-learner registry` prints");
  }
  if (registry.key.empty()) {
    return at("registry", "node.registry_key is missing: the 64 digits that `p2p-learner registry` prints");
  }
  const auto address = metadata::parse_endpoint(registry.address);
  if (!address || !metadata::connectable(*address)) {
    return at("registry", fmt::format("node.registry = \"{}\" is no numeric address and port like "
                                      "\"127.0.0.1:4300\"",
                                      registry.address));
  }
  const auto key = metadata::parse_node_id(registry.key);
  if (!key) {
    return at("registry_key", "node.registry_key must be the 64 hexadecimal digits that `p2p-learner registry` prints");
  }
  if (!out.node.seeds.empty()) {
    return at("registry", "node.registry and node.seeds are both given: a node finds others through one registry or "
                          "through the DHT; take one of them out");
  }
  if (out.node.isolated) {
    return at("registry", "node.registry is of no use while node.isolated is true; take one of them out");
  }
  out.node.registry = *address;
  out.node.registry_key = *key;
  return std::nullopt;
}

/// What no single key can be blamed for.
std::optional<Error> check_together(const NodeConfig& config, const TomlTable& node,
                                    const TomlTable& source) {
  const auto at = [&](const TomlTable& table, std::string_view key, const std::string& what) {
    return config_error(config.path, table.line(key), what);
  };
  if (config.task_path.empty()) {
    return at(node, "task",
              "node.task is missing; name the task file, as made by `p2p-learner task`");
  }
  if (const auto bind = metadata::parse_endpoint(config.node.bind + ":1"); !bind) {
    return at(node, "bind",
              fmt::format("node.bind = \"{}\" is no numeric IPv4 address like \"127.0.0.1\"",
                          config.node.bind));
  }
  for (const auto& seed : config.node.seeds) {
    if (const auto parsed = net::parse_seed(seed); !parsed) {
      return at(node, "seeds", "node.seeds: " + parsed.error().message);
    }
  }
  const auto needs = [&](std::string_view key, const std::string& value, std::string_view kind) {
    return value.empty() ? std::optional(at(source, "kind",
                                            fmt::format("source.{} is missing; a source of kind "
                                                        "\"{}\" needs it",
                                                        key, kind)))
                         : std::nullopt;
  };
  const auto& from = config.source;
  if (from.kind == SourceConfig::Kind::csv) {
    if (auto error = needs("path", from.path, "csv")) return error;
  }
  if (from.kind == SourceConfig::Kind::idx) {
    if (auto error = needs("images", from.images, "idx")) return error;
    if (auto error = needs("labels", from.labels, "idx")) return error;
  }
  if (from.labels_after > 0 && !from.finite()) {
    return at(source, "labels_after",
              "source.labels_after is for a source of kind \"csv\" or \"idx\"; on standard input a label comes late as a "
              "line {\"ticket\": \"...\", \"y\": \"class\"}");
  }
  if (from.labels_after > config.node.node.pending_labels) {
    return at(source, "labels_after",
              fmt::format("source.labels_after = {} needs as many samples to be kept: raise source.pending_labels, which is {}",
                          from.labels_after, config.node.node.pending_labels));
  }
  if (from.hold && config.node.state_dir.empty()) {
    return at(source, "hold",
              "source.hold needs node.state_dir: \"start\" comes over its control socket");
  }
  return std::nullopt;
}

}  // namespace

Result<NodeConfig> parse_config(std::string_view text, const std::string& path) {
  toml::table root;
  try {
    root = toml::parse(text, path);
  } catch (const toml::parse_error& error) {
    return tl::unexpected(config_error(path, error.source().begin.line,
                                       fmt::format("this is not TOML: {}", error.description())));
  }
  NodeConfig out;
  out.path = path;
  TomlTable::Source source{path, {}, std::nullopt};
  const auto sub = [&](std::string_view name) -> const toml::table* {
    const auto* node = root.get(name);
    if (node == nullptr || node->is_table()) return node == nullptr ? nullptr : node->as_table();
    if (!source.error) {
      source.error =
          config_error(path, node->source().begin.line,
                       fmt::format("\"{0}\" must be a table: write [{0}] above its keys", name));
    }
    return nullptr;
  };
  TomlTable node(source, "node", sub("node"));
  TomlTable from(source, "source", sub("source"));
  TomlTable output(source, "output", sub("output"));
  TomlTable experiment(source, "experiment", sub("experiment"));
  TomlTable tuning(source, "tuning", sub("tuning"));

  // All keys are asked for before any is refused, so that a misplaced one can be told where it
  // belongs.
  RegistryWords registry;
  read_node(node, out, registry);
  read_source(from, out.source, out.node.node);
  output.get("predictions", out.predictions);
  output.get("progress_every", out.progress_every, 0, INT64_MAX);
  output.get("correctness", out.correctness);
  experiment.get("twin", out.twin);
  read_tuning(tuning, out.node.node);
  for (auto* table : {&node, &from, &output, &experiment, &tuning}) table->finish();

  TomlTable top(source, "", &root);
  for (const char* name : {"node", "source", "output", "experiment", "tuning"}) {
    top.allow(name);
  }
  top.finish();
  if (!source.error) source.error = check_together(out, node, from);
  if (!source.error) source.error = check_registry(registry, node, out);
  if (source.error) return tl::unexpected(*source.error);

  for (auto* file : {&out.task_path, &out.node.state_dir, &out.source.path, &out.source.images,
                     &out.source.labels}) {
    resolve(*file, path);
  }
  return out;
}

namespace {
Result<std::string> read_text(const std::string& path, std::string_view what) {
  auto bytes = net::read_file(path, kMaxConfigBytes);
  if (bytes) return to_string(*bytes);
  Error error = bytes.error();
  if (error.code == ErrorCode::not_found) {
    error.message = fmt::format("there is no {} {}; check the path", what, path);
    error.cause.clear();
  }
  return tl::unexpected(std::move(error));
}
}  // namespace

Result<NodeConfig> load_config(const std::string& path) {
  const auto text = read_text(path, "configuration");
  if (!text) return tl::unexpected(text.error());
  return parse_config(*text, path);
}

Result<metadata::Task> load_task(const std::string& path) {
  const auto text = read_text(path, "task file");
  if (!text) return tl::unexpected(text.error());
  return metadata::parse_task(*text, path);
}

std::string_view config_template() { return kNodeTemplate; }

std::string control_path(const std::string& state_dir) { return state_dir + "/control.sock"; }
std::string key_path(const std::string& state_dir) { return state_dir + "/key.pem"; }

}  // namespace p2p::tools
