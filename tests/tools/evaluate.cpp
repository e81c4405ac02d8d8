// The prequential evaluation, and `p2p-learner evaluate` as a process.
#include "tools/cli/evaluate.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <sstream>
#include <thread>

#include "metadata/base/random.hpp"
#include "overlay/node/node.hpp"
#include "tests/tools/files.hpp"
#include "tools/cli/evaluate_report.hpp"
#include "tools/cli/infer_task.hpp"

namespace p2p::tools {
namespace {

using Catch::Matchers::Contains;
using test::gzip;
using test::idx;
using test::TemporaryDirectory;

/// Remembers what came and always says 1: what is measured of it can be counted by hand.
class Parrot final : public learner::Model {
 public:
  const learner::ModelSpec& spec() const override { return spec_; }
  void scores(learner::Features, std::span<float> out) const override { out[1] = 1; }
  learner::ClassIndex predict(learner::Features) const override { return 1; }
  void learn(learner::Features x, learner::ClassIndex y) override { seen.push_back({x[0], y}); }
  learner::ClassIndex predict_then_learn(learner::Features x, learner::ClassIndex y) override {
    learn(x, y);
    return 1;
  }
  std::unique_ptr<learner::Model> clone() const override { return std::make_unique<Parrot>(*this); }
  learner::Part partition(std::span<const learner::ClassIndex>, learner::Precision) const override {
    return {};
  }
  Result<void> merge(const learner::Part&, const learner::MergeOptions&) override { return {}; }
  void grow(std::uint32_t) override {}
  Bytes encode() const override { return {}; }
  std::size_t bytes() const override { return sizeof *this; }

  std::vector<std::pair<float, learner::ClassIndex>> seen;

 private:
  learner::ModelSpec spec_{.family = "parrot", .features = 1, .classes = 2, .params = {}};
};

metadata::Task one_column() {
  return {.name = "t",
          .features = {{.name = "a"}},
          .classes = {"u", "v"},
          .family = "rff",
          .params = {},
          .bandwidth = 1};
}

SampleBlocks blocks_of(const std::string& path, std::uint64_t samples = 0) {
  auto data = open_data({.path = path});
  REQUIRE(data);
  return {std::move(*data), one_column(), samples};
}

TEST_CASE("every labelled sample is tested and learned once, in the order of the file", "[tools]") {
  const TemporaryDirectory dir;
  std::string text = "a,y\n";
  for (int i = 0; i < 5000; ++i)
    text += fmt::format("{},{}\n", i, i % 7 == 6 ? "" : i % 3 == 0 ? "u" : "v");
  const auto path = dir.write("d.csv", text);
  Parrot model;
  auto blocks = blocks_of(path);
  std::uint64_t told = 0;
  const auto measured = evaluate(blocks, model, nullptr, {.window = 100}, [&](const Measured& m) {
    CHECK(m.metrics.samples() > told);
    told = m.metrics.samples();
  });
  REQUIRE(measured);
  const std::size_t expected = 5000 - 5000 / 7;
  REQUIRE(model.seen.size() == expected);
  CHECK(told == expected);
  CHECK(measured->metrics.samples() == expected);
  CHECK(blocks.counts().unlabelled == 5000 / 7);
  std::size_t at = 0, right = 0;
  for (int i = 0; i < 5000; ++i) {
    if (i % 7 == 6) continue;
    REQUIRE(model.seen[at++] ==
            std::pair<float, learner::ClassIndex>(static_cast<float>(i), i % 3 == 0 ? 0 : 1));
    right += i % 3 != 0;
  }
  CHECK(measured->metrics.accuracy() ==
        Approx(static_cast<double>(right) / static_cast<double>(expected)));
  CHECK(measured->learn_s > 0);
  CHECK(measured->read_s > 0);

  Parrot few;
  auto first = blocks_of(path, 10);
  REQUIRE(evaluate(first, few, nullptr, {}, {}));
  CHECK(few.seen.size() == 10);
}

TEST_CASE("shuffling gives every sample once, in an order that the seed decides", "[tools]") {
  const TemporaryDirectory dir;
  std::string text = "a,y\n";
  for (int i = 0; i < 3000; ++i) text += fmt::format("{},{}\n", i, i % 2 == 0 ? "u" : "v");
  const auto path = dir.write("d.csv", text);
  const auto order = [&](std::uint64_t seed) {
    Parrot model;
    auto blocks = blocks_of(path);
    REQUIRE(blocks.shuffle(seed));
    REQUIRE(evaluate(blocks, model, nullptr, {}, {}));
    return model.seen;
  };
  const auto one = order(1), again = order(1), two = order(2);
  CHECK(one == again);
  CHECK(one != two);
  auto sorted = one;
  std::sort(sorted.begin(), sorted.end());
  REQUIRE(sorted.size() == 3000);
  for (int i = 0; i < 3000; ++i) {
    REQUIRE(sorted[static_cast<std::size_t>(i)] ==
            std::pair<float, learner::ClassIndex>(static_cast<float>(i), i % 2));
  }
}

TEST_CASE("the curve keeps few points, evenly spaced to the end, whatever the length", "[tools]") {
  const TemporaryDirectory dir;
  std::string text = "a,y\n";
  for (int i = 0; i < 40'000; ++i) text += i < 20'000 ? "0,u\n" : "0,v\n";
  Parrot model;
  auto blocks = blocks_of(dir.write("d.csv", text));
  const auto measured = evaluate(blocks, model, nullptr, {.window = 1000}, {});
  REQUIRE(measured);
  const auto& curve = measured->curve;
  CHECK(curve.size() >= kCurvePoints / 2 - 1);
  CHECK(curve.size() <= kCurvePoints);
  for (std::size_t i = 0; i < curve.size(); ++i) {
    REQUIRE(curve[i].sample == (i + 1) * measured->curve_step);
    const auto n = static_cast<double>(curve[i].sample);
    REQUIRE(curve[i].accuracy == Approx(std::clamp((n - 20'000) / 1000, 0.0, 1.0)));
  }
}

TEST_CASE(
    "every detector of the build listens, and each tells an abrupt change that its kind can see",
    "[tools]") {
  auto task = one_column();
  task.classes = {"u", "v", "w"};
  for (const auto& name : drift_watches()) {
    INFO(name);
    auto watch = make_drift_watch(name, task);
    REQUIRE(watch);
    Random random(7);
    std::uint64_t after = 0;
    std::string kind;
    for (int i = 0; i < 8000; ++i) {
      const bool changed = i >= 4000;
      // Errors, labels and the marginal all change at once.
      const float x = static_cast<float>(random.uniform()) + (changed ? 3.f : 0.f);
      const auto label = static_cast<learner::ClassIndex>(changed ? 2 : random.below(2));
      const bool correct = random.uniform() < (changed ? 0.3 : 0.95);
      const auto level = (*watch)->update(std::span(&x, 1), label, correct, kind);
      if (level == learner::DriftLevel::drift && changed) {
        ++after;
        CHECK_FALSE(kind.empty());
      }
    }
    CHECK(after >= 1);
  }
  const auto unknown = make_drift_watch("oracle", task);
  REQUIRE_FALSE(unknown);
  CHECK_THAT(unknown.error().text(), Contains("oracle") && Contains("adwin"));
}

/// One pass with a task inferred from the file.
struct Run {
  double accuracy = 0;
  Bytes model;
};
Run learned(const std::string& path, const InferOptions& options) {
  auto data = open_data({.path = path});
  REQUIRE(data);
  auto inferred = infer_task(*data, options);
  INFO((inferred ? std::string() : inferred.error().text()));
  REQUIRE(inferred);
  auto model = learner::make_model(node::model_spec(inferred->task));
  REQUIRE(model);
  auto again = open_data({.path = path});
  REQUIRE(again);
  SampleBlocks blocks(std::move(*again), inferred->task, 0);
  const auto measured = evaluate(blocks, **model, nullptr, {}, {});
  REQUIRE(measured);
  return {measured->metrics.accuracy(), (*model)->encode()};
}

TEST_CASE("every family learns the same from text as from the indexes that stand for it",
          "[tools]") {
  const TemporaryDirectory dir;
  std::string words = "k,n,y\n", numbers = "k,n,y\n";
  Random random(3);
  const char* names[] = {"icmp", "tcp", "udp"};
  for (int i = 0; i < 1500; ++i) {
    const auto k = random.below(3);
    const double n = random.uniform();
    const char* y = k == 1 ? "a" : "b";
    words += fmt::format("{},{},{}\n", names[k], n, y);
    numbers += fmt::format("{},{},{}\n", k, n, y);
  }
  const auto with_words = dir.write("w.csv", words), with_numbers = dir.write("n.csv", numbers);
  for (const auto& family : learner::families()) {
    INFO(family);
    const auto a = learned(with_words, {.family = std::string(family)});
    const auto b = learned(with_numbers, {.family = std::string(family), .categorical = {"k"}});
    CHECK(a.accuracy > 0.9);
    CHECK(a.accuracy == b.accuracy);
    CHECK(a.model == b.model);
  }
}

TEST_CASE("every family can learn from the mere fact that a value is missing", "[tools]") {
  const TemporaryDirectory dir;
  std::string text = "a,b,y\n";
  Random random(4);
  for (int i = 0; i < 2000; ++i) {
    const bool missing = random.uniform() < 0.5;
    text += fmt::format("{},{},{}\n", missing ? "" : fmt::format("{}", random.uniform()),
                        random.uniform(), missing ? "gone" : "there");
  }
  const auto path = dir.write("m.csv", text);
  for (const auto& family : learner::families()) {
    INFO(family);
    CHECK(learned(path, {.family = std::string(family)}).accuracy > 0.9);
  }
}

struct Outcome {
  int status = -1;
  std::string out, err;
};

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Runs `p2p-learner evaluate`; `interrupt` sends SIGINT as soon as progress shows.
Outcome run(const TemporaryDirectory& dir, std::vector<std::string> arguments,
            bool interrupt = false) {
  arguments.insert(arguments.begin(), {P2P_LEARNER, "evaluate"});
  const auto out = dir / "stdout", err = dir / "stderr";
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const int o = ::open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    const int e = ::open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ::dup2(o, STDOUT_FILENO);
    ::dup2(e, STDERR_FILENO);
    std::vector<char*> argv;
    for (auto& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  int status = 0;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  bool sent = false;
  while (::waitpid(child, &status, WNOHANG) == 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    if (interrupt && !sent && content(err).find(" samples, accuracy ") != std::string::npos) {
      ::kill(child, SIGINT);
      sent = true;
    }
    if (std::chrono::steady_clock::now() > deadline) ::kill(child, SIGKILL);
  }
  CHECK(sent == interrupt);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, content(out), content(err)};
}

/// Two clouds, of which the labels are swapped after `swap` rows.
std::string clouds(int rows, int swap) {
  Random random(11);
  std::string text = "a,b,y\n";
  for (int i = 0; i < rows; ++i) {
    const bool right = random.uniform() < 0.5;
    text += fmt::format("{:.4f},{:.4f},{}\n", random.normal() + (right ? 4 : 0), random.normal(),
                        right != (i >= swap) ? "up" : "down");
  }
  return text;
}

TEST_CASE(
    "evaluate prints what it measured as one JSON object, and beside it the trivial classifiers",
    "[tools][process]") {
  const TemporaryDirectory dir;
  const auto data = dir.write("c.csv.gz", gzip(clouds(6000, 3000)));
  const auto plot = dir / "plot.svg", task = dir / "task.toml";
  const auto done = run(dir, {"--data", data, "--model", "rff", "--params", "dimensions=64",
                              "--json", "--plot", plot, "--write-task", task});
  INFO(done.err);
  REQUIRE(done.status == 0);
  const auto json = Json::parse(done.out);
  CHECK(json["model"] == "rff");
  CHECK(json["params"]["dimensions"] == 64);
  CHECK(json["samples"] == 6000);
  CHECK(json["accuracy"].get<double>() > 0.85);
  CHECK(json["accuracy"].get<double>() < 0.995);
  CHECK(json["no_change"].get<double>() == Approx(0.5).margin(0.05));
  CHECK(json["majority"].get<double>() == Approx(0.5).margin(0.05));
  CHECK(json["kappa"].get<double>() == Approx(2 * json["accuracy"].get<double>() - 1).margin(0.02));
  CHECK(json["kappa_temporal"].get<double>() > 0.7);
  CHECK(json["recall"].size() == 2);
  CHECK(json["recall"][0]["samples"].get<int>() + json["recall"][1]["samples"].get<int>() == 6000);
  for (const char* key :
       {"samples_per_s", "model_bytes", "encoded_bytes", "peak_memory_bytes", "learn_s"}) {
    INFO(key);
    CHECK(json[key].get<double>() > 0);
  }
  CHECK(json["class_bytes"]["4"].get<double>() < json["class_bytes"]["32"].get<double>());
  CHECK(json["curve"].size() > 100);
  CHECK(json["test_accuracy"].is_null());
  CHECK_FALSE(json["interrupted"].get<bool>());
  REQUIRE(json["drifts"].size() >= 1);
  CHECK(json["drifts"][0]["sample"].get<int>() > 3000);
  CHECK(json["drifts"][0]["sample"].get<int>() < 3300);
  CHECK(json["drifts"][0]["kind"] == "drift");

  const auto svg = content(plot);
  CHECK_THAT(svg, Contains("<svg xmlns") && Contains("class=\"curve\"") && Contains("majority") &&
                      Contains("</svg>"));
  CHECK(svg.find("nan") == std::string::npos);

  // The task that was kept gives the same run; and the words say the same as the JSON.
  const auto again = run(dir, {"--data", data, "--task", task, "--json", "--quiet"});
  REQUIRE(again.status == 0);
  CHECK(again.err.empty());
  const auto second = Json::parse(again.out);
  CHECK(second["accuracy"] == json["accuracy"]);
  CHECK(second["task"] == json["task"]);
  CHECK(json["task_inferred"].get<bool>());
  CHECK_FALSE(second["task_inferred"].get<bool>());
  const auto words = run(dir, {"--data", data, "--task", task, "--quiet", "--detector", "none"});
  REQUIRE(words.status == 0);
  CHECK_THAT(words.out,
             Contains(fmt::format("accuracy   {:.4f}", json["accuracy"].get<double>())) &&
                 Contains("no-change") && Contains("recall"));
  CHECK(words.out.find("alarm") == std::string::npos);
}

TEST_CASE("progress goes to stderr as lines when that is no terminal", "[tools][process]") {
  const TemporaryDirectory dir;
  const auto done =
      run(dir, {"--data", dir.write("c.csv", clouds(20'000, 20'000)), "--model", "rff"});
  REQUIRE(done.status == 0);
  std::istringstream lines(done.err);
  std::size_t count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    CHECK_THAT(line, Contains(" of 20000 samples, accuracy "));
    CHECK(line.find('\r') == std::string::npos);
    CHECK(line.find('\x1b') == std::string::npos);
  }
  CHECK(count >= 8);
  CHECK(count <= 10);
}

TEST_CASE("a held-out set is measured after the pass and not learned from", "[tools][process]") {
  const TemporaryDirectory dir;
  std::string pixels, labels;
  Random random(5);
  for (int i = 0; i < 600; ++i) {
    const bool high = random.uniform() < 0.5;
    for (int p = 0; p < 4; ++p)
      pixels.push_back(static_cast<char>(random.below(100) + (high ? 150 : 0)));
    labels.push_back(high ? '\1' : '\0');
  }
  dir.write("train-images-idx3-ubyte", idx({600, 2, 2}, pixels));
  dir.write("train-labels-idx1-ubyte", idx({600}, labels));
  dir.write("t10k-images-idx3-ubyte.gz",
            gzip(idx({2, 2, 2}, std::string("\xf0\xf0\xf0\xf0\x05\x05\x05\x05", 8))));
  dir.write("t10k-labels-idx1-ubyte",
            idx({2}, std::string("\x01\x01", 2)));  // the second is wrong on purpose
  const auto done =
      run(dir, {"--data", dir.path(), "--model", "rff", "--test", dir.path(), "--json", "--quiet"});
  INFO(done.err);
  REQUIRE(done.status == 0);
  const auto json = Json::parse(done.out);
  CHECK(json["samples"] == 600);
  CHECK(json["accuracy"].get<double>() > 0.95);
  CHECK(json["test_samples"] == 2);
  CHECK(json["test_accuracy"] == 0.5);
}

TEST_CASE("Ctrl-C prints what was measured so far and exits with 130", "[tools][process]") {
  const TemporaryDirectory dir;
  const auto data = dir.write("c.csv", clouds(200'000, 100'000));
  const auto done = run(dir, {"--data", data, "--model", "orf", "--json"}, true);
  CHECK(done.status == 130);
  const auto json = Json::parse(done.out);
  CHECK(json["interrupted"].get<bool>());
  CHECK(json["samples"].get<int>() >= 1);
  CHECK(json["samples"].get<int>() < 200'000);
}

TEST_CASE("whatever is wrong is said in one sentence, with its exit status", "[tools][process]") {
  const TemporaryDirectory dir;
  const auto data = dir.write("c.csv", clouds(200, 100));
  const auto empty = dir.write("empty.csv", ""), bare = dir.write("bare.csv", "a,y\n");
  const auto one = dir.write("one.csv", "a,y\n1,u\n2,u\n");
  const auto text = dir.write("text.csv", "a,b,y\nred,1,u\nblue,2,v\n");
  const auto torn = dir.write("torn.csv.gz", gzip(clouds(20000, 100)).substr(0, 9000));
  const auto swapped = dir.write("swapped.csv", "b,a,y\n1,2,up\n3,4,down\n");
  std::filesystem::create_symlink(data, dir / "link");
  const auto task = dir / "t.toml";
  REQUIRE(run(dir, {"--data", data, "--model", "rff", "--write-task", task, "--quiet"}).status ==
          0);
  const auto before = content(data);
  const struct {
    std::vector<std::string> arguments;
    int status;
    const char* says;
  } cases[] = {
      {{"--data", dir / "none.csv", "--model", "rff"}, 3, "there is no file"},
      {{"--data", dir.path(), "--model", "rff"}, 3, "without train-images"},
      {{"--data", empty, "--model", "rff"}, 3, "is empty"},
      {{"--data", bare, "--model", "rff"}, 3, "0 different labels in 0 rows"},
      {{"--data", one, "--model", "rff"}, 3, "at least two classes"},
      {{"--data", torn, "--model", "rff"}, 3, "truncated"},
      {{"--data", data, "--model", "rff", "--label", "z"},
       3,
       "no column \"z\" for the label; its columns are a, b, y"},
      {{"--data", data, "--model", "rff", "--ignore", "z"}, 3, "no column \"z\" to ignore"},
      {{"--data", data, "--model", "rff", "--categorical", "z"},
       3,
       "no column \"z\" that could be categorical"},
      {{"--data", data, "--model", "rff", "--labels", data}, 2, "--labels is for idx files"},
      {{"--data", data, "--model", "oracle"}, 2, "model family \"oracle\" is not known; there are "},
      {{"--data", data}, 2, "name a model with --model"},
      {{"--data", data, "--model", "rff", "--detector", "oracle"},
       2,
       "detector \"oracle\" is not known"},
      {{"--data", data, "--model", "rff", "--params", "zeal=3"}, 2, "zeal"},
      {{"--data", data, "--model", "rff", "--params", "zeal"}, 2, "NAME=NUMBER"},
      {{"--data", data, "--model", "rff", "--task", dir / "no.toml"}, 2, "no.toml"},
      {{"--data", data, "--model", "rff", "--task", data}, 2, "not TOML"},
      {{"--data", text, "--task", task}, 3, "text.csv, line 2: "},
      {{"--data", one, "--task", task}, 3, "unknown class \"u\""},
      {{"--data", data, "--model", "rff", "--test", dir / "none.csv"}, 3, "there is no file"},
      {{"--data", data, "--model", "rff", "--plot", dir / "no/such/folder.svg"}, 1, "no/such"},
      {{"--data", data, "--model", "rff", "--window", "0"}, 2, "window"},
      {{"--data", data, "--model", "rff", "--samples", "-5"}, 2, "samples"},
      {{"--data", data, "--model", "rff", "--plot", data}, 2, "one of the inputs"},
      {{"--data", data, "--model", "rff", "--write-task", data, "--force"}, 2, "one of the inputs"},
      {{"--data", data, "--model", "rff", "--plot", dir / "link"}, 2, "no ordinary file"},
      {{"--data", data, "--model", "rff", "--write-task", task}, 2, "--force"},
      {{"--data", swapped, "--task", task}, 3, "column 1 is \"b\" where the task has \"a\""},
      {{"--model", "rff"}, 2, "--data"},
  };
  for (const auto& c : cases) {
    INFO(fmt::format("{}", fmt::join(c.arguments, " ")));
    auto arguments = c.arguments;
    arguments.push_back("--quiet");
    const auto done = run(dir, arguments);
    CHECK(done.status == c.status);
    CHECK_THAT(done.err, Contains(c.says));
    CHECK(done.out.empty());
  }
  const auto json = run(dir, {"--data", dir / "none.csv", "--model", "rff", "--json", "--quiet"});
  CHECK(json.status == 3);
  CHECK(Json::parse(json.out)["exit"] == 3);
  CHECK(content(data) == before);
  CHECK(run(dir, {"--data", data, "--model", "nb", "--write-task", task, "--force", "--quiet"}).status == 0);
}

TEST_CASE("streams that teach nothing are measured all the same", "[tools][process]") {
  const TemporaryDirectory dir;
  std::string constant = "a,b,y\n", missing = "a,b,y\n";
  for (int i = 0; i < 400; ++i) {
    constant += i % 2 == 0 ? "1,5,u\n" : "1,5,v\n";
    missing += i % 2 == 0 ? ",?,u\n" : "NaN,,v\n";
  }
  for (const auto& family : learner::families()) {
    for (const auto& text : {constant, missing}) {
      INFO(family);
      const auto done = run(dir, {"--data", dir.write("d.csv", text), "--model",
                                  std::string(family), "--json", "--quiet"});
      INFO(done.err);
      REQUIRE(done.status == 0);
      const auto json = Json::parse(done.out);
      CHECK(json["samples"] == 400);
      CHECK(json["no_change"] == 0);
      CHECK(json["majority"] == 0.5);
      CHECK(json["accuracy"].get<double>() <= 1);
    }
  }
}

}  // namespace
}  // namespace p2p::tools
