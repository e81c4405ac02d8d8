#include "tools/cli/experience.hpp"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "learner/fourier_basis.hpp"
#include "overlay/node/node.hpp"
#include "tools/data/row_coder.hpp"

namespace p2p::tools {

namespace {

/// Without labels a CSV file may lack the column altogether.
Result<DataFile> open(const ExperienceOptions& options, const metadata::Task& task) {
  auto file = open_data(options.data);
  const bool lacks_label = file && !options.labelled && file->format == DataFormat::csv && options.data.label.empty() &&
                           file->source->features() + 1 == task.raw_features();
  if (!lacks_label) return file;
  auto data = options.data;
  data.unlabelled = true;
  return open_data(data);
}

}  // namespace

Result<Experience> read_experience(const ExperienceOptions& options, const metadata::Task& task) {
  auto file = open(options, task);
  if (!file) return tl::unexpected(file.error());
  RowCoder coder(task);
  if (auto ok = coder.check_columns(file->source->feature_names()); !ok) return tl::unexpected(ok.error());
  const auto basis = learner::FourierBasis::shared(node::embedding_options(task));
  metadata::FingerprintBuilder builder({.dimensions = task.embedding_dimensions,
                                        .classes = static_cast<std::uint32_t>(task.classes.size()),
                                        .half_life = 0});
  std::vector<float> scaled(task.scaled_features()), phi(task.embedding_dimensions);
  Experience out;
  Row row;
  const auto refuse = [&](Error error) {
    error.message = fmt::format("{}: {}", file->place(row.line), error.message);
    return tl::unexpected(std::move(error));
  };
  while (options.samples == 0 || out.samples < options.samples) {
    const auto got = file->source->next(row);
    if (!got) return tl::unexpected(got.error());
    if (*got != SampleSource::Got::row) break;
    std::int32_t label = 0;
    if (options.labelled) {
      if (!row.labelled) {
        ++out.unlabelled;
        continue;
      }
      const auto resolved = resolve_label(task.classes, row.label);
      if (!resolved) return refuse(resolved.error());
      label = *resolved;
    }
    if (auto ok = coder.code(row); !ok) return refuse(ok.error());
    if (auto ok = task.scale(row.x, scaled); !ok) return refuse(ok.error());
    basis->map(scaled, phi);
    builder.add(phi, label, false);
    ++out.samples;
  }
  if (out.samples == 0) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("{} has no {}; {}", file->path, options.labelled ? "sample with a label" : "sample",
                            options.labelled ? "use --unlabelled to compare inputs alone" : "name a file that has some"));
  }
  out.fingerprint = builder.build();
  out.missing = coder.missing();
  out.unknown = coder.unknown();
  return out;
}

}  // namespace p2p::tools
