#include "learner/snapshot.hpp"

#include <algorithm>

#include <fmt/core.h>

namespace p2p::learner {
namespace {

constexpr char kMagic[4] = {'P', '2', 'P', 'L'};
constexpr std::size_t kHeaderBytes = 12;
constexpr std::size_t kChecksumBytes = 4;
constexpr std::size_t kMaxNameBytes = 255;
constexpr std::uint32_t kMaxSections = 1024;

auto torn(std::string what) {
  return fail(
      ErrorCode::malformed,
      fmt::format("the snapshot is damaged: {}; use the copy before it, or start anew", what));
}

}  // namespace

const Bytes* Snapshot::find(std::string_view name) const {
  for (const Section& section : sections) {
    if (section.name == name) return &section.content;
  }
  return nullptr;
}

Bytes encode(const Snapshot& snapshot) {
  P2P_ASSERT(snapshot.sections.size() <= kMaxSections);
  ByteWriter out;
  for (const char c : kMagic) out.put(c);
  out.put(Snapshot::kVersion);
  out.put(static_cast<std::uint32_t>(snapshot.sections.size()));
  std::size_t total = kHeaderBytes + kChecksumBytes;
  for (const Snapshot::Section& section : snapshot.sections) {
    total += 8 + section.name.size() + section.content.size();
    P2P_ASSERT(section.name.size() <= kMaxNameBytes && total <= Snapshot::kMaxBytes);
    out.put_sized(view(section.name));
    out.put_sized(section.content);
  }
  out.put(crc32(out.bytes()));
  return out.take();
}

Result<Snapshot> decode_snapshot(ByteView bytes) {
  if (bytes.size() > Snapshot::kMaxBytes) {
    return fail(ErrorCode::limit_exceeded,
                fmt::format("the snapshot has {} bytes; at most {} are read", bytes.size(),
                            Snapshot::kMaxBytes));
  }
  if (bytes.size() < kHeaderBytes + kChecksumBytes) {
    return torn(fmt::format("{} bytes are too few", bytes.size()));
  }
  if (!std::equal(std::begin(kMagic), std::end(kMagic), bytes.begin())) {
    return fail(ErrorCode::malformed, "this is no snapshot: it does not begin with P2PL");
  }
  // The version is looked at before the checksum: a newer format may have another one.
  ByteReader header(bytes.subspan(sizeof kMagic));
  const auto version = header.get<std::uint32_t>();
  const auto count = header.get<std::uint32_t>();
  if (version > Snapshot::kVersion) {
    return fail(
        ErrorCode::version,
        fmt::format("the snapshot has format {}, this build reads up to {}; use a newer build",
                    version, Snapshot::kVersion));
  }
  if (version == 0) return torn("format 0 does not exist");
  const ByteView checked = bytes.first(bytes.size() - kChecksumBytes);
  if (ByteReader(bytes.last(kChecksumBytes)).get<std::uint32_t>() != crc32(checked)) {
    return torn("its checksum does not fit");
  }
  if (count > kMaxSections) return torn(fmt::format("it announces {} sections", count));
  Snapshot out;
  ByteReader in(checked.subspan(kHeaderBytes));
  for (std::uint32_t i = 0; i < count; ++i) {
    const ByteView name = in.get_sized(kMaxNameBytes);
    const ByteView content = in.get_sized(Snapshot::kMaxBytes);
    if (!in.ok()) return torn(fmt::format("section {} of {} ends early", i + 1, count));
    if (out.find(to_string(name)) != nullptr) return torn("a section appears twice");
    out.sections.push_back({to_string(name), Bytes(content.begin(), content.end())});
  }
  if (!in.at_end()) return torn("bytes follow the last section");
  return out;
}

}  // namespace p2p::learner
