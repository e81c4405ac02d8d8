// The story of a drift, from the alarm to its end.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "overlay/node/contest.hpp"
#include "overlay/node/former_models.hpp"
#include "overlay/node/input_watch.hpp"
#include "overlay/node/journal.hpp"
#include "overlay/node/library.hpp"
#include "overlay/node/node.hpp"
#include "overlay/node/quest.hpp"
#include "overlay/node/serving.hpp"
#include "overlay/node/shadow.hpp"
#include "overlay/node/trust.hpp"
#include "overlay/node/watch.hpp"

namespace p2p::node {

/// Heals one drift at a time; the state machine drawn above node::Phase.
///
/// A further alarm while a story runs:
///   - the running story covers its classes already: it is noted and left to that story;
///   - it asks for more, or the running story only waits for its second attempt: the running one ends as superseded,
///     and the new one takes over its open classes too;
///   - a merge is being watched: the watch ends on what it has seen (kept or rolled back), then the new one begins.
/// And one alarm is its own: when a watch ends, or after its first kFarBelowAfter samples, and the accuracy is still far below
/// what it was before the change, the story is told once more, for all classes. The monitor cannot say so: its reference began with the merge.
///
/// The own past comes first. The model that served until a confirmed change is archived, and the nearest archived concepts are
/// tried on the samples since the change before anybody is asked. Where one is ahead of the serving model without
/// having won, the others wait for up to `recall_patience` fresh samples; then, or at once where none is ahead, the
/// overlay is asked, and the best own concept enters the contest with what comes. A change of mix alone asks nobody at
/// first: the node knows these classes.
///
/// A former model learns on when its watch is over (Shadow). If it comes back, the story of the moment ends: what it was about
/// is gone. Of two shadows the older stays while anything speaks for it.
///
/// Where labels are missing, a change of the inputs begins a story of its own. The parts that it brings wait in their contest for the
/// labels; what agree() chooses before them, if that is allowed at all, is in force provisionally: under the same watch, and kept
/// from peers and snapshots until kConfirmed labels do not speak against it.
///
/// Invariants: at most one Quest, one Contest, one Watch and one Shadow at a time; the serving model changes only where a
/// contest was won, or lost to a former model, or agree() chose; every story ends with a report that says why.
/// Thread: the node's.
class Healing : public std::enable_shared_from_this<Healing> {
 public:
  struct Counters {
    std::uint64_t drifts = 0, accepted = 0, rejected = 0, rolled_back = 0, bytes_pulled = 0;
  };
  struct Context {
    overlay::Executor& executor;
    directory::Directory* directory = nullptr;  ///< null: no overlay
    overlay::Exchange* exchange = nullptr;    ///< null: no overlay
    metadata::TaskId task;
    Serving& serving;
    Library& library;
    const InputWatch& inputs;
    const NodeOptions& options;
    std::function<void(Event::Kind, std::string, const DriftReport&)> tell;
    std::function<void()> on_settled;  ///< a story has ended, or a merge come into force: publish soon
  };
  explicit Healing(Context context) : context_(std::move(context)), formers_(context_.options.former) {}

  /// After the serving model has learned a sample, and before on_signal() for it.
  void on_sample(std::uint64_t ticket, learner::Features x, learner::ClassIndex label, learner::ClassIndex predicted);
  void on_signal(const learner::DriftSignal& signal);
  /// An archived concept does better than the serving model.
  void on_known_concept(const Standby::Report& report);

  // While labels are missing: healing_without_labels.cpp.
  /// After every sample, labelled or not.
  void on_inputs(const std::optional<InputWatch::Alarm>& alarm);
  /// Before a late label is learned. True: it is of a sample from before a change for which another model is in force
  /// provisionally, and the former one has learned it instead.
  bool teach_former(std::uint64_t ticket, learner::Features x, learner::ClassIndex label);
  /// The model to go on with after a restart, where it is not the one that serves; null: it is.
  const learner::Model* instead() const { return provisional() ? &watch_->shadow() : nullptr; }
  /// What serves was put in force by agreement, and too few labels have come to speak for it: not to be given away.
  bool provisional() const { return story_ && phase_ == Phase::watching && story_->unconfirmed; }

  Phase phase() const { return phase_; }
  /// A story runs whose concept the node does not master yet: not the time to publish.
  bool unsettled() const { return story_.has_value() && (phase_ != Phase::watching || story_->unconfirmed); }
  const Journal& journal() const { return journal_; }
  const Trust& trust() const { return trust_; }
  Counters& counters() { return counters_; }
  const Counters& counters() const { return counters_; }
  std::size_t distrusted() const { return trust_.barred(context_.executor.now()); }
  /// Node::rollback() and Node::redo().
  Result<void> rollback(std::uint64_t drift);
  Result<void> redo(std::uint64_t drift);
  /// What else a snapshot holds. The shadow of a running watch counts as the former model of its merge; a provisional merge
  /// as undone, for the snapshot goes on with the former model.
  FormerModels formers() const;
  Journal journal_to_keep() const;
  /// After a restart: the past goes on, what was running is interrupted. The serving model has been loaded before.
  void restore(const Counters& counters, Journal journal, FormerModels formers);
  /// Drops the running story: the model that it was about is gone.
  void drop();
  /// The same, and nothing is told any more.
  void stop();

 private:
  struct Story {
    DriftReport report;
    overlay::TimePoint detected;
    std::uint64_t change_at = 0;  ///< samples seen before the change
    double before = 0;            ///< accuracy over what the window held of the time before it
    bool follow_up = false;
    std::optional<std::uint64_t> retry_at;
    std::vector<metadata::NodeId> tried;        ///< rejected by this story's trials
    std::vector<Received> parts;                ///< of the running trial
    overlay::TimePoint pull_began, trial_began;
    std::uint32_t expected = 0;                 ///< the archived concept that caused it; 0: something else did
    std::optional<std::uint64_t> recall_until;  ///< the running trial is of own concepts alone, until so many samples
    // By inputs: what is known of the change is a sample's number.
    std::optional<InputWatch::Alarm> inputs;
    std::uint64_t look_at = 0;                  ///< number of the sample at which to ask the models, or the overlay, again
    bool unconfirmed = false;
    std::optional<overlay::Exchange::Peer> helper;  ///< whose part is in force; none: an own concept
  };

  struct Origin {
    const Story* superseded = nullptr;
    bool follow_up = false;
    std::uint32_t expected = 0;
    std::optional<double> before = {};           ///< accuracy to come back to, if known from an earlier story
    std::vector<metadata::NodeId> tried = {};    ///< whose parts that story has had
    std::optional<InputWatch::Alarm> inputs = {};
  };
  void begin(const learner::DriftSignal& signal, const Origin& origin);
  bool covers(const DriftReport& running, const learner::DriftSignal& signal) const;

  // healing_past.cpp
  metadata::Need need() const;
  void diagnose_change();
  void archive_past();
  std::vector<Received> own_concepts(std::size_t most) const;
  bool recall();                     // false: there is no past

  // healing_without_labels.cpp
  bool few_labels() const;           // since the change, which only the inputs have shown
  void heal_by_inputs();
  void ask_the_models();             // may one of the trial's be put in force before labels decide?
  void confirm();                    // a provisional merge, after enough labels
  void settle_provisional();

  void ask();
  void on_stage(Quest::Stage stage, const Quest::Findings& findings);
  void on_found(Quest::Findings findings);
  void try_parts(std::vector<Received> parts);
  void work();                       // a slice of the replay, then the next one by post
  void judge();
  void merge(std::size_t winner, const std::string& provisionally = {});  // why, if without a verdict
  void rejected();
  void judge_watch(Watch::Verdict verdict, bool signalled = false);  // signalled: a new alarm has come anyway
  void follow_shadow(learner::Features x, learner::ClassIndex label, learner::ClassIndex predicted);
  void try_again_or_end(std::string reason);
  void wait(std::string reason);     // in `learning`, until look_again()
  void look_again();
  void end();
  /// What a peer's part was worth: kept in mind, and told to it.
  void value(const overlay::Exchange::Peer& peer, double worth);
  void refuse(const metadata::NodeId& peer, const Error& error);
  bool shunned(const metadata::NodeId& peer) const;
  /// A step of the running story: into its report and the journal, and to the owner.
  void tell(Event::Kind kind, std::string text, Step more = {});
  /// The same for any story.
  void tell(DriftReport& report, Event::Kind kind, std::string text, Step more = {});
  Step trial_step() const;           // of the running contest
  Step watch_step() const;

  // healing_rollback.cpp
  std::vector<std::uint64_t> merges() const;  // drifts whose merges are in the serving model
  std::vector<std::uint64_t> merges_before(std::uint64_t drift) const;  // the same without this one's
  void keep_former(std::uint64_t drift, const learner::Model& model);
  void leave_story(std::string_view why);  // the serving model is about to be replaced
  struct Return {
    std::uint64_t drift = 0;
    Event::Kind kind{};
    std::vector<std::uint64_t> merges;  // in the model that returns
    std::uint64_t samples = 0;          // when it stopped learning
    std::uint64_t missed = 0;           // before that: FormerModel::missed
    bool by_hand = true;                // else by its Shadow
  };
  void put_back(std::unique_ptr<learner::Model> model, const Return& how);

  Context context_;
  Journal journal_;
  FormerModels formers_;
  Counters counters_;
  std::uint64_t next_id_ = 1;
  std::uint64_t concept_began_ = 0;  // samples seen when what is being served now began
  Phase phase_ = Phase::learning;
  std::optional<Story> story_;
  std::shared_ptr<Quest> quest_;
  std::unique_ptr<Contest> contest_;
  std::unique_ptr<Watch> watch_;
  std::optional<Shadow> shadow_;
  Trust trust_;
  static constexpr std::size_t kSlice = 16;  // samples replayed per turn of the executor
  static constexpr std::size_t kAttempts = 2;       // with a rest between them
  static constexpr std::size_t kFarBelowAfter = 60;  // watched samples after which a merge that helps too little is not enough
  static constexpr std::size_t kQuickAttempts = 4;  // one after the other, while all that comes is of no use at all
  static constexpr std::size_t kFewLabels = 10;   // since the alarm; below it the need is by marginal
  static constexpr std::size_t kConfirmed = 20;   // labels in which a provisional model must hold its own
  static constexpr std::size_t kOwnTried = 4;          // archived concepts tried before others are asked
  static constexpr std::size_t kAhead = 2;             // wins over losses of an own concept that is worth waiting for
  static constexpr std::uint64_t kWorthKeeping = 150;  // samples that a concept must have been served for
};

}  // namespace p2p::node
