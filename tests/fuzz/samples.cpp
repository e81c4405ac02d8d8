// The readers of data sets: CSV, idx (images; labels of the same bytes) and JSON lines, gzip or plain.
#include <string>

#include <sys/mman.h>
#include <unistd.h>

#include "tools/data/sample_source.hpp"

using namespace p2p;

namespace {
void drain(tools::SampleSource& source) {
  tools::Row row;
  for (int i = 0; i < 10000; ++i) {
    const auto got = source.next(row);
    if (!got && !source.goes_on_after_error()) return;
    if (got && *got != tools::SampleSource::Got::row) return;
  }
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const int fd = memfd_create("fuzz", MFD_CLOEXEC);
  P2P_ASSERT(fd >= 0);
  P2P_ASSERT(write(fd, data, size) == static_cast<ssize_t>(size));
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  if (const auto csv = tools::open_csv({.path = path})) drain(**csv);
  if (const auto idx = tools::open_idx(path, path)) drain(**idx);
  lseek(fd, 0, SEEK_SET);
  drain(*tools::json_lines(fd));
  close(fd);
  return 0;
}
