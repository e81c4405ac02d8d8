// Bytes from outside: every decoder and merge meets damage, lies and nonsense.
#include <catch2/catch.hpp>
#include <functional>
#include <limits>

#include "learner/metrics.hpp"
#include "learner/snapshot.hpp"
#include "support.hpp"

namespace p2p::learner::test {
namespace {

std::string_view family() {
  const std::size_t index = GENERATE(range(std::size_t{0}, families().size()));
  return families()[index];
}

std::unique_ptr<Model> trained(std::string_view name, std::uint64_t seed, int samples = 500) {
  auto model = make(spec_of(name));
  Blobs stream(seed, 6, 4);
  train(*model, stream, samples);
  return model;
}

/// The model refuses the part with this code and is as it was.
void refuses(Model& model, const Part& part, ErrorCode code, const MergeOptions& options = {}) {
  const Bytes before = model.encode();
  for (const auto mode : {MergeOptions::Mode::replace, MergeOptions::Mode::blend}) {
    MergeOptions o = options;
    o.mode = mode;
    const auto merged = model.merge(part, o);
    REQUIRE_FALSE(merged);
    CHECK(merged.error().code == code);
    CHECK_FALSE(merged.error().message.empty());
    CHECK(model.encode() == before);
  }
}

template <typename T>
void put_at(Bytes& bytes, std::size_t offset, T value) {
  REQUIRE(offset + sizeof value <= bytes.size());
  std::memcpy(bytes.data() + offset, &value, sizeof value);
}

TEST_CASE("A model cut off at any byte is refused") {
  const auto name = family();
  CAPTURE(name);
  auto model = trained(name, 1, 120);
  const Bytes bytes = model->encode();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto decoded = decode_model(model->spec(), ByteView(bytes).first(size));
    if (decoded) FAIL("accepted " << size << " of " << bytes.size() << " bytes");
  }
  Bytes longer = bytes;
  longer.push_back(0);
  CHECK_FALSE(decode_model(model->spec(), longer));
}

TEST_CASE("A block cut off at any byte is refused and the model is as it was") {
  const auto name = family();
  CAPTURE(name);
  auto helper = trained(name, 2, 200), model = trained(name, 3, 100);
  const Part good = helper->partition({});
  Part part = good;
  const Bytes before = model->encode();
  for (std::size_t size = 0; size < good.blocks[1].content.size(); ++size) {
    part.blocks[1].content.assign(
        good.blocks[1].content.begin(),
        good.blocks[1].content.begin() + static_cast<std::ptrdiff_t>(size));
    const auto merged = model->merge(part, {});
    if (merged) FAIL("accepted " << size << " bytes");
  }
  CHECK(model->encode() == before);
  part.blocks[1].content = good.blocks[1].content;
  part.blocks[1].content.push_back(7);
  refuses(*model, part, ErrorCode::malformed);
}

TEST_CASE("Random damage to a model is refused or leaves one that works within its bounds") {
  const auto name = family();
  auto model = trained(name, 4, 300);
  const Bytes good = model->encode();
  Random random(5);
  Blobs stream(6, 6, 4);
  int refused = 0;
  for (int round = 0; round < 3000; ++round) {
    Bytes bytes = good;
    const int flips = 1 + static_cast<int>(random.below(4));
    for (int i = 0; i < flips; ++i) {
      bytes[random.below(bytes.size())] = static_cast<std::uint8_t>(random.next());
    }
    CAPTURE(name, round);
    auto decoded = decode_model(model->spec(), bytes);
    if (!decoded) {
      ++refused;
      continue;
    }
    for (int i = 0; i < 5; ++i) {
      const Sample s = stream.next();
      const ClassIndex said = (*decoded)->predict_then_learn(s.x, s.y);
      REQUIRE(said >= 0);
      REQUIRE(said < 4);
    }
  }
  CHECK(refused > 20);
}

TEST_CASE("Random damage to a part is refused or leaves a model that works and can be saved") {
  const auto name = family();
  auto helper = trained(name, 7), base = trained(name, 8);
  const Part good = helper->partition({});
  Random random(9);
  Blobs stream(10, 6, 4);
  for (int round = 0; round < 2000; ++round) {
    Part part = good;
    Bytes& content = part.blocks[random.below(part.blocks.size())].content;
    for (int i = 0; i < 3; ++i)
      content[random.below(content.size())] = static_cast<std::uint8_t>(random.next());
    CAPTURE(name, round);
    auto model = base->clone();
    const auto merged = model->merge(part, {});
    if (!merged) {
      CHECK(model->encode() == base->encode());
      continue;
    }
    for (int i = 0; i < 20; ++i) {
      const Sample s = stream.next();
      model->predict_then_learn(s.x, s.y);
    }
    REQUIRE(decode_model(model->spec(), model->encode()));
  }
}

TEST_CASE("A model or part of another spec is refused") {
  const auto name = family();
  CAPTURE(name);
  auto model = trained(name, 11);
  ModelSpec other = model->spec();
  const std::function<void(ModelSpec&)> changes[] = {
      [](ModelSpec& s) { s.seed += 1; },
      [](ModelSpec& s) { s.bandwidth *= 2; },
      [](ModelSpec& s) { s.features += 1; },
      [](ModelSpec& s) {
        s.params[knob_of(s.family).name] = knob_of(s.family).other;
      },
  };
  for (const auto& change : changes) {
    other = model->spec();
    change(other);
    CHECK_FALSE(decode_model(other, model->encode()));
    auto target = make(other);
    CHECK_FALSE(target->merge(model->partition({}), {}));
  }
  // A task that grew is the same task, but bytes of a state fit the number of classes that they were made with.
  other = model->spec();
  other.classes += 1;
  CHECK_FALSE(decode_model(other, model->encode()));
  const auto& wrong = name == families()[0] ? families()[1] : families()[0];
  CHECK_FALSE(decode_model(spec_of(wrong), model->encode()));
  auto target = make(spec_of(wrong));
  refuses(*target, model->partition({}), ErrorCode::invalid_argument);
  // The defaults written out are the same spec in other words.
  other = model->spec();
  other.params[knob_of(name).name] = knob_of(name).usual;
  CHECK(decode_model(other, model->encode()));
}

TEST_CASE("Names, classes and evidence that cannot be are refused") {
  const auto name = family();
  CAPTURE(name);
  auto helper = trained(name, 12), model = trained(name, 13);
  const Part good = helper->partition({});
  REQUIRE(model->clone()->merge(good, {}));
  const std::string& first = good.blocks[0].name;
  const std::string prefix = first.substr(0, first.rfind('/') + 1);
  for (const std::string& bad :
       {std::string(""), prefix, prefix + "-1", prefix + "01", prefix + "99999", prefix + "1x",
        std::string("leaf/1"), prefix + "4294967297", std::string(100000, 'a')}) {
    Part part = good;
    part.blocks[1].name = bad;
    refuses(*model, part, ErrorCode::malformed);
  }
  Part twice = good;
  twice.blocks[1] = twice.blocks[0];
  refuses(*model, twice, ErrorCode::malformed);
  for (const double bad : {-1.0, std::nan(""), std::numeric_limits<double>::infinity(), 1e300}) {
    Part part = good;
    part.blocks[0].evidence = bad;
    refuses(*model, part, ErrorCode::malformed);
  }
  for (const std::vector<ClassIndex>& bad :
       {std::vector<ClassIndex>{-1}, {4}, {1, 2, 3, 0, 1, 2, 3}}) {
    Part part = good;
    part.blocks[0].classes = bad;
    refuses(*model, part, ErrorCode::malformed);
  }
  Part many = good;
  while (many.blocks.size() < 2000) many.blocks.push_back(good.blocks[0]);
  refuses(*model, many, ErrorCode::limit_exceeded);
  refuses(*model, good, ErrorCode::invalid_argument, {{0, 4}, {}});
  refuses(*model, good, ErrorCode::invalid_argument, {{-1}, {}});
  CHECK(model->merge({std::string(name), {}}, {}));  // an empty part is nothing, and no error
}

TEST_CASE("Metrics cut off or damaged are refused or consistent") {
  Prequential metrics(3, 10);
  Random random(22);
  for (int i = 0; i < 25; ++i) {
    metrics.add(static_cast<ClassIndex>(random.below(3)),
                static_cast<ClassIndex>(random.below(4)) - 1);
  }
  const Bytes good = metrics.encode();
  REQUIRE(Prequential::decode(good));
  for (std::size_t size = 0; size < good.size(); ++size)
    CHECK_FALSE(Prequential::decode(ByteView(good).first(size)));
  for (int round = 0; round < 5000; ++round) {
    Bytes bytes = good;
    bytes[random.below(bytes.size())] = static_cast<std::uint8_t>(random.next());
    const auto decoded = Prequential::decode(bytes);
    if (!decoded) continue;
    CHECK(decoded->accuracy() <= 1);
    CHECK(decoded->windowed_accuracy() <= 1);
    for (ClassIndex c = 0; c < 3; ++c) CHECK(decoded->recall(c) <= 1);
  }
}

}  // namespace
}  // namespace p2p::learner::test
