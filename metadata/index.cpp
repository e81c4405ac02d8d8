#include "metadata/index.hpp"

#include <algorithm>
#include <bit>
#include <queue>

#include "metadata/base/random.hpp"

namespace p2p::metadata {

namespace {

constexpr std::size_t kSketchBits = 256;
constexpr std::size_t kRounds = 3;
constexpr std::uint8_t kMaxDepth = 32;

/// x -> H x, unnormalised: only signs and comparisons within one vector matter here.
void hadamard(std::span<float> x) {
  for (std::size_t half = 1; half < x.size(); half *= 2) {
    for (std::size_t block = 0; block < x.size(); block += 2 * half) {
      for (std::size_t i = block; i < block + half; ++i) {
        const float a = x[i], b = x[i + half];
        x[i] = a + b;
        x[i + half] = a - b;
      }
    }
  }
}

/// A generator that all nodes of a task agree on.
Random generator(const TaskId& task) {
  ByteReader reader(task.view());
  std::uint64_t seed = 0;
  for (int i = 0; i < 4; ++i) seed = Random(seed ^ reader.get<std::uint64_t>()).next();
  return Random(seed);
}

/// The `count` cheapest sets of bits to flip, cheapest first, beginning with none; a set costs the sum of its
/// bits' squared distances to their planes. Lv et al., section 4.4: from each set, either move its last bit
/// on to the next dearer one, or add that one.
std::vector<std::pair<double, std::uint32_t>> cheapest_flips(std::span<const float> distances,
                                                             std::size_t count) {
  std::vector<std::pair<double, std::uint8_t>> bits;  // cost, position
  for (std::size_t i = 0; i < distances.size(); ++i) {
    bits.emplace_back(double{distances[i]} * distances[i], static_cast<std::uint8_t>(i));
  }
  std::sort(bits.begin(), bits.end());

  std::vector<std::pair<double, std::uint32_t>> out{{0.0, 0u}};
  struct Set {
    double cost;
    std::uint32_t mask;
    std::size_t last;  // the dearest bit in it, as an index of `bits`
    bool operator>(const Set& other) const { return cost > other.cost; }
  };
  std::priority_queue<Set, std::vector<Set>, std::greater<>> sets;
  if (!bits.empty()) sets.push({bits[0].first, 1u << bits[0].second, 0});
  while (!sets.empty() && out.size() < count) {
    const Set set = sets.top();
    sets.pop();
    out.emplace_back(set.cost, set.mask);
    const std::size_t next = set.last + 1;
    if (next == bits.size()) continue;
    const std::uint32_t bit = 1u << bits[next].second;
    sets.push({set.cost + bits[next].first, set.mask | bit, next});
    sets.push({set.cost - bits[set.last].first + bits[next].first,
               (set.mask & ~(1u << bits[set.last].second)) | bit, next});
  }
  return out;
}

std::uint32_t prefix_of(std::span<const float> projections) {
  std::uint32_t prefix = 0;
  for (std::size_t i = 0; i < projections.size(); ++i) {
    if (projections[i] > 0) prefix |= 1u << i;
  }
  return prefix;
}

}  // namespace

double sketch_distance(const Sketch& a, const Sketch& b) {
  int differing = 0;
  for (std::size_t i = 0; i < a.bits.size(); ++i) {
    differing += std::popcount(static_cast<unsigned>(a.bits[i] ^ b.bits[i]));
  }
  return static_cast<double>(differing) / kSketchBits;
}

bool valid(const Place& place) {
  switch (place.kind) {
    case Place::Kind::joint:
      return place.depth <= kMaxDepth && std::uint64_t{place.prefix} < std::uint64_t{1} << place.depth;
    case Place::Kind::label: return place.depth == 0 && place.prefix == 0;
  }
  return false;
}

DhtKey place_key(const TaskId& task, const Place& place) {
  ByteWriter text;
  text.put_array(std::span<const char>("p2p-learner place v1", 21));  // with the zero that ends it
  text.put_array(std::span<const std::uint8_t>(task.bytes));
  text.put(static_cast<std::uint8_t>(place.kind));
  text.put(place.table);
  text.put(place.depth);
  text.put(place.prefix);
  const Hash hash = sha256(text.bytes());
  DhtKey key;
  std::copy_n(hash.bytes.begin(), key.size(), key.begin());
  return key;
}

Index::Index(const TaskId& task, std::uint32_t dimensions, std::uint32_t classes, const IndexOptions& options)
    : task_(task), dimensions_(dimensions), classes_(classes), options_(options) {
  P2P_ASSERT(dimensions >= 1 && classes >= 1);
  P2P_ASSERT(options.depth <= kMaxDepth);
  padded_ = std::bit_ceil(std::max(std::size_t{dimensions} * classes, std::size_t{64}));
  const std::size_t planes = kSketchBits + std::size_t{options.tables} * kMaxDepth;
  const std::size_t rotations = (planes + padded_ - 1) / padded_;
  signs_.resize(rotations * kRounds * padded_);
  Random random = generator(task);
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < signs_.size(); ++i, bits >>= 1) {
    if (i % 64 == 0) bits = random.next();
    signs_[i] = bits & 1 ? 1 : -1;
  }
}

std::vector<float> Index::project(const Fingerprint& f, std::size_t first, std::size_t count) const {
  P2P_ASSERT(f.dimensions == dimensions_ && f.classes == classes_);
  std::vector<float> joint(padded_, 0.f);
  for (std::size_t c = 0; c < classes_; ++c) {
    f.column(c, std::span(joint).subspan(c * dimensions_, dimensions_));
  }

  std::vector<float> out, rotated;
  for (std::size_t r = first / padded_; r * padded_ < first + count; ++r) {
    rotated = joint;
    for (std::size_t round = 0; round < kRounds; ++round) {
      const std::int8_t* signs = signs_.data() + (r * kRounds + round) * padded_;
      for (std::size_t i = 0; i < padded_; ++i) rotated[i] *= signs[i];
      hadamard(rotated);
    }
    const std::size_t begin = std::max(first, r * padded_) - r * padded_;
    const std::size_t end = std::min(first + count, (r + 1) * padded_) - r * padded_;
    out.insert(out.end(), rotated.begin() + static_cast<std::ptrdiff_t>(begin),
               rotated.begin() + static_cast<std::ptrdiff_t>(end));
  }
  return out;
}

Sketch Index::sketch(const Fingerprint& fingerprint) const {
  const auto projections = project(fingerprint, 0, kSketchBits);
  Sketch out;
  for (std::size_t i = 0; i < kSketchBits; ++i) {
    if (projections[i] > 0) out.bits[i / 8] = static_cast<std::uint8_t>(out.bits[i / 8] | 1u << i % 8);
  }
  return out;
}

std::vector<Place> Index::publish_places(const Fingerprint& fingerprint) const {
  std::vector<Place> out;
  if (fingerprint.samples() <= 0) return out;
  const auto all = project(fingerprint, kSketchBits, std::size_t{options_.tables} * kMaxDepth);
  for (std::uint16_t t = 0; t < options_.tables; ++t) {
    const auto mine = std::span(all).subspan(std::size_t{t} * kMaxDepth, options_.depth);
    out.push_back({Place::Kind::joint, t, options_.depth, prefix_of(mine)});
  }
  for (std::uint32_t c = 0; c < classes_; ++c) {
    if (fingerprint.count[c] >= options_.label_count && fingerprint.accuracy[c] >= options_.label_accuracy) {
      out.push_back({Place::Kind::label, static_cast<std::uint16_t>(c), 0, 0});
    }
  }
  return out;
}

std::vector<Place> Index::query_places(const Fingerprint& fingerprint,
                                       std::span<const std::int32_t> classes) const {
  std::vector<Place> out;
  for (const std::int32_t c : classes) {
    if (c < 0 || static_cast<std::uint32_t>(c) >= classes_) continue;
    const Place place{Place::Kind::label, static_cast<std::uint16_t>(c), 0, 0};
    if (std::find(out.begin(), out.end(), place) == out.end()) out.push_back(place);
  }
  if (fingerprint.samples() <= 0) return out;

  const auto all = project(fingerprint, kSketchBits, std::size_t{options_.tables} * kMaxDepth);
  std::vector<std::pair<double, Place>> ranked;
  for (std::uint16_t t = 0; t < options_.tables; ++t) {
    const auto mine = std::span(all).subspan(std::size_t{t} * kMaxDepth, options_.depth);
    const std::uint32_t own = prefix_of(mine);
    for (const auto& [cost, flips] : cheapest_flips(mine, options_.probes)) {
      ranked.push_back({cost, {Place::Kind::joint, t, options_.depth, own ^ flips}});
    }
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [cost, place] : ranked) out.push_back(place);
  return out;
}

std::string twin_name(const NodeId& node) { return "p2p-learner/node/" + node.brief(); }

DhtKey text_key(std::string_view name) { return sha1(view(name)); }

}  // namespace p2p::metadata
