#include "learner/models/auto/auto_model.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/core.h>

#include "learner/drift/state.hpp"
#include "learner/models/params.hpp"
#include "learner/models/part_checks.hpp"
#include "learner/transfer/quantise.hpp"

namespace p2p::learner {
namespace {

constexpr std::uint32_t kStateMagic = 0x314F5455;  // "UTO1"
constexpr std::uint32_t kMostForFast = 128;
constexpr std::size_t kMaxExpertBytes = std::size_t{1} << 31;
constexpr float kMaxWorth = 1e4f;
constexpr float kMaxSquare = 1e6f;

bool finite(Features x) {
  return std::all_of(x.begin(), x.end(), [](float v) { return std::isfinite(v); });
}

struct Sizes {
  std::uint32_t trees, dimensions, hidden;
};

/// The experts for a task, by name, with the spec of each.
std::vector<std::pair<std::string, ModelSpec>> plan(const ModelSpec& task, const Sizes& sizes) {
  std::vector<std::pair<std::string, ModelSpec>> out;
  const auto add = [&](std::string name, std::string_view family,
                       std::map<std::string, double> params) {
    ModelSpec spec = task;
    spec.family = std::string(family);
    spec.params = std::move(params);
    out.emplace_back(std::move(name), std::move(spec));
  };
  const std::uint32_t d = task.features;
  if (sizes.trees > 0) add("arf", "arf", {{"trees", sizes.trees}});
  // A bandwidth of 0 says that all samples were equal: there is no scale for a kernel.
  if (task.bandwidth > 0 && sizes.dimensions > 0) {
    // Few features leave the kernel room to be narrow; with many, distances hardly differ.
    const double narrow = d <= 32 ? 8 : d <= kMostForFast ? 4 : 1;
    add("smooth", "rff",
        {{"dimensions", sizes.dimensions},
         {"learning_rate", 0.3},
         {"decay", 0.9998},
         {"sharpness", narrow},
         {"raw", 0}});
    if (d <= kMostForFast) {
      add("fast", "rff",
          {{"dimensions", (sizes.dimensions + 1) / 2},
           {"learning_rate", 1},
           {"decay", 0.9998},
           {"sharpness", 4},
           {"raw", 1}});
      add("ridge", "ridge", {{"dimensions", std::min(sizes.dimensions, 64u)}, {"refresh", 100}});
    }
  }
  add("mlp", "mlp", {{"hidden", sizes.hidden}});
  add("perceptron", "perceptron", {});
  return out;
}

}  // namespace

/// The block "vote/all" of another node.
struct Auto::IncomingVote {
  std::uint32_t classes = 0;
  double evidence = 0;
  std::vector<Record> records;  ///< of the experts, then of the vote
  std::vector<float> worth, squares;
};

void Auto::Record::add(bool hit, double window) {
  ++judged;
  const double share = std::max(1 / window, 1 / (static_cast<double>(judged) + 1));
  if (judged == 1) accuracy = 0.5;
  accuracy += ((hit ? 1.0 : 0.0) - accuracy) * share;
}

Result<std::unique_ptr<Auto>> Auto::make(const ModelSpec& spec) {
  Params params(spec);
  Config config;
  config.window = params.number("window", 500, 10, 1e6);
  config.patience = params.number("patience", 2, 1, 1e6);
  config.rest = params.whole("rest", 8, 1, 1u << 20);
  const bool images = spec.features > kMostForTrees;
  Sizes sizes;
  sizes.trees = params.whole("trees", images ? 0 : 10, 0, 512);
  sizes.dimensions = params.whole("dimensions", images ? 512 : 1024, 0, 1u << 13);
  sizes.hidden = params.whole("hidden", images ? 128 : 64, 1, 1024);
  config.fingerprint = params.fingerprint();
  if (auto ok = params.check(); !ok) return tl::unexpected(ok.error());
  std::vector<Expert> experts;
  for (auto& [name, task] : plan(spec, sizes)) {
    auto model = make_model(task);
    if (!model) {
      return fail(model.error().code,
                  fmt::format("the expert {} of auto cannot be: {}", name, model.error().message));
    }
    experts.push_back({name, std::move(*model), {}, false, 0});
  }
  return std::unique_ptr<Auto>(new Auto(spec, config, std::move(experts)));
}

Auto::Auto(const ModelSpec& spec, const Config& config, std::vector<Expert> experts)
    : spec_(spec),
      config_(config),
      experts_(std::move(experts)),
      votes_(experts_.size(), spec.classes),
      said_(experts_.size(), kNoClass),
      scores_(spec.classes) {}

Auto::Auto(const Auto& other)
    : Model(other),
      spec_(other.spec_),
      config_(other.config_),
      votes_(other.votes_),
      vote_record_(other.vote_record_),
      errors_(other.errors_),
      samples_(other.samples_),
      said_(other.said_),
      scores_(other.scores_) {
  for (const Expert& e : other.experts_)
    experts_.push_back({e.name, e.model->clone(), e.record, e.resting, e.awake});
}

std::unique_ptr<Model> Auto::clone() const { return std::unique_ptr<Model>(new Auto(*this)); }

std::size_t Auto::best() const {
  std::size_t at = experts_.size();
  double top = vote_record_.accuracy;
  for (std::size_t e = 0; e < experts_.size(); ++e) {
    if (experts_[e].resting || !(experts_[e].record.accuracy > top)) continue;
    top = experts_[e].record.accuracy;
    at = e;
  }
  return at;
}

/// The vote's class; its scores into scores_, the experts' classes into said_.
ClassIndex Auto::vote(Features x) const {
  for (std::size_t e = 0; e < experts_.size(); ++e)
    said_[e] = experts_[e].resting ? kNoClass : experts_[e].model->predict(x);
  votes_.scores(said_, scores_);
  return static_cast<ClassIndex>(std::max_element(scores_.begin(), scores_.end()) -
                                 scores_.begin());
}

void Auto::scores(Features x, std::span<float> out) const {
  P2P_ASSERT(x.size() == spec_.features && out.size() == spec_.classes);
  const std::size_t chosen = best();
  if (chosen < experts_.size()) return experts_[chosen].model->scores(x, out);
  vote(x);
  std::copy(scores_.begin(), scores_.end(), out.begin());
}

ClassIndex Auto::predict(Features x) const {
  P2P_ASSERT(x.size() == spec_.features);
  const std::size_t chosen = best();
  return chosen < experts_.size() ? experts_[chosen].model->predict(x) : vote(x);
}

void Auto::learn(Features x, ClassIndex y) { predict_then_learn(x, y); }

ClassIndex Auto::predict_then_learn(Features x, ClassIndex y) {
  P2P_ASSERT(x.size() == spec_.features);
  P2P_ASSERT(y >= 0 && static_cast<std::uint32_t>(y) < spec_.classes);
  if (!finite(x)) return predict(x);
  const std::size_t chosen = best();
  for (std::size_t e = 0; e < experts_.size(); ++e) {
    Expert& expert = experts_[e];
    said_[e] = kNoClass;
    if (!expert.resting) {
      said_[e] = expert.model->predict_then_learn(x, y);
      expert.record.add(said_[e] == y, config_.window);
      ++expert.awake;
    } else if ((samples_ + e) % config_.rest == 0) {
      // Not one after the other on the same sample; its window then spans as many samples of its
      // own.
      expert.record.add(expert.model->predict_then_learn(x, y) == y, config_.window);
    }
  }
  votes_.scores(said_, scores_);
  const auto voted =
      static_cast<ClassIndex>(std::max_element(scores_.begin(), scores_.end()) - scores_.begin());
  const ClassIndex answer = chosen < experts_.size() ? said_[chosen] : voted;
  vote_record_.add(voted == y, config_.window);
  votes_.learn(said_, y, scores_);
  ++samples_;
  if (errors_.update(answer == y ? 0 : 1) == DriftLevel::drift) {
    for (Expert& expert : experts_) wake(expert);
  }
  gate();
  return answer;
}

void Auto::wake(Expert& expert) {
  expert.resting = false;
  expert.awake = 0;
}

void Auto::gate() {
  double top = 0;
  for (const Expert& expert : experts_) {
    if (!expert.resting) top = std::max(top, expert.record.accuracy);
  }
  const double most = config_.patience * (1 - top) + kSlack;
  for (Expert& expert : experts_) {
    const double error = 1 - expert.record.accuracy;
    if (expert.resting ? error < most : expert.awake >= kTrialTime && error > 1.1 * most) {
      expert.resting = !expert.resting;
      expert.awake = 0;
    }
  }
}

void Auto::grow(std::uint32_t classes) {
  P2P_ASSERT(classes >= spec_.classes && classes <= kMaxClasses);
  spec_.classes = classes;
  for (Expert& expert : experts_) expert.model->grow(classes);
  votes_.grow(classes);
  scores_.resize(classes);
}

Block Auto::vote_block(std::span<const ClassIndex> classes, Precision precision) const {
  Block block{"vote/all", {classes.begin(), classes.end()}, static_cast<double>(samples_), {}};
  ByteWriter out;
  out.put(config_.fingerprint);
  out.put(static_cast<std::uint8_t>(precision));
  out.put(spec_.classes);
  for (const Expert& expert : experts_) {
    out.put(expert.record.accuracy);
    out.put(expert.record.judged);
  }
  out.put(vote_record_.accuracy);
  out.put(vote_record_.judged);
  put_numbers(out, votes_.worth, precision);
  put_levels(out, votes_.squares, precision);
  block.content = out.take();
  return block;
}

Part Auto::partition(std::span<const ClassIndex> classes, Precision precision) const {
  Part part{spec_.family, {}};
  std::vector<ClassIndex> known;
  for (const Expert& expert : experts_) {
    if (expert.resting) continue;
    for (Block& block : expert.model->partition(classes, precision).blocks) {
      ByteWriter out;
      out.put(config_.fingerprint);
      block.name = expert.name + "/" + block.name;
      Bytes content = out.take();
      content.insert(content.end(), block.content.begin(), block.content.end());
      block.content = std::move(content);
      for (const ClassIndex c : block.classes) {
        if (!contains(known, c)) known.push_back(c);
      }
      part.blocks.push_back(std::move(block));
    }
  }
  std::sort(known.begin(), known.end());
  if (!part.blocks.empty() && samples_ > 0) part.blocks.push_back(vote_block(known, precision));
  return part;
}

Result<void> Auto::read_vote(const Block& block, IncomingVote& in) const {
  const auto damaged = [&](std::string_view what) { return refused(block, what); };
  if (in.classes != 0) return damaged("it appears twice");
  ByteReader bytes(block.content);
  const auto precision = read_head(block, bytes, config_.fingerprint);
  if (!precision) return tl::unexpected(precision.error());
  const auto classes = bytes.get<std::uint32_t>();
  if (classes < 2 || classes > spec_.classes) return damaged("it has more classes than this task");
  if (auto ok = check_block(block, classes); !ok) return ok;
  in.records.resize(experts_.size() + 1);
  StateReader state(bytes);
  for (Record& record : in.records) {
    record.accuracy = state.number(0, 1);
    record.judged = state.count();
  }
  if (!state.ok()) return damaged("an accuracy is out of range");
  in.worth.resize(experts_.size() * classes);
  in.squares.resize(in.worth.size());
  if (auto got = get_numbers(bytes, in.worth, *precision, kMaxWorth); !got)
    return damaged(got.error().message);
  if (auto got = get_levels(bytes, in.squares, *precision, kMaxSquare); !got)
    return damaged(got.error().message);
  if (!bytes.at_end()) return damaged("bytes follow its numbers");
  in.classes = classes;
  in.evidence = block.evidence;
  return {};
}

void Auto::take_vote(const IncomingVote& in, const MergeOptions& options) {
  if (in.classes == 0 || !(in.evidence > 0)) return;
  const auto own = static_cast<double>(samples_);
  const double share =
      options.mode == MergeOptions::Mode::blend ? in.evidence / (in.evidence + own) : 1;
  const auto mine = static_cast<float>(1 - share), theirs = static_cast<float>(share);
  for (std::size_t e = 0; e < experts_.size(); ++e) {
    for (std::size_t c = 0; c < in.classes; ++c) {
      if (!options.classes.empty() && !contains(options.classes, static_cast<ClassIndex>(c)))
        continue;
      float& worth = votes_.worth[e * votes_.classes + c];
      float& square = votes_.squares[e * votes_.classes + c];
      worth = mine * worth + theirs * in.worth[e * in.classes + c];
      square = mine * square + theirs * in.squares[e * in.classes + c];
    }
  }
  // Which expert is best elsewhere is a guess here, and one for who has nothing better. A node
  // judges its own experts on its own samples.
  if (samples_ >= kTrialTime || !options.classes.empty()) return;
  for (std::size_t e = 0; e < experts_.size(); ++e) experts_[e].record = in.records[e];
  vote_record_ = in.records.back();
}

Result<void> Auto::merge(const Part& part, const MergeOptions& options) {
  // How many blocks an expert may have, and which, it says itself.
  if (auto ok = check_part(part, options, spec_, std::nullopt); !ok) return ok;
  std::vector<Part> parts(experts_.size());
  IncomingVote vote;
  for (const Block& block : part.blocks) {
    if (block.name == "vote/all") {
      if (auto read = read_vote(block, vote); !read) return read;
      continue;
    }
    const std::size_t slash = std::min(block.name.find('/'), block.name.size());
    const auto expert = std::find_if(experts_.begin(), experts_.end(), [&](const Expert& e) {
      return std::string_view(block.name).substr(0, slash) == e.name;
    });
    if (expert == experts_.end() || slash == block.name.size())
      return refused(block, "no expert of this model has that name");
    ByteReader in(block.content);
    if (in.get<std::uint64_t>() != config_.fingerprint)
      return refused(block, "it belongs to a model of another spec");
    Part& own = parts[static_cast<std::size_t>(expert - experts_.begin())];
    own.family = expert->model->spec().family;
    own.blocks.push_back({block.name.substr(slash + 1), block.classes, block.evidence,
                          Bytes(block.content.begin() + 8, block.content.end())});
  }
  std::vector<std::unique_ptr<Model>> merged(experts_.size());
  for (std::size_t e = 0; e < experts_.size(); ++e) {
    if (parts[e].blocks.empty()) continue;
    merged[e] = experts_[e].model->clone();
    if (auto ok = merged[e]->merge(parts[e], options); !ok) {
      return fail(ok.error().code,
                  fmt::format("expert {}: {}", experts_[e].name, ok.error().message));
    }
  }
  // Nothing can fail from here on.
  take_vote(vote, options);
  for (std::size_t e = 0; e < experts_.size(); ++e) {
    if (!merged[e]) continue;
    experts_[e].model = std::move(merged[e]);
    wake(experts_[e]);
  }
  return {};
}

Bytes Auto::encode() const {
  ByteWriter out;
  out.put(kStateMagic);
  out.put(config_.fingerprint);
  out.put(spec_.classes);
  out.put(samples_);
  out.put(vote_record_.accuracy);
  out.put(vote_record_.judged);
  errors_.encode(out);
  out.put_array(std::span<const float>(votes_.worth));
  out.put_array(std::span<const float>(votes_.squares));
  for (const Expert& expert : experts_) {
    out.put(expert.record.accuracy);
    out.put(expert.record.judged);
    out.put(static_cast<std::uint8_t>(expert.resting));
    out.put(expert.awake);
    out.put_sized(expert.model->encode());
  }
  return out.take();
}

Result<void> Auto::decode(ByteView bytes) {
  const auto damaged = [](std::string_view what) {
    return fail(ErrorCode::malformed, fmt::format("the bytes of the model are damaged: {}", what));
  };
  ByteReader in(bytes);
  if (in.get<std::uint32_t>() != kStateMagic) return damaged("they are not of family auto");
  if (in.get<std::uint64_t>() != config_.fingerprint) {
    return fail(ErrorCode::invalid_argument,
                "the bytes are of a model with another spec; use the spec it was made with");
  }
  if (in.get<std::uint32_t>() != spec_.classes)
    return damaged("they have another number of classes");
  StateReader state(in);
  samples_ = state.count();
  vote_record_.accuracy = state.number(0, 1);
  vote_record_.judged = state.count();
  if (auto read = errors_.decode(in); !read) return damaged(read.error().message);
  for (float& worth : votes_.worth) worth = state.single(-1e30f, 1e30f);
  for (float& square : votes_.squares) square = state.single(0, 1e30f);
  for (Expert& expert : experts_) {
    expert.record.accuracy = state.number(0, 1);
    expert.record.judged = state.count();
    const auto resting = in.get<std::uint8_t>();
    state.check(resting <= 1);
    expert.resting = resting == 1;
    expert.awake = in.get<std::uint32_t>();
    if (!state.ok()) return damaged("a number is not finite or out of range");
    auto model = decode_model(expert.model->spec(), in.get_sized(kMaxExpertBytes));
    if (!model) return damaged(fmt::format("expert {}: {}", expert.name, model.error().message));
    expert.model = std::move(*model);
  }
  if (!in.ok()) return damaged("they end too early");
  if (!in.at_end()) return damaged("bytes follow the last expert");
  return {};
}

std::size_t Auto::bytes() const {
  std::size_t total = errors_.bytes() + 4 * (votes_.worth.size() + votes_.squares.size() +
                                             scores_.size() + said_.size());
  for (const Expert& expert : experts_) total += expert.model->bytes();
  return total;
}

std::vector<Auto::ExpertReport> Auto::report() const {
  std::vector<ExpertReport> out;
  const std::size_t chosen = best();
  for (std::size_t e = 0; e < experts_.size(); ++e) {
    const Expert& expert = experts_[e];
    out.push_back({expert.name, expert.record.accuracy, expert.resting, chosen == e});
  }
  out.push_back({"vote", vote_record_.accuracy, false, chosen == experts_.size()});
  return out;
}

}  // namespace p2p::learner
