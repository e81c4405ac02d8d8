#include "tools/data/open_data.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "tools/data/byte_stream.hpp"
#include "tools/data/numbers.hpp"

namespace p2p::tools {

namespace {

namespace fs = std::filesystem;

bool is_file(const std::string& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

/// The labels that belong to the images by name: "...images-idx3..." -> "...labels-idx1...", packed
/// or not. Empty when there are none.
std::string labels_beside(const std::string& images) {
  const fs::path path(images);
  std::string file = path.filename().string();
  const auto replace = [&](std::string_view from, std::string_view to) {
    if (const auto at = file.rfind(from); at != std::string::npos)
      file.replace(at, from.size(), to);
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
    if (file.starts_with(stem) && file.find("idx3") != std::string::npos)
      found.push_back(entry.path().string());
  }
  if (found.empty()) {
    return fail(
        ErrorCode::not_found,
        fmt::format(
            "{} is a folder without {}-idx3-ubyte[.gz]; name a file, or a folder with a set "
            "in the MNIST format",
            folder, stem));
  }
  return *std::min_element(found.begin(), found.end());  // the plain one before the packed one
}

/// What the name says; csv for anything else.
DataFormat format_by_name(std::string path) {
  if (path.ends_with(".gz")) path.resize(path.size() - 3);
  const auto ends = [&](std::initializer_list<std::string_view> endings) {
    return std::any_of(endings.begin(), endings.end(),
                       [&](auto ending) { return path.ends_with(ending); });
  };
  if (ends({".arff"})) return DataFormat::arff;
  if (ends({".libsvm", ".svmlight", ".svm"})) return DataFormat::libsvm;
  if (ends({".jsonl", ".ndjson", ".json"})) return DataFormat::json;
  return DataFormat::csv;
}

/// "label 3:0.5 ...": is the second word, or the first of an unlabelled line, INDEX:NUMBER?
bool looks_like_libsvm(std::string_view line) {
  for (int i = 0; i < 2 && !line.empty(); ++i) {
    const auto end = std::min(line.find_first_of(" \t"), line.size());
    const auto word = line.substr(0, end);
    const auto colon = word.find(':');
    double value = 0;
    bool too_large = false;
    if (colon != std::string_view::npos && colon > 0 &&
        std::all_of(word.begin(), word.begin() + static_cast<std::ptrdiff_t>(colon),
                    [](char c) { return c >= '0' && c <= '9'; }) &&
        parse_number(word.substr(colon + 1), value, too_large)) {
      return true;
    }
    line = trim(line.substr(end));
  }
  return false;
}

/// The content decides where it can: idx by its magic, the others by their first line that is no
/// comment.
Result<DataFormat> format_of(const std::string& path) {
  auto stream = ByteStream::open(path);
  if (!stream) return tl::unexpected(stream.error());
  std::array<std::uint8_t, 4096> start{};
  const auto n = stream->read(start);
  if (!n) return tl::unexpected(n.error());
  if (*n >= 3 && start[0] == 0 && start[1] == 0 && start[2] == 8) return DataFormat::idx;
  const auto by_name = format_by_name(path);
  if (by_name != DataFormat::csv) return by_name;
  std::string_view text(reinterpret_cast<const char*>(start.data()), *n);
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  while (!text.empty()) {
    const auto end = std::min(text.find_first_of("\r\n"), text.size());
    const auto line = trim(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '%' || line.front() == '#') continue;
    if (line.front() == '@') return DataFormat::arff;
    if (line.front() == '{') return DataFormat::json;
    return looks_like_libsvm(line) ? DataFormat::libsvm : DataFormat::csv;
  }
  return DataFormat::csv;
}

}  // namespace

std::string_view name(DataFormat format) {
  switch (format) {
    case DataFormat::csv:
      return "CSV";
    case DataFormat::idx:
      return "idx";
    case DataFormat::libsvm:
      return "libsvm";
    case DataFormat::arff:
      return "ARFF";
    case DataFormat::json:
      return "JSON lines";
  }
  return "";
}

std::string DataFile::place(std::uint64_t line) const {
  return fmt::format("{}, {} {}", path, format == DataFormat::idx ? "record" : "line", line);
}

namespace {

/// The file that the options mean, and what it is; the source is not opened.
Result<DataFile> find_file(const DataOptions& options) {
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
  return out;
}

}  // namespace

Result<void> check_options(const DataOptions& options) {
  const auto file = find_file(options);
  if (!file) return tl::unexpected(file.error());
  const bool has_columns = file->format == DataFormat::csv || file->format == DataFormat::arff;
  if (!has_columns && (!options.label.empty() || !options.ignore.empty())) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format(
            "--label and --ignore are for CSV and ARFF; {} is {}, whose columns have no names",
            file->path, name(file->format)));
  }
  if (file->format != DataFormat::idx && !options.labels.empty()) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("--labels is for idx files; {} is {}. Name the label's column with --label",
                    file->path, name(file->format)));
  }
  if (file->format == DataFormat::idx && options.labels.empty() &&
      labels_beside(file->path).empty()) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("{} is an idx file of images, and no file beside it has its labels; "
                            "name it with --labels",
                            file->path));
  }
  return {};
}

Result<DataFile> open_data(const DataOptions& options) {
  if (auto ok = check_options(options); !ok) return tl::unexpected(ok.error());
  auto file = find_file(options);
  if (!file) return file;
  const auto& path = file->path;
  Result<std::unique_ptr<SampleSource>> source;
  switch (file->format) {
    case DataFormat::idx:
      source = open_idx(path, options.labels.empty() ? labels_beside(path) : options.labels);
      break;
    case DataFormat::csv:
      source = open_csv({.path = path,
                         .label = options.label,
                         .unlabelled = options.unlabelled,
                         .text = true,
                         .ignore = options.ignore,
                         .header = options.header});
      break;
    case DataFormat::libsvm:
      source = open_libsvm(path, options.features);
      break;
    case DataFormat::arff:
      source = open_arff({.path = path, .label = options.label, .ignore = options.ignore});
      break;
    case DataFormat::json:
      source = open_json(path);
      break;
  }
  if (!source) return tl::unexpected(source.error());
  file->source = std::move(*source);
  return file;
}

}  // namespace p2p::tools
