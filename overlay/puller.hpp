// What this node asks of its peers: a description, or a part in blocks. One object is one such errand.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "metadata/base/random.hpp"
#include "overlay/content_store.hpp"
#include "overlay/exchange.hpp"
#include "overlay/fetcher.hpp"
#include "overlay/lineage.hpp"
#include "overlay/manifest.hpp"
#include "overlay/messages.hpp"
#include "overlay/session.hpp"

namespace p2p::overlay {

/// One errand: asks the first of its holders that answers, then fetches what the answer names from that one and from
/// others, and reports once.
///
/// A link that breaks is made anew, at once when content came over it, else after a rest, at most kTries times; a holder
/// without room for another link, or who does not have the content yet, is asked again for longer. Who cannot be
/// reached, falls silent or lies is not asked again. When nobody is left the errand fails with what the first holder's
/// trouble was.
/// Bounds: kMostHolders are kept in mind, kMostSources are used at once, and all is over after pull_timeout.
class Errand : public std::enable_shared_from_this<Errand> {
 public:
  using OnSession = std::function<void(Result<std::shared_ptr<Session>>)>;
  enum class Greeted { yes, no };
  struct Context {
    Executor& executor;
    const ExchangeLimits& limits;
    std::shared_ptr<ContentStore> store;
    std::shared_ptr<ChunkCoder> coder;
    std::shared_ptr<Lineage> lineage;
    std::uint64_t seed = 0;
    /// A link to the peer; with Greeted::no one that was begun here may come before the peer has greeted.
    std::function<void(const Exchange::Peer&, Greeted, OnSession)> link;
  };
  static constexpr int kTries = 2;
  static constexpr int kRoomTries = 40;
  static constexpr std::size_t kMostHolders = 32;
  static constexpr std::size_t kMostSources = 4;

  Errand(Context context, const std::vector<Exchange::Peer>& holders);
  virtual ~Errand() = default;
  void start();
  /// Reports `error`, unless it has reported.
  void fail(const Error& error);
  /// Reports nothing any more.
  void drop();
  bool over() const { return over_; }

  std::function<void()> on_over;  ///< it has reported

 protected:
  struct Source {
    Exchange::Peer peer;
    enum class Is { known, linking, linked, resting, out } is = Is::known;
    bool named = false;   ///< by a peer, not by the caller
    std::shared_ptr<Session> session = nullptr;
    int failures = 0;     ///< in a row, without content between them
    Executor::TimerHandle rest = nullptr;
  };

  /// The question, to `asked_`, which is linked.
  virtual void ask() = 0;
  virtual void arrived(std::size_t item, const Bytes& content) = 0;
  virtual void fetched(std::vector<Wanted> all) = 0;
  virtual void report(const Error& error) = 0;

  /// Call before the one report of success; false: it has reported.
  bool succeed();
  Session& session() { return *sources_[asked_].session; }
  /// Sends the question; the answer comes to `take` unless it is a failure or a refusal, which are dealt with here.
  void request(Message question, std::function<void(Message)> take);
  /// Fetches `wanted` from whoever has it.
  void fetch(std::vector<Wanted> wanted);
  /// The one that was asked has lied: its link goes with it.
  void caught(const Error& error);
  void name(const std::vector<Holder>& holders);

  Executor& executor_;
  const ExchangeLimits limits_;
  std::shared_ptr<ContentStore> store_;
  std::shared_ptr<Lineage> lineage_;
  std::shared_ptr<ChunkCoder> coder_;
  std::shared_ptr<Fetcher> fetcher_;
  std::vector<Source> sources_;
  std::size_t asked_ = 0;      ///< whose answer it is
  bool answered_ = false;
  Duration link_took_{0};

 private:
  void approach(std::size_t number);
  void linked(std::size_t number, std::shared_ptr<Session> session);
  /// This one failed us: it rests and is linked to again, or is out.
  void trouble(std::size_t number, const Error& error);
  void make_fetcher();
  /// Whatever was answered counts no more; what has come stays in the store.
  void ask_anew();
  void rest(std::size_t number, Duration time);
  void more();
  void give_up_if_alone();
  /// What a refusal means to whoever asked.
  static Error refused(const Refusal& refusal);

  std::function<void(const Exchange::Peer&, Greeted, OnSession)> link_;
  Random random_;
  bool over_ = false, begun_ = false, asked_again_ = false;
  int busy_ = 0;
  TimePoint made_ = executor_.now();
  std::optional<Error> error_;
  std::optional<NodeId> self_;  ///< this node, as its peers know it
  Executor::TimerHandle deadline_, pause_;
};

class DescribeErrand final : public Errand {
 public:
  using Done = std::function<void(Result<metadata::Description>)>;
  DescribeErrand(Context context, const Exchange::Peer& peer, const metadata::TaskId& task, std::uint32_t max_classes,
                 Done done)
      : Errand(std::move(context), {peer}), task_(task), max_classes_(max_classes), done_(std::move(done)) {}

 private:
  void ask() override;
  void arrived(std::size_t, const Bytes&) override {}
  void fetched(std::vector<Wanted> all) override;
  void report(const Error& error) override;
  metadata::TaskId task_;
  std::uint32_t max_classes_;
  Done done_;
};

class PullErrand final : public Errand {
 public:
  using Done = std::function<void(Result<PulledPart>)>;
  PullErrand(Context context, const std::vector<Exchange::Peer>& holders, const metadata::TaskId& task,
             std::vector<std::int32_t> classes, Done done)
      : Errand(std::move(context), holders), task_(task), classes_(std::move(classes)), done_(std::move(done)) {}
  ~PullErrand() override;

 private:
  void ask() override;
  void arrived(std::size_t item, const Bytes& content) override;
  void fetched(std::vector<Wanted> all) override;
  void report(const Error& error) override;
  void open(ByteView manifest);
  void expect(const metadata::Hash& hash);
  void keep(const metadata::Hash& hash, const Bytes& content);

  metadata::TaskId task_;
  std::vector<std::int32_t> classes_;
  Done done_;
  Manifest manifest_;
  metadata::Hash root_;
  bool listed_ = false;                  ///< the manifest is here
  std::vector<std::size_t> lines_;       ///< of the blocks that are fetched
  std::set<metadata::Hash> expected_;    ///< told to the store
  std::vector<ContentStore::Content> here_;  ///< of each line; null: is fetched
  std::vector<ChunkAnswer> along_;       ///< content that came with the manifest
  std::size_t along_bytes_ = 0, along_unpacked_ = 0;
  std::size_t manifest_bytes_ = 0, manifest_unpacked_ = 0;  ///< that travelled, and what they stood for
  TimePoint asked_at_, listed_at_;
};

}  // namespace p2p::overlay
