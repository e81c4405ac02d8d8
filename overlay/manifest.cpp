#include "overlay/manifest.hpp"

#include <set>

#include "metadata/codec.hpp"
#include "overlay/fields.hpp"

namespace p2p::overlay {

namespace {

using metadata::Value;

tl::unexpected<Error> lie(ErrorCode code, std::string what) {
  return fail(code, "the peer's manifest " + std::move(what));
}

}  // namespace

Bytes encode(const Manifest& manifest) {
  metadata::Encoder out;
  out.array(2).text(manifest.family).array(static_cast<std::uint32_t>(manifest.lines.size()));
  for (const auto& line : manifest.lines) {
    out.array(5).text(line.name);
    put_classes(out, line.classes);
    out.real(line.evidence).unsigned_integer(line.size).binary(line.hash.view());
  }
  return out.take();
}

Result<Manifest> decode_manifest(ByteView bytes, const ExchangeLimits& limits) {
  if (bytes.size() > limits.manifest_bytes) return lie(ErrorCode::limit_exceeded, "is too long");
  const auto document =
      metadata::Document::parse(bytes, {.bytes = bytes.size(), .depth = 5, .elements = 1u << 18});
  if (!document) return tl::unexpected(document.error());
  const Value root = document->root();
  Fields fields(root, 0);
  fields.require(root.kind() == Value::Kind::array);
  Manifest out;
  out.family = fields.text();
  const Value lines = fields.next();
  if (lines.size() > limits.blocks) return lie(ErrorCode::limit_exceeded, "has too many blocks");
  fields.require(lines.kind() == Value::Kind::array);
  if (!fields.complete()) return lie(ErrorCode::malformed, "has a field that is missing, wrong, or one too many");

  static const metadata::Hash of_nothing = metadata::sha256({});
  std::set<std::string> names;
  std::uint64_t part_bytes = 0;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const Value entry = lines[i];
    Fields one(entry, 0);
    one.require(entry.kind() == Value::Kind::array);
    BlockLine line;
    line.name = one.text();
    line.classes = one.classes();
    line.evidence = one.finite();
    one.require(line.evidence >= 0);
    line.size = one.number();
    line.hash = one.fixed<metadata::Hash>();
    if (!one.complete()) return lie(ErrorCode::malformed, "has a line that is damaged");
    if (!names.insert(line.name).second) return lie(ErrorCode::malformed, "names a block twice");
    if (line.size > limits.block_bytes) return lie(ErrorCode::limit_exceeded, "has a block that is too large");
    part_bytes += line.size;
    if (part_bytes > limits.part_bytes) {
      return lie(ErrorCode::limit_exceeded, "stands for a part that is too large");
    }
    if (line.size == 0 && line.hash != of_nothing) {
      return lie(ErrorCode::untrusted, "has an empty block with a hash that is not of nothing");
    }
    out.lines.push_back(std::move(line));
  }
  return out;
}

}  // namespace p2p::overlay
