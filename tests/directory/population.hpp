// Nodes and askers out of real streams: fingerprints as they would publish them, by the hundred thousand.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "metadata/base/error.hpp"
#include "metadata/base/random.hpp"
#include "metadata/fingerprint.hpp"
#include "metadata/task.hpp"

namespace p2p::directory::bench {

/// One public data set, embedded once. A node is a window of it; what it has seen depends on its number and the seed
/// alone.
///
///   mnist, fashion  a domain (4 rotations x inverted or not x 3 ways to name the classes; Zipf(1): the first of 24 has a
///                   quarter of all nodes), a class mix (Dirichlet 0.3), 500 images
///   beijing         500 consecutive hours of one of 12 stations; classes: PM2.5 below 35, 75, 150, or more
///   ton_iot         300 consecutive readings of one of 7 devices; classes: the 8 types of traffic
///
/// An asker is the same with 100 samples.
class Population {
 public:
  struct Options {
    std::string data;   ///< folder with mnist/, beijing_air/, ton_iot/ (../shared/data); fashion is Debian's
    std::string name;   ///< mnist, fashion, beijing, ton_iot
    std::uint64_t seed = 1;
    bool models = false;    ///< keep what is needed for samples()
  };
  static Result<Population> load(const Options& options);
  Population(Population&&) noexcept;
  ~Population();

  const metadata::Task& task() const;
  metadata::Fingerprint node(std::size_t number) const;
  metadata::Fingerprint asker(std::size_t number) const;

  /// The samples behind a node (or asker): embedded in kModelDimensions cosines for a model to learn from.
  struct Sample {
    std::vector<float> x;
    std::int32_t y;
  };
  static constexpr std::uint32_t kModelDimensions = 256;
  std::vector<Sample> samples_of_node(std::size_t number) const;
  /// What the asker sees next: of images, `count` more of its domain and mix; of streams the hours or readings of its
  /// window and behind it.
  std::vector<Sample> samples_of_asker(std::size_t number, std::size_t count) const;

 private:
  struct State;
  explicit Population(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace p2p::directory::bench
