// Family "auto": what votes are worth, who answers, who rests, and parts made of parts.
#include "learner/models/auto/auto_model.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <functional>
#include <set>

#include "support.hpp"

namespace p2p::learner::test {
namespace {

Auto::ExpertReport expert(const Model& model, const std::string& name) {
  for (const auto& report : dynamic_cast<const Auto&>(model).report()) {
    if (report.name == name) return report;
  }
  throw std::runtime_error("no expert " + name);
}

std::set<std::string> senders(const Part& part) {
  std::set<std::string> out;
  for (const Block& block : part.blocks) out.insert(block.name.substr(0, block.name.find('/')));
  return out;
}

/// Classes that need curves, and that linear experts and slow ones fail at.
void train_curved(Model& model, std::uint64_t seed, int samples) {
  Blobs stream(seed, 6, 4);
  train(model, stream, samples);
}

TEST_CASE("The worth of votes moves against the finite difference of the loss") {
  ExpertVotes votes(3, 4);
  Random random(1);
  std::vector<float> scores(4);
  for (int round = 0; round < 200; ++round) {
    std::vector<ClassIndex> said(3);
    for (ClassIndex& c : said) c = static_cast<ClassIndex>(random.below(5)) - 1;  // or kNoClass
    const auto y = static_cast<ClassIndex>(random.below(4));
    const ExpertVotes before = votes;
    votes.scores(said, scores);
    votes.learn(said, y, scores);
    for (std::size_t k = 0; k < votes.worth.size(); ++k) {
      ExpertVotes up = before, down = before;
      up.worth[k] += 1e-2f;
      down.worth[k] -= 1e-2f;
      const double slope = (up.loss(said, y) - down.loss(said, y)) / 2e-2;
      const bool has_vote = said[k / 4] == static_cast<ClassIndex>(k % 4);
      if (!has_vote) {
        REQUIRE(votes.worth[k] == before.worth[k]);
        CHECK(std::abs(slope) < 1e-6);
        continue;
      }
      const double sum =
          static_cast<double>(ExpertVotes::kDecay * before.squares[k]) + slope * slope;
      const double expected = static_cast<double>(before.worth[k]) -
                              static_cast<double>(ExpertVotes::kRate) * slope /
                                  std::sqrt(sum + static_cast<double>(ExpertVotes::kFloor));
      CHECK(static_cast<double>(votes.worth[k]) == Approx(expected).epsilon(1e-2).margin(2e-3));
    }
  }
}

TEST_CASE("Votes learn which expert to believe on which class") {
  ExpertVotes votes(2, 2);
  Random random(2);
  std::vector<float> scores(2);
  int hits = 0;
  for (int i = 0; i < 2000; ++i) {
    // Expert 0 says 1 only when it is 1, and misses half of them; expert 1 says 0 only when it is
    // 0.
    const auto y = static_cast<ClassIndex>(random.below(2));
    const bool half = random.uniform() < 0.5;
    const std::vector<ClassIndex> said = {y == 1 && half ? 1 : 0, y == 0 && !half ? 0 : 1};
    votes.scores(said, scores);
    const bool right = (scores[1] > scores[0]) == (y == 1);
    if (i >= 500) hits += right;
    votes.learn(said, y, scores);
  }
  // Where they differ, (1, 1) and (0, 0) settle it; (0, 1) is half and half: 3 of 4 at best.
  CHECK(hits / 1500.0 > 0.72);
}

TEST_CASE("Auto is about as good as the best of its experts, whichever that is") {
  for (const bool curved : {true, false}) {
    auto model = make(spec_of("auto"));
    Blobs stream(3, 6, 4, curved);
    int hits = 0;
    std::vector<std::unique_ptr<Model>> alone;
    std::vector<int> theirs(4);
    for (const std::string_view name : {"arf", "rff", "mlp", "perceptron"}) {
      ModelSpec spec = spec_of(name);
      alone.push_back(make(spec));
    }
    for (int i = 0; i < 5000; ++i) {
      const Sample s = stream.next();
      hits += model->predict_then_learn(s.x, s.y) == s.y;
      for (std::size_t e = 0; e < alone.size(); ++e)
        theirs[e] += alone[e]->predict_then_learn(s.x, s.y) == s.y;
    }
    CAPTURE(curved, hits, theirs[0], theirs[1], theirs[2], theirs[3]);
    CHECK(hits > *std::max_element(theirs.begin(), theirs.end()) - 50);
  }
}

TEST_CASE("An expert that trails rests, sends nothing, and is woken when the answers get worse") {
  auto model = make(spec_of("auto"));
  train_curved(*model, 4, 6000);
  const auto poor = expert(*model, "perceptron");
  CHECK(poor.resting);
  CHECK(poor.accuracy < 0.9);
  CHECK_FALSE(poor.answers);
  CHECK(senders(model->partition({})).count("perceptron") == 0);
  CHECK(senders(model->partition({})).count("vote") == 1);
  Blobs stream(5, 6, 4);
  bool woken = false;
  for (int i = 0; i < 400; ++i) {
    Sample s = stream.next();
    s.y = (s.y + 1) % 4;  // another concept
    model->learn(s.x, s.y);
    woken = woken || !expert(*model, "perceptron").resting;
  }
  CHECK(woken);
}

TEST_CASE("An expert that rested goes on learning, and is good again on a stream that suits it") {
  auto model = make(spec_of("auto"));
  train_curved(*model, 6, 6000);
  REQUIRE(expert(*model, "perceptron").resting);
  // Lines separate these classes.
  Blobs easy(7, 6, 4, false);
  for (int i = 0; i < 12000; ++i) {
    const Sample s = easy.next();
    model->learn(s.x, s.y);
  }
  CHECK(expert(*model, "perceptron").accuracy > 0.9);
}

TEST_CASE("Which experts there are follows from the features and the bandwidth") {
  const auto names = [](ModelSpec spec) {
    std::set<std::string> out;
    const auto model = make(spec);
    for (const auto& report : dynamic_cast<Auto&>(*model).report()) out.insert(report.name);
    return out;
  };
  ModelSpec spec = spec_of("auto");
  spec.params.clear();
  CHECK(names(spec) ==
        std::set<std::string>{"arf", "fast", "mlp", "perceptron", "ridge", "smooth", "vote"});
  spec.features = 784;
  CHECK(names(spec) == std::set<std::string>{"mlp", "perceptron", "smooth", "vote"});
  spec = spec_of("auto");
  spec.bandwidth = 0;  // all samples were equal
  CHECK(names(spec) == std::set<std::string>{"arf", "mlp", "perceptron", "vote"});
  auto model = make(spec);
  const std::vector<float> same(6, 0.5f);
  for (int i = 0; i < 100; ++i) model->learn(same, 2);
  CHECK(model->predict(same) == 2);
}

TEST_CASE("A vote's block that lies is refused as a whole, and the experts' blocks with it") {
  auto helper = make(spec_of("auto")), model = make(spec_of("auto"));
  train_curved(*helper, 8, 800);
  train_curved(*model, 9, 300);
  const Part good = helper->partition({});
  REQUIRE(good.blocks.back().name == "vote/all");
  const Bytes before = model->encode();
  const auto refused = [&](const std::function<void(Block&)>& change) {
    Part part = good;
    change(part.blocks.back());
    const auto merged = model->merge(part, {});
    REQUIRE_FALSE(merged);
    CHECK(merged.error().code == ErrorCode::malformed);
    CHECK(model->encode() == before);
  };
  const auto put = [](std::size_t at, auto value) {
    return [=](Block& block) { std::memcpy(block.content.data() + at, &value, sizeof value); };
  };
  refused(put(8, std::uint8_t{7}));   // a precision that there is not
  refused(put(9, std::uint32_t{5}));  // a class too many
  refused(put(13, std::nan("")));     // an accuracy
  refused(put(13, 1.5));
  refused(put(13 + 16 * 7, std::nanf("")));  // a worth
  refused(put(13 + 16 * 7, 1e6f));
  refused([](Block& block) { block.content.push_back(0); });
  refused([](Block& block) { block.classes = {0, 1, 2, 3, 3}; });
  refused([](Block& block) { block.evidence = -1; });
  Part twice = good;
  twice.blocks.push_back(good.blocks.back());
  CHECK_FALSE(model->merge(twice, {}));
  // One expert's block that is not sound keeps all others out.
  Part part = good;
  part.blocks[0].content.resize(20);
  const auto merged = model->merge(part, {});
  REQUIRE_FALSE(merged);
  CHECK_THAT(merged.error().message, Catch::Contains("expert"));
  CHECK(model->encode() == before);
}

TEST_CASE("What a node knows of its own experts is not overruled by another's block") {
  auto helper = make(spec_of("auto")), old = make(spec_of("auto")), fresh = make(spec_of("auto"));
  train_curved(*helper, 10, 3000);
  train_curved(*old, 11, 3000);
  const Part part = helper->partition({});
  const double before = expert(*old, "mlp").accuracy;
  REQUIRE(old->merge(part, {}));
  REQUIRE(fresh->merge(part, {}));
  CHECK(expert(*old, "mlp").accuracy == before);
  CHECK(expert(*fresh, "mlp").accuracy == expert(*helper, "mlp").accuracy);
}

TEST_CASE("Auto grows, and parts of before fit after") {
  auto helper = make(spec_of("auto")), model = make(spec_of("auto"));
  train_curved(*helper, 12, 1500);
  model->grow(9);
  CHECK(model->spec().classes == 9);
  REQUIRE(model->merge(helper->partition({}), {}));
  CHECK(accuracy(*model, Blobs(13, 6, 4), 400, 0, 4) > 0.9);
  Blobs stream(14, 6, 4);
  for (int i = 0; i < 1500; ++i) {
    Sample s = stream.next();
    if (s.y == 0) s.y = 8;
    model->learn(s.x, s.y);
  }
  CHECK(model->predict(stream.of(0).x) == 8);
  REQUIRE(decode_model(model->spec(), model->encode()));
}

}  // namespace
}  // namespace p2p::learner::test
