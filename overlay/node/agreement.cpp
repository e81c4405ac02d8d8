#include "overlay/node/agreement.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include <fmt/format.h>

#include "metadata/similarity.hpp"

namespace p2p::node {
namespace {

using Adopt = AgreementOptions::Adopt;

double squared_marginal(const metadata::Fingerprint& f) {
  std::vector<double> mean(f.dimensions, 0.0);
  for (std::size_t c = 0; c < f.classes; ++c) {
    for (std::size_t d = 0; d < f.dimensions; ++d) {
      mean[d] += static_cast<double>(f.joint[c * f.dimensions + d]) * static_cast<double>(f.scale[c]);
    }
  }
  double sum = 0;
  for (const double value : mean) sum += value * value;
  return sum;
}

struct Vote {
  std::size_t voter = 0;
  std::vector<learner::ClassIndex> said;
  double agreed = 0;  // share, summed over the others
};

struct Pair {
  double share = 0, kappa = 0;
};

Pair compare(const Vote& a, const Vote& b, std::size_t classes) {
  std::vector<double> of_a(classes, 0), of_b(classes, 0);
  const auto n = static_cast<double>(a.said.size());
  double same = 0;
  for (std::size_t i = 0; i < a.said.size(); ++i) {
    same += a.said[i] == b.said[i];
    of_a[static_cast<std::size_t>(a.said[i])] += 1 / n;
    of_b[static_cast<std::size_t>(b.said[i])] += 1 / n;
  }
  double chance = 0;
  for (std::size_t c = 0; c < classes; ++c) chance += of_a[c] * of_b[c];
  const double share = same / n;
  return {share, chance < 1 ? (share - chance) / (1 - chance) : 0};
}

}  // namespace

std::string_view name(Adopt adopt) {
  switch (adopt) {
    case Adopt::nothing:
      return "nothing";
    case Adopt::own:
      return "own";
    case Adopt::agreed:
      return "agreed";
  }
  return "unknown";
}

double marginal_ratio(const metadata::Fingerprint& a, const metadata::Fingerprint& b) {
  const double na = a.samples(), nb = b.samples();
  if (!(na > 0) || !(nb > 0)) return 0;
  constexpr double kLeast = 0.01;  // a distribution that is nearly one point
  const double spread = std::max(kLeast, 1 - squared_marginal(na < nb ? b : a));
  return metadata::marginal_distance(a, b) / std::sqrt((1 / na + 1 / nb) * spread);
}

Agreement agree(std::span<const Voter> voters, std::span<const learner::Features> samples,
                const metadata::Fingerprint& inputs, const metadata::Fingerprint& known,
                const AgreementOptions& options) {
  if (options.adopt == Adopt::nothing) return {{}, 0, 0, "without labels nothing is put in force here"};
  if (samples.size() < std::max<std::size_t>(1, options.fewest)) {
    return {{}, 0, 0, fmt::format("{} samples without a label are too few to ask about", samples.size())};
  }
  const double away = marginal_ratio(inputs, known);
  if (!(away >= options.outside)) {
    return {{}, 0, 0,
            fmt::format("the new inputs are not clearly outside of what this node has seen (ratio {:.2f})", away)};
  }
  std::vector<Vote> votes;
  std::size_t own = 0;
  std::vector<metadata::NodeId> nodes;
  for (std::size_t i = 0; i < voters.size(); ++i) {
    const auto& voter = voters[i];
    P2P_ASSERT(voter.model && voter.experience);
    if (!voter.own && options.adopt != Adopt::agreed) continue;
    if (!(voter.experience->samples() > 0) || marginal_ratio(inputs, *voter.experience) > options.inside) continue;
    if (!voter.own && std::find(nodes.begin(), nodes.end(), voter.node) != nodes.end()) continue;
    if (voter.own) ++own;
    if (!voter.own) nodes.push_back(voter.node);
    Vote vote{i, {}, 0};
    for (const auto& x : samples) vote.said.push_back(voter.model->predict(x));
    if (std::find(vote.said.begin(), vote.said.end(), learner::kNoClass) != vote.said.end()) continue;
    votes.push_back(std::move(vote));
  }
  if (votes.empty() || (own == 0 && nodes.size() < 2)) {
    return {{}, 0, 0,
            fmt::format("{} of those asked know{} such inputs, where two nodes are needed", votes.size(),
                        votes.size() == 1 ? "s" : "")};
  }
  Agreement out{{}, 1, 1, {}};
  const std::size_t classes = voters[votes.front().voter].model->spec().classes;
  for (std::size_t a = 0; a < votes.size(); ++a) {
    for (std::size_t b = a + 1; b < votes.size(); ++b) {
      const auto pair = compare(votes[a], votes[b], classes);
      votes[a].agreed += pair.share;
      votes[b].agreed += pair.share;
      out.share = std::min(out.share, pair.share);
      out.kappa = std::min(out.kappa, pair.kappa);
    }
  }
  if (votes.size() > 1 && (out.share < options.share || out.kappa < options.kappa)) {
    out.reason = fmt::format("those who know such inputs disagree: the same on {:.0f} % of {} samples, kappa {:.2f}",
                             100 * out.share, samples.size(), out.kappa);
    return out;
  }
  const auto best = std::max_element(votes.begin(), votes.end(), [&](const Vote& a, const Vote& b) {
    if (voters[a.voter].own != voters[b.voter].own) return voters[b.voter].own;
    return a.agreed < b.agreed;  // of equals the one that ranked first
  });
  out.chosen = best->voter;
  out.reason = votes.size() == 1
                   ? fmt::format("the inputs of a past concept are back (ratio {:.2f})",
                                 marginal_ratio(inputs, *voters[best->voter].experience))
                   : fmt::format("{} who know such inputs agree: the same on at least {:.0f} % of {} samples, kappa {:.2f}",
                                 votes.size(), 100 * out.share, samples.size(), out.kappa);
  return out;
}

}  // namespace p2p::node
