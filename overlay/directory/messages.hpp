// What nodes ask each other in single datagrams.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "metadata/index.hpp"
#include "metadata/record.hpp"

namespace p2p::directory {

/// Tells an answer's question; nobody who does not see the question can guess it.
using Nonce = std::uint64_t;

/// The first bytes of what a presence goes by (metadata::presence_of); for a node's live one, of its node id.
using PresencePrefix = std::array<std::uint8_t, 8>;

/// A presence as another node speaks of it: unsigned, a hint whom to ask.
///
/// Not its sketch, only how far that is from what was asked for, and an outline: in as many bytes three times as many can be
/// named, and a false distance is found out as a false sketch would be, by asking.
struct Hint {
  PresencePrefix id{};
  bool archived = false;             ///< a concept from its node's past, not what that serves now
  metadata::Endpoint at;             ///< of its table, IPv4
  float remoteness = 0;              ///< metadata::remoteness from the target of the question
  metadata::Outline outline;
  static constexpr std::size_t kBytes = 8 + 1 + 4 + 2 + 4 + metadata::Outline::kBytes;
};
/// Whom to ask, as if it were at the target.
Hint hint_of(const metadata::Entry& entry);
Hint hint_of(const metadata::Entry& entry, const metadata::Target& target);

/// "Whom do you know near this?"
///
/// Nobody can be made to flood a third: an answer has at most kAmplification times the bytes of its question (as in
/// RFC 9000, section 8.1), so a question is as long as the answer that it hopes for asks, and filled up if need be.
struct Question {
  Nonce nonce = 0;
  metadata::TaskTag task;
  metadata::Target target;
  bool description = false;   ///< send your description too, in a datagram of its own
  std::uint32_t within_milli = 0;  ///< > 0: and tell me for kWatchTime of others not further than this, in thousandths
  Bytes entry;                ///< one of the asker's own, sealed: it makes itself known; empty: it is not published
  /// Whom the asker has heard of and need not be told of again: of each the first kKnownBytes bytes of its id. Neighbours
  /// know each other, so without this most answers name the same few.
  std::vector<std::uint32_t> known = {};
  PresencePrefix to = {};     ///< which of the answerer's presences is asked; zeros: the live one
  static constexpr std::size_t kMostKnown = 32, kKnownBytes = 3;
};
/// A presence as Question::known has it.
std::uint32_t known_mark(const PresencePrefix& id);

/// "I am this, and I know these."
struct Answer {
  Nonce nonce = 0;
  Bytes entry;                ///< of the presence that was asked, sealed; empty: there is none such here
  std::vector<Hint> hints;    ///< nearest first
  static constexpr std::size_t kMaxHints = 20;
};

/// "Describe yourself."
struct Fetch {
  Nonce nonce = 0;
  metadata::TaskTag task;
  PresencePrefix to = {};     ///< as in a question
};

/// The entry, unless an Answer brought it, and the description (metadata::seal); that is empty if it is longer than a
/// datagram takes, or than the question allows.
struct Described {
  Nonce nonce = 0;
  Bytes entry;
  Bytes description;
};

/// To whoever watches: somebody has appeared.
struct Notice {
  Nonce nonce = 0;            ///< of the question that asked for it
  Bytes entry;                ///< sealed, of the one who appeared
};

using Message = std::variant<Question, Answer, Fetch, Described, Notice>;

inline constexpr std::size_t kAmplification = 3;
inline constexpr std::size_t kQuestionBytes = 380;  ///< at the least: enough for an answer with all its hints
inline constexpr std::size_t kMaxDescriptionBytes = 784;

/// `bytes`: questions and fetches are filled up to so many, or one more; never above what a datagram holds.
Bytes encode(const Message& message, std::size_t bytes = 0);
/// Bounded by the datagram: no more memory than a small multiple of it. `malformed`.
Result<Message> decode(ByteView datagram);

}  // namespace p2p::directory
