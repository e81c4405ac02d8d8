// Family "mlp": a perceptron with one hidden layer, trained as it goes.
#pragma once

#include <memory>
#include <vector>

#include "learner/model.hpp"
#include "learner/models/mlp/dense_layer.hpp"

namespace p2p::learner {

/// h = max(leak u, u) with u = W1' [x; 1],  P(c | x) = softmax(W2' [h; 1]), loss -log P(y | x),
/// gradients by back-propagation, steps by AdaGrad (DenseLayer). A batch is filled sample by
/// sample: each is answered at once, with weights that stay as they are until the batch is full.
///
/// The first weights are drawn from the task's seed, so all nodes start from the same ones, and the
/// mean of two nodes' weights means something.
///
/// Blocks: "layer/0" (x to h) and "layer/1" (h to the classes), with their AdaGrad sums. They
/// travel together, whatever classes are asked for: the rows of a class mean nothing over another
/// node's hidden layer (rows alone were measured to lose). merge, replace: the whole model, other
/// classes included. A sender that does not know a class that is known here, and was not to be
/// replaced, is blended instead: its model alone would lose that class. merge, blend: the mean of
/// both models, weighed by evidence, rows of a class that one side does not know as the other has
/// them; the spec's fingerprint holds the seed, so both come from one initialisation. A batch that
/// was being filled is dropped.
///
/// References: Rumelhart, Hinton, Williams, Nature 323, 1986; Duchi, Hazan, Singer, JMLR 12, 2011;
/// averaging from a common start: McMahan et al., "Communication-Efficient Learning of Deep
/// Networks from Decentralized Data", AISTATS 2017, section 2.
///
/// Deviations: units leak (Maas, Hannun, Ng, ICML 2013): without it, units that a stream of noise
/// switched off never came back when a concept followed, and accuracy was lower on nine of twelve
/// streams; a class that was never seen is not among those that share the probability; AdaGrad's
/// sums decay, so that the model can follow a drift; a sample that is all but certain (1 - P(y | x)
/// < kCertain) trains nothing.
///
/// The blocks weigh 17 + 8 hidden (features + 1) and 17 + 8 classes (hidden + 1), bytes at 32 bits.
/// Cost per sample: about 3 hidden (features that are not zero) + 3 classes hidden multiplications
/// and as many roots as weights of a coordinate that is not zero. Bounds: 8 hidden (features +
/// classes) bytes, and half as much again with batches.
///
/// A sample with a feature that is not finite trains nothing.
class PerceptronLayers final : public Model {
 public:
  static constexpr std::string_view kFamily = "mlp";
  static constexpr float kCertain = 1e-3f;
  static Result<std::unique_ptr<PerceptronLayers>> make(const ModelSpec& spec);

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

  /// For tests: the layers, -log P(y | x), and its gradient by each layer's weights, in their
  /// layout.
  DenseLayer& layer(std::size_t which) { return which == 0 ? hidden_ : output_; }
  double loss(Features x, ClassIndex y) const;
  void gradient(Features x, ClassIndex y, std::span<float> by_hidden,
                std::span<float> by_output) const;

 private:
  struct Config {
    std::uint32_t hidden, batch;
    float leak;
    DenseLayer::Step step;
    std::uint64_t fingerprint;
  };
  PerceptronLayers(const ModelSpec& spec, const Config& config);
  PerceptronLayers(const PerceptronLayers&) = default;

  /// x forward through both layers, the scores of the classes into scores_; false: x is not finite.
  bool forward(Features x) const;
  /// After forward(): residuals into scores_, what reaches the hidden units into slopes_, active_
  /// complete. False when nothing is to be learnt.
  bool backward(ClassIndex y) const;
  void train(Features x, ClassIndex y);
  void collect(ClassIndex y);
  void apply_batch();
  void clear_batch();
  void drop_gradient();
  void replay(std::size_t samples);
  double most_evidence() const;
  struct Incoming;
  Result<void> read_block(const Block& block, std::uint32_t which, Incoming& in) const;

  /// A list of coordinates that are not zero, with room for all of them and the bias.
  struct Inputs {
    explicit Inputs(std::size_t size) : index(size + 17), value(size + 17) {}
    std::vector<std::uint32_t> index;
    std::vector<float> value;
    std::size_t count = 0;
    bool gather(std::span<const float> from);
    Sparse view() const { return {index.data(), value.data(), count}; }
  };

  ModelSpec spec_;
  Config config_;
  DenseLayer hidden_, output_;
  double evidence_ = 0;
  std::vector<std::uint8_t>
      known_;  ///< per class: 0 never seen, 1 seen, 2 first seen in this batch
  /// The batch being filled, and its gradient so far, which follows from it.
  std::size_t filled_ = 0;
  std::vector<float> batch_x_;
  std::vector<ClassIndex> batch_y_;
  std::vector<float> hidden_gradient_, output_gradient_;
  std::vector<std::uint8_t> hidden_marked_, output_marked_;
  /// Scratch: no allocation per sample.
  mutable Inputs inputs_, active_;
  mutable std::vector<float> units_, slopes_, scores_;
};

}  // namespace p2p::learner
