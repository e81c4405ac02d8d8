#include "overlay/directory/registry_table.hpp"

#include <algorithm>
#include <bit>
#include <cstdlib>

namespace p2p::directory::registry {

namespace {

using metadata::By;
using metadata::Entry;
using metadata::Fingerprint;
using metadata::Need;

// A sketch and a recall that follow from the signed fingerprint on one machine may differ in the last level on another.
constexpr double kSketchTolerance = 0.1;
constexpr int kRecallTolerance = 1;

std::size_t bytes_of(const Listed& row) {
  constexpr std::size_t kOfMaps = 256, kOfRanking = sizeof(metadata::Sketch) + Entry::kMaxListedClasses + 16;
  return sizeof(Listed) + kOfRanking + kOfMaps + row.sealed.entry.size() + row.sealed.description.size() + row.entry.recall.size() +
         row.fingerprint.joint.size() + 12 * row.fingerprint.scale.size();
}

/// About what its Sketcher takes: three signs per padded number of the two embeddings.
std::size_t bytes_of(const Shape& shape) {
  return 1024 + 3 * (std::bit_ceil(std::size_t{shape.dimensions} * shape.classes + 128) +
                     std::bit_ceil(std::size_t{shape.dimensions} + 32));
}

std::vector<double> shares(const Fingerprint& of) { return {of.count.begin(), of.count.end()}; }

/// directory::rank() of many, one after the other.
class Scorer {
 public:
  explicit Scorer(const Need& need) : need_(need) {}
  double operator()(double distance, double recall) {
    candidate_.distance = distance;
    candidate_.needed_recall = recall;
    return directory::rank(candidate_, need_);
  }

 private:
  const Need& need_;
  Candidate candidate_;
};

/// The classes over which listed_recall() takes its mean, folded as entries list them.
std::vector<std::uint8_t> folded(const Need& need) {
  std::vector<std::uint8_t> out;
  const auto add = [&](std::size_t c) { out.push_back(static_cast<std::uint8_t>(c % Entry::kMaxListedClasses)); };
  for (const auto c : need.classes) add(static_cast<std::size_t>(c));
  for (std::size_t c = 0; need.classes.empty() && c < need.experience.count.size(); ++c) {
    if (need.experience.count[c] > 0) add(c);
  }
  return out;
}

double mean_recall(const std::array<std::uint8_t, Entry::kMaxListedClasses>& recall, const std::vector<std::uint8_t>& of) {
  int sum = 0;
  for (const auto c : of) sum += std::max(recall[c] - 1, 0);
  return of.empty() ? 0 : sum / (14.0 * static_cast<double>(of.size()));
}

Result<void> follows(const Entry& entry, const Fingerprint& fingerprint, const metadata::Sketch& sketch) {
  const auto honest = metadata::entry_of(fingerprint, sketch);
  bool same = metadata::joint_distance(entry.sketch, sketch) <= kSketchTolerance &&
              metadata::marginal_distance(entry.sketch, sketch) <= kSketchTolerance;
  for (std::size_t c = 0; same && c < std::max(entry.recall.size(), honest.recall.size()); ++c) {
    const int said = c < entry.recall.size() ? entry.recall[c] : 0, is = c < honest.recall.size() ? honest.recall[c] : 0;
    same = std::abs(said - is) <= kRecallTolerance;
  }
  if (!same) return fail(ErrorCode::untrusted, "the entry says something else than the description beside it");
  return {};
}

}  // namespace

Result<Question> read_question(const Query& query) {
  auto fingerprint = metadata::decode_fingerprint(query.fingerprint, metadata::kMaxTaskClasses);
  if (!fingerprint) return tl::unexpected(fingerprint.error());
  Question out;
  out.shape = {query.task, fingerprint->dimensions, fingerprint->classes};
  out.similarity = query.similarity;
  for (const auto c : query.classes) {
    if (c < 0 || static_cast<std::uint32_t>(c) >= fingerprint->classes) {
      return fail(ErrorCode::malformed, "a wanted class is none of the fingerprint's");
    }
  }
  out.need = {std::move(*fingerprint), query.classes, query.by};
  return out;
}

double distance(const Question& question, const Fingerprint& other) {
  if (!(question.need.experience.samples() > 0)) return 0;
  return question.similarity == Similarity::priors ? metadata::prior_divergence(question.need.experience, other)
                                                   : metadata::plain_distance(question.need, other);
}

bool near(const Question& question, double within, const Entry& entry, const Fingerprint& other) {
  if (question.need.experience.samples() > 0) return distance(question, other) <= within;
  return listed_recall(entry, question.need) >= Entry::kKnownRecall;
}

Table::Digest::Digest(const Listed& row) : sketch(row.sketch), expires(row.expires), live(row.entry.concept_id == 0) {
  std::copy(row.entry.recall.begin(), row.entry.recall.end(), recall.begin());
}

Result<const Listed*> Table::publish(const metadata::NodeId& node, const Publish& message, const Moment& moment) {
  // What costs nothing comes first; the signatures, which do, last.
  const auto peeked = metadata::peek_entry(message.entry);
  if (!peeked) return tl::unexpected(peeked.error());
  if (peeked->node != node) {
    return fail(ErrorCode::untrusted, "the entry is another node's than the one that this link belongs to");
  }
  const auto stamp = peeked->version;
  const auto apart = stamp > moment.wall_ms ? stamp - moment.wall_ms : moment.wall_ms - stamp;
  if (apart > metadata::kMaxClockSkewMs) {
    return fail(ErrorCode::untrusted,
                "the entry's time stamp is " + std::to_string(apart / 1000) + " s " +
                    (stamp > moment.wall_ms ? "ahead of" : "behind") +
                    " the registry's clock; set the clock of whichever is wrong");
  }
  auto entry = metadata::open_entry(message.entry);
  if (!entry) return tl::unexpected(entry.error());
  auto description = metadata::open_description(message.description, metadata::kMaxTaskClasses);
  if (!description) return tl::unexpected(description.error());
  if (description->node != node || description->concept_id != entry->concept_id ||
      description->version != entry->version || metadata::tag(description->task) != entry->task) {
    return fail(ErrorCode::untrusted, "the entry and the description are not of one node, concept, task and version");
  }

  const Shape shape{description->task, description->fingerprint.dimensions, description->fingerprint.classes};
  Listed row;
  row.shape = shape;
  row.entry = std::move(*entry);
  row.fingerprint = std::move(description->fingerprint);
  row.sealed = {message.entry, message.description};
  row.expires = moment.now + limits_.life;
  const auto presence = row.entry.presence();

  auto shelf = shelves_.find(shape);
  const bool fresh_shelf = shelf == shelves_.end();
  std::size_t* at = nullptr;
  if (!fresh_shelf) {
    const auto found = shelf->second.where.find(presence);
    if (found != shelf->second.where.end()) at = &found->second;
  }
  const std::size_t replaced = at ? bytes_of(shelf->second.rows[*at]) : 0;
  if (bytes_ - replaced + bytes_of(row) + (fresh_shelf ? bytes_of(shape) : 0) > limits_.bytes ||
      (!at && nodes_ >= limits_.nodes)) {
    return fail(ErrorCode::full, "the registry has no room for another node; raise its limits or start a second one");
  }
  const auto listed = listed_.find(node);
  const bool fresh_task = listed == listed_.end() || !listed->second.contains(shape);
  if (!at && fresh_task && listed != listed_.end() && listed->second.size() >= limits_.tasks_per_node) {
    return fail(ErrorCode::full, "this node is listed for " + std::to_string(limits_.tasks_per_node) +
                                     " tasks already; withdraw it from one");
  }
  if (!at && row.entry.concept_id != 0 && !fresh_task) {
    const auto& there = listed->second.at(shape);
    if (there.size() - (there.contains(node) ? 1 : 0) >= metadata::kMostArchived) {
      return fail(ErrorCode::full, "this node has " + std::to_string(metadata::kMostArchived) +
                                       " archived concepts listed already; withdraw one");
    }
  }
  if (fresh_shelf) {
    shelf = shelves_.emplace(shape, Shelf{metadata::Sketcher(shape.task, shape.dimensions, shape.classes)}).first;
    bytes_ += bytes_of(shape);
  }
  row.sketch = shelf->second.sketcher.sketch(row.fingerprint);
  if (auto good = follows(row.entry, row.fingerprint, row.sketch); !good) {
    forget_empty(shape);
    return tl::unexpected(good.error());
  }
  bytes_ = bytes_ - replaced + bytes_of(row);
  auto& rows = shelf->second.rows;
  if (at) {
    rows[*at] = std::move(row);
    shelf->second.digests[*at] = Digest(rows[*at]);
    return &rows[*at];
  }
  shelf->second.where.emplace(presence, rows.size());
  listed_[node][shape].insert(presence);
  ++nodes_;
  rows.push_back(std::move(row));
  shelf->second.digests.emplace_back(rows.back());
  return &rows.back();
}

void Table::remove(Shelf& shelf, std::size_t at) {
  auto& rows = shelf.rows;
  const auto presence = rows[at].entry.presence();
  bytes_ -= bytes_of(rows[at]);
  --nodes_;
  shelf.where.erase(presence);
  if (at + 1 != rows.size()) {
    rows[at] = std::move(rows.back());
    shelf.digests[at] = shelf.digests.back();
    shelf.where[rows[at].entry.presence()] = at;
  }
  rows.pop_back();
  shelf.digests.pop_back();
}

void Table::forget_empty(const Shape& shape) {
  const auto shelf = shelves_.find(shape);
  if (shelf == shelves_.end() || !shelf->second.rows.empty()) return;
  shelves_.erase(shelf);
  bytes_ -= bytes_of(shape);
}

void Table::forget(const metadata::NodeId& node, const Shape& shape, const metadata::NodeId& presence) {
  const auto listed = listed_.find(node);
  const auto there = listed->second.find(shape);
  there->second.erase(presence);
  if (there->second.empty()) listed->second.erase(there);
  if (listed->second.empty()) listed_.erase(listed);
}

void Table::withdraw(const metadata::NodeId& node, const metadata::TaskId& task,
                     std::optional<std::uint32_t> concept_id) {
  const auto listed = listed_.find(node);
  if (listed == listed_.end()) return;
  const auto shapes = listed->second;
  for (const auto& [shape, presences] : shapes) {
    if (shape.task != task) continue;
    for (const auto& presence : presences) {
      if (concept_id && presence != metadata::presence_of(node, *concept_id)) continue;
      auto& shelf = shelves_.at(shape);
      remove(shelf, shelf.where.at(presence));
      forget(node, shape, presence);
    }
    forget_empty(shape);
  }
}

std::set<metadata::NodeId> Table::presences(const metadata::NodeId& node, const Shape& shape) const {
  const auto listed = listed_.find(node);
  if (listed == listed_.end()) return {};
  const auto there = listed->second.find(shape);
  return there == listed->second.end() ? std::set<metadata::NodeId>{} : there->second;
}

void Table::expire(TimePoint now) {
  for (auto shelf = shelves_.begin(); shelf != shelves_.end();) {
    const Shape shape = shelf->first;
    auto& rows = shelf->second.rows;
    for (std::size_t i = 0; i < rows.size();) {
      if (rows[i].expires > now) {
        ++i;
        continue;
      }
      forget(rows[i].entry.node, shape, rows[i].entry.presence());
      remove(shelf->second, i);
    }
    ++shelf;
    forget_empty(shape);
  }
}

std::size_t Table::nodes_of(const Shape& shape) const {
  const auto shelf = shelves_.find(shape);
  return shelf == shelves_.end() ? 0 : shelf->second.rows.size();
}

Table::Ranking Table::rank(const Question& question, std::size_t want, const std::set<metadata::NodeId>& excluded,
                           TimePoint now) {
  Ranking out;
  const auto found = shelves_.find(question.shape);
  if (found == shelves_.end()) return out;
  const auto& rows = found->second.rows;
  const auto& digests = found->second.digests;
  const Need& need = question.need;
  const bool blank = !(need.experience.samples() > 0);
  const bool exact = question.similarity == Similarity::priors;
  metadata::Sketch sketch;
  if (!blank && !exact) sketch = found->second.sketcher.sketch(need.experience);
  const auto my_shares = shares(need.experience);
  std::vector<double> shares_there(my_shares.size());
  const auto classes = folded(need);
  std::set<std::size_t> left_out;
  for (const auto& presence : excluded) {
    if (const auto at = found->second.where.find(presence); at != found->second.where.end()) left_out.insert(at->second);
  }
  auto next_out = left_out.begin();

  Scorer score(need);
  auto& scores = scores_;
  scores.clear();
  for (std::size_t i = 0; i < digests.size(); ++i) {
    const bool out_of_it = next_out != left_out.end() && *next_out == i;
    if (out_of_it) ++next_out;
    const auto& digest = digests[i];
    if (digest.expires <= now) continue;
    out.known += digest.live ? 1 : 0;
    if (out_of_it) continue;
    double apart = 0;
    if (!blank && exact) {
      std::copy(rows[i].fingerprint.count.begin(), rows[i].fingerprint.count.end(), shares_there.begin());
      apart = metadata::jensen_shannon(my_shares, shares_there);
    } else if (!blank) {
      apart = need.by == By::marginal ? metadata::marginal_distance(sketch, digest.sketch)
                                      : metadata::joint_distance(sketch, digest.sketch);
    }
    scores.emplace_back(score(apart, mean_recall(digest.recall, classes)), static_cast<std::uint32_t>(i));
  }
  out.more = scores.size() > want;
  const std::size_t numbers = std::size_t{question.shape.dimensions} * question.shape.classes;
  const std::size_t kept = std::min(scores.size(), exact || blank ? want : std::max({kExact, want, kExactNumbers / numbers}));
  std::nth_element(scores.begin(), scores.begin() + static_cast<std::ptrdiff_t>(kept), scores.end());
  scores.resize(kept);
  if (!exact && !blank) {
    for (auto& [value, at] : scores) {
      value = score(distance(question, rows[at].fingerprint), mean_recall(digests[at].recall, classes));
    }
  }
  const auto answer = scores.begin() + static_cast<std::ptrdiff_t>(std::min(kept, want));
  std::partial_sort(scores.begin(), answer, scores.end());
  scores.resize(std::min(kept, want));
  for (const auto& [value, at] : scores) out.best.push_back(&rows[at]);
  return out;
}

}  // namespace p2p::directory::registry
