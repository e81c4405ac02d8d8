#include "metadata/index.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <queue>

#include "metadata/base/random.hpp"

namespace p2p::metadata {

namespace {

constexpr std::size_t kRounds = 3;
constexpr int kScaleOrigin = 192;   // 2^0
constexpr double kMostLevel = 127, kMostOutlineLevel = 7;
constexpr double kClassMissing = 0.5;  // what a wanted class that is not known adds to a distance
constexpr double kClassWanted = 2;     // and where classes are what is asked for: more than any distance

// 2^(i/8). In full, so that no machine's libm decides a sketch.
constexpr std::array<double, 8> kOctave{1.0,
                                        1.0905077326652577,
                                        1.189207115002721,
                                        1.2968395546510096,
                                        1.4142135623730951,
                                        1.5422108254079407,
                                        1.681792830507429,
                                        1.8340080864093424};

double scale_of(std::uint8_t code) {
  const int eighths = code - kScaleOrigin;
  const int octave = eighths >= 0 ? eighths / 8 : -((7 - eighths) / 8);
  return std::ldexp(kOctave[static_cast<std::size_t>(eighths - 8 * octave)], octave);
}

/// The smallest scale at which `most` is not beyond the highest level.
std::uint8_t scale_code(double most, double highest) {
  if (!(most > 0)) return 0;
  int octave = 0;
  const double mantissa = std::frexp(most / highest, &octave);  // 0.5 .. 1
  int code = kScaleOrigin + 8 * (octave - 1);
  for (const double step : kOctave) {
    if (mantissa <= 0.5 * step) break;
    ++code;
  }
  return static_cast<std::uint8_t>(std::clamp(code, 0, 255));
}

/// x -> H x, unnormalised.
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

void rotate(std::span<float> x, std::span<const std::int8_t> signs) {
  for (std::size_t round = 0; round < kRounds; ++round) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] *= signs[round * x.size() + i];
    hadamard(x);
  }
}

/// The first `count` rotated coordinates, scaled so that squares sum to the squared length on average: levels into
/// `out` from level `at` on, and the scale.
void quantise(std::span<float> rotated, std::size_t count, Sketch& out, std::size_t at, std::uint8_t& scale) {
  // Three unnormalised rounds stretch by P^1.5; count of P orthonormal coordinates hold count/P of the length.
  const double size = static_cast<double>(rotated.size());
  const double factor = std::sqrt(size / static_cast<double>(count)) / (size * std::sqrt(size));
  double most = 0;
  for (std::size_t i = 0; i < count; ++i) most = std::max(most, std::abs(rotated[i] * factor));
  scale = scale_code(most, kMostLevel);
  const double unit = scale_of(scale);
  for (std::size_t i = 0; i < count; ++i) {
    // Half a level counts up: a coordinate keeps its side of the plane, unless it is on it.
    const double level = std::floor(rotated[i] * factor / unit + 0.5);
    out.bytes[2 + at + i] = static_cast<std::uint8_t>(static_cast<std::int8_t>(std::clamp(level, -kMostLevel, kMostLevel)));
  }
}

double distance(const Sketch& a, const Sketch& b, std::size_t scale, std::size_t first, std::size_t count) {
  const auto unit_a = static_cast<float>(scale_of(a.bytes[scale]));
  const auto unit_b = static_cast<float>(scale_of(b.bytes[scale]));
  float sum = 0;
  for (std::size_t i = first; i < first + count; ++i) {
    const float difference = static_cast<float>(a.level(i)) * unit_a - static_cast<float>(b.level(i)) * unit_b;
    sum += difference * difference;
  }
  return std::sqrt(static_cast<double>(sum));
}

/// Which coordinates make a table's prefix.
std::size_t first_coordinate(Place::Kind kind, std::uint16_t table) {
  return kind == Place::Kind::marginal ? 0 : Sketch::kMarginal + std::size_t{table} * Place::kMaxDepth;
}
static_assert(Place::kJointTables * Place::kMaxDepth <= Sketch::kJoint && Place::kMaxDepth <= Sketch::kMarginal);

/// A generator that all nodes of a task agree on.
Random generator(const TaskId& task) {
  ByteReader reader(task.view());
  std::uint64_t seed = 0;
  for (int i = 0; i < 4; ++i) seed = Random(seed ^ reader.get<std::uint64_t>()).next();
  return Random(seed);
}

std::vector<std::int8_t> draw_signs(Random& random, std::size_t count) {
  std::vector<std::int8_t> signs(count);
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < count; ++i, bits >>= 1) {
    if (i % 64 == 0) bits = random.next();
    signs[i] = bits & 1 ? 1 : -1;
  }
  return signs;
}

/// The `count` cheapest sets of bits to flip, cheapest first, beginning with none; a set costs the sum of its
/// bits' squared distances to their planes. Lv et al., section 4.4: from each set, either move its last bit
/// on to the next dearer one, or add that one.
std::vector<std::uint32_t> cheapest_flips(std::span<const double> distances, std::size_t count) {
  std::vector<std::pair<double, std::uint8_t>> bits;  // cost, position
  for (std::size_t i = 0; i < distances.size(); ++i) {
    bits.emplace_back(distances[i] * distances[i], static_cast<std::uint8_t>(i));
  }
  std::sort(bits.begin(), bits.end());

  std::vector<std::uint32_t> out{0};
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
    out.push_back(set.mask);
    const std::size_t next = set.last + 1;
    if (next == bits.size()) continue;
    const std::uint32_t bit = 1u << bits[next].second;
    sets.push({set.cost + bits[next].first, set.mask | bit, next});
    sets.push({set.cost - bits[set.last].first + bits[next].first,
               (set.mask & ~(1u << bits[set.last].second)) | bit, next});
  }
  return out;
}

}  // namespace

double joint_distance(const Sketch& a, const Sketch& b) {
  return distance(a, b, 1, Sketch::kMarginal, Sketch::kJoint);
}

double marginal_distance(const Sketch& a, const Sketch& b) { return distance(a, b, 0, 0, Sketch::kMarginal); }

std::array<float, Sketch::kJoint> joint_coordinates(const Sketch& sketch) {
  const auto unit = static_cast<float>(scale_of(sketch.bytes[1]));
  std::array<float, Sketch::kJoint> out{};
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(sketch.level(Sketch::kMarginal + i)) * unit;
  return out;
}

OutlineCoordinates outline_coordinates(const Sketch& sketch) {
  const auto all = joint_coordinates(sketch);
  const auto stretch = static_cast<float>(std::sqrt(static_cast<double>(Sketch::kJoint) / Outline::kJoint));
  OutlineCoordinates out{};
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = all[i] * stretch;
  return out;
}

OutlineCoordinates outline_coordinates(const Outline& outline) {
  const auto unit = static_cast<float>(scale_of(outline.bytes[0]));
  OutlineCoordinates out{};
  for (std::size_t i = 0; i < out.size(); ++i) {
    const int half = outline.bytes[1 + i / 2] >> (i % 2 * 4) & 15;
    out[i] = static_cast<float>(half < 8 ? half : half - 16) * unit;
  }
  return out;
}

Outline outline_of(const Sketch& sketch) {
  const auto coordinates = outline_coordinates(sketch);
  double most = 0;
  for (const float x : coordinates) most = std::max(most, static_cast<double>(std::abs(x)));
  Outline out;
  out.bytes[0] = scale_code(most, kMostOutlineLevel);
  const double unit = scale_of(out.bytes[0]);
  for (std::size_t i = 0; i < coordinates.size(); ++i) {
    const double level = std::clamp(std::floor(coordinates[i] / unit + 0.5), -kMostOutlineLevel, kMostOutlineLevel);
    out.bytes[1 + i / 2] |= static_cast<std::uint8_t>((static_cast<int>(level) & 15) << (i % 2 * 4));
  }
  return out;
}

ClassMask class_mask(std::span<const std::int32_t> classes) {
  ClassMask mask = 0;
  for (const auto c : classes) {
    if (c >= 0) mask |= ClassMask{1} << (c % 64);
  }
  return mask;
}

double remoteness(const Target& target, const Sketch& sketch, ClassMask knows) {
  double missing = 0;
  if (target.classes != 0) {
    missing = static_cast<double>(std::popcount(target.classes & ~knows)) / std::popcount(target.classes);
  }
  const double weight = target.by == By::classes ? kClassWanted : kClassMissing;
  if (target.blank) return weight * missing;
  const double apart = target.by == By::marginal ? marginal_distance(target.sketch, sketch)
                                                 : joint_distance(target.sketch, sketch);
  return apart + weight * missing;
}

bool valid(const Place& place) {
  const bool in_depth = place.depth <= Place::kMaxDepth && place.depth % Place::kLevelBits == 0 &&
                        place.prefix < std::uint32_t{1} << place.depth;
  switch (place.kind) {
    case Place::Kind::joint: return in_depth && place.table < Place::kJointTables;
    case Place::Kind::marginal: return in_depth && place.table == 0;
    case Place::Kind::label: return place.depth == 0 && place.prefix == 0;
  }
  return false;
}

Place place_of(const Sketch& sketch, Place::Kind kind, std::uint16_t table, std::uint8_t depth) {
  P2P_ASSERT(kind != Place::Kind::label && depth <= Place::kMaxDepth);
  Place place{kind, table, depth, 0};
  const std::size_t first = first_coordinate(kind, table);
  for (std::size_t j = 0; j < depth; ++j) {
    if (sketch.level(first + j) >= 0) place.prefix |= 1u << j;
  }
  P2P_ASSERT(valid(place));
  return place;
}

std::vector<Place> probes(const Sketch& sketch, Place::Kind kind, std::uint16_t table, std::uint8_t depth,
                          std::size_t count) {
  const Place own = place_of(sketch, kind, table, depth);
  std::vector<double> distances;
  const std::size_t first = first_coordinate(kind, table);
  for (std::size_t j = 0; j < depth; ++j) distances.push_back(sketch.level(first + j));
  std::vector<Place> out;
  for (const auto flips : cheapest_flips(distances, count)) {
    out.push_back({kind, table, depth, own.prefix ^ flips});
  }
  return out;
}

std::uint8_t depth_for(double nodes, double crowd) {
  P2P_ASSERT(crowd > 0);
  const double bits = std::log2(std::max(1.0, nodes) / crowd);  // in this order NaN is 1
  const double levels = std::round(bits / Place::kLevelBits);
  const double most = static_cast<double>(Place::kMaxDepth / Place::kLevelBits);
  return static_cast<std::uint8_t>(Place::kLevelBits * std::clamp(levels, 0.0, most));
}

DhtKey place_key(const TaskTag& task, const Place& place) {
  ByteWriter text;
  text.put_array(std::span<const char>("p2p-learner place v3", 21));  // with the zero that ends it
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

double lot(const NodeId& presence, const Place& place) {
  ByteWriter text;
  text.put_array(std::span<const char>("p2p-learner lot v1", 19));
  text.put_array(std::span<const std::uint8_t>(presence.bytes));
  text.put(static_cast<std::uint8_t>(place.kind));
  text.put(place.table);
  const Hash digest = sha256(text.bytes());
  ByteReader hash(digest.view());
  return static_cast<double>(hash.get<std::uint64_t>() >> 11) * 0x1.0p-53;
}

Sketcher::Sketcher(const TaskId& task, std::uint32_t dimensions, std::uint32_t classes)
    : dimensions_(dimensions), classes_(classes) {
  P2P_ASSERT(dimensions >= 1 && classes >= 1);
  Random random = generator(task);
  const auto padded = std::bit_ceil(std::max(std::size_t{dimensions} * classes, Sketch::kJoint));
  joint_signs_ = draw_signs(random, kRounds * padded);
  marginal_signs_ = draw_signs(random, kRounds * std::bit_ceil(std::max(std::size_t{dimensions}, Sketch::kMarginal)));
}

Sketcher::Sketcher(const Task& task)
    : Sketcher(id(task), task.embedding_dimensions, static_cast<std::uint32_t>(task.classes.size())) {}

Sketch Sketcher::sketch(const Fingerprint& f) const {
  P2P_ASSERT(f.dimensions == dimensions_ && f.classes == classes_);
  std::vector<float> joint(joint_signs_.size() / kRounds, 0.f), marginal(marginal_signs_.size() / kRounds, 0.f);
  for (std::size_t c = 0; c < classes_; ++c) {
    const auto column = std::span(joint).subspan(c * dimensions_, dimensions_);
    f.column(c, column);
    for (std::size_t d = 0; d < dimensions_; ++d) marginal[d] += column[d];
  }
  rotate(joint, joint_signs_);
  rotate(marginal, marginal_signs_);
  Sketch out;
  quantise(marginal, Sketch::kMarginal, out, 0, out.bytes[0]);
  quantise(joint, Sketch::kJoint, out, Sketch::kMarginal, out.bytes[1]);
  return out;
}

Target Sketcher::target(const Need& need) const {
  return {.by = need.by,
          .sketch = sketch(need.experience),
          .classes = class_mask(need.classes),
          .blank = !(need.experience.samples() > 0)};
}

std::string twin_name(const NodeId& node) { return "p2p-learner/node/" + node.brief(); }

DhtKey text_key(std::string_view name) { return sha1(view(name)); }

}  // namespace p2p::metadata
