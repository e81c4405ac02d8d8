// Questions out, answers in: the datagrams of this node, each answer held against its question.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "overlay/directory/directory.hpp"
#include "overlay/directory/messages.hpp"

namespace p2p::directory {

/// What a node answered, as far as it holds: the entry is of the presence that was asked, signed by its node, and names the address that
/// answered, and the task is ours.
struct Heard {
  metadata::Entry entry;
  std::vector<Hint> hints;
  Duration round_trip{};
};

/// How a presence is described, checked like what is Heard.
struct Portrait {
  std::optional<metadata::Entry> entry;              ///< none: it comes with the answer
  std::optional<metadata::Fingerprint> fingerprint;  ///< none: too long for a datagram; ask by a link
};

/// Asks single nodes. An answer counts only from the address that was asked, with the nonce of its question, which is
/// derived from a secret.
///
/// Every question reports exactly once, never from inside ask() or fetch(): with what came, `timeout`, `untrusted`,
/// `malformed` or `not_found` (the node shows no such presence). Of a destroyed correspondence nothing is reported.
/// Thread: the executor's.
class Correspondence {
 public:
  struct Context {
    Executor& executor;
    overlay::Dht& dht;
    metadata::TaskTag task;
    std::uint32_t dimensions = 0, classes = 0;  ///< of the task's fingerprints
    std::uint64_t secret = 0;
    std::function<Bytes()> own_entry;   ///< the live one, sealed; empty while nothing is published
    /// Somebody else's question, fetch or notice.
    std::function<void(const Endpoint& from, const Message& message, std::size_t bytes)> on_request;
  };
  explicit Correspondence(Context context);
  ~Correspondence();

  using OnAnswer = std::function<void(Result<Heard>)>;
  using OnPortrait = std::function<void(Result<Portrait>)>;
  struct Ask {
    metadata::Target target;
    std::vector<std::uint32_t> known = {};  ///< Question::known
    std::optional<Bytes> as = {};  ///< our entry that it shows, sealed; none: the live one
    double within = 0;             ///< > 0: and tell of newcomers not further than this
    Duration timeout = 500ms;
    OnAnswer on_answer;
    OnPortrait on_portrait;        ///< empty: not wanted
  };
  /// The nonce, by which notices of a watch can be told.
  /// Without an id: whoever is there.
  Nonce ask(const Hint& whom, Ask ask);
  void fetch(const Hint& whom, Duration timeout, OnPortrait done);
  /// The same, with room for the entry only.
  void ping(const Hint& whom, Duration timeout, OnPortrait done);
  /// Every fingerprint of the task fits into a datagram: whoever answers, and shows none, does not want to.
  bool always_shown() const;
  /// Without waiting for anything.
  void send(const Endpoint& to, const Message& message);

  struct Counters {
    std::uint64_t bytes = 0;      ///< of questions, fetches and what came back
    std::uint64_t malformed = 0;  ///< datagrams that were none of ours
  };
  const Counters& counters() const { return counters_; }

 private:
  struct Pending {
    Hint whom;
    TimePoint sent;
    OnAnswer on_answer;
    OnPortrait on_portrait;
    Executor::TimerHandle deadline;
  };
  Nonce begin(const Hint& whom, Duration timeout, OnAnswer on_answer, OnPortrait on_portrait);
  void request(const Hint& whom, Duration timeout, OnPortrait done, std::size_t bytes);
  std::size_t question_bytes(bool description) const;
  void received(const Endpoint& from, ByteView datagram);
  void answered(const Endpoint& from, const Answer& answer);
  void described(const Endpoint& from, const Described& answer);
  Result<metadata::Entry> open(const Bytes& sealed, const Endpoint& from, const Hint& whom) const;
  Result<Portrait> open(const Described& answer, const Endpoint& from, const Hint& whom) const;
  void late(Nonce nonce);

  const Context context_;
  Counters counters_;
  std::uint64_t next_ = 0;
  std::map<Nonce, Pending> pending_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace p2p::directory
