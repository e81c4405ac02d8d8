// One question to the directory: a few buckets for points of entry, a walk, and the fingerprints of the best.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "overlay/directory/contacts.hpp"
#include "overlay/directory/correspondence.hpp"
#include "overlay/directory/directory.hpp"
#include "overlay/directory/node_quota.hpp"
#include "overlay/directory/walk.hpp"

namespace p2p::directory {

/// One lookup under way.
///
///   start: our contacts; without any, some neighbours of our table, who answer sooner than any bucket, and for nothing
///     besides; only if none of these knows the task, a bucket
///     -> ask the nearest whom they know, again and again (Walk)
///     -> once the nearest have all been asked: fetch the fingerprints of the best that have not sent them along; a
///        sixth of these are whose sketches show most of what is needed, among whatever else: the best helpers are often
///        some who have seen it in other shares, and whose distance is therefore large
///     -> over: nothing is under way any more, or the deadline passes
///
/// A bucket is read only where the walk has not led, for a get costs as much as seven questions, and its first value
/// takes two to three round trips; where many nodes are alike, a walk finds them, so the buckets that would be hot are the
/// ones that are hardly read. An empty bucket is followed by the shallower one above
/// it. What is in a bucket beyond kMostValues entries is not taken.
///
/// It reports once, never from inside start().
/// Thread: the executor's.
class Lookup : public std::enable_shared_from_this<Lookup> {
 public:
  struct Setting {
    Executor& executor;
    overlay::Dht& dht;
    Correspondence& correspondence;
    Contacts& contacts;
    metadata::TaskTag task;
    std::function<metadata::Sketch(const metadata::Fingerprint&)> sketch;  ///< the task's
    /// Lower where more of the need's classes seem to have been seen, in whatever shares (metadata::Cover); may be empty.
    std::function<double(const metadata::Outline&)> cover = {};
    NodeId self;
    std::vector<NodeId> own = {};      ///< its archived presences
    std::optional<Bytes> as = {};      ///< Correspondence::Ask::as
    std::vector<Place> places;   ///< where to read, the best first
    std::function<std::vector<Endpoint>()> neighbours = {};  ///< some of our table, whom to ask if we know nobody; may be empty
    /// Up to this remoteness somebody counts as near: who is asked sends its fingerprint along. 0: it is not known.
    double near_enough = 0;
    /// And beyond this one as far: if the walk ends there, a bucket is read. 0: it is not known.
    double remote = 0;
    bool everybody_known = false;  ///< the overlay is so small that the contacts are all there are
    Duration patience = 300ms;   ///< with somebody who does not answer
    /// An entry that was verified on the way.
    std::function<void(const metadata::Entry&)> on_met;
  };
  using Done = std::function<void(LookupResult)>;
  Lookup(Setting setting, metadata::Need need, const metadata::Target& target, const LookupOptions& options, Done done);
  void start();
  /// Reports nothing any more.
  void drop();

  std::function<void()> on_over;  ///< called before it reports

  static constexpr std::size_t kMostValues = 16;

 private:
  struct Get {
    bool done = false;
    bool found = false;  // a valid entry
    std::size_t received = 0;
    std::set<metadata::Hash> seen;
    NodeQuota nodes;
  };
  struct Known {
    std::optional<metadata::Entry> entry;
    std::optional<metadata::Fingerprint> fingerprint;
    Duration round_trip{};
    bool told = false;      // on_candidate
    bool exposed = false;   // its fingerprint is further away than it had said
    bool fetching = false, fetched = false, again = false;
    bool along = false;     // its question asks for the fingerprint too
  };
  void read(const Place& place);
  void read_next();
  void knock();
  void knock(const Endpoint& at);
  bool met_somebody() const;
  /// Whose experience is waited for; `early`: it has come before, and is fetched again.
  std::optional<Brief> on_knock(Result<Heard> answer, bool early);
  bool on_value(std::size_t number, const Place& place, const overlay::DhtValue& value);
  void on_read(std::size_t number, const Place& place);
  void pump();
  void ask(const Hint& hint);
  void fetch_best();
  bool bucket_to_come() const;
  bool remote() const;
  bool reading() const;
  /// Fetches that bring nothing are made up for, at most once each: liars would use them up.
  bool may_fetch() const { return result_.fetches < options_.fetches + barren_; }
  void on_answer(Brief node, Result<Heard> answer);
  void take_answer(Brief node, Heard answer);
  void on_portrait(Brief node, Result<Portrait> portrait);
  /// Holds what it says of itself against the experience that it has shown.
  void prove(Brief node, Known& known);
  void tell(Known& known);
  void consider_end();
  void finish();
  Candidate candidate(const Known& known) const;
  /// Fetches whom `order` names first, until `left` are fetched or on their way; not those that are `counted`
  /// already.
  void fetch(const std::vector<const Walk::Known*>& order, std::size_t& left, std::set<Brief>& counted);
  void fetch(Brief node, const Hint& hint);
  bool skipped(const NodeId& node) const { return options_.skip && options_.skip(node); }

  const Setting setting_;
  const metadata::Need need_;
  const LookupOptions options_;
  Done done_;
  Walk walk_;
  TimePoint started_;
  std::vector<Get> gets_;
  std::size_t next_place_ = 0;
  bool newcomer_ = false;  // none of our contacts answers
  std::map<Brief, Known> known_;
  std::size_t fetching_ = 0, barren_ = 0;
  std::vector<Endpoint> knocked_;  // neighbours of our table that were asked
  std::size_t knocking_ = 0;    // of these, who has not answered yet
  std::size_t proven_ = 0;      // who has shown the experience that he had said
  std::uint64_t bytes_before_ = 0;
  LookupResult result_;
  Executor::TimerHandle deadline_, first_, second_;
};

}  // namespace p2p::directory
