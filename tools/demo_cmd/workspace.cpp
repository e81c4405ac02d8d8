#include "tools/demo_cmd/workspace.hpp"

#include <fmt/format.h>
#include <zlib.h>

#include <array>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <utility>

#include "tools/cli/output.hpp"

namespace p2p::tools {
namespace {

namespace fs = std::filesystem;

tl::unexpected<Error> disk_error(const std::string& path, int number) {
  if (number == ENOSPC || number == EDQUOT) {
    return fail(
        ErrorCode::full,
        fmt::format("{} cannot be written: the disk is full; free some room, or name another "
                    "place with --work-dir or TMPDIR",
                    path),
        std::strerror(number));
  }
  return fail(
      ErrorCode::io,
      fmt::format("{} cannot be written: name another place with --work-dir or TMPDIR", path),
      std::strerror(number));
}

/// A file being written; the first error sticks and close() tells it.
class OutFile {
 public:
  explicit OutFile(std::string path)
      : path_(std::move(path)), file_(std::fopen(path_.c_str(), "wb")) {
    if (file_ == nullptr) error_ = errno;
  }
  ~OutFile() {
    if (file_ != nullptr) std::fclose(file_);
  }
  OutFile(const OutFile&) = delete;
  OutFile& operator=(const OutFile&) = delete;

  void write(const void* data, std::size_t size) {
    if (error_ == 0 && std::fwrite(data, 1, size, file_) != size) error_ = errno != 0 ? errno : EIO;
  }
  void write(std::string_view text) { write(text.data(), text.size()); }
  void big_endian(std::uint32_t value) {
    const std::array<std::uint8_t, 4> bytes = {
        static_cast<std::uint8_t>(value >> 24), static_cast<std::uint8_t>(value >> 16),
        static_cast<std::uint8_t>(value >> 8), static_cast<std::uint8_t>(value)};
    write(bytes.data(), bytes.size());
  }
  Result<void> close() {
    if (file_ != nullptr && std::fclose(file_) != 0 && error_ == 0) error_ = errno;
    file_ = nullptr;
    if (error_ != 0) return disk_error(path_, error_);
    return {};
  }

 private:
  std::string path_;
  std::FILE* file_;
  int error_ = 0;
};

Result<void> write_text(const std::string& path, std::string_view text) {
  OutFile file(path);
  file.write(text);
  return file.close();
}

Result<void> write_images(const std::string& folder, const Scenario& scenario, const Draw& draw,
                          const DataSet& data, std::size_t node) {
  const std::vector<std::uint32_t>& stream = draw.examples[node];
  OutFile images(folder + "/images.idx"), labels(folder + "/labels.idx");
  const auto count = static_cast<std::uint32_t>(stream.size());
  images.big_endian(0x00000803);
  images.big_endian(count);
  images.big_endian(data.side > 0 ? data.side : 1);
  images.big_endian(data.side > 0 ? data.side : data.features);
  labels.big_endian(0x00000801);
  labels.big_endian(count);
  std::vector<std::uint8_t> pixels(data.features);
  for (std::size_t s = 0; s < stream.size(); ++s) {
    data.image(stream[s], scenario.phase_at(node, s).transform, pixels);
    images.write(pixels.data(), pixels.size());
    const auto label = static_cast<std::uint8_t>(data.labels[stream[s]]);
    labels.write(&label, 1);
  }
  if (auto done = images.close(); !done) return done;
  return labels.close();
}

Result<void> write_table(const std::string& folder, const Scenario& scenario, const Draw& draw,
                         const DataSet& data, std::size_t node) {
  OutFile file(folder + "/stream.csv");
  std::string line;
  for (std::uint32_t f = 0; f < data.features; ++f) line += fmt::format("c{},", f);
  file.write(line + "label\n");
  std::vector<float> x(data.features);
  for (std::size_t s = 0; s < draw.examples[node].size(); ++s) {
    const std::uint32_t example = draw.examples[node][s];
    data.example(example, scenario.phase_at(node, s).transform, x);
    line.clear();
    for (const float v : x) line += std::isnan(v) ? "," : fmt::format("{},", v);
    std::string label = data.classes[data.labels[example]];
    for (std::size_t q = 0; (q = label.find('"', q)) != std::string::npos; q += 2)
      label.insert(q, 1, '"');
    file.write(fmt::format("{}\"{}\"\n", line, label));
  }
  return file.close();
}

/// A TOML basic string.
std::string quoted(const std::string& text) { return to_line(Json(text)); }

}  // namespace

Result<WorkFolder> WorkFolder::open(const std::string& path) {
  WorkFolder folder;
  if (path.empty()) {
    const char* place = std::getenv("TMPDIR");
    std::string name = std::string(place != nullptr && *place != '\0' ? place : "/tmp") +
                       "/p2p-learner-demo-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) return disk_error(name, errno);
    folder.path_ = name;
    folder.temporary_ = true;
    return folder;
  }
  std::error_code failed;
  fs::create_directories(path, failed);
  if (failed) return disk_error(path, failed.value());
  folder.path_ = fs::absolute(path, failed).lexically_normal().string();
  while (folder.path_.size() > 1 && folder.path_.back() == '/') folder.path_.pop_back();
  if (!fs::is_empty(folder.path_, failed) || failed) {
    return fail(ErrorCode::in_use,
                fmt::format("{} is not empty: name a new folder with --work-dir, or empty this one",
                            folder.path_));
  }
  return folder;
}

WorkFolder::WorkFolder(WorkFolder&& other) noexcept
    : path_(std::exchange(other.path_, {})), temporary_(std::exchange(other.temporary_, false)) {}

WorkFolder::~WorkFolder() {
  std::error_code ignored;
  if (temporary_) fs::remove_all(path_, ignored);
}

Result<Workspace> write_workspace(const std::string& root, const Scenario& scenario,
                                  const Draw& draw, const DataSet& data) {
  Workspace space{root, root + "/task.toml", data.images()};
  // The task is agreed on before anything changes: from what all nodes see first, in turn,
  // untransformed.
  std::vector<float> sample, x(data.features);
  for (std::size_t i = 0; i < 300; ++i) {
    data.example(draw.examples[i % scenario.plans.size()][i / scenario.plans.size()],
                 Transform::none, x);
    for (const float v : x) sample.push_back(std::isnan(v) ? 0.0f : v);
  }
  auto task = make_task(data, scenario.options.seed, sample);
  if (!task) return tl::unexpected(task.error());
  if (auto done = write_text(space.task, metadata::to_toml(*task)); !done)
    return tl::unexpected(done.error());
  if (auto done = write_text(root + "/script.json", script_json(scenario, data.classes)); !done) {
    return tl::unexpected(done.error());
  }
  for (std::size_t node = 0; node < scenario.plans.size(); ++node) {
    const std::string folder = space.node_folder(scenario.plans[node].name);
    std::error_code failed;
    fs::create_directories(folder, failed);
    if (failed) return disk_error(folder, failed.value());
    auto done = data.images() ? write_images(folder, scenario, draw, data, node)
                              : write_table(folder, scenario, draw, data, node);
    if (!done) return tl::unexpected(done.error());
  }
  return space;
}

Result<std::string> write_config(const Workspace& space, const std::string& node,
                                 const ConfigOptions& options) {
  const std::string folder = space.node_folder(node);
  std::string seeds;
  for (const std::string& seed : options.seeds) seeds += (seeds.empty() ? "" : ", ") + quoted(seed);
  const std::string source =
      space.images ? "kind = \"idx\"\nimages = \"images.idx\"\nlabels = \"labels.idx\"\n"
                   : "kind = \"csv\"\npath = \"stream.csv\"\nlabel = \"label\"\n";
  const std::string text = fmt::format(
      "# Written by `p2p-learner demo`.\n"
      "[node]\nname = {}\ntask = \"../task.toml\"\nstate_dir = \"state\"\nbind = \"127.0.0.1\"\n"
      "seeds = [{}]\nnetwork = {}\n\n"
      "[source]\n{}rate = {:.3f}\nlimit = {}\nhold = true\nat_end = \"stay\"\n\n"
      "[output]\npredictions = false\nprogress_every = 20\ncorrectness = true\n\n"
      "[experiment]\ntwin = true\n",
      quoted(node), seeds, quoted(options.network), source, options.rate, options.samples);
  const std::string path = folder + "/config.toml";
  if (auto done = write_text(path, text); !done) return tl::unexpected(done.error());
  return path;
}

std::string script_json(const Scenario& scenario, const std::vector<std::string>& classes) {
  Json out;
  out["seed"] = scenario.options.seed;
  out["samples_per_node"] = scenario.options.samples;
  out["nodes"] = Json::array();
  for (const NodePlan& plan : scenario.plans) {
    Json phases = Json::array();
    for (const Phase& phase : plan.phases) {
      Json mix = Json::object();
      for (std::size_t c = 0; c < phase.mix.size(); ++c) {
        if (phase.mix[c] > 0) mix[classes[c]] = phase.mix[c];
      }
      phases.push_back(
          {{"from", phase.from}, {"transform", name(phase.transform)}, {"mix", std::move(mix)}});
    }
    out["nodes"].push_back(
        {{"name", plan.name}, {"role", plan.role}, {"phases", std::move(phases)}});
  }
  return out.dump(1) + "\n";
}

double deflate_ratio(const DataSet& data, std::size_t rows) {
  rows = std::min(rows, data.size());
  std::vector<std::uint8_t> plain;
  if (data.images()) {
    plain.assign(data.pixels.begin(),
                 data.pixels.begin() + static_cast<std::ptrdiff_t>(rows * data.features));
  } else {
    plain.resize(rows * data.features * sizeof(float));
    std::memcpy(plain.data(), data.cells.data(), plain.size());
  }
  if (plain.empty()) return 1;
  uLongf size = compressBound(static_cast<uLong>(plain.size()));
  std::vector<std::uint8_t> packed(size);
  if (compress2(packed.data(), &size, plain.data(), static_cast<uLong>(plain.size()), 6) != Z_OK)
    return 1;
  return static_cast<double>(size) / static_cast<double>(plain.size());
}

std::uint64_t sample_bytes(const DataSet& data) {
  return (data.images() ? std::uint64_t{1} : sizeof(float)) * data.features + 1;
}

}  // namespace p2p::tools
