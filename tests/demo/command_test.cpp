// `p2p-learner demo` from outside: real processes over a small made-up data set.
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>

#include "metadata/base/random.hpp"
#include "tools/cli/output.hpp"
#include "tools/demo_cmd/process.hpp"
#include "tools/demo_cmd/workspace.hpp"

using namespace p2p;
using namespace p2p::tools;

namespace {

namespace fs = std::filesystem;

/// Ten clouds in eight dimensions, as a CSV file.
void write_clouds(const std::string& path) {
  Random random(1);
  std::vector<std::vector<double>> centres(10, std::vector<double>(8));
  for (auto& centre : centres) {
    for (double& x : centre) x = 3 * random.normal();
  }
  std::ofstream out(path);
  out << "a,b,c,d,e,f,g,h,label\n";
  for (int i = 0; i < 14'000; ++i) {
    for (const double x : centres[static_cast<std::size_t>(i % 10)]) out << x + random.normal() << ',';
    out << 'c' << i % 10 << '\n';
  }
}

/// One demonstration under way: four nodes, JSON on stdout, plain lines on stderr.
class Demo {
 public:
  explicit Demo(const std::vector<std::string>& more, bool usual = true) : folder_(*WorkFolder::open("")) {
    write_clouds(data());
    std::vector<std::string> argv = {P2P_LEARNER, "demo", "--json", "--work-dir", work()};
    if (usual) argv.insert(argv.end(), {"--nodes", "4", "--samples", "2800", "--data", data()});
    argv.insert(argv.end(), more.begin(), more.end());
    child_.emplace(*ChildProcess::start(argv));
  }

  std::string data() const { return folder_.path() + "/clouds.csv"; }
  std::string work() const { return folder_.path() + "/work"; }
  pid_t pid() const { return child_->pid(); }
  void signal(int number) { child_->signal(number); }

  /// Reads until `done` or the time is up.
  bool until(const std::function<bool()>& done, int seconds) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
    while (std::chrono::steady_clock::now() < deadline) {
      child_->read_out([&](std::string_view line) { out_ += line; });
      child_->read_err();
      for (const std::string& line : child_->last_errors()) {
        if (line.find("samples to each node") != std::string::npos) streaming_ = true;
      }
      if (done()) return true;
      pollfd fds[] = {{child_->out_fd(), POLLIN, 0}, {child_->err_fd(), POLLIN, 0}};
      ::poll(fds, 2, 20);
    }
    return done();
  }
  bool finish(int seconds) {
    return until([&] { return child_->out_fd() < 0 && child_->err_fd() < 0 && child_->ended(); }, seconds);
  }
  bool streaming() const { return streaming_; }
  std::optional<int> status() const { return child_->exit_status(); }
  Json json() const { return Json::parse(out_, nullptr, false); }

  /// Processes that work in this demonstration's folder, the demonstration itself aside.
  std::vector<pid_t> nodes() const {
    std::vector<pid_t> found;
    for (const auto& entry : fs::directory_iterator("/proc")) {
      const std::string name = entry.path().filename().string();
      if (name.find_first_not_of("0123456789") != std::string::npos) continue;
      std::ifstream in(entry.path() / "cmdline");
      std::stringstream line;
      line << in.rdbuf();  // empty for a zombie
      const auto id = static_cast<pid_t>(std::stol(name));
      if (id != pid() && line.str().find(work()) != std::string::npos) found.push_back(id);
    }
    return found;
  }

 private:
  WorkFolder folder_;
  std::optional<ChildProcess> child_;
  std::string out_;
  bool streaming_ = false;
};

}  // namespace

TEST_CASE("A demonstration runs to its end, tells all that was asked for, and leaves no process") {
  Demo demo({"--rate", "400", "--report", "/tmp/p2p-demo-command-test"});
  REQUIRE(demo.finish(120));
  CHECK(demo.status() == 0);
  const Json json = demo.json();
  REQUIRE(json.is_object());
  CHECK(json["interrupted"] == false);
  REQUIRE(json["nodes"].size() == 4);
  for (const Json& node : json["nodes"]) {
    CHECK(node["samples"] == 2800);
    CHECK(node["id"].get<std::string>().size() == 64);
    CHECK(node["died"].is_null());
    CHECK(node["rss_bytes"].get<std::uint64_t>() > 1'000'000);
    CHECK(node["accuracy"].get<double>() > 0.5);  // guessing gives 0.1
  }
  // One introduction, three visits, one changed concept.
  REQUIRE(json["drifts"].size() == 5);
  for (const Json& drift : json["drifts"]) {
    CHECK(drift["reached"] == true);
    CHECK(drift["recovery_level"].is_number());
    // In so short a stream visitors are away for less than the detector remembers: their return is no news to
    // it.
    if (drift["returning"] == false) CHECK(drift["detected"] == true);
  }
  CHECK(json["bytes"]["dht"].get<std::uint64_t>() > 0);
  CHECK(json["bytes"]["chunk"].get<std::uint64_t>() > 0);
  CHECK(json["bytes"]["raw_data"] == 4 * 2800 * (8 * 4 + 1));
  CHECK(demo.nodes().empty());
  CHECK(fs::exists("/tmp/p2p-demo-command-test/demo-seed-1.html"));
  CHECK(fs::exists(demo.work() + "/n1/config.toml"));
  fs::remove_all("/tmp/p2p-demo-command-test");
}

TEST_CASE("Ctrl-C ends every process in order and still gives the summary of what had happened") {
  Demo demo({"--rate", "50"});
  REQUIRE(demo.until([&] { return demo.streaming(); }, 60));
  CHECK(demo.nodes().size() == 4);
  demo.signal(SIGINT);
  REQUIRE(demo.finish(30));
  CHECK(demo.status() == 130);
  const Json json = demo.json();
  REQUIRE(json.is_object());
  CHECK(json["interrupted"] == true);
  for (const Json& node : json["nodes"]) {
    CHECK(node["samples"].get<std::uint64_t>() < 2800);
    CHECK(node["died"].is_null());
    CHECK(node["rss_bytes"].is_number());  // each said goodbye
  }
  CHECK(demo.nodes().empty());
}

TEST_CASE("A node that dies is told of, and the demonstration goes on with the others") {
  Demo demo({"--rate", "400"});
  REQUIRE(demo.until([&] { return demo.streaming(); }, 60));
  const auto nodes = demo.nodes();
  REQUIRE(nodes.size() == 4);
  ::kill(*std::max_element(nodes.begin(), nodes.end()), SIGKILL);
  REQUIRE(demo.finish(120));
  CHECK(demo.status() == 0);
  const Json json = demo.json();
  REQUIRE(json.is_object());
  std::size_t dead = 0;
  for (const Json& node : json["nodes"]) {
    if (node["died"].is_null()) {
      CHECK(node["samples"] == 2800);
    } else {
      ++dead;
      CHECK_THAT(node["died"].get<std::string>(), Catch::Contains("signal 9"));
      CHECK(node["rss_bytes"].is_null());
    }
  }
  CHECK(dead == 1);
}

TEST_CASE("No node outlives a demonstration that is killed") {
  Demo demo({"--rate", "50"});
  REQUIRE(demo.until([&] { return demo.streaming(); }, 60));
  REQUIRE(demo.nodes().size() == 4);
  demo.signal(SIGKILL);
  CHECK(demo.until([&] { return demo.nodes().empty(); }, 10));
}

TEST_CASE("What cannot be done is refused before anything is started, with the documented exit status") {
  const auto refused = [](const std::vector<std::string>& more) {
    Demo demo(more, false);
    REQUIRE(demo.finish(20));
    CHECK_FALSE(fs::exists(demo.work() + "/n1"));
    return demo.status();
  };
  CHECK(refused({"--data", "/no/such/place"}) == 3);
  CHECK(refused({"--samples", "100"}) == 2);
  CHECK(refused({"--nodes", "2"}) == 2);
  CHECK(refused({"--no-such-flag"}) == 2);
  CHECK(refused({"--seeds", "9-1"}) == 2);
  CHECK(refused({"--report", "/proc/nowhere"}) == 1);
}
