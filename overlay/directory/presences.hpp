// What a node shows of itself: what it serves now, and the concepts that it has archived; sealed, and fresh.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "overlay/directory/directory.hpp"
#include "overlay/directory/messages.hpp"

namespace p2p::directory {

/// A node's own presences, by their concepts' numbers. Holders refuse entries that were stamped more than ten minutes ago,
/// so each is sealed anew when it is asked for and kReseal have passed, or its addresses have changed.
///
/// Bounds: one live and metadata::kMostArchived archived ones; more is a bug.
class Presences {
 public:
  struct Context {
    Executor& executor;
    metadata::TaskId task;
    metadata::KeyPair key;
    std::function<Endpoint()> endpoint;        ///< of links; port 0: none yet
    std::function<std::uint16_t()> table_port; ///< 0: none yet
  };
  explicit Presences(Context context) : context_(std::move(context)) {}

  void show(std::uint32_t concept_id, const metadata::Fingerprint& fingerprint, const metadata::Sketch& sketch);
  void hide(std::uint32_t concept_id) { shown_.erase(concept_id); }
  void hide_all() { shown_.clear(); }

  /// Null: it is not shown.
  const metadata::Fingerprint* fingerprint(std::uint32_t concept_id) const;
  const metadata::Entry* entry(std::uint32_t concept_id) const;
  std::vector<std::uint32_t> archived() const;  ///< their numbers
  bool empty() const { return shown_.empty(); }
  /// Which one that is; zeros mean the live one.
  std::optional<std::uint32_t> find(const PresencePrefix& id) const;
  bool is_own(const Hint& hint) const;
  /// As of now; empty while it is not shown or nobody can reach us.
  Bytes sealed(std::uint32_t concept_id);
  Bytes description(std::uint32_t concept_id);
  /// All of them, as others would name them to who asks for that; none while nobody can reach us.
  std::vector<Hint> hints(const metadata::Target& target) const;

  static constexpr Duration kReseal = std::chrono::minutes(8);

 private:
  struct Shown {
    metadata::Fingerprint fingerprint;
    metadata::Entry entry;
    metadata::NodeId presence;
    Bytes sealed, description;
    TimePoint sealed_at = {};
  };
  bool reachable() const { return context_.endpoint().port != 0 && context_.table_port() != 0; }
  std::uint64_t next_version();

  const Context context_;
  std::map<std::uint32_t, Shown> shown_;
  std::uint64_t version_ = 0;
};

}  // namespace p2p::directory
