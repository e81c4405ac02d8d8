// How much processor time others may cost this node.
#pragma once

#include <algorithm>

#include "overlay/executor.hpp"

namespace p2p::overlay {

/// So much a second; what is not used counts for one second. A cost is known only afterwards, so there may be debts:
/// who owes waits until they are paid.
class ProcessorBudget {
 public:
  /// How long until there is some again; zero: there is. `per_second` zero: no limit.
  Duration wait(TimePoint now, Duration per_second) {
    if (per_second.count() == 0) return Duration(0);
    const auto rate = static_cast<double>(per_second.count());
    if (!begun_) left_ = rate;
    begun_ = true;
    left_ = std::min(rate, left_ + rate * 1e-6 * static_cast<double>((now - refilled_).count()));
    refilled_ = now;
    if (left_ > 0) return Duration(0);
    return Duration(static_cast<std::int64_t>(-left_ / rate * 1e6) + 1);
  }
  void spend(Duration time) { left_ -= static_cast<double>(time.count()); }

 private:
  double left_ = 0;  // microseconds; below zero: owed
  TimePoint refilled_;
  bool begun_ = false;
};

}  // namespace p2p::overlay
