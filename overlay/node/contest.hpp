// Received parts against the model in force, on samples that neither has trained on.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "learner/model.hpp"
#include "learner/transfer/trial.hpp"
#include "overlay/node/quest.hpp"
#include "overlay/node/tape.hpp"

namespace p2p::node {

/// Builds challengers from what came in and lets them meet the serving model's recorded predictions.
///
/// A challenger starts from a checkpoint of the serving model that lies before the samples it is judged on, takes
/// the part in, and then lives through these samples as the serving model did: test, then train. Both are judged on
/// what they had not seen, and one that wins is up to date at once. When the recorded samples do not decide, the
/// contest goes on with fresh ones.
///
/// Who enters: each part merged into the checkpoint; for whole models each model as it came, too; own archived ones as they
/// were, and merged where only some classes are needed; with two parts
/// both together, for one may know what the other does not. At most 2 * parts + 1.
///
/// A challenger wins when learner::Trial's test passes at the end of the samples there are, and it has not been
/// worse than the serving model over the latest `kRecent`: early wins over a model that has meanwhile learned by
/// itself are worth nothing. Where only some classes are concerned it must be ahead by `kWorthwhile` there, for the serving
/// model learns a few classes fast, and what it does not know yet is then as likely to cost the others as much.
///
/// Rejected: judging on a held-back set. There are too few samples after a drift to hold any back.
/// Thread: the node's. `advance` does a bounded amount of work, so that learning is not held up.
class Contest {
 public:
  struct Setup {
    std::shared_ptr<const learner::Model> base;
    Tape tape;                       ///< the samples since `base`
    std::size_t judge_from = 0;      ///< before it, the base only trains
    std::size_t change_at = 0;       ///< first sample of the tape after the change
    std::vector<learner::ClassIndex> classes;  ///< needed; empty: the whole model
    /// Are the needed classes' samples before the change of another concept? They are skipped then.
    bool classes_changed = false;
    learner::Trial::Options trial;
  };
  explicit Contest(Setup setup);

  struct Refusal {
    std::size_t part;  ///< index into what was given to enter()
    Error error;
  };
  /// Makes challengers of the parts; those that a model refuses are named and left out. Once.
  std::vector<Refusal> enter(std::span<const Received> parts);
  bool empty() const { return entrants_.empty(); }
  std::size_t size() const { return entrants_.size(); }

  /// A fresh sample and what the serving model said of it.
  void append(learner::Features x, learner::ClassIndex label, learner::ClassIndex predicted);
  /// Works through at most `budget` samples of the tape.
  void advance(std::size_t budget);
  bool caught_up() const { return next_ == setup_.tape.size(); }

  /// Of what has been worked through; accept only when caught up.
  learner::Trial::Verdict verdict() const;

  /// Nobody is ahead of the serving model, after kFutile judged samples: what is worth taking would be by then.
  bool futile() const;

  /// The winner after accept, else the best so far.
  std::size_t best() const;
  const learner::Trial::Tally& tally(std::size_t index) const { return trial_.tally(index); }
  double luck(std::size_t index) const { return trial_.luck(index); }
  const std::string& label(std::size_t index) const { return trial_.label(index); }
  /// The challenger that is this part's model as it came; none where it did not enter as such.
  std::optional<std::size_t> plain(std::size_t part) const;
  const learner::Model& model(std::size_t index) const { return trial_.model(index); }
  /// The part that this challenger is made of first.
  std::size_t part_of(std::size_t index) const { return entrants_[index].part; }
  /// Which of the judged samples it had right, oldest first.
  const std::vector<bool>& correct(std::size_t index) const { return entrants_[index].correct; }
  std::unique_ptr<learner::Model> take(std::size_t index) { return trial_.take(index); }

  static constexpr std::size_t kRecent = 30;
  static constexpr std::size_t kWorthwhile = 3;
  static constexpr std::size_t kFutile = 40;

 private:
  struct Entrant {
    std::size_t part;
    bool plain = false;
    std::vector<bool> correct = {};
  };
  void enter(std::string label, std::size_t part, std::unique_ptr<learner::Model> model, bool plain = false);
  bool holds_up(std::size_t index) const;

  Setup setup_;
  learner::Trial trial_;
  std::vector<Entrant> entrants_;
  std::vector<bool> champion_correct_;
  std::size_t next_ = 0;
};

}  // namespace p2p::node
