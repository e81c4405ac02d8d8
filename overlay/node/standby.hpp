// Past concepts that stand by: would one of them do better than the model in force, right now?
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "overlay/node/library.hpp"

namespace p2p::node {

/// Some archived models, asked along with the serving one, so that a concept that comes back is noticed by who knows it
/// and not only by the errors of who does not. Two labels that swap back leave the error of ten classes a little higher;
/// the model that knew them so wins every sample of these two.
///
/// The test, for each model: a CUSUM of the log-likelihood ratio of its wins (it right, the serving one wrong) and losses at
/// win rate kWins against 1/2, S = max(0, S + log 2p) or max(0, S + log 2(1 - p)). It reports at log `patience`, so between
/// two false reports lie `patience` samples that the two disagree on, on average at least.
/// Reference: Page, "Continuous Inspection Schemes", Biometrika 1954; Lorden 1971 for the bound.
///
/// Cost: a model at S = 0 cannot lose, so it is asked only when the serving one was wrong; most of the time the error rate
/// times a prediction. What it reports is tried like anything else (Contest).
///
/// Thread: the node's.
class Standby {
 public:
  struct Options {
    std::size_t models = 2;   ///< that stand by; 0: none
    double patience = 100;
  };
  Standby(const Options& options, const Library& library, learner::ModelSpec spec)
      : options_(options), library_(library), spec_(std::move(spec)) {}

  struct Report {
    std::uint32_t archived = 0;   ///< whose model does better
    std::size_t since = 1;        ///< samples, from the first win of the run on
  };
  /// A labelled sample and what the serving model said of it. The model that reports begins anew.
  std::optional<Report> on_sample(learner::Features x, learner::ClassIndex label, learner::ClassIndex predicted);

  static constexpr double kWins = 0.85;

 private:
  struct Waiting {
    std::uint32_t archived = 0;
    std::unique_ptr<learner::Model> model;
    double sum = 0;
    std::size_t since = 0;
  };
  void choose();

  Options options_;
  const Library& library_;
  learner::ModelSpec spec_;
  std::vector<Waiting> waiting_;
  std::uint64_t version_ = 0;  // of the library when they were chosen
};

}  // namespace p2p::node
