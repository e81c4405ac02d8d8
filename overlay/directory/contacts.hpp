// Whom a node knows: its nearest, and a sample of all.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "metadata/base/random.hpp"
#include "overlay/directory/directory.hpp"
#include "overlay/directory/messages.hpp"
#include "overlay/executor.hpp"

namespace p2p::directory {

/// What a contact is kept for; one may be for several.
struct Role {
  bool near = false;    ///< of the nearest
  bool ladder = false;  ///< of the nearest of its level
  bool far = false;     ///< of the sample of all
  bool archive = false; ///< an archived one near to us, or any near to one of ours that is archived
  bool any() const { return near || ladder || far || archive; }
};
/// Who is kept of those that are live. `hash` is a secret hash of the node's id; its level is the number of zeros that it begins with, so level l
/// has a 2^-(l+1) share of all nodes, and the nearest of level l is the nearest of a random sample of that size.
struct Acquaintance {
  double distance = 0;
  std::uint64_t hash = 0;
};
std::vector<Role> roles(std::span<const Acquaintance> all, const RoleOptions& options);

/// The nodes, and archived presences of nodes, that this one has heard from, each by an entry that its node signed.
///
/// Near ones alone make a graph that falls apart into one piece for each kind of experience, and in which one goes far in
/// small steps only. So there are three kinds, as in Kleinberg's small worlds (STOC 2000) and the rings of Meridian (Wong,
/// Slivkins, Sirer, SIGCOMM 2005), made from one secret hash so that however often somebody is named, he is no likelier
/// to be kept (Bortnikov, Gurevich, Keidar, Kliot, Shraer, "Brahms", Computer Networks 2009): the near ones; a ladder of
/// the nearest within ever smaller random samples, which are ever further away; and a uniform sample.
///
/// An archived presence is none of these: its node lives elsewhere and knows those there, so it leads nowhere, and the
/// samples are of nodes. `archive` of them are kept that are nearest to us; and for each presence that we have archived
/// ourselves as many of either kind that are near to that, so that we can tell whoever comes looking there.
///
/// Bounds: `near` + `far` + `per_level` on each of 64 levels, of which log2(nodes) are ever filled + `archive` for each of
/// our own presences. Of one node at most metadata::kMostArchived archived ones, whatever it says that it has: then the
/// one of the oldest version goes.
class Contacts {
 public:
  struct Options {
    RoleOptions roles;
    std::uint64_t secret = 0;
    overlay::Duration forget = std::chrono::minutes(90);  ///< whom we have not heard from for so long
  };
  struct Contact {
    metadata::Entry entry;
    overlay::TimePoint heard;
    overlay::Duration round_trip{};
    unsigned failures = 0;      ///< since it was heard
    double distance = 0;        ///< between its sketch and ours
    std::uint64_t hash = 0;
    Role role;
    bool archived() const { return entry.concept_id != 0; }
  };
  explicit Contacts(const Options& options) : options_(options) { trim(); }

  /// Our own sketch, by which nearness is measured; none: all are far.
  void centre(const std::optional<metadata::Sketch>& sketch);
  /// Those of the presences that we have archived.
  void archive(std::vector<metadata::Sketch> sketches);
  /// `entry` must be signed by its node. Keeps the newer of two. `answered`: it came from the node itself just now.
  void add(const metadata::Entry& entry, overlay::TimePoint now, bool answered, overlay::Duration round_trip = {});
  /// Would it be kept?
  bool wanted(const metadata::Entry& entry) const;
  /// Would it probably be, as somebody says who was asked for our like (`near` 0) or for that of the presence that is
  /// `near`-th, from 1, among those that we have archived?
  bool wanted(const Hint& hint, std::size_t near) const;
  /// It did not answer: twice running, and it goes.
  void failed(std::uint64_t brief);
  void drop(const metadata::NodeId& presence);
  void expire(overlay::TimePoint now);

  /// The best for a target, best first; those that failed last are left out.
  std::vector<const Contact*> best(const metadata::Target& target, std::size_t count) const;
  /// Whose turn it is to be asked: the one not heard from for longest. Null: nobody.
  const Contact* stalest() const;
  /// One that is live.
  const Contact* any(Random& random) const;
  /// By what each presence goes by.
  const std::map<metadata::NodeId, Contact>& all() const { return contacts_; }
  std::size_t size() const { return contacts_.size(); }
  std::size_t nodes() const;  ///< whose live presence it is
  /// The median distance of our near contacts from us: how crowded it is here. Infinite without any.
  double usual_distance(metadata::By by) const;
  /// Median round trip of those that answered; 0: of none.
  overlay::Duration usual_round_trip() const;
  /// Share of the far contacts that know class c, and how many these are.
  std::pair<double, std::size_t> share_knowing(std::int32_t c) const;

 private:
  std::uint64_t hash_of(std::uint64_t brief) const;
  double distance_to(const metadata::Sketch& sketch) const;
  bool known(std::uint64_t brief) const;
  bool wanted_by_us(std::uint64_t hash, bool archived, double distance) const;
  void trim();
  std::vector<bool> archive_roles();
  bool make_room(const metadata::Entry& entry);

  Options options_;
  std::optional<metadata::Sketch> centre_;
  std::vector<metadata::Sketch> archive_;
  // What a newcomer has to be below, as trim() left it.
  double worst_near_ = 0;
  std::array<double, 65> worst_of_level_{};
  std::uint64_t worst_far_ = 0;
  std::vector<double> worst_archive_;  // of archived ones near to us, then of those near to each of ours
  std::map<metadata::NodeId, Contact> contacts_;
};

}  // namespace p2p::directory
