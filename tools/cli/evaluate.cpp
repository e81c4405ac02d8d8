#include "tools/cli/evaluate.hpp"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "metadata/base/random.hpp"
#include "tools/data/row_coder.hpp"

namespace p2p::tools {

namespace {

/// Seconds that this thread has had a processor: what else runs on the machine does not count.
double thread_seconds() {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

/// Adds the time from its making to its end.
class Stopwatch {
 public:
  explicit Stopwatch(double& total) : total_(total), start_(thread_seconds()) {}
  ~Stopwatch() { total_ += thread_seconds() - start_; }
  Stopwatch(const Stopwatch&) = delete;

 private:
  double& total_;
  double start_;
};

}  // namespace

struct SampleBlocks::State {
  DataFile file;
  metadata::Task task;
  RowCoder coder;
  std::uint64_t samples_left;  // of what the caller wants
  std::size_t width, most_rows;
  ReadCounts counts;
  Row row;
  bool ended = false;
  // Shuffled: all rows, and the order in which they are given.
  bool shuffled = false;
  SampleBlock all;
  std::vector<std::size_t> order;
  std::size_t given = 0;

  State(DataFile data_file, const metadata::Task& a_task, std::uint64_t samples)
      : file(std::move(data_file)),
        task(a_task),
        coder(task),
        samples_left(samples == 0 ? ~std::uint64_t{0} : samples),
        width(task.scaled_features()),
        most_rows(std::clamp<std::size_t>(kBlockValues / width, 1, kBlockRows)) {}

  tl::unexpected<Error> refuse(Error error) const {
    error.message = fmt::format("{}: {}", file.place(row.line), error.message);
    return tl::unexpected(std::move(error));
  }

  /// Appends one labelled row; false at the end.
  Result<bool> read_one(SampleBlock& to) {
    while (!ended && samples_left > 0) {
      const auto got = file.source->next(row);
      if (!got) return tl::unexpected(got.error());
      if (*got != SampleSource::Got::row) {
        ended = true;
        break;
      }
      if (!row.labelled) {
        ++counts.unlabelled;
        continue;
      }
      const auto label = resolve_label(task.classes, row.label);
      if (!label) return refuse(label.error());
      if (auto ok = coder.code(row); !ok) return refuse(ok.error());
      const auto at = to.x.size();
      to.x.resize(at + width);
      if (auto ok = task.scale(row.x, std::span(to.x).subspan(at)); !ok) return refuse(ok.error());
      counts.missing = coder.missing();
      counts.unknown = coder.unknown();
      to.labels.push_back(*label);
      --samples_left;
      return true;
    }
    return false;
  }
};

SampleBlocks::SampleBlocks(DataFile file, const metadata::Task& task, std::uint64_t samples)
    : state_(std::make_unique<State>(std::move(file), task, samples)) {}
SampleBlocks::~SampleBlocks() = default;
SampleBlocks::SampleBlocks(SampleBlocks&&) noexcept = default;

const ReadCounts& SampleBlocks::counts() const { return state_->counts; }

Result<void> SampleBlocks::shuffle(std::uint64_t seed) {
  auto& s = *state_;
  s.all.width = s.width;
  while (true) {
    const auto more = s.read_one(s.all);
    if (!more) return tl::unexpected(more.error());
    if (!*more) break;
    if (s.all.x.size() * sizeof(float) > kMaxShuffledBytes) {
      return fail(
          ErrorCode::limit_exceeded,
          fmt::format(
              "{} has more than {} MB of scaled samples, too many to shuffle in memory; take "
              "fewer with --samples, or shuffle the file",
              s.file.path, kMaxShuffledBytes >> 20));
    }
  }
  s.order.resize(s.all.rows());
  std::iota(s.order.begin(), s.order.end(), std::size_t{0});
  Random random(seed);
  for (std::size_t i = s.order.size(); i > 1; --i) {
    std::swap(s.order[i - 1], s.order[static_cast<std::size_t>(random.below(i))]);
  }
  s.shuffled = true;
  return {};
}

Result<void> SampleBlocks::next(SampleBlock& block) {
  auto& s = *state_;
  block.width = s.width;
  block.x.clear();
  block.labels.clear();
  while (block.rows() < s.most_rows) {
    if (s.shuffled) {
      if (s.given == s.order.size()) break;
      const auto from = s.all.row(s.order[s.given]);
      block.x.insert(block.x.end(), from.begin(), from.end());
      block.labels.push_back(s.all.labels[s.order[s.given++]]);
      continue;
    }
    const auto more = s.read_one(block);
    if (!more) return tl::unexpected(more.error());
    if (!*more) break;
  }
  return {};
}

double Measured::samples_per_s() const {
  return learn_s > 0 ? static_cast<double>(metrics.samples()) / learn_s : 0;
}

double Measured::kappa_temporal() const {
  const double room = 1 - metrics.no_change_accuracy();
  return room > 0 ? 1 - (1 - metrics.accuracy()) / room : 0;
}

Result<Measured> evaluate(SampleBlocks& blocks, learner::Model& model, DriftWatch* watch,
                          const EvaluateOptions& options,
                          const std::function<void(const Measured&)>& progress) {
  Measured out{.metrics = learner::Prequential(model.spec().classes, options.window)};
  SampleBlock block;
  std::vector<learner::ClassIndex> predicted;
  std::string kind;
  while (true) {
    {
      const Stopwatch reading(out.read_s);
      if (auto ok = blocks.next(block); !ok) return tl::unexpected(ok.error());
    }
    if (block.rows() == 0) return out;
    predicted.resize(block.rows());

    {
      const auto wall_from = std::chrono::steady_clock::now();
      const Stopwatch learning(out.learn_s);
      for (std::size_t i = 0; i < block.rows(); ++i) {
        predicted[i] = model.predict_then_learn(block.row(i), block.labels[i]);
      }
      out.learn_wall_s +=
          std::chrono::duration<double>(std::chrono::steady_clock::now() - wall_from).count();
    }

    for (std::size_t i = 0; i < block.rows(); ++i) {
      out.metrics.add(block.labels[i], predicted[i]);
      const auto n = out.metrics.samples();
      if (n % out.curve_step != 0) continue;
      out.curve.push_back({n, out.metrics.windowed_accuracy()});
      if (out.curve.size() < kCurvePoints) continue;
      for (std::size_t k = 0; k < kCurvePoints / 2; ++k) out.curve[k] = out.curve[2 * k + 1];
      out.curve.resize(kCurvePoints / 2);
      out.curve_step *= 2;
    }
    if (watch != nullptr) {
      const Stopwatch detecting(out.detect_s);
      for (std::size_t i = 0; i < block.rows(); ++i) {
        const auto level =
            watch->update(block.row(i), block.labels[i], predicted[i], kind);
        out.warnings += level == learner::DriftLevel::warning;
        if (level != learner::DriftLevel::drift) continue;
        if (out.alarms.size() == kMaxAlarms) {
          ++out.more_alarms;
        } else {
          out.alarms.push_back({out.metrics.samples() - block.rows() + i + 1, kind});
        }
      }
    }
    if (progress) progress(out);
    if (options.stop && options.stop()) {
      out.stopped = true;
      return out;
    }
  }
}

Result<HeldOut> held_out(SampleBlocks& blocks, const learner::Model& model,
                         const std::function<bool()>& stop) {
  HeldOut out;
  SampleBlock block;
  std::vector<learner::ClassIndex> predicted;
  while (true) {
    if (auto ok = blocks.next(block); !ok) return tl::unexpected(ok.error());
    if (block.rows() == 0) return out;
    predicted.resize(block.rows());
    {
      const Stopwatch predicting(out.predict_s);
      for (std::size_t i = 0; i < block.rows(); ++i) predicted[i] = model.predict(block.row(i));
    }
    for (std::size_t i = 0; i < block.rows(); ++i) out.correct += predicted[i] == block.labels[i];
    out.samples += block.rows();
    if (stop && stop()) return out;
  }
}

}  // namespace p2p::tools
