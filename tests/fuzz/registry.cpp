// What a node and its registry may send each other: frames, questions, and what somebody lists of itself.
#include "overlay/directory/registry_table.hpp"

using namespace p2p;
using namespace p2p::directory;

namespace {

void ask(registry::Table& table, const registry::Query& query) {
  const auto question = registry::read_question(query);
  if (!question) return;
  P2P_ASSERT(question->shape.classes <= metadata::kMaxTaskClasses);
  (void)table.rank(*question, 3, {}, {0});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes{data, size};
  const auto frame = registry::decode_frame(bytes);
  if (!frame) return 0;
  const auto again = registry::encode(*frame);
  P2P_ASSERT(registry::decode_frame(ByteView(again).subspan(4)).has_value());

  registry::Table table({.nodes = 1});
  if (const auto* publish = std::get_if<registry::Publish>(&frame->message)) {
    const auto entry = metadata::peek_entry(publish->entry);
    if (!entry) return 0;
    const auto listed = table.publish(entry->node, *publish, {.now = {0}, .wall_ms = entry->version});
    P2P_ASSERT(table.nodes() == (listed ? 1u : 0u) && (listed || table.bytes() == 0));
    if (listed) {
      ask(table, {.task = (*listed)->shape.task, .classes = {0}, .fingerprint = metadata::encode((*listed)->fingerprint)});
      table.withdraw(entry->node, (*listed)->shape.task);
      P2P_ASSERT(table.bytes() == 0);
    }
  }
  if (const auto* lookup = std::get_if<registry::Lookup>(&frame->message)) ask(table, lookup->query);
  if (const auto* watch = std::get_if<registry::Watch>(&frame->message)) ask(table, watch->query);
  return 0;
}
