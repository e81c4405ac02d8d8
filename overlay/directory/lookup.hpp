// One question to the directory: reads buckets, believes little, ranks what is left.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "metadata/index.hpp"
#include "overlay/directory.hpp"

namespace p2p::overlay {

/// What an entry says of its node's recall where help is needed: the mean over the needed classes, or over those that
/// the need has seen when it names none. A class that is not listed counts 0.
double listed_recall(const metadata::Entry& entry, const metadata::Need& need);

/// One lookup under way.
///
/// It ends when every bucket has been read, when the deadline passes, or when enough is known: as many good
/// candidates as wanted (listed_recall at least `good_recall`), and either three buckets of four have answered, plus a
/// quarter of the time so far for what is on its way, or twice the time has passed that the first value took. A bucket
/// with nobody in it answers only by its "done", which waits for the table's slowest holder: at WAN latencies that is
/// long after all values have come.
/// Bounds: `max_values_per_key` records of a bucket are verified, whatever is stored there.
class Lookup : public std::enable_shared_from_this<Lookup> {
 public:
  struct Setting {
    Executor& executor;
    metadata::TaskId task;
    metadata::NodeId self;                ///< never a candidate
    std::size_t max_values_per_key = 64;
    double good_recall = 0.5;
  };
  using Done = std::function<void(LookupResult)>;
  Lookup(Setting setting, metadata::Need need, const LookupOptions& options, const metadata::Sketch& sketch,
         Done done);
  void start(Dht& dht, const metadata::Index& index, const std::vector<metadata::Place>& places);
  /// Reports nothing any more.
  void drop();

  std::function<void()> on_over;  ///< called before it reports

 private:
  bool skipped(const metadata::NodeId& node) const { return options_.skip && options_.skip(node); }
  struct Bucket {
    bool answered = false, done = false;
    std::size_t received = 0;
    std::set<metadata::Hash> seen;
  };
  struct Found {
    metadata::Entry entry;          ///< the newest
    std::set<std::size_t> buckets;  ///< that listed the node
  };
  bool on_value(std::size_t number, const metadata::Place& place, const DhtValue& value);
  void on_done(std::size_t number);
  void consider();
  void finish();

  const Setting setting_;
  const metadata::Need need_;
  const LookupOptions options_;
  const metadata::Sketch sketch_;
  Done done_;
  TimePoint started_;
  std::vector<Bucket> buckets_;
  std::map<metadata::NodeId, Found> found_;
  LookupResult result_;
  std::optional<Duration> first_value_;  // after the start
  Executor::TimerHandle deadline_, settle_;
  TimePoint settle_at_;
};

}  // namespace p2p::overlay
