// The linear families as models: parts, merges, growth, and rows that lie.
#include <catch2/catch.hpp>
#include <functional>
#include <limits>

#include "learner/metrics.hpp"
#include "learner/transfer/quantise.hpp"
#include "support.hpp"

namespace p2p::learner::test {
namespace {

std::string family() {
  return GENERATE(as<std::string>{}, "perceptron", "pa", "svm", "arow", "softmax", "ftrl", "rff");
}
bool has_sums(std::string_view name) { return !one_of(name, {"perceptron", "pa"}); }

/// u64 fingerprint, u32 class, u8 bits, f32 length of the sender's rows.
constexpr std::size_t kHeader = 17;

/// What a block at 32 bits says.
struct Row {
  Row(std::string_view name, const Block& block) : evidence(block.evidence) {
    const std::size_t floats = (block.content.size() - kHeader) / 4;
    weights.resize(has_sums(name) ? floats / 2 : floats);
    sums.resize(floats - weights.size());
    ByteReader in(ByteView(block.content).subspan(kHeader - 4));
    length = in.get<float>();
    in.get_array(std::span<float>(weights));
    in.get_array(std::span<float>(sums));
  }
  double evidence;
  float length;
  std::vector<float> weights, sums;
};

Row row_of(const Model& model, ClassIndex c) {
  const std::vector<ClassIndex> one = {c};
  return {model.spec().family, model.partition(one).blocks.at(0)};
}

std::unique_ptr<Model> trained(std::string_view name, std::uint64_t seed, int samples,
                               const std::map<std::string, double>& params = {}) {
  ModelSpec spec = spec_of(name);
  for (const auto& [key, value] : params) spec.params[key] = value;
  auto model = make(spec);
  Blobs stream = blobs_for(name, seed);
  train(*model, stream, samples);
  return model;
}

template <typename T>
void put_at(Bytes& bytes, std::size_t offset, T value) {
  REQUIRE(offset + sizeof value <= bytes.size());
  std::memcpy(bytes.data() + offset, &value, sizeof value);
}

TEST_CASE("A linear spec that cannot be is refused, and the parameter is named") {
  const std::tuple<const char*, const char*, double> cases[] = {{"perceptron", "decay", 1.01},
                                                                {"pa", "C", 0},
                                                                {"pa", "C", -1},
                                                                {"arow", "r", 0},
                                                                {"arow", "decay", 0.5},
                                                                {"svm", "learning_rate", 0},
                                                                {"softmax", "one_vs_rest", 0.5},
                                                                {"softmax", "floor", 0},
                                                                {"softmax", "learning_rate", 11},
                                                                {"ftrl", "alpha", 0},
                                                                {"ftrl", "beta", 0},
                                                                {"ftrl", "l1", -1},
                                                                {"ftrl", "bits", 17},
                                                                {"ftrl", "bits", 1},
                                                                {"rff", "one_vs_rest", 2},
                                                                {"perceptron", "C", 1},
                                                                {"pa", "learning_rate", 1}};
  for (const auto& [name, key, value] : cases) {
    ModelSpec spec = spec_of(name);
    spec.params[key] = value;
    const auto made = make_model(spec);
    CAPTURE(name, key, value);
    REQUIRE_FALSE(made);
    CHECK(made.error().code == ErrorCode::invalid_argument);
    CHECK_THAT(made.error().message, Catch::Contains(key));
  }
}

TEST_CASE("A linear model that would fill the memory is refused before it is made") {
  for (const char* name : {"svm", "arow", "softmax", "ftrl", "rff"}) {
    ModelSpec spec = spec_of(name, kMaxFeatures, kMaxClasses);
    const auto made = make_model(spec);
    REQUIRE_FALSE(made);
    CHECK(made.error().code == ErrorCode::limit_exceeded);
  }
  ModelSpec basis = spec_of("rff", kMaxFeatures, 2);
  basis.params = {{"dimensions", 8192}, {"raw", 0}};
  const auto made = make_model(basis);
  REQUIRE_FALSE(made);
  CHECK(made.error().code == ErrorCode::limit_exceeded);
  basis = spec_of("rff");
  basis.bandwidth = 1e300;
  CHECK_FALSE(make_model(basis));
}

TEST_CASE("A class that was never seen is never said, though all that were seen score below zero") {
  const auto name = family();
  CAPTURE(name);
  // Far from the origin, where the row of a class never trained would win with its zero.
  auto model = make(spec_of(name));
  Blobs stream = blobs_for(name, 1);
  Random random(2);
  std::vector<float> scores(4);
  for (int i = 0; i < 600; ++i) {
    const Sample s = stream.of(random.uniform() < 0.5 ? 1 : 3);
    const ClassIndex said = model->predict_then_learn(s.x, s.y);
    if (i > 0) REQUIRE((said == 1 || said == 3));
    model->scores(s.x, scores);
    CHECK(scores[0] == scores[2]);
    CHECK(scores[0] < scores[static_cast<std::size_t>(s.y)]);
  }
  for (int i = 0; i < 500; ++i) {
    std::vector<float> x(6);
    for (float& v : x) v = static_cast<float>(100 * random.normal());
    const ClassIndex said = model->predict(x);
    REQUIRE((said == 1 || said == 3));
  }
  // From its first sample on it takes part.
  for (int i = 0; i < 40; ++i) {
    const Sample s = stream.of(0);
    model->learn(s.x, s.y);
  }
  CHECK(model->predict(stream.of(0).x) == 0);
}

TEST_CASE("Streams without information are learnt without harm") {
  const auto name = family();
  CAPTURE(name);
  for (const bool zero : {true, false}) {
    auto model = make(spec_of(name));
    Random random(3);
    const std::vector<float> x(6, zero ? 0.0f : 1.0f);
    for (int i = 0; i < 1000; ++i) model->learn(x, i < 200 ? 2 : random.uniform() < 0.9 ? 1 : 0);
    CHECK(model->predict(x) == 1);
    CHECK(model->predict(std::vector<float>(6, std::nanf(""))) != 3);
    REQUIRE(decode_model(model->spec(), model->encode()));
  }
}

TEST_CASE("A part has no blocks for classes that were never seen") {
  const auto name = family();
  CAPTURE(name);
  auto model = make(spec_of(name));
  CHECK(model->partition({}).blocks.empty());
  Blobs stream = blobs_for(name, 4);
  for (int i = 0; i < 50; ++i) {
    const Sample s = stream.next(1, 3);
    model->learn(s.x, s.y);
  }
  const Part part = model->partition({});
  REQUIRE(part.blocks.size() == 2);
  CHECK(part.blocks[0].name == "class/1");
  CHECK(part.blocks[1].name == "class/2");
}

TEST_CASE("A block weighs what is documented at each precision, and says the same up to it") {
  const auto name = family();
  CAPTURE(name);
  auto model = trained(name, 5, 600);
  for (const Precision precision :
       {Precision::bits32, Precision::bits16, Precision::bits8, Precision::bits4}) {
    const Part part = model->partition({}, precision);
    REQUIRE(part.blocks.size() == 4);
    const std::size_t length = name == "rff" ? 64 + 6 + 1 : 7;
    for (const Block& block : part.blocks) {
      CHECK(block.content.size() == kHeader + numbers_bytes(length, precision) +
                                        (has_sums(name) ? levels_bytes(length, precision) : 0));
    }
    auto fresh = make(spec_of(name));
    REQUIRE(fresh->merge(part, {}));
    Blobs stream = blobs_for(name, 6);
    int same = 0;
    for (int i = 0; i < 500; ++i) {
      const Sample s = stream.next();
      same += fresh->predict(s.x) == model->predict(s.x);
    }
    CHECK(same >= (precision == Precision::bits32  ? 500
                   : precision == Precision::bits4 ? 425
                                                   : 490));
    REQUIRE(decode_model(fresh->spec(), fresh->encode()));
  }
}

TEST_CASE("Five classes of 1024 Fourier features weigh at most three kilobytes at four bits") {
  ModelSpec spec = spec_of("rff", 784, 10);
  spec.params = {{"dimensions", 1024}, {"raw", 0}};
  auto model = make(spec);
  Random random(7);
  std::vector<float> x(784);
  for (int i = 0; i < 40; ++i) {
    for (float& v : x) v = static_cast<float>(random.uniform());
    model->learn(x, static_cast<ClassIndex>(i % 10));
  }
  const std::vector<ClassIndex> five = {5, 6, 7, 8, 9};
  CHECK(model->partition(five, Precision::bits4).bytes() <= 3000);
}

TEST_CASE("Only the classes that were asked for are taken from a part") {
  const auto name = family();
  CAPTURE(name);
  auto helper = trained(name, 14, 400), target = trained(name, 15, 600);
  auto merged = target->clone();
  REQUIRE(merged->merge(helper->partition({}), {{1, 2}, MergeOptions::Mode::replace}));
  for (const ClassIndex c : {0, 3}) {
    CHECK(row_of(*merged, c).weights == row_of(*target, c).weights);
    CHECK(row_of(*merged, c).sums == row_of(*target, c).sums);
    CHECK(row_of(*merged, c).evidence == row_of(*target, c).evidence);
  }
  for (const ClassIndex c : {1, 2}) {
    const Row now = row_of(*merged, c), theirs = row_of(*helper, c);
    CHECK(now.evidence == Approx(theirs.evidence));
    // The same direction; a perceptron's row is lengthened to fit those that stayed.
    const double factor = static_cast<double>(now.weights.back() / theirs.weights.back());
    if (one_of(name, {"perceptron", "pa"})) {
      const double ratio = static_cast<double>(row_of(*target, c).length / theirs.length);
      CHECK(factor == Approx(std::clamp(ratio, 1.0, 4.0)).epsilon(1e-4));
    } else {
      CHECK(factor == 1);
    }
    for (std::size_t j = 0; j < now.weights.size(); ++j) {
      CHECK(static_cast<double>(now.weights[j]) ==
            Approx(factor * static_cast<double>(theirs.weights[j])).epsilon(1e-4).margin(1e-5));
    }
    for (std::size_t j = 0; j < now.sums.size(); ++j)
      CHECK(now.sums[j] == Approx(theirs.sums[j]).epsilon(1e-5));
  }
}

TEST_CASE("Rows that replace all that is here come as they are") {
  const auto name = family();
  CAPTURE(name);
  auto helper = trained(name, 16, 900), target = trained(name, 17, 100);
  REQUIRE(target->merge(helper->partition({}), {}));
  for (const ClassIndex c : {0, 1, 2, 3}) {
    CHECK(row_of(*target, c).weights == row_of(*helper, c).weights);
    for (std::size_t j = 0; j < row_of(*helper, c).sums.size(); ++j)
      CHECK(row_of(*target, c).sums[j] == Approx(row_of(*helper, c).sums[j]).epsilon(1e-6));
  }
}

TEST_CASE("A replaced row goes on training as it would have at home") {
  const auto name = family();
  CAPTURE(name);
  auto helper = make(spec_of(name));
  Blobs stream = blobs_for(name, 18);
  train(*helper, stream, 500);
  auto fresh = make(spec_of(name));
  REQUIRE(fresh->merge(helper->partition({}), {}));
  Blobs again = stream;
  train(*helper, stream, 50);
  train(*fresh, again, 50);
  // The optimiser's state came along: the same steps follow.
  std::vector<float> a(4), b(4);
  const Sample s = stream.next();
  helper->scores(s.x, a);
  fresh->scores(s.x, b);
  for (std::size_t c = 0; c < 4; ++c) CHECK(a[c] == Approx(b[c]).epsilon(1e-3).margin(1e-3));
}

TEST_CASE("Blending weighs rows by their evidence, or by their precision where they have one") {
  const auto name = family();
  CAPTURE(name);
  auto helper = trained(name, 19, 500), target = trained(name, 20, 700);
  auto merged = target->clone();
  REQUIRE(merged->merge(helper->partition({}), {{}, MergeOptions::Mode::blend}));
  for (const ClassIndex c : {0, 1, 2, 3}) {
    const Row theirs = row_of(*helper, c), ours = row_of(*target, c), mixed = row_of(*merged, c);
    REQUIRE(ours.evidence > theirs.evidence);
    CHECK(mixed.evidence == Approx(theirs.evidence + ours.evidence).epsilon(1e-6));
    for (std::size_t j = 0; j < mixed.weights.size(); ++j) {
      double e1 = theirs.evidence, e0 = ours.evidence, both = e0 + e1;
      if (name == "arow") {
        e1 = 1 + static_cast<double>(theirs.sums[j]);
        e0 = 1 + static_cast<double>(ours.sums[j]);
        both = e0 + e1 - 1;
        CHECK(static_cast<double>(mixed.sums[j]) == Approx(both - 1).epsilon(1e-4));
      }
      const double expected = (e1 * static_cast<double>(theirs.weights[j]) +
                               e0 * static_cast<double>(ours.weights[j])) /
                              both;
      CHECK(static_cast<double>(mixed.weights[j]) == Approx(expected).epsilon(1e-4).margin(1e-5));
    }
  }
  // Nothing known here: what comes is taken as it is. Nothing known there: what is here stays.
  auto empty = make(spec_of(name));
  REQUIRE(empty->merge(helper->partition({}), {{}, MergeOptions::Mode::blend}));
  CHECK(row_of(*empty, 2).weights == row_of(*helper, 2).weights);
  const Bytes before = empty->encode();
  Part nothing = helper->partition({});
  for (Block& block : nothing.blocks) block.evidence = 0;
  for (const auto mode : {MergeOptions::Mode::replace, MergeOptions::Mode::blend}) {
    REQUIRE(empty->merge(nothing, {{}, mode}));
    CHECK(empty->encode() == before);
  }
}

TEST_CASE("A peer that claims boundless evidence cannot silence the local row in a blend") {
  const auto name = family();
  if (name == "ftrl") return;  // it does not forget, so a million samples count
  CAPTURE(name);
  const std::map<std::string, double> decay = {{"decay", 0.99}};  // nobody can have more than 100
  auto helper = trained(name, 21, 100, decay), target = trained(name, 22, 2000, decay);
  Part part = helper->partition({});
  for (Block& block : part.blocks) block.evidence = 1e11;
  const Row before = row_of(*target, 0);
  CHECK(before.evidence > 15);
  REQUIRE(target->merge(part, {{}, MergeOptions::Mode::blend}));
  CHECK(row_of(*target, 0).evidence <= 100.0001);
  // With 100 against 25 at best, a fifth of the row is still ours.
  const Row theirs = row_of(*helper, 0), mixed = row_of(*target, 0);
  double same = 0;
  for (std::size_t j = 0; j < mixed.weights.size(); ++j)
    same += std::abs(static_cast<double>(mixed.weights[j] - theirs.weights[j]));
  CHECK(same > 0);
  REQUIRE(decode_model(target->spec(), target->encode()));
}

TEST_CASE("A model grows in the middle of a stream, keeps what it knew and learns the new class") {
  const auto name = family();
  CAPTURE(name);
  for (const std::uint32_t classes : {5u, 9u, 20u}) {
    auto model = trained(name, 23, 600);
    auto same = model->clone();
    model->grow(classes);
    CHECK(model->spec().classes == classes);
    Blobs stream = blobs_for(name, 24);
    for (int i = 0; i < 200; ++i) {
      const Sample s = stream.next();
      REQUIRE(model->predict(s.x) == same->predict(s.x));
    }
    // Parts of either fit the other.
    REQUIRE(model->merge(same->partition({}), {}));
    REQUIRE(same->merge(model->partition({}), {}));
    const auto fresh = static_cast<ClassIndex>(classes - 1);
    std::vector<float> far(6, -0.5f);
    for (int i = 0; i < 300; ++i) {
      const Sample s = stream.next();
      model->learn(s.x, s.y);
      model->learn(far, fresh);
    }
    CHECK(model->predict(far) == fresh);
    CHECK(accuracy(*model, stream, 300, 0, 4) > 0.8);
    auto decoded = decode_model(model->spec(), model->encode());
    REQUIRE(decoded);
    CHECK((*decoded)->encode() == model->encode());
    // The small model has no room for the new class.
    CHECK_FALSE(same->merge(model->partition({}), {}));
    model->grow(classes);  // no change
    CHECK(model->encode() == (*decoded)->encode());
  }
}

TEST_CASE("A model saved across a folding of its sums goes on bit-identically") {
  // Sums are multiplied out when their scale passes 2^-12: about every 79 samples at decay 0.9.
  for (const char* name : {"softmax", "arow", "svm", "rff"}) {
    auto model = trained(name, 25, 70, {{"decay", 0.9}});
    auto decoded = decode_model(model->spec(), model->encode());
    REQUIRE(decoded);
    Blobs stream = blobs_for(name, 26);
    for (int i = 0; i < 100; ++i) {
      const Sample s = stream.next();
      model->learn(s.x, s.y);
      (*decoded)->learn(s.x, s.y);
      REQUIRE(model->encode() == (*decoded)->encode());
    }
  }
}

TEST_CASE("FTRL learns from features that it hashes") {
  ModelSpec spec = spec_of("ftrl", 3000, 3);
  spec.params = {{"bits", 9}, {"alpha", 0.5}};
  auto model = make(spec);
  Random random(27);
  Prequential metrics(3, 500);
  // Each class has 15 features of its own; a sample has five of them and ten of no meaning.
  for (int i = 0; i < 3000; ++i) {
    const auto y = static_cast<ClassIndex>(random.below(3));
    std::vector<float> x(3000);
    for (int k = 0; k < 5; ++k) x[static_cast<std::size_t>(y) * 15 + random.below(15)] = 1;
    for (int k = 0; k < 10; ++k) x[100 + random.below(2900)] = 1;
    metrics.add(y, model->predict_then_learn(x, y));
  }
  CHECK(metrics.windowed_accuracy() > 0.9);
  CHECK(model->bytes() < 513 * 4 * 3 * 4 + 3100 * 8 + 1000);
  auto decoded = decode_model(spec, model->encode());
  REQUIRE(decoded);
  CHECK((*decoded)->encode() == model->encode());
}

TEST_CASE("Rows with a number that is not finite or absurd are refused, and nothing changes") {
  const auto name = family();
  CAPTURE(name);
  auto helper = trained(name, 28, 300), model = trained(name, 29, 300);
  const Part good = helper->partition({});
  const Bytes before = model->encode();
  const auto refused = [&](const std::function<void(Bytes&)>& change) {
    Part part = good;
    change(part.blocks[2].content);
    for (const auto mode : {MergeOptions::Mode::replace, MergeOptions::Mode::blend}) {
      const auto merged = model->merge(part, {{}, mode});
      REQUIRE_FALSE(merged);
      CHECK(merged.error().code == ErrorCode::malformed);
      CHECK_THAT(merged.error().message, Catch::Contains("class/2"));
      CHECK(model->encode() == before);
    }
  };
  const std::size_t floats = (good.blocks[0].content.size() - kHeader) / 4;
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity(), 1e30f}) {
    for (const std::size_t i : {std::size_t{0}, floats / 2 - 1, floats / 2, floats - 1})
      refused([&](Bytes& b) { put_at(b, kHeader + 4 * i, bad); });
    refused([&](Bytes& b) { put_at(b, kHeader - 4, bad); });
  }
  refused([](Bytes& b) { put_at(b, kHeader - 4, -1.0f); });
  if (has_sums(name)) refused([&](Bytes& b) { put_at(b, kHeader + 4 * (floats - 1), -1.0f); });
  refused(
      [](Bytes& b) { put_at(b, 8, std::uint32_t{3}); });  // another class inside than in the name
  for (const std::uint8_t bits : {0, 1, 5, 8, 16, 31, 33, 255})
    refused([&](Bytes& b) { b[12] = bits; });
  // A row length that is a lie moves the row's length by the bound at most.
  for (const float lie : {0.0f, 1e-30f, 1e8f}) {
    Part part = good;
    put_at(part.blocks[2].content, kHeader - 4, lie);
    auto merged = model->clone();
    REQUIRE(merged->merge(part, {{2}, {}}));
    const Row now = row_of(*merged, 2), theirs = row_of(*helper, 2);
    for (std::size_t j = 0; j < now.weights.size(); ++j)
      CHECK(std::abs(now.weights[j]) <= 4.0001f * std::abs(theirs.weights[j]));
  }
}

}  // namespace
}  // namespace p2p::learner::test
