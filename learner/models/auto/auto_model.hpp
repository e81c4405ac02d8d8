// Family "auto": several families at once, for who does not want to choose.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "learner/drift/adwin.hpp"
#include "learner/model.hpp"
#include "learner/models/auto/expert_votes.hpp"

namespace p2p::learner {

/// Experts, each a Model of another family or with other parameters:
///
///     arf         10 `trees`; left out above kMostForTrees features, where it costs several times
///                 what all the others do
///     smooth      rff: 1024 `dimensions`, short steps, narrow kernel; 512 above kMostForTrees
///     fast        rff: half as many and the raw features, long steps; up to 128 features
///     ridge       64 dimensions; up to 128 features
///     mlp         64 `hidden` units; 128 above kMostForTrees features
///     perceptron  the fastest to adapt: streams that repeat their labels
///
/// The answer is that of the present best by accuracy over about the latest `window` samples, where
/// the vote of all experts (ExpertVotes) stands as one more candidate.
///
/// An expert rests when its error is more than `patience` times the best's (and kSlack): it votes
/// no more, and trains on every `rest`th sample only, so that it can come back. All are woken when
/// ADWIN sees the error of the answer rise.
///
/// Blocks: those of the experts that are awake as "<expert>/<their block>", and "vote/all": how
/// good each has been and what its votes are worth. merge and grow are the experts' own; what came
/// in wakes its expert. Numbers in a block: 8 bytes, then the expert's block.
///
/// References: Wolpert, Neural Networks 5, 1992 (ExpertVotes); van Rijn et al., "The online
/// performance estimation framework", Machine Learning 107, 2018, for choosing by recent accuracy.
///
/// Cost per sample: the sum of the awake experts' and a `rest`th of the resting ones': measured on
/// twelve streams, 1.3 to 3.8 times the costliest expert alone. Bounds: the sum of theirs.
///
/// A sample with a feature that is not finite trains nothing.
class Auto final : public Model {
 public:
  static constexpr std::string_view kFamily = "auto";
  static constexpr std::uint32_t kMostForTrees = 256;
  static constexpr double kSlack = 0.01;
  /// Samples that an expert is judged by before it may rest.
  static constexpr std::uint32_t kTrialTime = 1000;
  static Result<std::unique_ptr<Auto>> make(const ModelSpec& spec);

  const ModelSpec& spec() const override { return spec_; }
  void scores(Features x, std::span<float> out) const override;
  ClassIndex predict(Features x) const override;
  void learn(Features x, ClassIndex y) override;
  ClassIndex predict_then_learn(Features x, ClassIndex y) override;
  std::unique_ptr<Model> clone() const override;
  using Model::partition;
  Part partition(std::span<const ClassIndex> classes, Precision precision) const override;
  Result<void> merge(const Part& part, const MergeOptions& options) override;
  void grow(std::uint32_t classes) override;
  Bytes encode() const override;
  std::size_t bytes() const override;

  /// encode()'s inverse, into a fresh model; on an error it must be thrown away.
  Result<void> decode(ByteView bytes);

  /// How the experts are; for tests and reports. The last entry is the vote.
  struct ExpertReport {
    std::string name;
    double accuracy;
    bool resting, answers;
  };
  std::vector<ExpertReport> report() const;

 private:
  struct Config {
    double window, patience;
    std::uint32_t rest;
    std::uint64_t fingerprint;
  };
  /// A running accuracy: a plain mean at first, then over about the latest `window` samples.
  struct Record {
    double accuracy = 0;
    std::uint64_t judged = 0;
    void add(bool hit, double window);
  };
  struct Expert {
    std::string name;
    std::unique_ptr<Model> model;
    Record record;
    bool resting = false;
    std::uint32_t awake = 0;  ///< samples since it woke
  };
  Auto(const ModelSpec& spec, const Config& config, std::vector<Expert> experts);
  Auto(const Auto& other);

  /// The best candidate: an expert, or experts_.size() for the vote.
  std::size_t best() const;
  ClassIndex vote(Features x) const;
  void judge(ClassIndex said, ClassIndex voted, ClassIndex y);
  void gate();
  void wake(Expert& expert);
  Block vote_block(std::span<const ClassIndex> classes, Precision precision) const;
  struct IncomingVote;
  Result<void> read_vote(const Block& block, IncomingVote& in) const;
  void take_vote(const IncomingVote& in, const MergeOptions& options);

  ModelSpec spec_;
  Config config_;
  std::vector<Expert> experts_;
  ExpertVotes votes_;
  Record vote_record_;
  Adwin errors_;
  std::uint64_t samples_ = 0;
  mutable std::vector<ClassIndex> said_;  ///< scratch: no allocation per sample
  mutable std::vector<float> scores_;
};

}  // namespace p2p::learner
