#include "tools/data/sample_source.hpp"

#include <fmt/format.h>

#include <charconv>

namespace p2p::tools {

Result<std::uint64_t> SampleSource::skip(std::uint64_t count) {
  Row row;
  for (std::uint64_t done = 0; done < count; ++done) {
    const auto got = next(row);
    if (!got) return tl::unexpected(got.error());
    if (*got != Got::row) return done;
  }
  return count;
}

Result<std::int32_t> resolve_label(std::span<const std::string> classes, const std::string& text) {
  for (std::size_t i = 0; i < classes.size(); ++i) {
    if (classes[i] == text) return static_cast<std::int32_t>(i);
  }
  std::int32_t index = -1;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), index);
  if (status == std::errc{} && end == text.data() + text.size() && index >= 0 &&
      static_cast<std::size_t>(index) < classes.size()) {
    return index;
  }
  std::string known;
  for (std::size_t i = 0; i < classes.size() && i < 12; ++i) {
    known += (i == 0 ? "" : ", ") + classes[i];
  }
  if (classes.size() > 12) known += fmt::format(" and {} more", classes.size() - 12);
  return fail(ErrorCode::invalid_argument,
              fmt::format("unknown class \"{}\": the task has {} (or an index 0..{})",
                          text.substr(0, 64), known, classes.size() - 1));
}

}  // namespace p2p::tools
