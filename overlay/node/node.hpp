// The node: one state machine that learns, notices drift, asks, pulls, tries, merges and watches.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "learner/drift/drift_monitor.hpp"
#include "learner/fourier_basis.hpp"
#include "learner/model.hpp"
#include "learner/transfer/trial.hpp"
#include "metadata/task.hpp"
#include "overlay/directory/directory.hpp"
#include "overlay/exchange.hpp"
#include "overlay/executor.hpp"
#include "overlay/node/agreement.hpp"
#include "overlay/node/diagnosis.hpp"
#include "overlay/node/former_models.hpp"
#include "overlay/node/library.hpp"
#include "overlay/node/shadow.hpp"
#include "overlay/node/standby.hpp"
#include "overlay/node/step.hpp"

namespace p2p::node {

using overlay::Duration;

/// The model's spec that a task stands for.
learner::ModelSpec model_spec(const metadata::Task& task);
/// The basis in which the fingerprints of a task are embedded.
learner::FourierBasis::Options embedding_options(const metadata::Task& task);

/// Where the node is in healing a drift.
///
///   learning --drift--> looking_up --candidates--> asking --descriptions--> pulling --parts--> trying
///      ^  ^                 | none                    | none                  | none            | |
///      |  +-----------------+-------------------------+-----------------------+--- rejected ----+ |
///      |                                                                                          | accepted
///      +------------- kept, or rolled back -------------- watching <------------------------------+
///
/// Learning goes on in every state: the serving model predicts and trains on each sample. A story that found
/// nothing, or whose trial rejected everything, waits in `learning` for more samples of the new concept and asks
/// once more; then it ends. The stages up to `pulling` have deadlines in time; `trying` and `watching`, which cost
/// nothing while the stream rests, in samples.
enum class Phase { learning, looking_up, asking, pulling, trying, watching };
std::string_view name(Phase phase);

/// One drift from detection to the end of its story. Times are since detection.
struct DriftReport {
  std::uint64_t id = 0;
  std::uint64_t detected_at = 0;       ///< samples seen when the detector fired
  std::uint64_t since = 0;             ///< samples thought to come after the change, then
  learner::DriftCause cause{};
  DriftKind kind{};                    ///< what the fingerprints before and after say of it
  std::vector<learner::ClassIndex> classes;   ///< responsible; empty: all
  std::uint64_t part_of = 0;           ///< id of the running story that this drift was left to; 0: has its own
  bool finished = false;               ///< nothing more will change here

  std::uint32_t archived = 0;          ///< number under which the former concept was archived; 0: it was not
  std::uint32_t own_concept = 0;       ///< number of the archived concept that came back; 0: none

  std::size_t attempts = 0;            ///< journeys through the overlay
  std::size_t gets = 0, candidates = 0;
  std::string helper;                  ///< brief id of the winner, or of the best tried
  double helper_distance = -1;
  std::size_t parts = 0, blocks = 0;
  std::uint64_t bytes_pulled = 0;      ///< content of the parts that arrived whole

  bool accepted = false;
  bool provisional = false;            ///< put in force by agreement, before a label spoke for it
  bool rolled_back = false;
  std::string reason;                  ///< one sentence: why accepted, rejected, or why there was nothing to try
  learner::Trial::Tally tally;
  double luck = 1;                     ///< chance that a useless challenger would have come so far: learner::Trial::luck()
  std::uint64_t merged_at = 0;         ///< samples seen when the part was in force
  learner::Trial::Tally watch;         ///< of the former model against the merged one

  Duration lookup{}, ask{}, pull{}, trial{};  ///< of the latest attempt
  Duration detect_to_merge{};          ///< zero unless accepted

  /// The story, oldest first; what is above sums it up. At most kMaxSteps: of more, the second one goes.
  std::vector<Step> steps;
  std::uint64_t steps_left_out = 0;
  static constexpr std::size_t kMaxSteps = 48;
};

/// What the node tells its owner. `text` is for people, the rest for programs.
struct Event {
  using Kind = EventKind;
  Kind kind{};
  std::uint64_t samples = 0;
  std::string text;
  DriftReport drift;  ///< of the drift that it belongs to; id 0: none
};
std::string_view name(Event::Kind kind);

/// What fetching ahead of a drift may cost (Scout).
struct ScoutOptions {
  std::size_t neighbours = 0;    ///< that are looked at; 0: off
  Duration interval = std::chrono::seconds(60);
  std::size_t renew = 10;        ///< intervals until the nearest are looked up anew
  std::uint64_t bytes_per_hour = 1u << 20;
};

struct NodeOptions {
  std::size_t window = 200;              ///< samples kept for trials and metrics
  bool untried = false;                  ///< for experiments: merge the best helper's part without a trial
  std::size_t checkpoint_every = 100;    ///< samples between copies that a trial can start from; half a window
  std::size_t ask = 4;                   ///< candidates whose description is fetched
  std::size_t pull_from = 2;             ///< best of these whose parts are tried
  std::size_t query_samples = 30;        ///< latest samples that a query for a new class describes, if fewer came since it did
  std::size_t trial_lead = 50;           ///< samples before a new class's arrival that its part is also judged on
  std::size_t retry_after = 60;          ///< samples until the one further attempt
  std::size_t watch_samples = 200;       ///< the former model goes on in the shadow for so long
  double watch_alpha = 0.02;             ///< chance to undo a merge that is no worse
  Duration ask_deadline = std::chrono::milliseconds(1500);  ///< for descriptions
  Duration pull_deadline = std::chrono::seconds(10);        ///< for parts
  Duration pull_grace = std::chrono::milliseconds(500);     ///< for the others, once one part is here
  Duration distrust_for = std::chrono::minutes(10);  ///< whoever sent what does not verify is not asked for so long
  double fingerprint_half_life = 300;
  std::size_t publish_after = 200;       ///< samples before the first publication
  Duration publish_interval = std::chrono::seconds(10);  ///< at least this long between two
  double publish_change = 0.1;           ///< joint distance that makes a new publication worth it
  /// `classes` is filled in from the task. A false alarm costs a lookup and a trial, so it may come sooner than where an
  /// alarm resets a model.
  learner::DriftMonitor::Options drift = {.run_length = 2e4};
  learner::Trial::Options trial;
  /// Instead of trial.alpha where a class is new here or two are taken for each other: of these the serving model is known
  /// to know nothing, and harm to the other classes shows on the samples of trial_lead.
  double class_alpha = 0.5;
  /// Of the blocks that this node gives away: at 8 bits a part is a quarter and loses nothing that can be measured.
  learner::Precision part_precision = learner::Precision::bits8;
  /// Past concepts that are kept (Library); 0 bytes: none.
  Library::Options library;
  Shadow::Options shadow;            ///< former models after their watch
  FormerModels::Options former;      ///< models from before the latest merges, for rollback()
  Standby::Options standby;          ///< past concepts that are asked along with the serving model
  ScoutOptions scout;                ///< fetching ahead of a drift; off
  double inputs_run_length = 1e6;    ///< samples between two false alarms of the inputs alone; 0: they are not watched
  AgreementOptions without_labels;   ///< what happens while no labels come
  std::size_t pending_labels = 1000;  ///< samples without a label that are kept for when it comes; 0: none
  std::size_t recall_patience = 30;  ///< fresh samples that an own past concept is tried on before others are asked
  directory::LookupOptions lookup;
  overlay::ExchangeLimits limits;
};

/// What a sample came to.
struct Outcome {
  learner::ClassIndex predicted = learner::kNoClass;
  bool learned = false;
  std::uint64_t ticket = 0;  ///< the sample's number, from 1: what label() asks for
};

struct NodeStatus {
  Phase phase{};
  std::uint64_t samples = 0;
  double accuracy = 0, windowed_accuracy = 0;
  std::uint64_t drifts = 0, accepted = 0, rejected = 0, rolled_back = 0;
  std::uint64_t bytes_pulled = 0;
  std::size_t model_bytes = 0;
  std::size_t distrusted = 0;      ///< peers that are not asked at present
  std::size_t concepts = 0;        ///< archived
  std::size_t pending_labels = 0;  ///< samples that wait for a label
  std::size_t library_bytes = 0;
  bool published = false;
};

/// A learner in an overlay.
///
/// Invariants: the serving model is changed only by its own training, by an accepted trial, and by a roll-back (its
/// own, or the operator's);
/// no peer's bytes reach it before the trial's verdict. A node without peers is an isolated learner.
/// Thread: the executor's.
/// Bounds: beside the serving model, two checkpoints, the library, the former models, and either 2 * pull_from + 3
/// challengers or one shadow.
class Node {
 public:
  struct Context {
    overlay::Executor& executor;
    overlay::Transport* transport = nullptr;   ///< null: isolated
    directory::Directory* directory = nullptr;   ///< null: isolated
    metadata::KeyPair key;
    /// May be empty. Called on the node's thread from inside process() and from the executor; it may read the node
    /// (status, drifts, predict), but not feed it.
    std::function<void(const Event&)> on_event;
  };
  /// `invalid_argument` when the task names no known family or impossible parameters.
  static Result<std::unique_ptr<Node>> make(const metadata::Task& task, const NodeOptions& options, Context context);
  ~Node();

  /// Test-then-train on one raw sample. `label` absent: predicts, and waits for label().
  Result<Outcome> process(std::span<const float> raw, std::optional<learner::ClassIndex> label);
  /// The label of a sample that came without one; the model learns it now, in the order in which labels come. What counts
  /// in the metrics, and is in the outcome, is the prediction made when the sample came. Trials compare what the models
  /// say now, just before they learn it: a prediction from before a merge says nothing of the model in force.
  /// Errors: `not_found` (never given, from before a restart, or given up since more than `pending_labels` came after it),
  /// `invalid_argument` (no such class, or this ticket's label has come already).
  Result<Outcome> label(std::uint64_t ticket, learner::ClassIndex label);
  /// Prediction without learning or counting.
  Result<learner::ClassIndex> predict(std::span<const float> raw) const;

  NodeStatus status() const;
  const metadata::Task& task() const;
  /// Finished and running stories, oldest first; at most the latest 256.
  const std::vector<DriftReport>& drifts() const;
  /// Its past concepts.
  const Library& library() const;
  /// What the node would publish now.
  metadata::Fingerprint fingerprint() const;
  /// Asks the directory by hand, for the operator.
  void lookup(std::function<void(directory::LookupResult)> done);
  overlay::TrafficByKind traffic() const;
  std::vector<overlay::PeerStats> peers() const;
  std::uint64_t served() const;

  /// Undoes the merge of a drift by hand. While it is watched, the former model comes back from the shadow; later, the
  /// one that was kept when the watch ended (FormerModels): it learned until then and not since. What comes back is a
  /// whole model, so later merges go with it, and a story that runs ends. The present model is kept for redo().
  /// `not_found`: no such drift, or its former model is no longer kept; `invalid_argument`: not merged, or rolled back
  /// already.
  Result<void> rollback(std::uint64_t drift);
  /// Takes a rollback() back: the model that it replaced serves again, as it was then. Errors like rollback()'s.
  Result<void> redo(std::uint64_t drift);
  /// Grows whenever snapshot() has something new to say.
  std::uint64_t version() const;

  /// Everything that must survive a crash, as bytes (learner::Snapshot); restore() goes on from there.
  Bytes snapshot() const;
  /// Bytes of snapshot(); `malformed`, `version`, or `invalid_argument` (another task). Nothing changes on error. A story
  /// that was running ends as interrupted.
  Result<void> restore(ByteView bytes);

  /// Withdraws, ends links; no event comes after it returns.
  void shutdown();

 private:
  class State;
  explicit Node(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

/// The stories in a snapshot, for whoever has no node; one that was running is not finished. Empty for a snapshot of a
/// version that kept none. `malformed`, `version`.
Result<std::vector<DriftReport>> drifts_in(ByteView snapshot);

}  // namespace p2p::node
