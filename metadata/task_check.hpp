// What no task may be, in one place for both of its forms.
#pragma once

#include <optional>
#include <string>

#include "metadata/task.hpp"

namespace p2p::metadata {

/// Which field cannot be as it is ("features[2].count"), and what would be right.
struct TaskProblem {
  std::string where;
  std::string what;
};
std::optional<TaskProblem> find_problem(const Task& task);

/// "numeric", "categorical".
std::string_view name(FeatureGroup::Kind kind);

}  // namespace p2p::metadata
