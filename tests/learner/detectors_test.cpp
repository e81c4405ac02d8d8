// What every detector must do, and what each promises about false alarms and delays.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <functional>

#include "learner/drift/ddm.hpp"
#include "learner/drift/detector.hpp"
#include "learner/drift/hddm.hpp"
#include "learner/drift/kswin.hpp"
#include "learner/drift/label_test.hpp"
#include "learner/drift/shiryaev_roberts.hpp"
#include "metadata/base/random.hpp"

namespace p2p::learner {
namespace {

std::unique_ptr<DriftDetector> make(std::string_view name,
                                    const std::map<std::string, double>& params = {}) {
  auto made = make_detector(name, params);
  if (!made) FAIL(made.error().text());
  return std::move(*made);
}

/// Those that watch the mean of losses.
std::vector<std::string_view> loss_detectors() {
  std::vector<std::string_view> out;
  for (const std::string_view name : detectors()) {
    if (name != "labels" && name != "embedding") out.push_back(name);
  }
  return out;
}

struct Run {
  double alarms_in_a_million = 0;
  double delay = 0;  ///< mean, where found
  double found = 0;  ///< share
};

/// 10,000 values at `before`, then up to `most` at `after`.
Run measure(std::string_view name, double before, double after, int seeds, int most = 5000,
            const std::map<std::string, double>& params = {}) {
  Run run;
  for (int seed = 0; seed < seeds; ++seed) {
    auto detector = make(name, params);
    Random random(static_cast<std::uint64_t>(seed));
    for (int i = 0; i < 10000; ++i)
      run.alarms_in_a_million += detector->update(random.uniform() < before) == DriftLevel::drift;
    for (int i = 1; i <= most; ++i) {
      if (detector->update(random.uniform() < after) != DriftLevel::drift) continue;
      run.delay += i;
      run.found += 1;
      break;
    }
  }
  run.delay /= std::max(1.0, run.found);
  run.found /= seeds;
  run.alarms_in_a_million *= 1e6 / (1e4 * seeds);
  return run;
}

struct Promise {
  std::string_view name;
  double before, after;
  double alarms;  ///< at most, in a million stable values
  double delay;   ///< at most, on average
  double found;   ///< at least, share
};

TEST_CASE("Every detector keeps what it promises about false alarms, delays and misses") {
  // What bench_detectors measured for ours, with room for chance. ADWIN's delays are the issue's. Ours of
  // EDDM and RDDM ring less often than MOA's and are slower (EDDM .1 -> .3: 251 there; RDDM: 152).
  const auto promise = GENERATE(
      Promise{"adwin", 0.1, 0.3, 2, 116, 1}, Promise{"adwin", 0.1, 0.5, 2, 54, 1},
      Promise{"adwin", 0.2, 0.4, 2, 160, 1}, Promise{"ddm", 0.1, 0.3, 200, 1000, 0.9},
      Promise{"ddm", 0.1, 0.5, 200, 500, 0.97}, Promise{"eddm", 0.1, 0.3, 600, 560, 0.97},
      Promise{"rddm", 0.1, 0.3, 250, 240, 0.97}, Promise{"rddm", 0.1, 0.5, 250, 120, 0.97},
      Promise{"hddm-a", 0.1, 0.3, 50, 170, 1}, Promise{"hddm-a", 0.1, 0.5, 50, 75, 1},
      Promise{"hddm-w", 0.1, 0.5, 200, 40, 1}, Promise{"page-hinkley", 0.1, 0.5, 10, 240, 1},
      Promise{"cusum", 0.1, 0.3, 20, 260, 1}, Promise{"cusum", 0.1, 0.5, 20, 130, 1},
      Promise{"kswin", 0.1, 0.5, 20, 200, 0.9}, Promise{"threshold", 0.1, 0.5, 60, 50, 0.97},
      Promise{"shiryaev-roberts", 0.1, 0.3, 1, 102, 1},
      Promise{"shiryaev-roberts", 0.1, 0.5, 1, 38, 1},
      Promise{"shiryaev-roberts", 0.4, 0.6, 1, 185, 1});
  const Run run = measure(promise.name, promise.before, promise.after, 60);
  CAPTURE(promise.name, promise.before, promise.after, run.alarms_in_a_million, run.delay,
          run.found);
  CHECK(run.alarms_in_a_million <= promise.alarms);
  CHECK(run.delay <= promise.delay);
  CHECK(run.found >= promise.found);
}

TEST_CASE("Shiryaev-Roberts beats ADWIN at both changes with as few false alarms") {
  for (const double after : {0.3, 0.5}) {
    const Run adwin = measure("adwin", 0.1, after, 100),
              ours = measure("shiryaev-roberts", 0.1, after, 100);
    CAPTURE(after, adwin.delay, ours.delay);
    CHECK(ours.alarms_in_a_million <= adwin.alarms_in_a_million);
    CHECK(ours.delay < adwin.delay);
    CHECK(ours.found == 1);
  }
}

TEST_CASE(
    "Shiryaev-Roberts rings as rarely as its run length says, with a baseline that it has learnt") {
  // At a run length of 20,000, short enough to measure; 64 streams of 100,000 values each.
  const double rate = GENERATE(0.05, 0.2, 0.4);
  std::size_t alarms = 0;
  for (std::uint64_t seed = 0; seed < 64; ++seed) {
    auto detector = make("shiryaev-roberts", {{"run_length", 20000}});
    Random random(seed);
    for (int i = 0; i < 100000; ++i)
      alarms += detector->update(random.uniform() < rate) == DriftLevel::drift;
  }
  CAPTURE(rate, alarms);
  // 320 are expected at exactly that run length; three deviations of a Poisson number.
  CHECK(alarms <= 320 + 54);
  CHECK(alarms >= 20);  // it does ring: the bound is not idle
}

TEST_CASE("Shiryaev-Roberts takes values between 0 and 1 for what they are") {
  // Smaller variance than coin flips of the same mean: no false alarms, and a rise is found.
  std::size_t alarms = 0, found = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    auto detector = make("shiryaev-roberts");
    Random random(seed);
    for (int i = 0; i < 20000; ++i)
      alarms += detector->update(0.4 * random.uniform()) == DriftLevel::drift;
    for (int i = 0; i < 400; ++i) {
      if (detector->update(0.2 + 0.4 * random.uniform()) != DriftLevel::drift) continue;
      ++found;
      CHECK(detector->width() <= static_cast<std::size_t>(i) + 250);
      break;
    }
  }
  CHECK(alarms == 0);
  CHECK(found == 20);
}

TEST_CASE("No detector takes an improvement for a drift") {
  for (const std::string_view name : loss_detectors()) {
    if (name == "kswin") continue;  // at its usual level it rings on stable streams: see below
    std::size_t alarms = 0, stable = 0;
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
      auto detector = make(name);
      auto control = make(name);
      Random random(seed), other(seed + 1000);
      for (int i = 0; i < 3000; ++i) {
        detector->update(random.uniform() < 0.4);
        control->update(other.uniform() < 0.1);
      }
      for (int i = 0; i < 3000; ++i) {
        alarms += detector->update(random.uniform() < 0.1) == DriftLevel::drift;
        stable += control->update(other.uniform() < 0.1) == DriftLevel::drift;
      }
    }
    CAPTURE(name, alarms, stable);
    // No more often than on a stream that stays at the lower error.
    CHECK(static_cast<double>(alarms) <= static_cast<double>(stable) + 2 + 3 * std::sqrt(stable));
  }
}

TEST_CASE("A fall of all values never rings, in any detector, and is no news for long") {
  for (const std::string_view name : loss_detectors()) {
    auto detector = make(name);
    std::size_t alarms = 0;
    for (int i = 0; i < 400; ++i) detector->update(i % 2);
    for (int i = 0; i < 2000; ++i) alarms += detector->update(0) == DriftLevel::drift;
    CAPTURE(name);
    CHECK(alarms == 0);
  }
}

TEST_CASE("Streams that never vary never ring") {
  for (const std::string_view name : loss_detectors()) {
    for (const double value : {0.0, 0.5, 1.0}) {
      auto detector = make(name);
      std::size_t alarms = 0;
      for (int i = 0; i < 20000; ++i) alarms += detector->update(value) == DriftLevel::drift;
      CAPTURE(name, value);
      CHECK(alarms == 0);
      CHECK(std::isfinite(detector->mean()));
    }
  }
}

TEST_CASE("KSWIN's level is that of one test, and it does not ring for falls") {
  // Binary values, windows that overlap: the measured share of alarms stays below alpha.
  for (const double alpha : {0.005, 0.0005}) {
    Kswin detector({.window = 100, .recent = 30, .alpha = alpha});
    Random random(3);
    std::size_t alarms = 0, falls = 0;
    for (int i = 0; i < 200000; ++i)
      alarms += detector.update(random.uniform()) == DriftLevel::drift;
    CAPTURE(alpha, alarms);
    CHECK(static_cast<double>(alarms) <= alpha * 200000);
    for (int k = 0; k < 200; ++k) {
      detector.reset();
      for (int i = 0; i < 100; ++i) detector.update(0.5 + 0.5 * random.uniform());
      for (int i = 0; i < 60; ++i) {
        const DriftLevel level = detector.update(0.4 * random.uniform());
        falls +=
            i >= 15 && level == DriftLevel::drift;  // before that chance among the old ones decides
      }
    }
    CHECK(falls == 0);
  }
}

TEST_CASE(
    "RDDM takes the values since the warning for the new concept, and a long warning for a drift") {
  int since = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Rddm detector;
    Random random(seed);
    for (int i = 0; i < 3000; ++i) detector.update(random.uniform() < 0.1);
    for (int i = 1; i <= 1000; ++i) {
      if (detector.update(random.uniform() < 0.5) != DriftLevel::drift) continue;
      since += detector.width() <= static_cast<std::size_t>(i) + 50;
      break;
    }
  }
  CHECK(since >= 17);
  // An error that rises a little, for long: neither level of DDM is far away, the limit decides.
  Rddm slow({.minimum = 129, .warning = 0.5, .drift = 50, .warning_limit = 300});
  bool rang = false;
  for (int i = 0; i < 3000; ++i) slow.update(i % 10 == 0);
  for (int i = 0; i < 3000; ++i) rang = slow.update(i % 5 == 0) == DriftLevel::drift || rang;
  CHECK(rang);
}

TEST_CASE("Detectors warn before they alarm in most changes that are not abrupt") {
  for (const std::string_view name :
       {"adwin", "ddm", "rddm", "hddm-a", "page-hinkley", "cusum", "shiryaev-roberts"}) {
    int warned = 0;
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
      auto detector = make(name);
      Random random(seed);
      for (int i = 0; i < 3000; ++i) detector->update(random.uniform() < 0.1);
      bool warning = false;
      for (int i = 0; i < 6000; ++i) {
        const DriftLevel level =
            detector->update(random.uniform() < 0.1 + 0.3 * std::min(1.0, i / 1000.0));
        warning = warning || level == DriftLevel::warning;
        if (level == DriftLevel::drift) break;
      }
      warned += warning;
    }
    CAPTURE(name);
    CHECK(warned >= 32);
  }
}

/// A value of any detector's kind: a loss, a label, or a vector.
DriftLevel feed(DriftDetector& detector, std::string_view name, Random& random, double rate) {
  if (name == "labels") return detector.update(random.uniform() < rate ? 1.0 : 0.0);
  if (detector.arity() == 1) return detector.update(random.uniform() < rate);
  std::vector<float> values(detector.arity());
  for (float& v : values)
    v = static_cast<float>((random.uniform() - rate) / std::sqrt(values.size()));
  return detector.update_vector(values);
}

std::map<std::string, double> params_of(std::string_view name) {
  if (name == "embedding") return {{"dimensions", 8}};
  if (name == "rddm") return {{"keep", 500}, {"most", 1500}};
  if (name == "threshold") return {{"batch", 20}, {"stride", 5}};
  return {};
}

TEST_CASE("Every detector goes on bit-identically from its bytes and in its clone, at any moment") {
  for (const std::string_view name : detectors()) {
    auto detector = make(name, params_of(name));
    Random random(7);
    for (int round = 0; round < 60; ++round) {
      const double rate = round % 6 < 4 ? 0.1 : 0.6;
      for (int i = 0; i < 97; ++i) feed(*detector, name, random, rate);
      ByteWriter out;
      detector->encode(out);
      auto decoded = make(name, params_of(name));
      for (int i = 0; i < round; ++i)
        feed(*decoded, name, random, 0.3);  // a past that decode() must undo
      ByteReader in(out.bytes());
      REQUIRE(decoded->decode(in));
      CHECK(in.at_end());
      auto clone = detector->clone();
      Random a = random, b = random;
      for (int i = 0; i < 400; ++i) {
        const double now = i < 200 ? rate : 0.9 - rate;
        const DriftLevel level = feed(*detector, name, random, now);
        REQUIRE(feed(*decoded, name, a, now) == level);
        REQUIRE(feed(*clone, name, b, now) == level);
      }
      ByteWriter after, after_decoded, after_clone;
      detector->encode(after);
      decoded->encode(after_decoded);
      clone->encode(after_clone);
      CAPTURE(name, round);
      REQUIRE(after.bytes() == after_decoded.bytes());
      REQUIRE(after.bytes() == after_clone.bytes());
      REQUIRE(decoded->width() == detector->width());
      REQUIRE(decoded->mean() == detector->mean());
    }
    detector->reset();
    ByteWriter reset, fresh;
    detector->encode(reset);
    make(name, params_of(name))->encode(fresh);
    CAPTURE(name);
    CHECK(reset.bytes() == fresh.bytes());
    CHECK(detector->width() == 0);
  }
}

TEST_CASE("Bytes that are short are refused, and damaged ones are refused or harmless") {
  for (const std::string_view name : detectors()) {
    auto detector = make(name, params_of(name));
    Random random(8);
    for (int i = 0; i < 1500; ++i) feed(*detector, name, random, i < 1400 ? 0.1 : 0.5);
    ByteWriter out;
    detector->encode(out);
    const Bytes& bytes = out.bytes();
    const std::size_t size = detector->bytes();
    for (std::size_t length = 0; length < bytes.size(); length += 1 + length / 64) {
      auto victim = make(name, params_of(name));
      ByteReader in(ByteView(bytes).first(length));
      const auto result = victim->decode(in);
      CAPTURE(name, length);
      REQUIRE(!result);
      CHECK(result.error().code == ErrorCode::malformed);
      CHECK(victim->width() == 0);
    }
    std::size_t refused = 0;
    for (int trial = 0; trial < 2000; ++trial) {
      Bytes damaged = bytes;
      for (std::uint64_t k = random.below(3); k < 3; ++k) {
        auto& byte = damaged[random.below(damaged.size())];
        byte = random.uniform() < 0.3 ? 0xFF : static_cast<std::uint8_t>(random.next());
      }
      auto victim = make(name, params_of(name));
      ByteReader in(damaged);
      refused += !victim->decode(in);
      for (int i = 0; i < 300; ++i) feed(*victim, name, random, i < 150 ? 0.2 : 0.9);
      REQUIRE(victim->bytes() <= 2 * size + 1024);
      REQUIRE(std::isfinite(victim->mean()));
    }
    CAPTURE(name);
    CHECK(refused > 0);
  }
}

TEST_CASE("The factory names what cannot be") {
  const auto refused = [](std::string_view name, const std::map<std::string, double>& params,
                          std::string_view because) {
    const auto made = make_detector(name, params);
    REQUIRE(!made);
    CHECK(made.error().code == ErrorCode::invalid_argument);
    CHECK_THAT(made.error().text(), Catch::Contains(std::string(because)));
  };
  refused("crystal-ball", {}, "adwin, ddm");
  refused("adwin", {{"detla", 0.1}}, "\"detla\"; it has: clock, delta");
  refused("adwin", {{"delta", -1}}, "between");
  refused("adwin", {{"delta", std::nan("")}}, "between");
  refused("adwin", {{"clock", 1.5}}, "whole");
  refused("kswin", {{"window", 30}}, "recent is not below window");
  refused("threshold", {{"batch", 35}, {"stride", 4}}, "stride does not divide batch");
  refused("shiryaev-roberts", {{"smallest", 3}}, "do not rise");
  for (const std::string_view name : detectors()) CHECK(make_detector(name));
}

TEST_CASE("Labels: a new class rings after its third appearance, and is named") {
  LabelTest test({.classes = 4});
  Random random(9);
  for (int i = 0; i < 1000; ++i) REQUIRE(test.update(random.below(3)) != DriftLevel::drift);
  CHECK(test.update(3) != DriftLevel::drift);
  for (int i = 0; i < 5; ++i) CHECK(test.update(random.below(3)) != DriftLevel::drift);
  CHECK(test.update(3) == DriftLevel::warning);
  CHECK(test.update(3) == DriftLevel::drift);
  REQUIRE(test.responsible().size() == 1);
  CHECK(test.responsible()[0] == 3);
}

TEST_CASE(
    "Labels: a jump of the histogram rings within 50 labels and names the classes that grew") {
  std::vector<double> delays;
  int named = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    LabelTest test({.classes = 10});
    Random random(seed);
    for (int i = 0; i < 2000; ++i) REQUIRE(test.update(random.below(10)) != DriftLevel::drift);
    // Two of the ten classes are four fifths of all from here on.
    for (int i = 1; i <= 500; ++i) {
      const double label = random.uniform() < 0.8 ? static_cast<double>(random.below(2))
                                                  : static_cast<double>(random.below(10));
      if (test.update(label) != DriftLevel::drift) continue;
      delays.push_back(i);
      named += test.responsible().size() == 2 && test.responsible()[0] == 0 &&
               test.responsible()[1] == 1;
      break;
    }
  }
  REQUIRE(delays.size() == 60);
  std::sort(delays.begin(), delays.end());
  CHECK(delays[30] <= 50);
  CHECK(delays[54] <= 70);
  CHECK(named >= 54);
}

TEST_CASE("Labels: a steady histogram does not ring, even or skewed, and runs need skip_repeats") {
  std::size_t alarms = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    LabelTest test({.classes = 10});
    Random random(seed);
    for (int i = 0; i < 25000; ++i) {
      const double u = random.uniform();
      alarms += test.update(std::floor(10 * (seed % 2 ? u : u * u))) == DriftLevel::drift;
    }
  }
  CHECK(alarms <= 3);  // a run length of 10^6 in 10^6 labels
  std::size_t in_runs = 0, skipping = 0;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    LabelTest plain({.classes = 4}), skips({.classes = 4, .skip_repeats = true});
    Random random(seed);
    double label = 0;
    for (int i = 0; i < 20000; ++i) {
      if (random.uniform() < 0.05) label = static_cast<double>(random.below(4));
      in_runs += plain.update(label) == DriftLevel::drift;
      skipping += skips.update(label) == DriftLevel::drift;
    }
  }
  CAPTURE(in_runs, skipping);
  CHECK(in_runs > 100);
  CHECK(skipping <= 2);
}

}  // namespace
}  // namespace p2p::learner
