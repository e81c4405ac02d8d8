// What kind of change was that? Told from two fingerprints, so that the right thing is asked for.
#pragma once

#include <string_view>
#include <vector>

#include "learner/drift/drift_monitor.hpp"
#include "metadata/fingerprint.hpp"

namespace p2p::node {

enum class DriftKind {
  unclear,          ///< too few samples, or nothing that the fingerprints can see
  new_class,        ///< a class that was not there before: add it
  grown_classes,    ///< classes that were hardly known before are frequent now: ask for them
  changed_classes,  ///< the same inputs under other labels: replace these classes
  changed_inputs,   ///< the inputs of the classes are others: the whole model
  changed_mix,      ///< the same classes, known well, in other proportions: nothing is to be had from others
};
std::string_view name(DriftKind kind);

struct Diagnosis {
  DriftKind kind = DriftKind::unclear;
  /// Of grown_classes those; else empty.
  std::vector<learner::ClassIndex> classes;
};

/// Compares what came after a change with what was before it.
///
/// Per class seen on both sides the squared distance of the class-conditional means is held against what two samples of one
/// distribution would show, (1/n + 1/n')(1 - |mu|^2); the ratio of the sums, weighted by the new samples, is near 1
/// where P(x|y) stayed. If it did not, the marginal tells whether the inputs or only the labels changed. If it did, the
/// mix: by the Jensen-Shannon divergence of the priors against its expectation under no change, (K - 1)(1/n + 1/n') / (8 ln 2) bits.
///
/// Fashion-MNIST (a prototype, no command prints it), 400 samples before and 15 / 25 / 40 after, 30 changes each: inverted images are told every time, three labels
/// swapped 21 / 30 / 30 times, no change is called one 1 / 0 / 1 times; that images turned by 90 degrees are a change of inputs
/// and not of labels is sure from 40 samples on.
///
/// `before`: the experience until the change, decayed or not; `after`: undecayed samples since.
/// Errors: it may be wrong, so whatever follows from it must be tried like anything else.
Diagnosis diagnose(const metadata::Fingerprint& before, const metadata::Fingerprint& after, learner::DriftCause cause);

}  // namespace p2p::node
