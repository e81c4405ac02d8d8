// Entries, descriptions, fingerprints, and the holder's policy.
#include "metadata/record.hpp"

using namespace p2p;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes{data, size};
  if (const auto entry = metadata::open_entry(bytes)) P2P_ASSERT(size <= metadata::Entry::kMaxBytes);
  (void)metadata::open_description(bytes, 64);
  if (const auto fingerprint = metadata::decode_fingerprint(bytes, 64)) {
    P2P_ASSERT(fingerprint->classes <= 64);
    P2P_ASSERT(fingerprint->joint.size() == std::size_t{fingerprint->dimensions} * fingerprint->classes);
  }
  (void)metadata::may_store({.key = {}, .bytes = bytes, .old_bytes = bytes, .now_ms = 1});
  (void)metadata::parse_endpoint(to_string(bytes));
  return 0;
}
