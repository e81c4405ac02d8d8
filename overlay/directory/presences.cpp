#include "overlay/directory/presences.hpp"

#include <algorithm>

namespace p2p::directory {

void Presences::show(std::uint32_t concept_id, const metadata::Fingerprint& fingerprint, const metadata::Sketch& sketch) {
  Shown& shown = shown_[concept_id];
  P2P_ASSERT(archived().size() <= metadata::kMostArchived);
  shown.fingerprint = fingerprint;
  shown.entry = metadata::entry_of(fingerprint, sketch);
  shown.entry.task = metadata::tag(context_.task);
  shown.entry.node = context_.key.id();
  shown.entry.concept_id = concept_id;
  shown.presence = shown.entry.presence();
  shown.sealed.clear();
  shown.description = metadata::seal(metadata::Description{.task = context_.task,
                                                           .node = context_.key.id(),
                                                           .version = next_version(),
                                                           .fingerprint = fingerprint,
                                                           .concept_id = concept_id},
                                     context_.key);
}

const metadata::Fingerprint* Presences::fingerprint(std::uint32_t concept_id) const {
  const auto found = shown_.find(concept_id);
  return found == shown_.end() ? nullptr : &found->second.fingerprint;
}

const metadata::Entry* Presences::entry(std::uint32_t concept_id) const {
  const auto found = shown_.find(concept_id);
  return found == shown_.end() ? nullptr : &found->second.entry;
}

std::vector<std::uint32_t> Presences::archived() const {
  std::vector<std::uint32_t> out;
  for (const auto& [concept_id, shown] : shown_) {
    if (concept_id != 0) out.push_back(concept_id);
  }
  return out;
}

std::optional<std::uint32_t> Presences::find(const PresencePrefix& id) const {
  if (id == PresencePrefix{}) return 0;
  for (const auto& [concept_id, shown] : shown_) {
    if (std::equal(id.begin(), id.end(), shown.presence.bytes.begin())) return concept_id;
  }
  return std::nullopt;
}

bool Presences::is_own(const Hint& hint) const {
  // What is ours by its address may have been archived once, and is still being named.
  return find(hint.id) || (hint.at.port == context_.table_port() && hint.at.host == context_.endpoint().host);
}

Bytes Presences::sealed(std::uint32_t concept_id) {
  const auto found = shown_.find(concept_id);
  if (found == shown_.end() || !reachable()) return {};
  Shown& shown = found->second;
  const Endpoint link = context_.endpoint();
  const auto table_port = context_.table_port();
  if (shown.sealed.empty() || context_.executor.now() - shown.sealed_at > kReseal || shown.entry.endpoint != link ||
      shown.entry.table_port != table_port) {
    shown.entry.endpoint = link;
    shown.entry.table_port = table_port;
    shown.entry.version = next_version();
    shown.sealed = metadata::seal(shown.entry, context_.key);
    shown.sealed_at = context_.executor.now();
  }
  return shown.sealed;
}

Bytes Presences::description(std::uint32_t concept_id) {
  const auto found = shown_.find(concept_id);
  return found == shown_.end() || !reachable() ? Bytes{} : found->second.description;
}

std::vector<Hint> Presences::hints(const metadata::Target& target) const {
  std::vector<Hint> out;
  if (!reachable()) return out;
  const Endpoint at{context_.endpoint().host, context_.table_port()};
  for (const auto& [concept_id, shown] : shown_) {
    out.push_back(hint_of(shown.entry, target));
    out.back().at = at;
  }
  return out;
}

std::uint64_t Presences::next_version() {
  version_ = std::max(version_ + 1, context_.executor.wall_ms());
  return version_;
}

}  // namespace p2p::directory
