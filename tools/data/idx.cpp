// Reference: the IDX format as the MNIST page describes it: u8 0, u8 0, u8 type (8: unsigned byte),
// u8 number of dimensions, then each dimension as big-endian u32, then the values, last dimension
// fastest.
#include <fmt/format.h>

#include <array>

#include "tools/data/byte_stream.hpp"
#include "tools/data/sample_source.hpp"

namespace p2p::tools {

namespace {

constexpr std::uint64_t kMaxFeatures = 1u << 16;

struct IdxFile {
  ByteStream stream;
  std::vector<std::uint32_t> dimensions;

  std::uint64_t header_bytes() const { return 4 + 4 * dimensions.size(); }
  std::uint64_t record_bytes() const {
    std::uint64_t product = 1;
    for (std::size_t i = 1; i < dimensions.size(); ++i) product *= dimensions[i];
    return product;
  }
};

tl::unexpected<Error> bad(const ByteStream& stream, std::uint64_t offset, const std::string& what) {
  return fail(ErrorCode::malformed,
              fmt::format("{}, byte {}{}: {}", stream.path(), offset,
                          stream.compressed() ? " (after inflating)" : "", what));
}

/// `what` is asked for its words only when they are needed.
template <typename What>
Result<void> read_exactly(ByteStream& stream, std::span<std::uint8_t> out, const What& what) {
  const auto n = stream.read(out);
  if (!n) return tl::unexpected(n.error());
  if (*n < out.size()) {
    return bad(stream, stream.offset(),
               fmt::format("the file ends within {}; fetch it again", what()));
  }
  return {};
}

Result<IdxFile> open_file(const std::string& path, std::size_t least, std::size_t most,
                          const char* what) {
  auto stream = ByteStream::open(path);
  if (!stream) return tl::unexpected(stream.error());
  IdxFile file{std::move(*stream), {}};
  std::array<std::uint8_t, 4> word{};
  if (auto ok = read_exactly(file.stream, word, [] { return "its magic number"; }); !ok)
    return tl::unexpected(ok.error());
  const auto magic = static_cast<std::uint32_t>(word[0]) << 24 |
                     static_cast<std::uint32_t>(word[1]) << 16 |
                     static_cast<std::uint32_t>(word[2]) << 8 | word[3];
  if (word[0] != 0 || word[1] != 0 || word[2] != 8 || word[3] < least || word[3] > most) {
    return bad(
        file.stream, 0,
        fmt::format(
            "the magic number is 0x{:08x}, where idx {} of unsigned bytes have 0x{:08x}; are "
            "images and labels exchanged, or is it another format?",
            magic, what, 0x800u + (least == 1 ? 1u : 3u)));
  }
  for (std::size_t i = 0; i < word[3]; ++i) file.dimensions.push_back(0);
  std::uint64_t record = 1;
  for (std::size_t i = 0; i < file.dimensions.size(); ++i) {
    const auto at = file.stream.offset();
    if (auto ok = read_exactly(file.stream, word, [] { return "its header"; }); !ok)
      return tl::unexpected(ok.error());
    file.dimensions[i] = static_cast<std::uint32_t>(word[0]) << 24 |
                         static_cast<std::uint32_t>(word[1]) << 16 |
                         static_cast<std::uint32_t>(word[2]) << 8 | word[3];
    if (file.dimensions[i] == 0) {
      return bad(file.stream, at, fmt::format("dimension {} is 0, so there is nothing in it", i));
    }
    if (i > 0) record *= file.dimensions[i];
    if (record > kMaxFeatures) {
      return bad(
          file.stream, at,
          fmt::format("one record has {} values; at most {} are supported", record, kMaxFeatures));
    }
  }
  const auto expected = file.header_bytes() + record * file.dimensions[0];
  if (!file.stream.compressed() && file.stream.file_bytes() != 0 &&
      file.stream.file_bytes() != expected) {
    return bad(file.stream, std::min(expected, file.stream.file_bytes()),
               fmt::format("the file has {} bytes where its header promises {}; fetch it again",
                           file.stream.file_bytes(), expected));
  }
  return file;
}

class IdxSource final : public SampleSource {
 public:
  IdxSource(IdxFile images, IdxFile labels)
      : images_(std::move(images)), labels_(std::move(labels)), bytes_(images_.record_bytes()) {}

  Result<Got> next(Row& out) override {
    if (done_ == size()) {
      if (!end_checked_) {
        end_checked_ = true;
        for (auto* file : {&images_, &labels_}) {
          if (auto ok = expect_end(file->stream); !ok) return tl::unexpected(ok.error());
        }
      }
      return Got::end;
    }
    std::array<std::uint8_t, 1> label{};
    const auto what = [this] { return fmt::format("record {} of {}", done_ + 1, size()); };
    if (auto ok = read_exactly(images_.stream, bytes_, what); !ok)
      return tl::unexpected(ok.error());
    if (auto ok = read_exactly(labels_.stream, label, what); !ok) return tl::unexpected(ok.error());
    out.x.assign(bytes_.begin(), bytes_.end());
    out.texts.clear();
    out.label = fmt::format_int(static_cast<unsigned>(label[0])).str();
    out.labelled = true;
    out.line = ++done_;
    return Got::row;
  }

  Result<std::uint64_t> skip(std::uint64_t count) override {
    const auto n = std::min(count, size() - done_);
    for (auto* file : {&images_, &labels_}) {
      const auto bytes = n * file->record_bytes();
      const auto passed = file->stream.skip(bytes);
      if (!passed) return tl::unexpected(passed.error());
      if (*passed < bytes) {
        return bad(file->stream, file->stream.offset(),
                   "the file ends within its records; fetch it again");
      }
    }
    done_ += n;
    return n;
  }

  std::uint32_t features() const override { return static_cast<std::uint32_t>(bytes_.size()); }
  std::uint64_t size() const override { return images_.dimensions[0]; }

 private:
  static Result<void> expect_end(ByteStream& stream) {
    std::array<std::uint8_t, 1> byte{};
    const auto at = stream.offset();
    const auto n = stream.read(byte);
    if (!n) return tl::unexpected(n.error());
    if (*n != 0) return bad(stream, at, "the file goes on behind its last record; fetch it again");
    return {};
  }

  IdxFile images_, labels_;
  std::vector<std::uint8_t> bytes_;
  std::uint64_t done_ = 0;
  bool end_checked_ = false;
};

}  // namespace

Result<std::unique_ptr<SampleSource>> open_idx(const std::string& images,
                                               const std::string& labels) {
  auto image_file = open_file(images, 2, 4, "images");
  if (!image_file) return tl::unexpected(image_file.error());
  auto label_file = open_file(labels, 1, 1, "labels");
  if (!label_file) return tl::unexpected(label_file.error());
  if (image_file->dimensions[0] != label_file->dimensions[0]) {
    return bad(label_file->stream, 4,
               fmt::format("{} labels for the {} images of {}; take both from the same set",
                           label_file->dimensions[0], image_file->dimensions[0], images));
  }
  return std::unique_ptr<SampleSource>(
      std::make_unique<IdxSource>(std::move(*image_file), std::move(*label_file)));
}

}  // namespace p2p::tools
