// The readers of data sets: CSV, idx (images; labels of the same bytes), libsvm, ARFF and JSON lines, gzip or
// plain; and whatever they read, coded for a task.
#include <cmath>
#include <string>

#include <sys/mman.h>
#include <unistd.h>

#include "tools/data/open_data.hpp"
#include "tools/data/row_coder.hpp"

using namespace p2p;

namespace {

void drain(tools::SampleSource& source, tools::RowCoder& coder) {
  tools::Row row;
  // Rows of libsvm are as wide as their largest index says, however short they are written.
  const int most = source.features() > 1000 ? 50 : 10000;
  for (int i = 0; i < most; ++i) {
    const auto got = source.next(row);
    if (!got && !source.goes_on_after_error()) return;
    if (got && *got != tools::SampleSource::Got::row) return;
    if (!got) continue;
    P2P_ASSERT(source.features() == 0 || row.x.size() == source.features());
    for (const auto& cell : row.texts) P2P_ASSERT(cell.column < row.x.size() && std::isnan(row.x[cell.column]));
    (void)coder.code(row);
  }
}

metadata::Task two_columns() {
  metadata::Task task;
  task.features = {{.name = "a"},
                   {.name = "b",
                    .kind = metadata::FeatureGroup::Kind::categorical,
                    .categories = 2,
                    .category_names = {"u", "1"}}};
  return task;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const metadata::Task task = two_columns();
  tools::RowCoder coder(task);
  const int fd = memfd_create("fuzz", MFD_CLOEXEC);
  P2P_ASSERT(fd >= 0);
  P2P_ASSERT(write(fd, data, size) == static_cast<ssize_t>(size));
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  for (const bool header : {true, false}) {
    if (const auto csv = tools::open_csv({.path = path, .text = true, .header = header})) drain(**csv, coder);
  }
  if (const auto idx = tools::open_idx(path, path)) drain(**idx, coder);
  if (const auto libsvm = tools::open_libsvm(path)) drain(**libsvm, coder);
  if (const auto arff = tools::open_arff({.path = path})) drain(**arff, coder);
  if (const auto any = tools::open_data({.path = path})) drain(*any->source, coder);
  lseek(fd, 0, SEEK_SET);
  drain(*tools::json_lines(fd, true), coder);
  close(fd);
  return 0;
}
