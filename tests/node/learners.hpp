// Trained models and received parts for the tests of this room.
#pragma once

#include <memory>

#include "overlay/node/blocks.hpp"
#include "overlay/node/contest.hpp"
#include "overlay/node/node.hpp"
#include "tests/simulation/stream.hpp"

namespace p2p::testing {

inline constexpr std::uint64_t kWorld = 3;

struct Scaled {
  std::vector<float> x;
  std::int32_t label;
};
inline Scaled scaled(const metadata::Task& task, Stream& stream) {
  Scaled out{std::vector<float>(kFeatures), 0};
  const auto sample = stream.next();
  P2P_ASSERT(task.scale(sample.x, out.x).has_value());
  out.label = sample.label;
  return out;
}

inline std::unique_ptr<learner::Model> fresh(const metadata::Task& task) {
  auto model = learner::make_model(node::model_spec(task));
  P2P_ASSERT(model.has_value());
  return std::move(*model);
}

/// A model that has learned `samples` of a stream.
inline std::unique_ptr<learner::Model> trained(const metadata::Task& task, Stream& stream, int samples) {
  auto model = fresh(task);
  for (int i = 0; i < samples; ++i) {
    const auto sample = scaled(task, stream);
    model->learn(sample.x, sample.label);
  }
  return model;
}

/// What `samples` of a stream look like, none decayed; `accuracy`: of whoever learned from them.
inline metadata::Fingerprint experience(const metadata::Task& task, Stream& stream, int samples,
                                        double accuracy = 0.9) {
  const learner::FourierBasis basis({.seed = task.seed,
                                     .features = task.scaled_features(),
                                     .dimensions = task.embedding_dimensions,
                                     .bandwidth = task.bandwidth});
  metadata::FingerprintBuilder builder({.dimensions = task.embedding_dimensions, .classes = kClasses, .half_life = 0});
  std::vector<float> phi(task.embedding_dimensions);
  double right = 0;
  for (int i = 0; i < samples; ++i) {
    const auto sample = scaled(task, stream);
    basis.map(sample.x, phi);
    right += accuracy;
    builder.add(phi, sample.label, right >= 1);
    if (right >= 1) right -= 1;
  }
  return builder.build();
}

/// What a peer with this model would have sent; `knows`: the classes that its fingerprint lists.
inline node::Received received(const learner::Model& model, std::span<const learner::ClassIndex> classes,
                               std::uint8_t peer, const Mix& knows = kAll) {
  node::Received out;
  out.helper.peer.id.bytes[0] = peer;
  auto& fingerprint = out.helper.fingerprint;
  fingerprint.dimensions = 32;
  fingerprint.classes = kClasses;
  for (const auto weight : knows) {
    fingerprint.count.push_back(weight > 0 ? 100.0f : 0.0f);
    fingerprint.accuracy.push_back(weight > 0 ? 0.9f : 0.0f);
  }
  out.part = model.partition(classes);
  return out;
}

}  // namespace p2p::testing
