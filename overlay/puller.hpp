// What this node asks of a peer: a description, or a part in blocks. One object is one such errand.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "overlay/exchange.hpp"
#include "overlay/messages.hpp"
#include "overlay/session.hpp"

namespace p2p::overlay {

/// Content to fetch, and what it must be.
struct Wanted {
  std::uint32_t block = 0;
  std::uint64_t size = 0;
  metadata::Hash hash;
  bool hashed = true;   ///< false: whoever asked can tell otherwise (a description is signed)
  Bytes content;        ///< what is here already; the rest is fetched
};

/// Fetches content in chunks, several under way at once.
///
/// How much is under way follows the link: it doubles with answers that come within a quarter of the deadline and
/// halves with those that take more than half of it, so that neither a slow link runs into its deadlines nor a fast
/// one waits. A peer that says it is busy is asked one thing at a time, at the pace that it names, and a little faster
/// with every answer; it is given up after kBusyTries refusals in a row.
/// Bounds: memory grows with what arrives; never ahead of it by more than kMostUnderWay chunks.
class Fetcher : public std::enable_shared_from_this<Fetcher> {
 public:
  static constexpr std::size_t kMostUnderWay = 8;
  static constexpr std::size_t kFirstBytes = 64 * 1024;
  static constexpr std::size_t kLeastBytes = 4 * 1024;
  static constexpr int kBusyTries = 20;
  using Done = std::function<void(Result<std::vector<Wanted>>)>;

  Fetcher(Executor& executor, std::shared_ptr<Session> session, const ExchangeLimits& limits,
          std::uint64_t snapshot, std::vector<Wanted> wanted, Done done);
  void start();
  /// Reports nothing any more.
  void cancel();
  std::size_t bytes_received() const { return received_; }

 private:
  struct Range {
    std::size_t item = 0;
    std::uint64_t offset = 0;
    std::uint32_t length = 0;
  };
  void fill();
  void pause(Duration time);
  bool next(Range& range);
  void ask(Range range);
  void on_answer(const Range& range, TimePoint asked, Result<Message> answer);
  void on_chunk(const Range& range, const Bytes& bytes);
  void on_refusal(const Range& range, TimePoint asked, const Refusal& refusal);
  void finish(Result<std::vector<Wanted>> result);

  Executor& executor_;
  std::shared_ptr<Session> session_;
  ExchangeLimits limits_;
  std::uint64_t snapshot_;
  std::vector<Wanted> wanted_;
  std::vector<std::uint64_t> missing_;  // of each item, bytes
  Done done_;
  std::size_t next_item_ = 0;
  std::uint64_t next_offset_ = 0;
  std::deque<Range> again_;             // refused as busy
  std::size_t under_way_ = 0, bytes_under_way_ = 0, items_left_ = 0, received_ = 0;
  std::size_t budget_ = kFirstBytes;
  std::uint32_t chunk_bytes_ = 0;
  int busy_ = 0;                        // refusals without an answer between them
  Duration gap_{0};                     // between questions to a peer that was busy
  TimePoint last_asked_, slowed_;
  Executor::TimerHandle pause_;
};

/// One errand: begins on a session, reports once. What failed because a link that had stood open turned out to be
/// gone is begun again on another one, once.
class Errand : public std::enable_shared_from_this<Errand> {
 public:
  Errand(Executor& executor, const ExchangeLimits& limits) : executor_(executor), limits_(limits) {}
  virtual ~Errand() = default;
  /// `fresh`: the link was made for this errand.
  void begin(std::shared_ptr<Session> session, bool fresh);
  /// Reports `error`, unless it has reported.
  void fail(const Error& error);
  /// Reports nothing any more.
  void drop();
  bool over() const { return over_; }

  std::function<void()> again;    ///< asks for another session
  std::function<void()> on_over;  ///< it has reported

 protected:
  virtual void ask() = 0;
  virtual void report(const Error& error) = 0;
  /// Call before the one report of success; false: it has reported.
  bool succeed();
  /// Fails, or begins again.
  void stumble(const Error& error);
  /// What a refusal means to whoever asked.
  static Error refused(const Refusal& refusal);
  /// Waits as long as the peer says; false after kBusyTries.
  bool ask_later(const Refusal& refusal);

  Executor& executor_;
  ExchangeLimits limits_;
  std::shared_ptr<Session> session_;
  std::shared_ptr<Fetcher> fetcher_;
  bool progress_ = false;  ///< the peer has answered something
  Duration link_took_{0};

 private:
  bool over_ = false, fresh_ = false, tried_again_ = false, begun_ = false;
  int busy_ = 0;
  TimePoint made_ = executor_.now();
  Executor::TimerHandle deadline_, pause_;
};

class DescribeErrand final : public Errand {
 public:
  using Done = std::function<void(Result<metadata::Description>)>;
  DescribeErrand(Executor& executor, const ExchangeLimits& limits, const metadata::TaskId& task,
                 std::uint32_t max_classes, Done done)
      : Errand(executor, limits), task_(task), max_classes_(max_classes), done_(std::move(done)) {}

 private:
  void ask() override;
  void report(const Error& error) override;
  void open(const Bytes& sealed);
  metadata::TaskId task_;
  std::uint32_t max_classes_;
  Done done_;
};

class PullErrand final : public Errand {
 public:
  using Done = std::function<void(Result<PulledPart>)>;
  PullErrand(Executor& executor, const ExchangeLimits& limits, const metadata::TaskId& task,
             std::vector<std::int32_t> classes, std::set<metadata::Hash> have, Done done)
      : Errand(executor, limits),
        task_(task),
        classes_(std::move(classes)),
        have_(std::move(have)),
        done_(std::move(done)) {}

 private:
  void ask() override;
  void report(const Error& error) override;
  void on_page(Result<Message> answer);
  Result<void> take(ManifestAnswer page);
  void fetch();
  void assemble(std::vector<Wanted> fetched);

  metadata::TaskId task_;
  std::vector<std::int32_t> classes_;
  std::set<metadata::Hash> have_;
  Done done_;
  std::uint64_t snapshot_ = 0;
  std::uint32_t total_ = 0;
  std::string family_;
  std::vector<BlockLine> lines_;
  std::set<std::string> names_;
  std::uint64_t part_bytes_ = 0;
  std::size_t listed_classes_ = 0;
  TimePoint asked_, listed_;
};

}  // namespace p2p::overlay
