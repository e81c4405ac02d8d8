// The loop of `p2p-learner run`: samples in, JSON lines out, until the source, a signal or the
// operator ends it.
#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "overlay/host/edge_node.hpp"
#include "tools/cli/config.hpp"
#include "tools/cli/exit_codes.hpp"
#include "tools/cli/overlay_desk.hpp"
#include "tools/cli/output.hpp"
#include "tools/data/row_coder.hpp"
#include "tools/data/sample_source.hpp"

namespace p2p::net {
class ControlServer;
class Loop;
}  // namespace p2p::net

namespace p2p::tools {

/// A descriptor that poll() sees as readable after signal(); how other threads wake the runner.
class WakeUp {
 public:
  WakeUp();
  ~WakeUp();
  WakeUp(const WakeUp&) = delete;
  void signal() const;
  void clear() const;
  int fd() const { return fd_; }

 private:
  int fd_;
};

/// Runs one node, and its twin where one is asked for.
///
/// Resuming: a snapshot knows how many labelled samples went into it. A file is a stream whose
/// position is that number, so after a restart each learner is fed from the sample behind its own
/// snapshot on: nothing is lost and nothing is learned twice, whatever killed the process. Standard
/// input cannot be rewound: there, what came after the last snapshot is gone unless the sender
/// repeats it.
///
/// Late labels: on standard input a line may be the label of an earlier sample, by its ticket; tickets
/// are of one run, for samples do not outlive it. With source.labels_after a file's labels are held
/// back; what a restart finds unlearned is predicted and learned once more, as any row behind the
/// snapshot.
///
/// Thread: run() is one thread's; events come from the node's thread and commands from the control
/// loop's, both through queues. Bounds: kBatch samples and kMaxEvents events.
class Runner {
 public:
  Runner(NodeConfig config, metadata::Task task, LineWriter& out);
  ~Runner();
  Runner(const Runner&) = delete;

  /// Everything from opening the source to the summary. SIGINT and SIGTERM must be blocked in all
  /// threads.
  ExitCode run();

  static constexpr std::size_t kBatch = 32;
  static constexpr std::size_t kMaxEvents = 10'000;

 private:
  struct Pending {  // one row, ready to be learned
    Row row;
    std::optional<learner::ClassIndex> label;
    std::uint64_t ordinal = 0;  // of labelled samples, in the node's stream; 0 is the first
    bool later = false;         // the label is held back
  };
  struct HeldBack {  // a label, with the tickets of those that wait for it
    learner::ClassIndex label = learner::kNoClass;
    std::uint64_t ordinal = 0, line = 0;
    std::uint64_t due = 0;  // row before which it is given
    std::uint64_t node_ticket = 0, twin_ticket = 0;  // 0: in its snapshot already
  };
  enum class SourceState { holding, reading, ended };

  // runner.cpp
  ExitCode start();
  void close_control();
  Result<void> start_control();
  void announce();
  void wait(bool busy);
  void drain_events();
  void look_around(bool now);
  void stop_with(const Error& error, Context context);
  void finish();
  std::string answer(const std::string& line);
  Json full_status() const;

  // runner_feed.cpp
  Result<void> open_source();
  /// Goes to where the snapshots are.
  Result<void> resume();
  /// Moves up to kBatch samples that are due; true: more are.
  bool feed();
  bool take_row();
  bool refuse_row(const Error& error, std::uint64_t line, bool goes_on);
  std::string place() const;
  void process_batch();
  /// A label that came on a line of its own.
  bool take_label(const Row& row);
  /// Gives what is due before this row.
  void give_labels(std::uint64_t before_row);
  Result<void> give(const HeldBack& late, Json line);
  std::string ticket(std::uint64_t number) const;
  /// None if it is not of this run.
  std::optional<std::uint64_t> number_of(std::string_view ticket) const;
  void count(std::uint64_t ordinal, learner::ClassIndex label, learner::ClassIndex by_node, learner::ClassIndex by_twin);
  void flush_correctness();
  void progress();
  void end_of_source();

  NodeConfig config_;
  metadata::Task task_;
  RowCoder coder_;
  LineWriter& out_;
  WakeUp wake_;
  int signals_ = -1;
  std::string control_;
  ExitCode exit_ = ExitCode::ok;

  std::mutex events_mutex_;
  std::deque<node::Event> events_;
  std::uint64_t events_dropped_ = 0;
  std::atomic<bool> start_asked_{false}, stop_asked_{false};
  std::atomic<SourceState> source_state_{SourceState::holding};
  std::atomic<std::uint64_t> input_errors_{0};

  std::unique_ptr<SampleSource> source_;
  bool started_ = false, source_waits_ = false, feeder_done_ = false;
  std::uint64_t rows_ = 0;     // taken from the source, from its beginning
  std::uint64_t ordinal_ = 0;  // labelled samples before the next row
  std::uint64_t node_has_ = 0,
                twin_has_ = 0;  // labelled samples in the snapshots that each started from
  std::uint64_t paced_ = 0;     // rows since pace_from_
  std::chrono::steady_clock::time_point pace_from_{}, next_look_{};
  std::vector<Pending> batch_;
  std::vector<Row> spare_;
  std::deque<HeldBack> held_back_;
  std::string run_;  // what the tickets of this run begin with
  std::vector<float> scaled_;

  std::uint64_t counted_ = 0;                 // labelled samples told of, from the stream's beginning
  std::optional<std::uint64_t> progress_at_;  // the same, at the latest progress line
  std::uint64_t bits_from_ = 0;
  std::string node_bits_, twin_bits_;
  std::string snapshot_error_;

  // Last, so that they end first: their threads use what is above.
  std::unique_ptr<host::EdgeNode> node_, twin_;
  std::optional<OverlayDesk> desk_;
  std::unique_ptr<net::Loop> control_loop_;
  std::unique_ptr<net::ControlServer> control_server_;
};

}  // namespace p2p::tools
