// When is what a node has to say about itself worth saying again?
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>

#include "metadata/fingerprint.hpp"
#include "overlay/directory/directory.hpp"
#include "overlay/executor.hpp"
#include "overlay/node/library.hpp"
#include "overlay/node/serving.hpp"

namespace p2p::node {

/// Publishes the fingerprint when it has changed enough, often enough, and not while a drift is being healed: a
/// mixture of two concepts helps nobody to find either.
///
/// Enough is: `change` in joint distance, or in overall accuracy, or a class that peers may now ask for (or may no
/// more). A settled drift counts as a change in itself.
/// Thread: the node's.
class Publisher {
 public:
  struct Options {
    std::size_t after = 200;            ///< samples before the first publication
    overlay::Duration interval{};       ///< at least so long between two
    double change = 0.1;
  };
  struct Context {
    overlay::Executor& executor;
    directory::Directory* directory;      ///< null: never publishes
    const Serving& serving;
    const Library& library;             ///< its own concepts are made known too, those of most use first
    std::function<bool()> unsettled;    ///< a drift is being healed
    std::function<void()> on_published;
  };
  Publisher(Context context, const Options& options) : context_(std::move(context)), options_(options) {}

  void on_sample();
  /// A drift has been settled, or a snapshot loaded: say so at the next opportunity, even if the stream rests.
  void hurry();
  bool published() const { return published_.has_value(); }
  void stop();

 private:
  void consider();
  void wait(overlay::Duration delay);
  void remember();
  bool worth_it(const metadata::Fingerprint& now) const;
  static constexpr std::size_t kLook = 25;      // samples between two looks
  /// Own past concepts that are made known. Three add .64 to what an idle node sends (bench_directory nodes=30 mode=idle
  /// settle=15, archived=3 against 0), so one it is, though the directory takes metadata::kMostArchived.
  static constexpr std::size_t kShown = 1;
  static constexpr double kFewest = 30;         // samples that a fingerprint worth publishing holds

  Context context_;
  Options options_;
  std::optional<metadata::Fingerprint> published_;
  overlay::TimePoint last_;
  bool due_ = false;
  std::uint64_t remembered_ = 0;  // the library's version
  overlay::Executor::TimerHandle timer_;  // looks again by itself, should the stream rest meanwhile
  static constexpr overlay::Duration kSoon = std::chrono::seconds(1);
};

}  // namespace p2p::node
