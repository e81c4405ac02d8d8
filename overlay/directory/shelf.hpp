// What this node keeps on the table: under which buckets it is listed, and how deep these are.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "metadata/base/random.hpp"
#include "overlay/directory/directory.hpp"

namespace p2p::directory {

/// Reads one bucket: valid entries, one per presence, the newest, of one node no more than it may show; junk costs no more than `kMostRead` signature checks.
/// `done` exactly once, never from inside the call, with false when the table could not be asked; nothing once `alive`
/// has gone.
void read_bucket(overlay::Dht& dht, const metadata::TaskTag& task, const Place& place, std::weak_ptr<int> alive,
                 std::function<void(Bucket, bool)> done);
inline constexpr std::size_t kMostRead = 32;
/// How many belong to a bucket of which only the lowest lots are listed: with m listed, (m - 1) / the highest lot.
/// Reference: Bar-Yossef, Jayram, Kumar, Sivakumar, Trevisan, "Counting Distinct Elements in a Data Stream", RANDOM
/// 2002. Never fewer than are there.
double crowd_of(const Place& place, const std::vector<metadata::Entry>& entries);

/// Keeps the listings of one presence of a node, refreshed while it lives, in buckets of about `crowd` entries however many belong there.
///
/// For each table (two joint ones, the marginal one) a node has a level of depth. It looks at its bucket there before it
/// lists itself, and now and then again:
///   more than twice the crowd belong there    -> one level deeper
///   nobody else is there                      -> one level up, unless it was sent down from there just now
///   else                                      -> listed, if its lot is among the lowest `crowd` of those that belong
/// At all levels above the same lots decide, so every bucket up to the root holds a sample of what is below it, and a
/// reader who guessed too deep finds it there. A class is listed likewise, if few of the sampled contacts know it.
///
/// A minute after a put it reads back; what its holders have lost is put again.
///
/// An archived presence needs a point of entry near it where nobody live is, and no more: it is listed in one joint table,
/// and under no class.
///
/// Bounds: at most three tables with one level each and some above, and `label_listings` classes. One table is
/// looked at in every fourth refresh, and three more times where reading back says that something is amiss.
/// Thread: the executor's.
class Shelf {
 public:
  struct Context {
    Executor& executor;
    overlay::Dht& dht;
    metadata::TaskTag task;
    NodeId self;                             ///< what the presence goes by
    std::function<std::uint64_t(const Place&)> value_id;
    std::function<Bytes()> sealed;           ///< a fresh entry; empty: not now
    std::function<double()> nodes;           ///< of the table, estimated; 0: unknown
    /// Share of all nodes that know a class, and of how many that was said.
    std::function<std::pair<double, std::size_t>(std::int32_t)> share_knowing;
    std::function<void(const metadata::Entry&)> on_met;
  };
  struct Options {
    Duration refresh;
    double crowd = 8;
    std::size_t label_listings = 2;
    std::optional<std::uint16_t> only_table = {};  ///< a joint one
  };
  Shelf(Context context, const Options& options);

  /// What is known of the presence now. Puts what is new, and again before it expires.
  void publish(const metadata::Entry& entry);
  void withdraw();
  /// Depth of a table here, once it was looked at: what a reader would guess for others.
  std::optional<std::uint8_t> depth(Place::Kind kind, std::uint16_t table) const;
  std::vector<Standing::Listed> listed() const;

 private:
  struct Slot {
    Place::Kind kind;
    std::uint16_t table;
    std::uint8_t depth = 0;
    bool looked = false;      // the depth has been found
    double crowd = 1;         // at that depth
    double above = 0;         // one level up, as seen on the way down; 0: it was not
    bool confirmed = false;
    unsigned moves = 0;       // since the last publication: bounds a chase
    unsigned read_backs = 0;  // since the last refresh
    bool sent_down = false;   // in this chase: from a level where too many belong, so somebody must be the first here
    bool overfull = false;    // looked at in each refresh, until those whose lots are high have left
    Duration retry{};
    Executor::TimerHandle timer = {};  // of the next look
  };
  struct Put {
    Place place;
    std::uint64_t attempt = 0;
    Duration retry;
    bool held = false;
    double crowd = 0;
    Executor::TimerHandle timer;
  };
  void look(std::size_t slot);
  void looked(std::size_t slot, const Bucket& bucket, bool ok);
  void list(std::size_t slot);
  Put* held(const Place& place);
  void read_back(std::size_t slot, bool overfull);
  void list_labels();
  std::vector<std::pair<Place, double>> wanted(const Slot& slot) const;
  void put(const Place& place, double crowd);
  void send(Put& put);
  void drop_unwanted();
  void arm();
  Duration jittered(Duration time);

  Context context_;
  Options options_;
  Random jitter_;
  std::optional<metadata::Entry> entry_;
  std::vector<Slot> slots_;
  std::vector<std::unique_ptr<Put>> puts_;
  std::size_t turn_ = 0;
  std::uint64_t attempts_ = 0;
  Executor::TimerHandle refresh_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace p2p::directory
