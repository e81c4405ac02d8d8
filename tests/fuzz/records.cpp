// Entries, listings, descriptions, fingerprints, and the holder's policy.
#include <cmath>

#include "metadata/record.hpp"

using namespace p2p;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes{data, size};
  if (const auto entry = metadata::peek_entry(bytes)) {
    P2P_ASSERT(size <= metadata::Entry::kMaxBytes);
    P2P_ASSERT(metadata::connectable(entry->endpoint) && metadata::connectable(entry->table_endpoint()));
    P2P_ASSERT(entry->recall.size() <= metadata::Entry::kMaxListedClasses);
    const metadata::Target target{metadata::By::classes, {}, ~metadata::ClassMask{0}, false};
    P2P_ASSERT(std::isfinite(metadata::remoteness(target, entry->sketch, entry->knows())));
    const auto kind = metadata::Place::Kind::joint;
    for (const auto& place : metadata::probes(entry->sketch, kind, 1, metadata::Place::kMaxDepth, 4)) {
      P2P_ASSERT(metadata::valid(place));
    }
  }
  if (const auto entry = metadata::open_entry(bytes)) P2P_ASSERT(metadata::peek_entry(bytes) == *entry);
  if (const auto listing = metadata::unpack_listing(bytes)) {
    P2P_ASSERT(size <= metadata::Listing::kMaxBytes && metadata::valid(listing->place));
    const auto entry = metadata::peek_entry(listing->entry);
    const bool label = listing->place.kind == metadata::Place::Kind::label;
    P2P_ASSERT(label || (entry && metadata::belongs(*entry, listing->place)));
    if (entry) {
      const auto key = metadata::place_key(entry->task, listing->place);
      (void)metadata::may_store({.key = key, .bytes = bytes, .old_bytes = bytes, .now_ms = entry->version});
    }
  }
  (void)metadata::may_store({.key = {}, .bytes = bytes, .old_bytes = bytes, .now_ms = 1});
  (void)metadata::open_description(bytes, 64);
  if (const auto fingerprint = metadata::decode_fingerprint(bytes, 64)) {
    P2P_ASSERT(fingerprint->classes <= 64);
    P2P_ASSERT(fingerprint->joint.size() == std::size_t{fingerprint->dimensions} * fingerprint->classes);
    const metadata::Sketcher sketcher({}, fingerprint->dimensions, fingerprint->classes);
    const auto sketch = sketcher.sketch(*fingerprint);
    P2P_ASSERT(std::isfinite(metadata::joint_distance(sketch, {})) && std::isfinite(metadata::marginal_distance(sketch, {})));
  }
  (void)metadata::parse_endpoint(to_string(bytes));
  return 0;
}
