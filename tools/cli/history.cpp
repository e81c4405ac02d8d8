#include "tools/cli/history.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "metadata/base/words.hpp"
#include "tools/cli/table.hpp"

namespace p2p::tools {

namespace {

std::uint64_t whole(const Json& object, const char* key) {
  return object.contains(key) && object[key].is_number_integer() ? object[key].get<std::uint64_t>() : 0;
}

double number(const Json& object, const char* key) {
  return object.contains(key) && object[key].is_number() ? object[key].get<double>() : 0;
}

bool flag(const Json& object, const char* key) { return object.contains(key) && object[key] == true; }

std::string words(const Json& object, const char* key) {
  return object.contains(key) && object[key].is_string() ? object[key].get<std::string>() : std::string();
}

std::string class_list(const Json& drift) {
  std::string out;
  for (const auto& c : drift["classes"]) {
    if (!out.empty()) out += ' ';
    out += c.is_string() ? c.get<std::string>() : c.dump();
  }
  return out.empty() ? "all" : out;
}

std::string helper(const Json& drift) {
  if (const auto own = whole(drift, "own_concept"); own != 0) return fmt::format("own concept {}", own);
  const auto peer = words(drift, "helper");
  return peer.empty() ? "-" : peer;
}

std::string outcome(const Json& drift) {
  if (flag(drift, "rolled_back")) return "rolled back";
  if (flag(drift, "accepted")) return flag(drift, "finished") ? "merged" : "merged, watched";
  if (!flag(drift, "finished")) return "running";
  if (const auto other = whole(drift, "part_of"); other != 0) return fmt::format("left to {}", other);
  return number(drift["trial"], "samples") > 0 ? "rejected" : "learned alone";
}

std::string tally_text(const Json& tally) {
  if (number(tally, "samples") == 0) return "-";
  return fmt::format("{}:{} of {}", whole(tally, "challenger_correct"), whole(tally, "champion_correct"),
                     whole(tally, "samples"));
}

std::string list_text(const Json& answer) {
  const auto& drifts = answer["drifts"];
  const auto kept = std::max<std::uint64_t>(whole(answer, "kept"), drifts.size());  // no "kept": an older node
  if (kept == 0) return "No drift so far.\n";
  if (drifts.empty()) return fmt::format("{} kept, none of them shown.\n", counted(kept, "drift"));
  Table table({"id", "when", "at", "cause", "kind", "classes", "helper", "pulled", "trial", "outcome"});
  for (const auto& drift : drifts) {
    table.add({std::to_string(whole(drift, "id")), moment(whole(drift, "wall_ms")), std::to_string(whole(drift, "detected_at")),
               words(drift, "cause"), words(drift, "kind"), class_list(drift), helper(drift),
               bytes_text(number(drift, "bytes_pulled")), tally_text(drift["trial"]), outcome(drift)});
  }
  const auto left_out = kept - drifts.size();
  return table.text(true) + (left_out == 0 ? "" : fmt::format("{} earlier {} left out.\n", left_out, plural(left_out, "one is", "ones are")));
}

std::string story_text(const Json& drift) {
  std::string out = fmt::format("Drift {} ({}, {}) in {}: {}.\n{}\n\n", whole(drift, "id"), words(drift, "cause"),
                                words(drift, "kind"), class_list(drift) == "all" ? "all classes" : class_list(drift),
                                outcome(drift), words(drift, "reason"));
  Table table({"when", "at", "step", ""});
  for (const auto& step : drift["steps"]) {
    table.add({moment(whole(step, "wall_ms")), std::to_string(whole(step, "samples")), words(step, "step"), words(step, "text")});
    if (words(step, "step") == "lookup_done") {
      table.add({"", "", "", fmt::format("  {} read, {} asked", counted(whole(step, "gets"), "key"), counted(whole(step, "questions"), "node"))});
    }
    if (!step.contains("challengers")) continue;
    for (const auto& challenger : step["challengers"]) {
      table.add({"", "", "",
                 fmt::format("  {}: right on {} of {} against {}; {} won, {} lost; by luck {:.2g}", words(challenger, "label"),
                             whole(challenger, "challenger_correct"), whole(challenger, "samples"),
                             whole(challenger, "champion_correct"), whole(challenger, "wins"), whole(challenger, "losses"),
                             number(challenger, "luck"))});
    }
  }
  out += table.text(true);
  if (const auto gone = whole(drift, "steps_left_out"); gone > 0) {
    out += fmt::format("{} after the first one {} no longer kept.\n", counted(gone, "step"), plural(gone, "is", "are"));
  }
  return out;
}

}  // namespace

Result<JournalRequest> parse_journal_request(std::string_view command, const Json& request) {
  JournalRequest asked;
  for (const auto& [name, into] : {std::pair{"id", &asked.id}, {"last", &asked.last}}) {
    if (!request.contains(name)) continue;
    if (!request[name].is_number_unsigned()) {
      return fail(ErrorCode::invalid_argument, fmt::format("{}: \"{}\" is a number, 0 or more", command, name));
    }
    *into = request[name].get<std::uint64_t>();
  }
  if (request.contains("redo")) {
    if (!request["redo"].is_boolean()) {
      return fail(ErrorCode::invalid_argument, fmt::format("{}: \"redo\" is true or false", command));
    }
    asked.redo = request["redo"].get<bool>();
  }
  if (command == "rollback" && !asked.id) {
    return fail(ErrorCode::invalid_argument, "rollback needs the id of a drift, like {\"command\": \"rollback\", \"id\": 7}");
  }
  return asked;
}

Result<Json> history_json(const std::vector<node::DriftReport>& drifts, const JournalRequest& asked,
                          const metadata::Task& task) {
  if (asked.id) {
    const auto at = std::find_if(drifts.begin(), drifts.end(), [&](const auto& report) { return report.id == *asked.id; });
    if (at == drifts.end()) {
      return fail(ErrorCode::not_found,
                  drifts.empty() ? fmt::format("there is no drift {}: there was none so far", *asked.id)
                                 : fmt::format("there is no drift {}; the journal holds {} to {}", *asked.id,
                                               drifts.front().id, drifts.back().id));
    }
    return Json{{"drift", story_json(*at, task)}};
  }
  const std::size_t count = std::min<std::uint64_t>(asked.last.value_or(drifts.size()), drifts.size());
  Json list = Json::array();
  for (std::size_t i = drifts.size() - count; i < drifts.size(); ++i) list.push_back(to_json(drifts[i], task));
  return Json{{"drifts", std::move(list)}, {"kept", drifts.size()}};
}

std::string history_text(const Json& answer) {
  return answer.contains("drift") ? story_text(answer["drift"]) : list_text(answer);
}

std::string moment(std::uint64_t wall_ms) {
  const auto seconds = static_cast<std::time_t>(wall_ms / 1000);
  std::tm local{};
  char text[32] = "-";
  if (wall_ms != 0 && ::localtime_r(&seconds, &local) != nullptr) std::strftime(text, sizeof text, "%F %T", &local);
  return text;
}

}  // namespace p2p::tools
