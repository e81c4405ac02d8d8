// Who is there that has seen what I see? One interface; on the DHT, at a registry, or nobody at all.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "metadata/record.hpp"
#include "metadata/similarity.hpp"
#include "metadata/task.hpp"
#include "overlay/dht.hpp"
#include "overlay/executor.hpp"

namespace p2p::directory {

using metadata::DhtKey;
using metadata::Endpoint;
using metadata::NodeId;
using metadata::Place;
using overlay::Duration;
using overlay::Executor;
using overlay::TimePoint;
using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
using std::chrono_literals::operator""us;

/// A concept that a node keeps from its past.
struct Archived {
  std::uint32_t concept_id = 0;  ///< unique within its node, never 0
  metadata::Fingerprint fingerprint;
};

/// A node that may help, or a concept that it has archived (`entry.concept_id`), as far as the directory could check: its
/// entry is signed by itself, and so is its fingerprint, if that was fetched. What both claim is for whoever uses it to try.
struct Candidate {
  metadata::Entry entry;
  std::optional<metadata::Fingerprint> fingerprint;
  double distance = 0;       ///< to the need: metadata::plain_distance, or its estimate from the sketch
  double needed_recall = 0;  ///< mean listed recall over the needed classes; over those that the need has, if none
  Duration round_trip{};     ///< of its answer; 0: it was not asked
};

struct LookupOptions {
  std::size_t want = 5;
  Duration deadline = 600ms;   ///< what has come by then is the answer
  // What it may cost, at the most.
  std::size_t gets = 3;        ///< keys of the table read, 12 KB and more each
  /// Nodes asked whom they know, 1.7 KB each. Whoever knows nobody asks some of its table besides, and where a bucket has
  /// to tell what the walk did not find, those in it are asked: kMoreQuestions more at the most in either case.
  std::size_t questions = 16;
  static constexpr std::size_t kMoreQuestions = 6;
  /// Fingerprints fetched, about 1 KB each. At most as many again make up for those that bring nothing; and whoever knows
  /// nobody gets one for every question, which is not counted here.
  std::size_t fetches = 24;
  /// Nodes that are not wanted, however well they rank: they take nobody's place. May be empty.
  std::function<bool(const NodeId&)> skip = {};
  /// Called for each node whose fingerprint has come, as it comes; not ranked yet. May be empty. Never after `done`.
  std::function<void(const Candidate&)> on_candidate = {};
};

/// What a lookup found and what it cost.
struct LookupResult {
  /// Best first, at most `want`, never the asker itself; of one node at most what it serves and metadata::kMostArchived.
  std::vector<Candidate> candidates;
  std::size_t skipped = 0;            ///< found, and not wanted
  std::size_t gets = 0;               ///< keys read
  std::size_t values = 0;             ///< records received under them
  std::size_t refused = 0;            ///< records and answers that were not valid, or not of this task
  std::size_t questions = 0, answers = 0;
  std::size_t fetches = 0, fingerprints = 0;
  std::uint64_t datagram_bytes = 0;   ///< both ways, of questions and fetches
  std::size_t known = 0;              ///< nodes that were heard of
  Duration took{};
};

/// A bucket, as somebody who looks at it sees it.
struct Bucket {
  Place place;
  DhtKey key{};
  std::vector<metadata::Entry> entries;  ///< valid ones, one per presence, the newest
  std::size_t values = 0;                ///< received, junk included
  double crowd = 0;                      ///< presences that belong here, listed or not, estimated from the lots
};

/// How a directory stands, for people.
struct Standing {
  struct Listed {
    Place place;
    DhtKey key{};
    double crowd = 0;      ///< as last seen
    bool listed = false;   ///< else others' lots are lower
    bool confirmed = false;  ///< seen there by reading back
  };
  struct Contact {
    metadata::Entry entry;
    bool near = false;     ///< of the nearest; else further away
    double distance = 0;   ///< between sketches
    Duration heard_ago{}, round_trip{};
  };
  bool published = false;
  std::size_t archived = 0;    ///< concepts that it remembers, besides
  std::vector<Listed> places;
  std::vector<Contact> contacts;
  double estimated_nodes = 0;  ///< of the task
  std::size_t watches_served = 0;
  std::uint64_t questions_answered = 0, questions_refused = 0, fingerprints_given = 0;
};

/// Finds nodes of one task by what they have learned.
///
/// Thread: the executor's.
class Directory {
 public:
  virtual ~Directory() = default;
  /// Makes this experience known, instead of what was known before; kept fresh until withdrawn.
  virtual void publish(const metadata::Fingerprint& fingerprint) = 0;
  /// Makes these known besides, instead of those that were made known before: at most metadata::kMostArchived, each of its
  /// own number. What is the same as before stays as it is.
  virtual void remember(const std::vector<Archived>& archive) = 0;
  /// All of it.
  virtual void withdraw() = 0;
  /// Exactly one call of `done`, after the deadline at the latest, never from inside this call.
  virtual void lookup(const metadata::Need& need, const LookupOptions& options,
                      std::function<void(LookupResult)> done) = 0;
  /// Tells when somebody not further than `within` (metadata::plain_distance, estimated) from the need appears; each
  /// node once per version of its entry. Best effort. Until unwatch() of the number that is returned; 0: not possible.
  virtual std::uint64_t watch(const metadata::Need& need, double within,
                              std::function<void(const Candidate&)> on_candidate) = 0;
  virtual void unwatch(std::uint64_t number) = 0;
  /// For people: reads one bucket. Exactly one call of `done`; `unavailable` where the table could not be asked, or where
  /// there is none.
  virtual void read(const Place& place, std::function<void(Result<Bucket>)> done) = 0;
  virtual Standing standing() const = 0;
};

/// Nobody: the isolated learner's directory. Every lookup is empty, at once.
std::unique_ptr<Directory> make_no_directory(Executor& executor);

/// How many nodes a node keeps in mind: Contacts.
struct RoleOptions {
  std::size_t near = 32;      ///< the nearest of all
  std::size_t per_level = 6;  ///< the nearest of each of ever smaller random samples
  std::size_t far = 16;       ///< of a uniform sample
  std::size_t archive = 6;    ///< archived presences near to ours, and any near to each that we have archived
};

struct DirectoryContext {
  Executor& executor;
  overlay::Dht& dht;
  const metadata::Task& task;
  const metadata::KeyPair& key;
  std::function<Endpoint()> endpoint;  ///< where peers link to this node; port 0: nowhere yet
};
struct DhtDirectoryOptions {
  Duration refresh = std::chrono::minutes(18);  ///< of entries, which live 20 min; -10 % jitter
  Duration exchange = std::chrono::seconds(45); ///< between two contacts' turns to be heard, while all is quiet
  RoleOptions contacts = {};        ///< whom it keeps in mind
  double crowd = 8;                 ///< entries that a bucket of the table should hold
  std::size_t label_listings = 1;   ///< classes that a node is listed under, at the most
  std::string node_name = {};       ///< shown in the readable twin
};
/// The directory on a DHT (README.md has the whole design): few signed entries per bucket as points of entry, and a
/// walk from neighbour to neighbour, by single datagrams, for the rest.
std::unique_ptr<Directory> make_dht_directory(const DirectoryContext& context, const DhtDirectoryOptions& options);

/// What an entry says of its node's recall where help is needed: the mean over the needed classes, or over those that
/// the need has seen when it names none. A class that is not listed counts 0.
double listed_recall(const metadata::Entry& entry, const metadata::Need& need);
/// The candidate's place in an answer; lower is better. Of one that has shown its fingerprint: how well it will probably
/// do, with a minus (metadata::expected_accuracy); else its distance less the recall that it claims.
double rank(const Candidate& candidate, const metadata::Need& need);

}  // namespace p2p::directory
