// Content by its hash, in chunks, from whoever has it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "metadata/base/random.hpp"
#include "overlay/chunk_coder.hpp"
#include "overlay/exchange.hpp"
#include "overlay/messages.hpp"
#include "overlay/session.hpp"

namespace p2p::overlay {

/// Content to fetch, and what it must be.
struct Wanted {
  metadata::Hash hash;
  std::uint64_t size = 0;
  Bytes content = {};  ///< its beginning, where that has come already
  std::shared_ptr<const Bytes> base = nullptr;  ///< an older version that is here
  metadata::Hash base_hash = {};
};

/// Fetches content from one holder or several, and goes on with what is missing when one of them is lost.
///
/// How much is under way to a holder follows its link: it doubles with answers that come within a quarter of the
/// deadline and halves with those that take more than half of it, so that neither a slow link runs into its deadlines
/// nor a fast one waits. A holder that says it is busy is asked one thing at a time, at the pace that it names, and a
/// little faster with every answer; it is given up after kBusyTries refusals in a row. One that says "later" is asked
/// again after the time that it names, or a little more or less.
///
/// Content is hashed as it comes, that of kWorthWorker bytes and more beside the executor, and believed when the hash fits. When it does not and several holders gave of it, all
/// of it is fetched again from one of them alone, so that the liar is found; a holder that is caught is lost.
///
/// Bounds: memory follows what arrives: at most kMostUnderWay chunks a holder are ahead, and address space is set aside
/// for kGrowth times as much.
/// Reports: `arrived` for each content, then `done`; never from inside fetch() or add(). Losing holders is no failure
/// here: whoever owns this decides when there is nobody left to ask.
class Fetcher : public std::enable_shared_from_this<Fetcher> {
 public:
  static constexpr std::size_t kMostUnderWay = 8;      ///< chunks' worth of bytes
  static constexpr std::size_t kMostQuestions = 16;    ///< small blocks need not wait for each other
  static constexpr std::size_t kFirstBytes = 64 * 1024;
  static constexpr std::size_t kLeastBytes = 4 * 1024;
  static constexpr int kBusyTries = 20;
  static constexpr int kLaterTries = 200;
  static constexpr std::size_t kWorthWorker = 512 * 1024;   ///< to be hashed elsewhere
  static constexpr std::size_t kGrowth = 8;
  static constexpr std::size_t kWorthAnother = 256 * 1024;  ///< so much unasked: another holder would help

  struct Owner {
    std::function<void()> more;  ///< another holder could be used
    /// This holder is of no use: its link has ended, it stays busy, it lied, or it has nothing of what is missing.
    std::function<void(std::size_t source, const Error&)> lost;
    std::function<void(const std::vector<Holder>&)> named;   ///< somebody knows others who may have it
    std::function<void(std::size_t source)> progress;        ///< content came from this holder
    std::function<void(std::size_t item, const Bytes&)> arrived;
    std::function<void(std::vector<Wanted>)> done;
  };
  Fetcher(Executor& executor, const ExchangeLimits& limits, std::shared_ptr<ChunkCoder> coder, std::uint64_t seed,
          Owner owner)
      : executor_(executor), limits_(limits), coder_(std::move(coder)), random_(seed), owner_(std::move(owner)) {}

  /// Fetches these, beginning with any of them: nodes of a crowd that begin with different ones have something to give
  /// each other. The sources stay from one call to the next, which comes after `done`. `given`: the source that the
  /// beginnings came from.
  void fetch(std::vector<Wanted> wanted, std::size_t given);
  /// One more holder, by a number of the owner's choice that is not in use.
  void add(std::size_t source, std::shared_ptr<Session> session);
  /// Reports nothing any more.
  void cancel();

  std::size_t sources() const { return sources_.size(); }
  /// Content as it travelled, and what it stood for.
  std::size_t bytes_received() const { return received_; }
  std::size_t bytes_unpacked() const { return unpacked_; }
  /// Holders that gave some of it.
  std::size_t givers() const { return givers_.size(); }

 private:
  struct Range {
    std::size_t item = 0;
    std::uint64_t offset = 0;
    std::uint32_t length = 0;
    unsigned attempt = 0;  // of the item; others belong to the past
  };
  /// What a worker hashes; the worker has a share of it, so that it outlives item and fetcher.
  struct Digest {
    metadata::Sha256 hash;
    bool busy = false;
  };
  struct Item {
    Wanted wanted;                                    // its content lies below
    std::shared_ptr<Bytes> content = std::make_shared<Bytes>();
    std::uint64_t next = 0;                           // nobody has been asked for what lies from here
    std::deque<Range> again;                          // was asked for in vain
    std::uint64_t missing = 0;
    std::map<std::uint64_t, std::uint64_t> islands;   // arrived, beyond what is hashed: begin -> end
    std::uint64_t hashed = 0;
    std::shared_ptr<Digest> digest;
    std::set<std::size_t> givers;
    std::size_t last_giver = 0;
    bool doubted = false;                             // from one holder alone
    std::optional<std::size_t> only;                  // this one
    unsigned attempt = 0;
  };
  struct Source {
    std::shared_ptr<Session> session;
    std::uint32_t chunk_bytes = 0;
    std::size_t under_way = 0, bytes_under_way = 0;
    std::size_t budget = kFirstBytes;
    int busy = 0, later = 0;            // refusals without an answer between them
    Duration gap{0};                    // between questions to a holder that was busy
    TimePoint last_asked, slowed;
    Executor::TimerHandle pause;
    std::set<std::size_t> lacks;        // items
    std::map<std::uint64_t, Range> asked;
  };

  void restart(Item& item);
  bool wants(std::size_t number, const Source& source, std::size_t item) const;
  bool useless(const Source& source) const;
  void put_back(const Range& range);
  bool next(std::size_t number, Source& source, Range& range);
  void fill();
  void fill(std::size_t number, Source& source);
  void pause(std::size_t number, Source& source, Duration time);
  void ask(std::size_t number, Source& source, Range range);
  void on_answer(std::size_t number, std::uint64_t question, TimePoint asked, Result<Message> answer);
  void on_chunk(std::size_t number, const Range& range, ChunkAnswer answer);
  void on_refusal(std::size_t number, const Range& range, TimePoint asked, const Refusal& refusal);
  void store(Item& item, std::uint64_t offset, ByteView bytes);
  void hash_on(std::size_t item);
  void complete(std::size_t number, std::size_t item);
  void cut_off(std::size_t number, const Error& why);
  void drop(std::size_t number, const Error& why);
  void finish();

  Executor& executor_;
  ExchangeLimits limits_;
  std::shared_ptr<ChunkCoder> coder_;
  Random random_;
  Owner owner_;
  std::vector<Item> items_;
  std::size_t start_ = 0;  // the item to begin with
  std::size_t left_ = 0;
  std::map<std::size_t, Source> sources_;
  std::uint64_t next_question_ = 0, batch_ = 0;
  std::set<std::size_t> givers_;
  std::size_t received_ = 0, unpacked_ = 0;
  bool over_ = false;
};

}  // namespace p2p::overlay
