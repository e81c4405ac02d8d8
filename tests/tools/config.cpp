#include "tools/cli/config.hpp"

#include <catch2/catch.hpp>
#include <regex>
#include <sstream>

#include "tests/tools/files.hpp"
#include "tools/cli/control_protocol.hpp"
#include "tools/cli/exit_codes.hpp"
#include "tools/cli/table.hpp"
#include "tools/cli/toml_reader.hpp"

namespace p2p::tools {
namespace {

using Catch::Matchers::Contains;

/// The template with every key taken from behind its #.
std::string uncommented() {
  std::istringstream in{std::string(config_template())};
  std::string out;
  const std::regex key("^#([a-z0-9_]+ = .*)$");
  for (std::string line; std::getline(in, line);) out += std::regex_replace(line, key, "$1") + "\n";
  return out;
}

TEST_CASE("the template shows every key with its default", "[tools]") {
  const auto bare = parse_config(config_template(), "dir/node.toml");
  REQUIRE(bare);
  const auto full = parse_config(uncommented(), "dir/node.toml");
  INFO((full ? std::string() : full.error().text()));
  REQUIRE(full);
  const NodeConfig defaults;
  for (const auto* config : {&*bare, &*full}) {
    const auto& node = config->node;
    CHECK(config->task_path == "dir/task.toml");
    CHECK(node.name == defaults.node.name);
    CHECK(node.state_dir == defaults.node.state_dir);
    CHECK(node.bind == defaults.node.bind);
    CHECK(node.dht_port == defaults.node.dht_port);
    CHECK(node.link_port == defaults.node.link_port);
    CHECK(node.seeds == defaults.node.seeds);
    CHECK_FALSE(node.registry);
    CHECK(node.registry_similarity == defaults.node.registry_similarity);
    CHECK(node.network == defaults.node.network);
    CHECK(node.isolated == defaults.node.isolated);
    CHECK(node.snapshot_every == defaults.node.snapshot_every);
    CHECK(config->source.kind == defaults.source.kind);
    CHECK(config->source.rate == defaults.source.rate);
    CHECK(config->source.limit == defaults.source.limit);
    CHECK(config->source.labels_after == defaults.source.labels_after);
    CHECK(config->source.hold == defaults.source.hold);
    CHECK(config->source.stay_at_end == defaults.source.stay_at_end);
    CHECK(config->predictions == defaults.predictions);
    CHECK(config->progress_every == defaults.progress_every);
    CHECK(config->correctness == defaults.correctness);
    CHECK(config->twin == defaults.twin);
    const auto &got = node.node, &wanted = defaults.node.node;
    CHECK(got.window == wanted.window);
    CHECK(got.checkpoint_every == wanted.checkpoint_every);
    CHECK(got.ask == wanted.ask);
    CHECK(got.pull_from == wanted.pull_from);
    CHECK(got.query_samples == wanted.query_samples);
    CHECK(got.trial_lead == wanted.trial_lead);
    CHECK(got.retry_after == wanted.retry_after);
    CHECK(got.watch_samples == wanted.watch_samples);
    CHECK(got.shadow.samples == wanted.shadow.samples);
    CHECK(got.watch_alpha == wanted.watch_alpha);
    CHECK(got.ask_deadline == wanted.ask_deadline);
    CHECK(got.pull_deadline == wanted.pull_deadline);
    CHECK(got.fingerprint_half_life == wanted.fingerprint_half_life);
    CHECK(got.publish_after == wanted.publish_after);
    CHECK(got.publish_interval == wanted.publish_interval);
    CHECK(got.publish_change == wanted.publish_change);
    CHECK(got.pending_labels == wanted.pending_labels);
    CHECK(got.inputs_run_length == wanted.inputs_run_length);
    CHECK(got.without_labels.adopt == wanted.without_labels.adopt);
    CHECK(got.lookup.want == wanted.lookup.want);
    CHECK(got.lookup.deadline == wanted.lookup.deadline);
    CHECK(got.trial.alpha == wanted.trial.alpha);
    CHECK(got.trial.minimum_samples == wanted.trial.minimum_samples);
    CHECK(got.trial.maximum_samples == wanted.trial.maximum_samples);
    CHECK(got.drift.batch == wanted.drift.batch);
    CHECK(got.drift.reference_batches == wanted.drift.reference_batches);
    CHECK(got.drift.minimum_batches == wanted.drift.minimum_batches);
    CHECK(got.drift.permitted_loss == wanted.drift.permitted_loss);
    CHECK(got.drift.minimum_class_count == wanted.drift.minimum_class_count);
    CHECK(got.drift.cooldown == wanted.drift.cooldown);
    CHECK(got.drift.warmup == wanted.drift.warmup);
    CHECK(got.drift.adwin_delta == wanted.drift.adwin_delta);
  }
}

TEST_CASE("a registry is named with its key, and instead of seeds", "[tools]") {
  const std::string key(64, 'a');
  const auto parse = [](const std::string& lines) {
    return parse_config("[node]\ntask = \"t.toml\"\n" + lines, "node.toml");
  };
  const auto good = parse("registry = \"127.0.0.1:4300\"\nregistry_key = \"" + key + "\"\nregistry_similarity = \"priors\"\n");
  REQUIRE(good);
  REQUIRE(good->node.registry);
  CHECK(good->node.registry->text() == "127.0.0.1:4300");
  CHECK(good->node.registry_key.hex() == key);
  CHECK(good->node.registry_similarity == directory::registry::Similarity::priors);

  const auto refused = [&](const std::string& lines) {
    const auto result = parse(lines);
    return result ? std::string() : result.error().text();
  };
  CHECK_THAT(refused("registry = \"127.0.0.1:4300\"\n"), Contains("registry_key is missing"));
  CHECK_THAT(refused("registry_key = \"" + key + "\"\n"), Contains("node.registry is missing"));
  CHECK_THAT(refused("registry = \"127.0.0.1:4300\"\nregistry_key = \"abc\"\n"), Contains("64 hexadecimal digits"));
  CHECK_THAT(refused("registry = \"somewhere\"\nregistry_key = \"" + key + "\"\n"), Contains("numeric address"));
  CHECK_THAT(refused("registry = \"0.0.0.0:4300\"\nregistry_key = \"" + key + "\"\n"), Contains("numeric address"));
  const std::string both = "registry = \"127.0.0.1:4300\"\nregistry_key = \"" + key + "\"\n";
  CHECK_THAT(refused(both + "seeds = [\"127.0.0.1:4222\"]\n"), Contains("node.toml:3") && Contains("take one of them out"));
  CHECK_THAT(refused(both + "isolated = true\n"), Contains("isolated"));
}

TEST_CASE("every key of the template is read: with a letter more it is refused by name and line",
          "[tools]") {
  const auto text = uncommented();
  std::istringstream in(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  const std::regex key("^([a-z0-9_]+) = .*$");
  std::size_t keys = 0;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    std::smatch match;
    if (!std::regex_match(lines[i], match, key)) continue;
    ++keys;
    std::string broken;
    for (std::size_t j = 0; j < lines.size(); ++j)
      broken += (i == j ? "x" + lines[j] : lines[j]) + "\n";
    const auto config = parse_config(broken, "n.toml");
    REQUIRE_FALSE(config);
    INFO(config.error().text());
    CHECK(config.error().code == ErrorCode::invalid_argument);
    CHECK_THAT(config.error().text(),
               Contains("n.toml:" + std::to_string(i + 1) + ": unknown key \"x" + match.str(1)));
    CHECK_THAT(config.error().text(),
               Contains("the nearest known one is \"" + match.str(1) + "\""));
  }
  CHECK(keys > 45);
}

TEST_CASE("a key of the wrong type is refused with its line, whatever its type", "[tools]") {
  const auto text = uncommented();
  std::istringstream in(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  const std::regex key("^([a-z0-9_]+) = .*$");
  for (std::size_t i = 0; i < lines.size(); ++i) {
    std::smatch match;
    if (!std::regex_match(lines[i], match, key)) continue;
    std::string broken;
    for (std::size_t j = 0; j < lines.size(); ++j) {
      broken += (i == j ? match.str(1) + " = 1979-05-27" : lines[j]) + "\n";
    }
    const auto config = parse_config(broken, "n.toml");
    REQUIRE_FALSE(config);
    INFO(config.error().text());
    CHECK_THAT(config.error().text(), Contains("n.toml:" + std::to_string(i + 1) + ": ") &&
                                          Contains(match.str(1) + " is a date or time"));
  }
}

TEST_CASE("part_bits takes the precisions that there are and no number between them", "[tools]") {
  const auto with = [](const std::string& bits) {
    return parse_config("[node]\ntask = \"t\"\n[tuning]\npart_bits = " + bits + "\n", "n.toml");
  };
  const auto four = with("4");
  REQUIRE(four);
  CHECK(four->node.node.part_precision == learner::Precision::bits4);
  const auto seven = with("7");
  REQUIRE_FALSE(seven);
  CHECK(seven.error().message == "n.toml:4: tuning.part_bits is 7; it must be one of 4, 8, 16, 32");
}

TEST_CASE("what may be adopted without labels is one of three words", "[tools]") {
  using Adopt = node::AgreementOptions::Adopt;
  const auto with = [](const std::string& word) {
    return parse_config("[node]\ntask = \"t\"\nwithout_labels = \"" + word + "\"\n", "n.toml");
  };
  for (const auto adopt : {Adopt::nothing, Adopt::own, Adopt::agreed}) {
    const auto config = with(std::string(name(adopt)));
    REQUIRE(config);
    CHECK(config->node.node.without_labels.adopt == adopt);
  }
  const auto other = with("everything");
  REQUIRE_FALSE(other);
  CHECK_THAT(other.error().text(), Contains("n.toml:3") && Contains("\"nothing\", \"own\" or \"agreed\""));
}

TEST_CASE("a file's labels come late only from a file, and only as late as samples are kept", "[tools]") {
  const auto with = [](const std::string& source) {
    return parse_config("[node]\ntask = \"t\"\n[source]\n" + source, "n.toml");
  };
  const auto late = with("kind = \"csv\"\npath = \"a.csv\"\nlabels_after = 1000\n");
  REQUIRE(late);
  CHECK(late->source.labels_after == 1000);
  const auto too_late = with("kind = \"csv\"\npath = \"a.csv\"\nlabels_after = 1001\n");
  REQUIRE_FALSE(too_late);
  CHECK_THAT(too_late.error().text(), Contains("n.toml:6") && Contains("raise source.pending_labels, which is 1000"));
  const auto piped = with("labels_after = 5\n");
  REQUIRE_FALSE(piped);
  CHECK_THAT(piped.error().text(), Contains("n.toml:4") && Contains("ticket"));
}

TEST_CASE("relative paths start from the directory of the configuration", "[tools]") {
  const std::string text =
      "[node]\ntask = \"t.toml\"\nstate_dir = \"../s\"\n[source]\nkind = \"csv\"\npath = "
      "\"/abs/d.csv\"\n";
  const auto config = parse_config(text, "/etc/p2p/n.toml");
  REQUIRE(config);
  CHECK(config->task_path == "/etc/p2p/t.toml");
  CHECK(config->node.state_dir == "/etc/s");
  CHECK(config->source.path == "/abs/d.csv");
  CHECK(parse_config(text, "n.toml")->task_path == "t.toml");
}

TEST_CASE("error codes become exit statuses by where they arose", "[tools]") {
  const auto code = [](ErrorCode error, Context context) {
    return static_cast<int>(exit_code(Error{error, "", ""}, context));
  };
  CHECK(code(ErrorCode::not_found, Context::config) == 2);
  CHECK(code(ErrorCode::malformed, Context::data) == 3);
  CHECK(code(ErrorCode::not_found, Context::data) == 3);
  CHECK(code(ErrorCode::in_use, Context::start) == 4);
  CHECK(code(ErrorCode::malformed, Context::key) == 5);
  CHECK(code(ErrorCode::untrusted, Context::start) == 5);
  CHECK(code(ErrorCode::malformed, Context::start) == 6);
  CHECK(code(ErrorCode::version, Context::start) == 6);
  for (const auto context : {Context::start, Context::run, Context::key})
    CHECK(code(ErrorCode::full, context) == 7);
  for (const auto error :
       {ErrorCode::not_found, ErrorCode::timeout, ErrorCode::closed, ErrorCode::unavailable}) {
    CHECK(code(error, Context::control) == 8);
  }
  for (const auto error : {ErrorCode::timeout, ErrorCode::unavailable}) CHECK(code(error, Context::answer) == 9);
  CHECK(code(ErrorCode::invalid_argument, Context::answer) == 2);
  CHECK(code(ErrorCode::closed, Context::answer) == 8);
  CHECK(code(ErrorCode::not_found, Context::answer) == 10);
  CHECK(code(ErrorCode::limit_exceeded, Context::answer) == 1);
  CHECK(code(ErrorCode::io, Context::run) == 1);
  for (const char* status : {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "130"}) {
    CHECK_THAT(exit_code_table(), Contains(std::string(" ") + status + "  "));
  }
}

TEST_CASE("whatever comes over the control socket gets one line back", "[tools]") {
  int started = 0, stopped = 0;
  ControlHandlers handlers;
  handlers.status = [] { return Json{{"s", "a\nb"}}; };
  handlers.peers = handlers.lookup = [] { return Json::object(); };
  std::string forwarded, told;
  handlers.journal = [&](std::string_view command, const Json&) -> Result<Json> {
    told += std::string(command) + " ";
    return fail(ErrorCode::not_found, "there is no drift 3");
  };
  handlers.overlay = [&](std::string_view command, const Json&) -> Result<Json> {
    forwarded += std::string(command) + " ";
    return fail(ErrorCode::timeout, "too late", "the table");
  };
  handlers.start = [&] { ++started; };
  handlers.stop = [&] { ++stopped; };
  for (const char* request : {"", "x", "[]", "{}", "{\"command\":3}", "{\"command\":\"no\"}",
                              "\xff", "{\"command\":\"status\"}", "{\"command\":\"start\"}",
                              "{\"command\":\"stop\"}", "{\"command\":\"history\"}", "{\"command\":\"rollback\"}", "{\"command\":\"task\"}",
                              "{\"command\":\"overlay_get\"}"}) {
    const auto answer = answer_control(request, handlers);
    CHECK(answer.find('\n') == std::string::npos);
    CHECK(Json::parse(answer, nullptr, false).is_object());
  }
  CHECK(started == 1);
  CHECK(stopped == 1);
  CHECK(forwarded == "task overlay_get ");
  CHECK(told == "history rollback ");
  CHECK_THAT(answer_control("{\"command\":\"dance\"}", handlers),
             Contains("error") && Contains("dance"));
  const auto refused = Json::parse(answer_control("{\"command\":\"overlay_keys\"}", handlers));
  CHECK(refused["error"] == "too late (the table)");
  CHECK(refused["code"] == "timeout");
  CHECK(Json::parse(answer_control("{}", handlers))["code"] == "invalid_argument");
}

TEST_CASE("bytes that are no UTF-8 never break a line", "[tools]") {
  const auto line = to_line(Json{{"name", "a\xff\nb"}});
  CHECK(line.find('\n') == std::string::npos);
  CHECK_FALSE(Json::parse(line, nullptr, false).is_discarded());
}

TEST_CASE("columns line up, counted in characters", "[tools]") {
  Table table({"a", "bb", "c"});
  table.add({"\xC3\xA4\xC3\xB6", "1", "x"});
  CHECK(table.text(true) == "a   bb  c\n\xC3\xA4\xC3\xB6  1   x\n");
  CHECK(bytes_text(999) == "999 B");
  CHECK(bytes_text(1500) == "1.5 KB");
  CHECK(bytes_text(2.5e6) == "2.5 MB");
}

}  // namespace
}  // namespace p2p::tools
