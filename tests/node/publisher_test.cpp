#include "overlay/node/publisher.hpp"

#include <catch2/catch.hpp>

#include "overlay/sim/simulation.hpp"
#include "tests/node/learners.hpp"
#include "tests/node/silent_directory.hpp"

using namespace p2p;
using namespace p2p::testing;

namespace {

/// Writes down what is published and when.
class Notebook final : public SilentDirectory {
 public:
  using SilentDirectory::SilentDirectory;
  void publish(const metadata::Fingerprint&) override { published.push_back(executor_.now()); }
  void withdraw() override { ++withdrawn; }
  void remember(const std::vector<directory::Archived>& archive) override { remembered.push_back(archive); }
  std::vector<std::vector<directory::Archived>> remembered;
  std::vector<overlay::TimePoint> published;
  int withdrawn = 0;
};

struct Scene {
  metadata::Task task = make_task(kWorld);
  Stream stream{kWorld, 1};
  sim::Simulation sim{1};
  sim::Host& host = sim.add_host();
  Notebook notebook{host.executor()};
  std::unique_ptr<node::Serving> serving;
  node::Library library{{}};
  bool unsettled = false;
  std::unique_ptr<node::Publisher> publisher;

  explicit Scene(overlay::Duration interval = std::chrono::seconds(2)) {
    auto made = node::Serving::make(task, {});
    REQUIRE(made.has_value());
    serving = std::move(*made);
    publisher = std::make_unique<node::Publisher>(
        node::Publisher::Context{host.executor(), &notebook, *serving, library, [this] { return unsettled; }, [] {}},
        node::Publisher::Options{.after = 200, .interval = interval, .change = 0.1});
  }
  void live(int samples, overlay::Duration each = std::chrono::milliseconds(10)) {
    for (int i = 0; i < samples; ++i) {
      sim.run_for(each);
      const auto sample = stream.next();
      serving->learn(*serving->scale(sample.x), sample.label);
      publisher->on_sample();
    }
  }
};

}  // namespace

TEST_CASE("The own past is made known beside the present, the concept of latest use, and nothing that came from others") {
  Scene scene;
  for (std::uint64_t i = 1; i <= 5; ++i) {
    Stream stream(kWorld, i);
    stream.set(rotated(i), kAll);
    const auto model = trained(scene.task, stream, 50);
    REQUIRE(scene.library.archive(model->partition({}), experience(scene.task, stream, 400), i, i == 5) == i);
  }
  scene.live(199);
  CHECK(scene.notebook.remembered.empty());
  scene.live(60);
  REQUIRE(scene.notebook.remembered.size() == 1);
  std::vector<std::uint32_t> ids;
  for (const auto& archived : scene.notebook.remembered[0]) ids.push_back(archived.concept_id);
  CHECK(ids == std::vector<std::uint32_t>{4});
  scene.library.used(1, 300);
  scene.live(30);
  CHECK(scene.notebook.remembered.size() == 2);
}

TEST_CASE("Nothing is published before enough samples were seen") {
  Scene scene;
  scene.live(199);
  CHECK(scene.notebook.published.empty());
  scene.live(1);
  CHECK(scene.notebook.published.size() == 1);
}

TEST_CASE("A stream that stays as it is causes few publications, a change causes one within a short while") {
  Scene scene;
  scene.live(1500);
  const auto settled = scene.notebook.published.size();
  scene.live(1500);
  CHECK(scene.notebook.published.size() <= settled + 3);
  const auto before = scene.notebook.published.size();
  scene.stream.set(rotated(4), kAll);
  scene.live(300);
  CHECK(scene.notebook.published.size() > before);
}

TEST_CASE("Two publications are at least the interval apart") {
  Scene scene(std::chrono::seconds(3));
  for (std::uint64_t turn = 1; turn < 8; ++turn) {
    scene.stream.set(rotated(turn), kAll);
    scene.publisher->hurry();
    scene.live(150);
  }
  const auto& published = scene.notebook.published;
  REQUIRE(published.size() >= 3);
  for (std::size_t i = 1; i < published.size(); ++i)
    CHECK(published[i] - published[i - 1] >= std::chrono::seconds(3));
}

TEST_CASE("Nothing is published while a drift is being healed, and soon after it is settled") {
  Scene scene;
  scene.live(300);
  const auto before = scene.notebook.published.size();
  scene.unsettled = true;
  scene.stream.set(rotated(4), kAll);
  scene.live(400);
  CHECK(scene.notebook.published.size() == before);
  scene.unsettled = false;
  scene.publisher->hurry();
  scene.live(25);
  CHECK(scene.notebook.published.size() == before + 1);
}

TEST_CASE("What is due when the stream comes to rest is published once the interval has passed") {
  Scene scene(std::chrono::seconds(30));
  scene.live(200);
  REQUIRE(scene.notebook.published.size() == 1);
  scene.publisher->hurry();
  scene.live(25);
  REQUIRE(scene.notebook.published.size() == 1);
  scene.sim.run_for(std::chrono::seconds(60));
  CHECK(scene.notebook.published.size() == 2);
}

TEST_CASE("A node that was restored publishes though no sample comes") {
  Scene scene;
  scene.live(300);
  learner::Snapshot snapshot;
  scene.serving->save(snapshot);
  Scene again;
  REQUIRE(again.serving->load(snapshot).has_value());
  again.publisher->hurry();
  again.sim.run_for(std::chrono::seconds(5));
  CHECK(again.notebook.published.size() == 1);
}

TEST_CASE("Whoever has published withdraws when it stops, and publishes no more") {
  Scene scene;
  scene.live(300);
  scene.publisher->stop();
  CHECK(scene.notebook.withdrawn == 1);
  const auto before = scene.notebook.published.size();
  scene.stream.set(rotated(4), kAll);
  scene.live(300);
  CHECK(scene.notebook.published.size() == before);
}
