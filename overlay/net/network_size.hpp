// How many nodes a hash table has, from how densely they lie where one has looked.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <span>

#include "metadata/index.hpp"

namespace p2p::net {

/// Each get or put brings the nodes nearest to its key. Node ids are uniform, so if the k-th nearest of N lies at the
/// fraction u of the key space, u is a Beta(k, N - k + 1) variable. Over the latest operations
///
///     N ~ (sum of k - 1) / (sum of u)
///
/// which for one operation is (k - 1) / u, unbiased, and for sixteen of k = 8 has a standard deviation of 9 %.
/// The mean of the single (k - 1) / u lost: its deviation is larger (10 %), and one key beside which somebody has put
/// nodes on purpose would raise it without limit. Here it counts for one sixteenth.
///
/// Nodes that repeat their keys would repeat their errors: only an operation's key's latest result counts.
/// Where operations bring fewer than k nodes, those are all there are.
///
/// Deviations: the sum of u is taken for Gamma distributed, which holds for N much larger than k; with N of 8 to 20
/// the figure is up to 5 % high.
/// Reference: Bar-Yossef et al., "Counting distinct elements in a data stream", RANDOM 2002 (the estimator);
/// Kostoulas et al., "Decentralized Schemes for Size Estimation in Large and Dynamic Groups", NCA 2005.
class NetworkSize {
 public:
  static constexpr std::size_t kNearest = 8;     ///< as many as hold a value
  static constexpr std::size_t kOperations = 16;

  /// `nodes`: ids of others that answered, nearest to `key` first; more than kNearest are not looked at.
  void add(const metadata::DhtKey& key, std::span<const metadata::DhtKey> nodes);
  /// Ourselves included; 0 while nothing is known.
  double estimate() const;

 private:
  struct Sample {
    metadata::DhtKey key;
    std::size_t nodes = 0;
    double fraction = 0;  ///< of the key space, up to the last of `nodes`
  };
  std::deque<Sample> samples_;
};

}  // namespace p2p::net
