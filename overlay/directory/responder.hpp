// What a node answers to those who ask it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "overlay/directory/contacts.hpp"
#include "overlay/directory/correspondence.hpp"

namespace p2p::directory {

/// Answers questions from the contacts and this node's own presences, describes these, and tells watchers of newcomers.
///
/// Bounds: kQuestionsPerSecond in all and a part of them for one address, then silence; kMostWatches, of kWatchTime each;
/// nothing that is sent is longer than kAmplification times what came. Notices are paid for by the question that asked
/// for them: what its answer left of its allowance is theirs, so that nobody can have a third told of thousands.
/// Answering costs no signature; an asker's entry is verified only if it would become a contact, or somebody watches for
/// its like, and counts only from the address that it names.
/// Thread: the executor's.
class Responder {
 public:
  struct Context {
    Executor& executor;
    Contacts& contacts;
    Correspondence& correspondence;
    metadata::TaskTag task;
    std::uint64_t secret = 0;
    /// Of the presence that is asked, sealed; empty: there is none such.
    std::function<Bytes(const PresencePrefix&)> own_entry, own_description;
    std::function<std::vector<Hint>(const metadata::Target&)> own = {};  ///< all presences of this node, which it knows for nothing; may be empty
    NodeId self;
  };
  explicit Responder(Context context) : context_(std::move(context)), random_(context_.secret) {}

  void on_question(const Endpoint& from, const Question& question, std::size_t bytes);
  void on_fetch(const Endpoint& from, const Fetch& fetch, std::size_t bytes);
  /// A verified entry has come, from wherever: whoever watches for its like hears of it.
  void on_newcomer(const metadata::Entry& entry, const Bytes& sealed);

  std::size_t watches() const;  ///< that have not run out
  struct Counters {
    std::uint64_t questions = 0, refused = 0, descriptions = 0;
  };
  const Counters& counters() const { return counters_; }

  static constexpr double kQuestionsPerSecond = 2000, kPerAddress = 400;
  static constexpr std::size_t kMostWatches = 64, kMostAddresses = 1024;
  static constexpr Duration kWatchTime = std::chrono::minutes(5);

 private:
  /// Refills evenly up to a second's worth.
  struct Bucket {
    double left = 0;
    TimePoint at;
  };
  struct Watch {
    Endpoint to;
    Nonce nonce = 0;
    metadata::Target target;
    double within = 0;
    std::size_t left = 0;  // bytes of notices that are paid for
    TimePoint until = {};
    std::map<NodeId, std::uint64_t> told;  // versions of presences
  };
  bool take(Bucket& bucket, double rate);
  bool admitted(const Endpoint& from);
  void meet(const Endpoint& from, const Question& question);
  void remember(const Endpoint& from, const Question& question, std::size_t left);
  std::vector<Hint> near_hints(const Question& question, const std::optional<NodeId>& asker, std::size_t most) const;

  Context context_;
  Random random_;
  Counters counters_;
  Bucket all_{kQuestionsPerSecond, {}};
  std::map<std::string, Bucket> addresses_;
  std::vector<Watch> watches_;
};

}  // namespace p2p::directory
