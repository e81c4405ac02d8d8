// From a file of samples to what they look like: the fingerprint that a query is made of.
#pragma once

#include <cstdint>

#include "metadata/fingerprint.hpp"
#include "metadata/task.hpp"
#include "tools/data/open_data.hpp"

namespace p2p::tools {

struct ExperienceOptions {
  DataOptions data;
  bool labelled = true;       ///< false: labels are not looked at, and need not be there
  std::uint64_t samples = 0;  ///< look at so many only; 0: all
};

struct Experience {
  metadata::Fingerprint fingerprint;  ///< all samples weigh the same; unlabelled: all stand under class 0
  std::uint64_t samples = 0;
  std::uint64_t unlabelled = 0;  ///< rows passed over for want of a label
  std::uint64_t missing = 0, unknown = 0;
};

/// Reads once, with bounded memory. Scales and embeds as a node of this task does, so that distances to its fingerprints
/// mean something. `invalid_argument` with the place for a row that does not fit the task, or where no sample is left;
/// what the readers say otherwise.
Result<Experience> read_experience(const ExperienceOptions& options, const metadata::Task& task);

}  // namespace p2p::tools
