// Whom a node knows: its nearest, and a sample of all.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "metadata/base/random.hpp"
#include "overlay/directory/messages.hpp"
#include "overlay/executor.hpp"

namespace p2p::directory {

/// The nodes that this one has heard from, each by an entry that it signed.
///
/// The near ones make the overlay's graph; without the far ones it would fall apart into one piece for each kind of
/// experience. Near: the smallest joint distance to our own sketch. Far: the smallest secret hash of the id among all that
/// were ever heard of, so that however often somebody is named, he is no likelier to be kept (Bortnikov, Gurevich,
/// Keidar, Kliot, Shraer, "Brahms: Byzantine resilient random membership sampling", Computer Networks 2009).
///
/// Bounds: `near` + `far` nodes.
class Contacts {
 public:
  struct Options {
    std::size_t near = 16, far = 16;
    std::uint64_t secret = 0;  ///< of the hash that chooses the far ones
    overlay::Duration forget = std::chrono::minutes(25);  ///< whom we have not heard from for so long
  };
  struct Contact {
    metadata::Entry entry;
    overlay::TimePoint heard;
    overlay::Duration round_trip{};
    unsigned failures = 0;      ///< since it was heard
    double distance = 0;        ///< between its sketch and ours
    std::uint64_t hash = 0;
    bool near = false;
  };
  explicit Contacts(const Options& options) : options_(options) {}

  /// Our own sketch, by which nearness is measured; none: all are far.
  void centre(const std::optional<metadata::Sketch>& sketch);
  /// `entry` must be signed by its node. Keeps the newer of two. `answered`: it came from the node itself just now.
  void add(const metadata::Entry& entry, overlay::TimePoint now, bool answered, overlay::Duration round_trip = {});
  /// Would it be kept?
  bool wanted(const Hint& hint) const;
  /// It did not answer: twice running, and it goes.
  void failed(std::uint64_t brief);
  void drop(const metadata::NodeId& node);
  void expire(overlay::TimePoint now);

  /// The best for a target, best first; those that failed last are left out.
  std::vector<const Contact*> best(const metadata::Target& target, std::size_t count) const;
  /// Whose turn it is to be asked: the one not heard from for longest. Null: nobody.
  const Contact* stalest() const;
  const Contact* any(Random& random) const;
  const std::map<metadata::NodeId, Contact>& all() const { return contacts_; }
  std::size_t size() const { return contacts_.size(); }
  /// The median distance of our near contacts from us: how crowded it is here. Infinite without any.
  double usual_distance(metadata::By by) const;
  /// Median round trip of those that answered; 0: of none.
  overlay::Duration usual_round_trip() const;
  /// Share of the far contacts that know class c, and how many these are.
  std::pair<double, std::size_t> share_knowing(std::int32_t c) const;

 private:
  std::uint64_t hash_of(std::uint64_t brief) const;
  double distance_to(const metadata::Sketch& sketch) const;
  void trim();

  Options options_;
  std::optional<metadata::Sketch> centre_;
  std::map<metadata::NodeId, Contact> contacts_;
};

}  // namespace p2p::directory
