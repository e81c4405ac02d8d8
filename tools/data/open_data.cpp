#include "tools/data/open_data.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "tools/data/byte_stream.hpp"

namespace p2p::tools {

namespace {

namespace fs = std::filesystem;

bool is_file(const std::string& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

/// The labels that belong to the images by name: "...images-idx3..." -> "...labels-idx1...", packed or not.
/// Empty when there are none.
std::string labels_beside(const std::string& images) {
  const fs::path path(images);
  std::string file = path.filename().string();
  const auto replace = [&](std::string_view from, std::string_view to) {
    if (const auto at = file.rfind(from); at != std::string::npos) file.replace(at, from.size(), to);
  };
  replace("images", "labels");
  replace("idx3", "idx1");
  if (file == path.filename().string()) return {};
  const bool packed = file.ends_with(".gz");
  const auto plain = packed ? file.substr(0, file.size() - 3) : file;
  for (const auto& candidate : {file, plain, plain + ".gz"}) {
    if (const auto found = (path.parent_path() / candidate).string(); is_file(found)) return found;
  }
  return {};
}

/// The images of the set in a folder; the names are those of the MNIST page.
Result<std::string> images_in(const std::string& folder, bool test_set) {
  const std::string_view stem = test_set ? "t10k-images" : "train-images";
  std::vector<std::string> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const auto file = entry.path().filename().string();
    if (file.starts_with(stem) && file.find("idx3") != std::string::npos) found.push_back(entry.path().string());
  }
  if (found.empty()) {
    return fail(ErrorCode::not_found,
                fmt::format("{} is a folder without {}-idx3-ubyte[.gz]; name a file, or a folder with a set "
                            "in the MNIST format",
                            folder, stem));
  }
  return *std::min_element(found.begin(), found.end());  // the plain one before the packed one
}

Result<DataFormat> format_of(const std::string& path) {
  auto stream = ByteStream::open(path);
  if (!stream) return tl::unexpected(stream.error());
  std::array<std::uint8_t, 3> start{};
  const auto n = stream->read(start);
  if (!n) return tl::unexpected(n.error());
  if (*n == 3 && start[0] == 0 && start[1] == 0 && start[2] == 8) return DataFormat::idx;
  return DataFormat::csv;
}

}  // namespace

std::string_view name(DataFormat format) {
  switch (format) {
    case DataFormat::csv: return "CSV";
    case DataFormat::idx: return "idx";
  }
  return "";
}

std::string DataFile::place(std::uint64_t line) const {
  return fmt::format("{}, {} {}", path, format == DataFormat::idx ? "record" : "line", line);
}

Result<DataFile> open_data(const DataOptions& options) {
  DataFile out;
  out.path = options.path;
  std::error_code ignored;
  if (fs::is_directory(options.path, ignored)) {
    auto images = images_in(options.path, options.test_set);
    if (!images) return tl::unexpected(images.error());
    out.path = *images;
  }
  const auto format = format_of(out.path);
  if (!format) return tl::unexpected(format.error());
  out.format = *format;
  if (out.format != DataFormat::idx && !options.labels.empty()) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("--labels is for idx files; {} is none. Name the label's column with --label", out.path));
  }
  Result<std::unique_ptr<SampleSource>> source;
  switch (out.format) {
    case DataFormat::idx: {
      const auto labels = options.labels.empty() ? labels_beside(out.path) : options.labels;
      if (labels.empty()) {
        return fail(ErrorCode::invalid_argument,
                    fmt::format("{} is an idx file of images, and no file beside it has its labels; name it "
                                "with --labels",
                                out.path));
      }
      source = open_idx(out.path, labels);
      break;
    }
    case DataFormat::csv:
      source = open_csv({.path = out.path, .label = options.label, .text = true, .ignore = options.ignore});
      break;
  }
  if (!source) return tl::unexpected(source.error());
  out.source = std::move(*source);
  return out;
}

}  // namespace p2p::tools
