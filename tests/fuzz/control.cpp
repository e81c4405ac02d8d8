// Lines on a node's control socket, from whoever may open it: each gets one line of JSON, and what is taken from it is
// within bounds.
#include "tools/cli/control_protocol.hpp"
#include "tools/cli/history.hpp"
#include "tools/cli/overlay_json.hpp"
#include "tools/cli/overlay_places.hpp"

using namespace p2p;
using tools::Json;

namespace {

metadata::Task small_task() {
  metadata::Task task;
  task.name = "fuzz";
  task.features = {{.name = "a", .count = 3}};
  task.classes = {"x", "y/z", "\xc3\xa4"};
  task.embedding_dimensions = 8;
  return task;
}

Result<Json> of_overlay(const Json& request) {
  static const metadata::Task task = small_task();
  static const auto own = [] {
    metadata::FingerprintBuilder builder({.dimensions = 8, .classes = 3, .half_life = 0});
    builder.add(std::vector<float>(8, 0.25f), 1, true);
    return builder.build();
  }();
  if (request.contains("bucket") && request["bucket"].is_string()) {
    const auto text = request["bucket"].get<std::string>();
    if (const auto key = tools::parse_key(text)) return Json{{"key", true}};
    const auto place = tools::parse_place(text, task);
    if (!place) return tl::unexpected(place.error());
    P2P_ASSERT(metadata::valid(*place));
    return Json{{"place", tools::place_text(*place, task)}};
  }
  const auto need = tools::parse_need(request, task, own);
  if (!need) return tl::unexpected(need.error());
  P2P_ASSERT(need->classes.size() <= 3 && need->experience.classes == 3 && need->experience.dimensions == 8);
  return Json{{"need", true}};
}

Result<Json> journal(std::string_view command, const Json& request) {
  static const metadata::Task task = small_task();
  static const auto reports = [] {
    std::vector<node::DriftReport> out(3);
    for (std::size_t i = 0; i < out.size(); ++i) out[i].id = i + 1;
    return out;
  }();
  const auto asked = tools::parse_journal_request(command, request);
  if (!asked) return tl::unexpected(asked.error());
  return tools::history_json(reports, *asked, task);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tools::ControlHandlers handlers;
  handlers.status = handlers.peers = handlers.lookup = [] { return Json{{"ok", true}}; };
  handlers.journal = journal;
  handlers.overlay = [](std::string_view, const Json& request) { return of_overlay(request); };
  handlers.start = handlers.stop = [] {};
  const auto answer = tools::answer_control(to_string({data, size}), handlers);
  P2P_ASSERT(answer.find('\n') == std::string::npos);
  const Json parsed = Json::parse(answer, nullptr, false);
  P2P_ASSERT(parsed.is_object());
  if (parsed.contains("drift") || parsed.contains("drifts")) (void)tools::history_text(parsed);
  return 0;
}
