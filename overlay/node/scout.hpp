// Ahead of the drift: what have those who are like me just learned that I have not?
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "overlay/directory/directory.hpp"
#include "overlay/exchange.hpp"
#include "overlay/executor.hpp"
#include "overlay/node/library.hpp"
#include "overlay/node/serving.hpp"
#include "overlay/node/trust.hpp"

namespace p2p::node {

/// Where changes travel from place to place, a neighbour has met today what comes here tomorrow. A scout keeps the few nodes
/// whose experience is nearest, asks them for their descriptions now and then, and when one has mastered a class or a
/// concept that it did not have when they met, and that is unknown here, fetches its model into the Library. There it
/// stands by (Standby), and is tried like any past concept when this node's own stream turns.
///
/// Off by default: it spends bytes on what may never come. Bounds: `neighbours` descriptions per interval, `bytes_per_hour` of
/// parts, one part under way at a time.
/// Thread: the node's.
class Scout : public std::enable_shared_from_this<Scout> {
 public:
  using Options = ScoutOptions;
  struct Context {
    overlay::Executor& executor;
    directory::Directory& directory;
    overlay::Exchange& exchange;
    metadata::TaskId task;
    const Serving& serving;
    Library& library;
    const Trust& trust;
    std::function<bool()> unsettled;             ///< a drift is being healed: not now
    std::function<void(std::string)> on_fetched;  ///< a sentence
  };
  Scout(Context context, const Options& options) : context_(std::move(context)), options_(options) {}
  void start();
  void stop();
  std::uint64_t bytes_fetched() const { return bytes_fetched_; }

 private:
  struct Neighbour {
    overlay::Exchange::Peer peer;
    metadata::Fingerprint known;  ///< as it was when last looked at
  };
  void arm();
  void look();
  void met(directory::LookupResult result);
  void described(std::size_t index, const overlay::Exchange::Peer& peer, Result<metadata::Description> answer);
  bool news(const metadata::Fingerprint& before, const metadata::Fingerprint& now) const;
  void fetch(const overlay::Exchange::Peer& peer, metadata::Fingerprint fingerprint);

  Context context_;
  Options options_;
  std::vector<Neighbour> neighbours_;
  std::size_t rounds_ = 0;
  bool fetching_ = false, stopped_ = false;
  overlay::TimePoint hour_began_;
  std::uint64_t bytes_this_hour_ = 0, bytes_fetched_ = 0;
  overlay::Executor::TimerHandle timer_;
};

}  // namespace p2p::node
