#include "overlay/directory/messages.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>

#include "metadata/codec.hpp"
#include "overlay/dht.hpp"

namespace p2p::directory {

namespace {

using metadata::Document;
using metadata::Encoder;
using metadata::Value;

enum Kind : std::uint64_t { question = 0, answer = 1, fetch = 2, described = 3, notice = 4 };

constexpr std::size_t kMaxDatagram = overlay::Dht::kMaxDatagramBytes;
// Array, kind, nonce, an entry and what comes behind it, each with its length.
constexpr std::size_t kMostAround = 1 + 1 + 9 + 3 + metadata::Entry::kMaxBytes + 3;
static_assert(kMostAround + Answer::kMaxHints * Hint::kBytes <= kMaxDatagram);
static_assert(kMostAround + kMaxDescriptionBytes <= kMaxDatagram);

tl::unexpected<Error> malformed() {
  return fail(ErrorCode::malformed, "the datagram is none of this overlay's");
}

/// Four bytes; nothing for what is no IPv4 address.
std::optional<std::array<std::uint8_t, 4>> ipv4(const std::string& host) {
  std::array<std::uint8_t, 4> out{};
  const char* at = host.data();
  const char* const end = at + host.size();
  for (std::size_t i = 0; i < 4; ++i) {
    const auto [next, error] = std::from_chars(at, end, out[i]);
    if (error != std::errc()) return std::nullopt;
    at = next;
    if (i < 3 && (at == end || *at++ != '.')) return std::nullopt;
  }
  return at == end ? std::optional(out) : std::nullopt;
}

Bytes pack_hints(const std::vector<Hint>& hints) {
  ByteWriter out;
  for (const auto& hint : hints) {
    const auto address = ipv4(hint.at.host);
    if (!address) continue;
    out.put_array(std::span<const std::uint8_t>(hint.id));
    out.put(static_cast<std::uint8_t>(hint.archived));
    out.put_array(std::span<const std::uint8_t>(*address));
    out.put(hint.at.port);
    out.put(std::bit_cast<std::uint32_t>(hint.remoteness));
    out.put_array(std::span<const std::uint8_t>(hint.outline.bytes));
  }
  return out.take();
}

bool unpack_hints(ByteView bytes, std::vector<Hint>& out) {
  if (bytes.size() % Hint::kBytes != 0 || bytes.size() / Hint::kBytes > Answer::kMaxHints) return false;
  ByteReader reader(bytes);
  for (std::size_t i = 0; i < bytes.size() / Hint::kBytes; ++i) {
    Hint hint;
    std::array<std::uint8_t, 4> address{};
    reader.get_array(std::span<std::uint8_t>(hint.id));
    const auto archived = reader.get<std::uint8_t>();
    if (archived > 1) return false;
    hint.archived = archived == 1;
    reader.get_array(std::span<std::uint8_t>(address));
    hint.at.port = reader.get<std::uint16_t>();
    hint.remoteness = std::bit_cast<float>(reader.get<std::uint32_t>());
    reader.get_array(std::span<std::uint8_t>(hint.outline.bytes));
    if (!(hint.remoteness >= 0) || !std::isfinite(hint.remoteness)) return false;
    hint.at.host = fmt::format("{}.{}.{}.{}", address[0], address[1], address[2], address[3]);
    if (metadata::connectable(hint.at)) out.push_back(std::move(hint));
  }
  return reader.ok();
}

Bytes pack_known(const std::vector<std::uint32_t>& known) {
  P2P_ASSERT(known.size() <= Question::kMostKnown);
  Bytes out;
  for (const auto mark : known) {
    for (std::size_t i = 0; i < Question::kKnownBytes; ++i) out.push_back(static_cast<std::uint8_t>(mark >> (8 * i)));
  }
  return out;
}

bool unpack_known(Value value, std::vector<std::uint32_t>& out) {
  const auto bytes = value.binary();
  if (!bytes || bytes->size() % Question::kKnownBytes != 0 ||
      bytes->size() / Question::kKnownBytes > Question::kMostKnown) {
    return false;
  }
  for (std::size_t at = 0; at < bytes->size(); at += Question::kKnownBytes) {
    std::uint32_t mark = 0;
    for (std::size_t i = 0; i < Question::kKnownBytes; ++i) mark |= std::uint32_t{(*bytes)[at + i]} << (8 * i);
    out.push_back(mark);
  }
  return true;
}

bool read_task(Value value, metadata::TaskTag& out) {
  const auto bytes = value.binary();
  if (!bytes || bytes->size() != out.bytes.size()) return false;
  std::copy(bytes->begin(), bytes->end(), out.bytes.begin());
  return true;
}

bool read_prefix(Value value, PresencePrefix& out) {
  const auto bytes = value.binary();
  if (!bytes || bytes->size() != out.size()) return false;
  std::copy(bytes->begin(), bytes->end(), out.begin());
  return true;
}

bool read_bytes(Value value, std::size_t most, Bytes& out) {
  const auto bytes = value.binary();
  if (!bytes || bytes->size() > most) return false;
  out.assign(bytes->begin(), bytes->end());
  return true;
}

Result<Message> read_question(Value root, Nonce nonce) {
  Question out;
  out.nonce = nonce;
  const auto by = root[4].unsigned_integer();
  const auto blank = root[5].boolean(), description = root[8].boolean();
  const auto sketch = root[6].binary();
  const auto classes = root[7].unsigned_integer(), within = root[9].unsigned_integer();
  if (root.size() != 13 || !read_task(root[2], out.task) || !read_prefix(root[3], out.to) || !by || *by > 2 || !blank || !sketch ||
      sketch->size() != metadata::Sketch::kBytes || !classes || !description || !within || *within > 1'000'000 ||
      !read_bytes(root[10], metadata::Entry::kMaxBytes, out.entry) || !unpack_known(root[11], out.known) ||
      !root[12].binary()) {
    return malformed();
  }
  out.target.by = static_cast<metadata::By>(*by);
  out.target.blank = *blank;
  std::copy(sketch->begin(), sketch->end(), out.target.sketch.bytes.begin());
  out.target.classes = *classes;
  out.description = *description;
  out.within_milli = static_cast<std::uint32_t>(*within);
  return out;
}

Result<Message> read_answer(Value root, Nonce nonce) {
  Answer out;
  out.nonce = nonce;
  const auto hints = root[3].binary();
  if (root.size() != 4 || !read_bytes(root[2], metadata::Entry::kMaxBytes, out.entry) || !hints ||
      !unpack_hints(*hints, out.hints)) {
    return malformed();
  }
  return out;
}

/// The message's fields; what fills it up is behind them.
Bytes encode_filled(const Message& message, std::size_t filling) {
  Encoder out;
  if (const auto* asked = std::get_if<Question>(&message)) {
    out.array(13).unsigned_integer(question).unsigned_integer(asked->nonce).binary(asked->task.bytes).binary(asked->to);
    out.unsigned_integer(static_cast<std::uint8_t>(asked->target.by)).boolean(asked->target.blank);
    out.binary(asked->target.sketch.bytes).unsigned_integer(asked->target.classes);
    out.boolean(asked->description).unsigned_integer(asked->within_milli).binary(asked->entry);
    out.binary(pack_known(asked->known)).binary(Bytes(filling));
  } else if (const auto* told = std::get_if<Answer>(&message)) {
    out.array(4).unsigned_integer(answer).unsigned_integer(told->nonce).binary(told->entry);
    P2P_ASSERT(told->hints.size() <= Answer::kMaxHints);
    out.binary(pack_hints(told->hints));
  } else if (const auto* fetched = std::get_if<Fetch>(&message)) {
    out.array(5).unsigned_integer(fetch).unsigned_integer(fetched->nonce).binary(fetched->task.bytes).binary(fetched->to);
    out.binary(Bytes(filling));
  } else if (const auto* description = std::get_if<Described>(&message)) {
    out.array(4).unsigned_integer(described).unsigned_integer(description->nonce).binary(description->entry);
    out.binary(description->description);
  } else {
    const auto& news = std::get<Notice>(message);
    out.array(3).unsigned_integer(notice).unsigned_integer(news.nonce).binary(news.entry);
  }
  return out.take();
}

}  // namespace

std::uint32_t known_mark(const PresencePrefix& id) {
  std::uint32_t mark = 0;
  for (std::size_t i = 0; i < Question::kKnownBytes; ++i) mark |= std::uint32_t{id[i]} << (8 * i);
  return mark;
}

Hint hint_of(const metadata::Entry& entry) {
  Hint out;
  const auto presence = entry.presence();
  std::copy_n(presence.bytes.begin(), out.id.size(), out.id.begin());
  out.archived = entry.concept_id != 0;
  out.at = entry.table_endpoint();
  out.outline = metadata::outline_of(entry.sketch);
  return out;
}

Hint hint_of(const metadata::Entry& entry, const metadata::Target& target) {
  Hint out = hint_of(entry);
  out.remoteness = static_cast<float>(metadata::remoteness(target, entry.sketch, entry.knows()));
  return out;
}

Bytes encode(const Message& message, std::size_t bytes) {
  const Bytes bare = encode_filled(message, 0);
  P2P_ASSERT(bare.size() <= kMaxDatagram);
  const std::size_t wanted = std::min(bytes, kMaxDatagram);
  if (bare.size() >= wanted) return bare;
  // The length of a filling of more than 255 bytes takes a byte itself.
  const std::size_t filling = wanted - bare.size();
  return encode_filled(message, filling > 256 ? filling - 1 : filling);
}

Result<Message> decode(ByteView datagram) {
  const auto document = Document::parse(datagram, {.bytes = kMaxDatagram, .depth = 1, .elements = 13});
  if (!document) return malformed();
  const Value root = document->root();
  const auto kind = root[0].unsigned_integer();
  const auto nonce = root[1].unsigned_integer();
  if (!kind || !nonce) return malformed();
  switch (*kind) {
    case question: return read_question(root, *nonce);
    case answer: return read_answer(root, *nonce);
    case fetch: {
      Fetch out{*nonce, {}, {}};
      if (root.size() != 5 || !read_task(root[2], out.task) || !read_prefix(root[3], out.to) || !root[4].binary()) {
        return malformed();
      }
      return out;
    }
    case described: {
      Described out{*nonce, {}, {}};
      if (root.size() != 4 || !read_bytes(root[2], metadata::Entry::kMaxBytes, out.entry) ||
          !read_bytes(root[3], kMaxDescriptionBytes, out.description)) {
        return malformed();
      }
      return out;
    }
    case notice: {
      Notice out{*nonce, {}};
      if (root.size() != 3 || !read_bytes(root[2], metadata::Entry::kMaxBytes, out.entry)) return malformed();
      return out;
    }
    default: return malformed();
  }
}

}  // namespace p2p::directory
