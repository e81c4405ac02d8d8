#include "overlay/host/edge_node.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <mutex>
#include <thread>

#include <catch2/catch.hpp>

#include "learner/snapshot.hpp"
#include "tests/host/temporary_directory.hpp"
#include "tests/simulation/stream.hpp"

using namespace p2p;
using namespace p2p::testing;
using host::EdgeNode;
using host::EdgeNodeOptions;

namespace {

constexpr std::uint64_t kWorld = 3;

EdgeNodeOptions options_for(const std::string& name, const std::string& state_dir = {}) {
  EdgeNodeOptions options;
  options.name = name;
  options.task = make_task(kWorld);
  options.state_dir = state_dir;
  options.network = "test-host-" + std::to_string(getpid());
  return options;
}

EdgeNodeOptions isolated(const std::string& state_dir = {}) {
  auto options = options_for("alone", state_dir);
  options.isolated = true;
  return options;
}

std::unique_ptr<EdgeNode> start(EdgeNodeOptions options) {
  auto node = EdgeNode::start(std::move(options));
  if (!node) FAIL(node.error().text());
  return std::move(*node);
}

void feed(EdgeNode& node, Stream& stream, int samples) {
  for (int i = 0; i < samples; ++i) {
    const auto sample = stream.next();
    REQUIRE(node.process({.x = sample.x, .label = sample.label}).has_value());
  }
}

/// Waits for a condition, never for a time.
template <typename Condition>
bool eventually(Condition condition, std::chrono::seconds limit = std::chrono::seconds(30)) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (std::chrono::steady_clock::now() < end) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return condition();
}

}  // namespace

TEST_CASE("Two nodes on loopback find each other, and a part of one heals the drift of the other") {
  auto helper = start(options_for("helper"));
  const auto helper_status = helper->status();
  CHECK(helper_status.dht.port != 0);
  CHECK(helper_status.link.port != 0);

  std::mutex mutex;
  std::vector<node::Event> events;
  auto asking = options_for("asker");
  asking.seeds = {helper_status.dht.text()};
  asking.on_event = [&](const node::Event& event) {
    const std::lock_guard lock(mutex);
    events.push_back(event);
  };
  auto asker = start(std::move(asking));

  Stream known(kWorld, 1), stream(kWorld, 2);
  known.set(rotated(5), kAll);
  feed(*helper, known, 1500);
  feed(*asker, stream, 1000);
  REQUIRE(eventually([&] { return helper->status().node.published && asker->status().node.published; }));
  REQUIRE(eventually([&] { return !asker->lookup().candidates.empty(); }));

  stream.set(rotated(5), kAll);
  REQUIRE(eventually([&] {
    feed(*asker, stream, 5);
    return asker->status().node.accepted > 0 || asker->status().node.samples > 3000;
  }));
  const auto status = asker->status();
  REQUIRE(status.node.accepted == 1);
  const auto drifts = asker->drifts();
  const auto& report = drifts.back();
  CHECK(report.accepted);
  CHECK(report.helper == helper_status.id.substr(0, 16));
  CHECK(report.bytes_pulled > 0);
  CHECK(status.traffic.bytes.at("chunk") >= report.bytes_pulled);
  CHECK(status.handshakes >= 1);
  CHECK(status.resumed_handshakes < status.handshakes);  // the first has nothing to resume
  CHECK(report.detect_to_merge >= report.lookup + report.ask + report.pull);
  CHECK(report.detect_to_merge < std::chrono::seconds(5));
  REQUIRE_FALSE(status.peers.empty());
  CHECK(status.peers[0].id.hex() == helper_status.id);
  const std::lock_guard lock(mutex);
  CHECK(std::any_of(events.begin(), events.end(),
                    [](const node::Event& event) { return event.kind == node::Event::Kind::merged; }));
}

TEST_CASE("A label that comes later is learned by its ticket, once") {
  auto node = start(isolated());
  Stream stream(kWorld, 1);
  const auto sample = stream.next();
  const auto outcome = node->process({.x = sample.x, .label = std::nullopt});
  REQUIRE(outcome.has_value());
  CHECK_FALSE(outcome->learned);
  CHECK(node->status().node.pending_labels == 1);
  const auto learned = node->label(outcome->ticket, sample.label);
  REQUIRE(learned.has_value());
  CHECK(learned->predicted == outcome->predicted);
  CHECK(node->status().node.samples == 1);
  CHECK(node->label(outcome->ticket, sample.label).error().code == ErrorCode::invalid_argument);
  CHECK(node->label(outcome->ticket + 1, sample.label).error().code == ErrorCode::not_found);
}

TEST_CASE("A node that is started again goes on with its key, its model and its counters") {
  TemporaryDirectory directory;
  Stream stream(kWorld, 1), same(kWorld, 1), twin_stream(kWorld, 1);
  auto twin = start(isolated());
  std::string id;
  {
    auto node = start(isolated(directory / "state"));
    id = node->status().id;
    CHECK(id.size() == 64);
    feed(*node, stream, 700);
  }
  feed(*twin, twin_stream, 700);
  auto node = start(isolated(directory / "state"));
  CHECK(node->status().id == id);
  CHECK(node->status().node.samples == 700);
  CHECK(node->status().node.accuracy == twin->status().node.accuracy);
  for (int i = 0; i < 100; ++i) {
    const auto sample = stream.next();
    REQUIRE(node->process({.x = sample.x, .label = sample.label})->predicted ==
            twin->process({.x = sample.x, .label = sample.label})->predicted);
  }
}

TEST_CASE("A snapshot is on disk soon after samples came, without anybody asking") {
  TemporaryDirectory directory;
  auto options = isolated(directory / "state");
  options.snapshot_every = std::chrono::milliseconds(50);
  auto node = start(std::move(options));
  Stream stream(kWorld, 1);
  feed(*node, stream, 100);
  REQUIRE(
      eventually([&] { return learner::decode_snapshot(contents(directory / "state/snapshot")).has_value(); }));
  CHECK(node->status().last_snapshot_error.empty());
}

TEST_CASE("A torn snapshot, one of a newer version and one of another task stop the start, by name, and stay") {
  TemporaryDirectory directory;
  const auto state = directory / "state";
  Stream stream(kWorld, 1);
  {
    auto node = start(isolated(state));
    feed(*node, stream, 100);
  }
  const auto good = contents(state + "/snapshot");
  REQUIRE_FALSE(good.empty());
  const auto expect = [&](const Bytes& bytes, ErrorCode code) {
    overwrite(state + "/snapshot", bytes);
    auto refused = EdgeNode::start(isolated(state));
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == code);
    CHECK_THAT(refused.error().text(), Catch::Contains(state + "/snapshot"));
    CHECK_THAT(refused.error().text(), Catch::Contains("move"));
    CHECK(contents(state + "/snapshot") == bytes);
  };
  expect(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(good.size() / 2)), ErrorCode::malformed);
  expect({}, ErrorCode::malformed);
  auto newer = *learner::decode_snapshot(good);
  for (auto& section : newer.sections) {
    if (section.name == "node") section.content[0] = 200;
  }
  expect(learner::encode(newer), ErrorCode::version);

  std::filesystem::remove(state + "/snapshot");
  std::filesystem::create_directory(state + "/snapshot");
  const auto in_the_way = EdgeNode::start(isolated(state));
  REQUIRE_FALSE(in_the_way.has_value());
  CHECK(in_the_way.error().code == ErrorCode::io);
  CHECK_THAT(in_the_way.error().text(), Catch::Contains("is a directory"));
  std::filesystem::remove(state + "/snapshot");

  overwrite(state + "/snapshot", good);
  auto other = isolated(state);
  other.task.seed = 77;
  const auto refused = EdgeNode::start(std::move(other));
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == ErrorCode::invalid_argument);
  CHECK(contents(state + "/snapshot") == good);
  CHECK(start(isolated(state))->status().node.samples == 100);
}

TEST_CASE("A state directory that is in use, and a port that is taken, are told apart and undo the start") {
  TemporaryDirectory directory;
  auto first = start(options_for("first", directory / "one"));
  const auto again = EdgeNode::start(options_for("again", directory / "one"));
  REQUIRE_FALSE(again.has_value());
  CHECK(again.error().code == ErrorCode::in_use);

  auto same_link = options_for("second", directory / "two");
  same_link.link_port = first->status().link.port;
  CHECK(EdgeNode::start(same_link).error().code == ErrorCode::in_use);
  auto same_dht = options_for("second", directory / "two");
  same_dht.dht_port = first->status().dht.port;
  CHECK(EdgeNode::start(same_dht).error().code == ErrorCode::in_use);
  // What failed has let go of everything: the directory can be used.
  CHECK(start(options_for("second", directory / "two"))->status().node.samples == 0);
}

TEST_CASE("A key that others can read, or that is none, stops the start and stays as it is") {
  TemporaryDirectory directory;
  const auto state = directory / "state";
  { auto node = start(isolated(state)); }
  const auto key = contents(state + "/key.pem");
  std::filesystem::permissions(state + "/key.pem", std::filesystem::perms::others_read,
                               std::filesystem::perm_options::add);
  CHECK(EdgeNode::start(isolated(state)).error().code == ErrorCode::untrusted);
  std::filesystem::permissions(state + "/key.pem", std::filesystem::perms::others_read,
                               std::filesystem::perm_options::remove);
  overwrite(state + "/key.pem", {'n', 'o', 'n', 'e'});
  CHECK(EdgeNode::start(isolated(state)).error().code == ErrorCode::malformed);
  CHECK(contents(state + "/key.pem") == Bytes{'n', 'o', 'n', 'e'});
}

TEST_CASE("When the disk has no room learning goes on, the former snapshot stays and the status says why") {
  TemporaryDirectory directory;
  const auto state = directory / "state";
  auto options = isolated(state);
  options.snapshot_every = std::chrono::milliseconds(50);
  auto node = start(std::move(options));
  Stream stream(kWorld, 1);
  feed(*node, stream, 100);
  REQUIRE(node->save().has_value());
  // A limit on the size of files stands for the full disk: the write fails in the same place and way.
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit former{};
  getrlimit(RLIMIT_FSIZE, &former);
  auto small = former;
  small.rlim_cur = 1000;
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  feed(*node, stream, 100);
  const auto failed = node->save();
  const bool told = eventually([&] { return !node->status().last_snapshot_error.empty(); });
  feed(*node, stream, 100);
  setrlimit(RLIMIT_FSIZE, &former);
  REQUIRE_FALSE(failed.has_value());
  CHECK(failed.error().code == ErrorCode::full);
  CHECK(told);
  CHECK(node->status().node.samples == 300);
  CHECK(learner::decode_snapshot(contents(state + "/snapshot")).has_value());
  // There is room again: the next one is tried though no sample came.
  CHECK(eventually([&] { return node->status().last_snapshot_error.empty(); }));
}

TEST_CASE("Options that cannot be are refused before anything is made") {
  TemporaryDirectory directory;
  auto options = isolated(directory / "state");
  options.bind = "localhost";
  CHECK(EdgeNode::start(options).error().code == ErrorCode::invalid_argument);
  options = isolated(directory / "state");
  options.network = "";
  CHECK(EdgeNode::start(options).error().code == ErrorCode::invalid_argument);
  options = isolated(directory / "state");
  options.snapshot_every = overlay::Duration{0};
  CHECK(EdgeNode::start(options).error().code == ErrorCode::invalid_argument);
  CHECK_FALSE(std::filesystem::exists(directory / "state"));
  options = isolated();
  options.task.family = "oracle";
  CHECK(EdgeNode::start(options).error().code == ErrorCode::invalid_argument);
}

TEST_CASE("An isolated node without a state directory has no name, no ports and keeps nothing") {
  auto node = start(isolated());
  const auto status = node->status();
  CHECK(status.id.empty());
  CHECK(status.dht.port == 0);
  CHECK(status.link.port == 0);
  CHECK(node->lookup().candidates.empty());
  CHECK(node->save().error().code == ErrorCode::invalid_argument);
}

TEST_CASE("Samples and questions may come from many threads at once") {
  auto node = start(options_for("busy"));
  std::atomic<int> failures{0};
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      Stream stream(kWorld, 10 + t);
      for (int i = 0; i < 200; ++i) {
        const auto sample = stream.next();
        if (!node->process({.x = sample.x, .label = sample.label})) ++failures;
        if (i % 20 == 0) static_cast<void>(node->status());
        if (!node->predict(sample.x)) ++failures;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(failures == 0);
  CHECK(node->status().node.samples == 800);
}

TEST_CASE("Many samples in one call are the same samples one by one, up to the first that cannot be") {
  auto one = start(isolated());
  auto many = start(isolated());
  Stream stream(kWorld, 1);
  std::vector<std::vector<float>> rows;
  std::vector<EdgeNode::Sample> batch;
  for (int i = 0; i < 100; ++i) {
    const auto sample = stream.next();
    rows.emplace_back(sample.x.begin(), sample.x.end());
    batch.push_back({.x = {}, .label = sample.label});
  }
  for (std::size_t i = 0; i < batch.size(); ++i) batch[i].x = rows[i];
  std::vector<learner::ClassIndex> expected;
  for (const auto& sample : batch) expected.push_back(one->process(sample)->predicted);
  const auto outcomes = many->process(batch);
  REQUIRE(outcomes.has_value());
  for (std::size_t i = 0; i < batch.size(); ++i) REQUIRE((*outcomes)[i].predicted == expected[i]);
  batch[50].label = 99;
  CHECK_FALSE(many->process(batch).has_value());
  CHECK(many->status().node.samples == 150);
}

TEST_CASE("A node whose seeds do not answer starts, learns and ends within seconds") {
  auto options = options_for("lonely");
  options.seeds = {"127.0.0.1:9"};
  const auto begin = std::chrono::steady_clock::now();
  {
    auto node = start(std::move(options));
    Stream stream(kWorld, 1);
    feed(*node, stream, 300);
    CHECK(node->lookup().candidates.empty());
  }
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(20));
}
