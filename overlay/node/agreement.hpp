// Whom to believe while no labels come: those who know these inputs and say the same of them.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "learner/model.hpp"
#include "metadata/crypto.hpp"
#include "metadata/fingerprint.hpp"

namespace p2p::node {

struct AgreementOptions {
  /// What may be put in force, provisionally, without a label that speaks for it.
  enum class Adopt {
    nothing,  ///< labels alone decide
    own,      ///< a past concept of this node's own whose inputs are back
    agreed,   ///< that, or a helper's model that another helper agrees with
  };
  Adopt adopt = Adopt::nothing;
  std::size_t after = 50;     ///< samples without a verdict by labels, once the models are here, before they are asked
  std::size_t window = 100;   ///< latest unlabelled samples that they are asked about, at most
  std::size_t fewest = 30;    ///< and at least
  double outside = 1.6;       ///< the inputs are at least that much further from what was known than chance explains
  double inside = 1.25;       ///< and no more than that from what the helper knows
  double share = 0.6;         ///< of these samples on which two must say the same
  double kappa = 0.5;         ///< of the room above chance agreement that they must fill (Cohen's kappa)
  std::size_t helpers = 3;    ///< whose models are fetched, where the alarm came from the inputs alone
  std::size_t give_up = 1000; ///< samples after which a story without labels ends
};
std::string_view name(AgreementOptions::Adopt adopt);

/// Somebody who may know.
struct Voter {
  const learner::Model* model = nullptr;
  const metadata::Fingerprint* experience = nullptr;
  metadata::NodeId node;  ///< whose; of an own one without meaning
  bool own = false;       ///< archived here, not fetched
};

struct Agreement {
  std::optional<std::size_t> chosen;  ///< of the voters
  double share = 0, kappa = 0;        ///< of the two that agree least, of those asked
  std::string reason;                 ///< one sentence, either way
};

/// How far two marginals are apart, in units of what two samples of one distribution show:
/// |m - m'| / sqrt((1/n + 1/n') (1 - |m|^2)), with m that of the larger sample. Near 1: the same.
/// Reference: as metadata::same_distance. 0 where either is empty.
double marginal_ratio(const metadata::Fingerprint& a, const metadata::Fingerprint& b);

/// Chooses whom to put in force without labels, or says why nobody.
///
/// The inputs must lie outside of what the serving model has seen, for inside of it nobody knows them better than that
/// model. Of the voters those count that have the inputs inside their experience. One own past concept suffices; of
/// helpers two of different keys are needed. All who count must agree, pairwise, and far better than by chance: whoever
/// knows the inputs and says something else is a reason to wait for labels. The chosen one agrees most with the others.
///
/// What it cannot do: two keys of one owner who lies agree as well as two honest nodes do, and a change of the meaning of
/// labels shows in no input. So what is chosen is provisional until labels come, and `Adopt` says whether it is chosen at all.
///
/// `inputs`: marginal of the new samples; `known`: the serving model's experience before them.
Agreement agree(std::span<const Voter> voters, std::span<const learner::Features> samples,
                const metadata::Fingerprint& inputs, const metadata::Fingerprint& known,
                const AgreementOptions& options);

}  // namespace p2p::node
