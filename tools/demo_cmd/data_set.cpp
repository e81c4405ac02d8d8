#include "tools/demo_cmd/data_set.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <map>

#include "learner/fourier_basis.hpp"
#include "tools/data/sample_source.hpp"

namespace p2p::tools {
namespace {

namespace fs = std::filesystem;

struct IdxPair {
  std::string images, labels;
};

/// "train-images-idx3-ubyte.gz" -> "train-labels-idx1-ubyte.gz"; empty when it is not the name of
/// images.
std::string labels_name(std::string images) {
  const std::size_t at = images.find("images");
  if (at == std::string::npos) return {};
  images.replace(at, 6, "labels");
  const std::size_t idx = images.find("idx3");
  if (idx != std::string::npos) images.replace(idx, 4, "idx1");
  return images;
}

/// Every pair of images and labels in a folder, those called "train" first, the rest by name.
std::vector<IdxPair> find_pairs(const std::vector<std::string>& files) {
  std::vector<IdxPair> pairs;
  for (const std::string& file : files) {
    const std::string folder = fs::path(file).parent_path().string();
    std::string labels = labels_name(fs::path(file).filename().string());
    if (labels.empty()) continue;
    labels = (fs::path(folder) / labels).string();
    // One of the two may be packed and the other not.
    const bool packed = labels.ends_with(".gz");
    const std::string other = packed ? labels.substr(0, labels.size() - 3) : labels + ".gz";
    for (const std::string& name : {labels, other}) {
      if (std::find(files.begin(), files.end(), name) == files.end()) continue;
      pairs.push_back({file, name});
      break;
    }
  }
  std::stable_sort(pairs.begin(), pairs.end(), [](const IdxPair& a, const IdxPair& b) {
    const auto is_train = [](const IdxPair& p) {
      return fs::path(p.images).filename().string().find("train") != std::string::npos;
    };
    return is_train(a) && !is_train(b);
  });
  return pairs;
}

const std::vector<std::string>& fashion_classes() {
  static const std::vector<std::string> names = {"T-shirt", "trouser", "pullover", "dress", "coat",
                                                 "sandal",  "shirt",   "sneaker",  "bag",   "boot"};
  return names;
}

std::uint32_t square_root(std::uint32_t n) {
  const auto root = static_cast<std::uint32_t>(std::lround(std::sqrt(static_cast<double>(n))));
  return root * root == n ? root : 0;
}

/// Calls `take` for every labelled row until it returns false. A row that cannot be read ends it
/// with an error.
template <typename Take>
Result<void> for_each_row(SampleSource& source, Take take) {
  Row row;
  for (;;) {
    auto got = source.next(row);
    if (!got) return tl::unexpected(got.error());
    if (*got != SampleSource::Got::row) return {};
    if (row.labelled && !take(row)) return {};
  }
}

Result<DataSet> load_idx(const std::vector<IdxPair>& pairs, const std::string& path) {
  DataSet data;
  data.name = fs::path(path).filename().string();
  std::uint32_t top = 0;
  for (const IdxPair& pair : pairs) {
    auto source = open_idx(pair.images, pair.labels);
    if (!source) return tl::unexpected(source.error());
    if (data.features == 0) {
      data.features = (*source)->features();
      data.pixels.reserve(std::min<std::uint64_t>((*source)->size() + 10'000, kMaxExamples) *
                          data.features);
    } else if (data.features != (*source)->features()) {
      return fail(
          ErrorCode::invalid_argument,
          fmt::format("{} has {} values per image, {} has {}: put one data set into a folder",
                      pair.images, (*source)->features(), pairs.front().images, data.features));
    }
    auto done = for_each_row(**source, [&](const Row& row) {
      if (data.labels.size() == kMaxExamples) return false;
      const auto label =
          static_cast<std::uint16_t>(std::stoul(row.label));  // one byte, by the format
      top = std::max<std::uint32_t>(top, label);
      data.labels.push_back(label);
      for (const float v : row.x) data.pixels.push_back(static_cast<std::uint8_t>(v));
      return true;
    });
    if (!done) return tl::unexpected(done.error());
  }
  data.side = square_root(data.features);
  const bool fashion =
      path.find("fashion") != std::string::npos && top + 1 == fashion_classes().size();
  for (std::uint32_t c = 0; c <= top; ++c)
    data.classes.push_back(fashion ? fashion_classes()[c] : std::to_string(c));
  return data;
}

Result<DataSet> load_csv(const std::string& path) {
  auto source = open_csv({.path = path, .label = {}});
  if (!source) return tl::unexpected(source.error());
  DataSet data;
  data.name = fs::path(path).stem().stem().string();
  data.features = (*source)->features();
  std::map<std::string, std::uint16_t> classes;
  std::vector<std::string> labels;
  auto done = for_each_row(**source, [&](const Row& row) {
    if (labels.size() == kMaxExamples) return false;
    labels.push_back(row.label);
    classes.emplace(row.label, 0);
    data.cells.insert(data.cells.end(), row.x.begin(), row.x.end());
    return classes.size() <= 1024;
  });
  if (!done) return tl::unexpected(done.error());
  if (labels.empty()) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("{} has no labelled rows: its last column must be the label", path));
  }
  if (classes.size() > 1024) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format(
            "{} has more than 1024 different labels: its last column must be a class, not a number",
            path));
  }
  for (auto& [label, index] : classes) {
    index = static_cast<std::uint16_t>(data.classes.size());
    data.classes.push_back(label);
  }
  for (const std::string& label : labels) data.labels.push_back(classes[label]);
  for (std::uint32_t f = 0; f < data.features; ++f) {
    float low = std::numeric_limits<float>::infinity(), high = -low;
    for (std::size_t i = f; i < data.cells.size(); i += data.features) {
      if (std::isnan(data.cells[i])) continue;
      low = std::min(low, data.cells[i]);
      high = std::max(high, data.cells[i]);
    }
    const float range = high > low ? high - low : 1.0f;
    for (std::size_t i = f; i < data.cells.size(); i += data.features)
      data.cells[i] = (data.cells[i] - low) / range;
  }
  return data;
}

}  // namespace

std::size_t rotated_from(std::size_t to, std::size_t features, std::size_t side) {
  if (side == 0) return features - 1 - to;
  const std::size_t row = to / side, column = to % side;
  return (side - 1 - column) * side + row;
}

void DataSet::example(std::size_t index, Transform transform, std::span<float> out) const {
  for (std::size_t f = 0; f < features; ++f) {
    const std::size_t from =
        index * features + (transform == Transform::rotated ? rotated_from(f, features, side) : f);
    const float value = images() ? static_cast<float>(pixels[from]) / 255.0f : cells[from];
    out[f] = transform == Transform::inverted ? 1.0f - value : value;
  }
}

void DataSet::image(std::size_t index, Transform transform, std::span<std::uint8_t> out) const {
  for (std::size_t f = 0; f < features; ++f) {
    const std::size_t from =
        index * features + (transform == Transform::rotated ? rotated_from(f, features, side) : f);
    out[f] = transform == Transform::inverted ? static_cast<std::uint8_t>(255 - pixels[from])
                                              : pixels[from];
  }
}

Result<DataSet> load_data_set(const std::string& path) {
  std::error_code failed;
  const fs::file_status status = fs::status(path, failed);
  if (failed || !fs::exists(status)) {
    return fail(
        ErrorCode::not_found,
        fmt::format("there is no data set at {}: {}", path,
                    path == kDefaultData ? "install it with `apt-get install "
                                           "dataset-fashion-mnist`, or name another with --data"
                                         : "--data takes a folder with idx files, or a CSV file"));
  }
  std::vector<std::string> files;
  if (fs::is_directory(status)) {
    for (fs::directory_iterator it(path, failed), end; !failed && it != end; it.increment(failed)) {
      files.push_back(it->path().string());
    }
    if (failed)
      return fail(ErrorCode::io, fmt::format("{} cannot be listed", path), failed.message());
    std::sort(files.begin(), files.end());
    const std::vector<IdxPair> pairs = find_pairs(files);
    if (!pairs.empty()) return load_idx(pairs, fs::path(path).lexically_normal().string());
    std::erase_if(files, [](const std::string& f) {
      return !f.ends_with(".csv") && !f.ends_with(".csv.gz");
    });
    if (files.size() != 1) {
      return fail(ErrorCode::not_found,
                  fmt::format("{} has no pair of idx files (like train-images-idx3-ubyte and "
                              "train-labels-idx1-ubyte) and {} CSV files: name one CSV file, or a "
                              "folder with idx files",
                              path, files.size()));
    }
    return load_csv(files.front());
  }
  return load_csv(path);
}

Result<metadata::Task> make_task(const DataSet& data, std::uint64_t seed,
                                 std::span<const float> sample) {
  metadata::Task task;
  task.name = data.name;
  task.features.push_back({.name = data.images() ? "pixel" : "column",
                           .count = data.features,
                           .minimum = 0,
                           .maximum = data.images() ? 255.0 : 1.0});
  task.classes = data.classes;
  task.family = "rff";
  task.seed = seed;
  task.bandwidth = learner::median_bandwidth(sample, data.features);
  if (!(task.bandwidth > 0)) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format(
            "the first examples of {} are all equal: there is nothing to tell them apart by",
            data.name));
  }
  return task;
}

}  // namespace p2p::tools
