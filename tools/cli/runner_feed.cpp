// The half of Runner that moves samples: from the source, through the learners, to lines.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "metadata/base/words.hpp"
#include "tools/cli/runner.hpp"

namespace p2p::tools {

Result<void> Runner::open_source() {
  const auto& from = config_.source;
  switch (from.kind) {
    case SourceConfig::Kind::stdin_lines: {
      const int flags = ::fcntl(STDIN_FILENO, F_GETFL);
      if (flags < 0)
        return fail(ErrorCode::io, "standard input is closed; use source.kind = \"none\"");
      ::fcntl(STDIN_FILENO, F_SETFL, flags | O_NONBLOCK);
      source_ = json_lines(STDIN_FILENO, true);
      break;
    }
    case SourceConfig::Kind::csv:
    case SourceConfig::Kind::idx: {
      auto opened = from.kind == SourceConfig::Kind::csv
                        ? open_csv({.path = from.path, .label = from.label, .text = true})
                        : open_idx(from.images, from.labels);
      if (!opened) return tl::unexpected(opened.error());
      source_ = std::move(*opened);
      break;
    }
    case SourceConfig::Kind::none:
      feeder_done_ = true;
      config_.source.stay_at_end = true;
      source_state_ = SourceState::ended;
      return {};
  }
  if (auto ok = coder_.check_columns(source_->feature_names()); !ok) {
    ok.error().message = fmt::format("{}: {}", from.path, ok.error().message);
    return ok;
  }
  if (const auto columns = source_->features(); columns != 0 && columns != task_.raw_features()) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("{} has {} features where the task has {}; is it the data of this task?",
                    from.kind == SourceConfig::Kind::csv ? from.path : from.images, columns,
                    task_.raw_features()));
  }
  return {};
}

Result<void> Runner::resume() {
  node_has_ = node_->status().node.samples;
  twin_has_ = twin_ ? twin_->status().node.samples : node_has_;
  if (!config_.source.finite()) {
    // The sender starts where it likes; both learn whatever comes.
    ordinal_ = node_has_;
    twin_has_ = std::min(twin_has_, node_has_);
    bits_from_ = counted_ = ordinal_;
    return {};
  }
  const auto from = std::min(node_has_, twin_has_);
  if (config_.source.kind == SourceConfig::Kind::idx) {
    const auto passed = source_->skip(from);
    if (!passed) return tl::unexpected(passed.error());
    rows_ = ordinal_ = *passed;
  } else {
    Row row;
    while (ordinal_ < from) {
      const auto got = source_->next(row);
      if (!got) return tl::unexpected(got.error());
      if (*got != SampleSource::Got::row) break;
      ++rows_;
      if (row.labelled) ++ordinal_;
    }
  }
  bits_from_ = counted_ = ordinal_;
  if (ordinal_ < from) {
    log(LogLevel::warning,
        fmt::format("the file has {} labelled samples, {} were learned before; is it another file? To start "
                    "anew, use an empty node.state_dir",
                    ordinal_, from));
  }
  return {};
}

bool Runner::feed() {
  if (!started_) {
    source_state_ = feeder_done_ ? SourceState::ended : SourceState::holding;
    return false;
  }
  if (feeder_done_) return false;
  source_state_ = SourceState::reading;
  std::uint64_t due = std::numeric_limits<std::uint64_t>::max();
  if (config_.source.rate > 0) {
    const std::chrono::duration<double> since = std::chrono::steady_clock::now() - pace_from_;
    due = static_cast<std::uint64_t>(since.count() * config_.source.rate) + 1;
  }
  const auto every = config_.progress_every;
  bool more = true;
  for (std::size_t taken = 0; more && !feeder_done_ && taken < kBatch && paced_ < due && exit_ == ExitCode::ok; ++taken) {
    more = take_row();
    // Progress is told at exact counts.
    if (every > 0 && !batch_.empty() && batch_.back().label &&
        (batch_.back().ordinal + 1) % every == 0)
      break;
  }
  process_batch();
  if (feeder_done_ && exit_ == ExitCode::ok) end_of_source();
  return !feeder_done_ && !source_waits_ && (config_.source.rate <= 0 || paced_ < due);
}

bool Runner::take_row() {
  if (config_.source.limit > 0 && rows_ >= config_.source.limit) {
    feeder_done_ = true;
    return false;
  }
  Pending pending;
  if (!spare_.empty()) {
    pending.row = std::move(spare_.back());
    spare_.pop_back();
  }
  const auto got = source_->next(pending.row);
  if (!got) {
    process_batch();  // lines appear in the order of their samples
    return refuse_row(got.error(), pending.row.line, source_->goes_on_after_error());
  }
  source_waits_ = *got == SampleSource::Got::wait;
  if (*got == SampleSource::Got::end) feeder_done_ = true;
  if (*got != SampleSource::Got::row) return false;
  if (!pending.row.ticket.empty()) {
    process_batch();
    return take_label(pending.row);
  }
  ++rows_;
  ++paced_;
  Row& row = pending.row;
  const bool goes_on = source_->goes_on_after_error();
  const auto refuse = [&](const std::string& what) {
    process_batch();
    return refuse_row(
        Error{ErrorCode::malformed,
              fmt::format("{}{} {}: {}", place(),
                          config_.source.kind == SourceConfig::Kind::idx ? "record" : "line", row.line, what),
              {}},
        row.line, goes_on);
  };
  if (auto ok = coder_.code(row); !ok) return refuse(ok.error().text());
  if (row.labelled) {
    auto label = resolve_label(task_.classes, row.label);
    if (!label) return refuse(label.error().text());
    pending.label = *label;
  }
  // Whatever the task cannot scale is refused before it reaches a learner, so that a batch never
  // fails halfway.
  scaled_.resize(task_.scaled_features());
  if (auto ok = task_.scale(row.x, scaled_); !ok) return refuse(ok.error().text());
  if (pending.label) pending.ordinal = ordinal_++;
  pending.later = pending.label && config_.source.labels_after > 0;
  batch_.push_back(std::move(pending));
  if (config_.source.labels_after > 0) {
    process_batch();
    give_labels(rows_ + 1);
  }
  return true;
}

std::string Runner::ticket(std::uint64_t number) const { return fmt::format("{}-{}", run_, number); }

std::optional<std::uint64_t> Runner::number_of(std::string_view ticket) const {
  const auto ours = run_ + "-";
  if (!ticket.starts_with(ours)) return std::nullopt;
  std::uint64_t number = 0;
  const auto* last = ticket.data() + ticket.size();
  const auto [end, status] = std::from_chars(ticket.data() + ours.size(), last, number);
  return status == std::errc{} && end == last && number > 0 ? std::optional(number) : std::nullopt;
}

bool Runner::take_label(const Row& row) {
  const auto refuse = [&](Error error) {
    // The ticket as the sender wrote it, whole: what the node counts by is only the end of it.
    error.message = fmt::format("line {}, ticket \"{}\": {}", row.line, row.ticket, error.message);
    return refuse_row(error, row.line, true);
  };
  const auto label = resolve_label(task_.classes, row.label);
  if (!label) return refuse(label.error());
  HeldBack late{.label = *label, .ordinal = ordinal_, .line = row.line};
  const auto number = number_of(row.ticket);
  if (!number) {
    return refuse({ErrorCode::not_found,
                   "this is no ticket of this run; tickets are in prediction lines, and hold until the node is started again",
                   {}});
  }
  late.node_ticket = late.twin_ticket = *number;  // both get the same samples
  if (auto done = give(late, Json{{"type", "label"}, {"line", row.line}, {"ticket", row.ticket}}); !done) {
    return refuse(done.error());
  }
  ++ordinal_;
  return true;
}

void Runner::give_labels(std::uint64_t before_row) {
  while (!held_back_.empty() && held_back_.front().due <= before_row && exit_ == ExitCode::ok) {
    const auto late = held_back_.front();
    held_back_.pop_front();
    if (auto done = give(late, Json{{"type", "label"}, {"line", late.line}}); !done) stop_with(done.error(), Context::run);
  }
}

Result<void> Runner::give(const HeldBack& late, Json line) {
  learner::ClassIndex by_node = learner::kNoClass, by_twin = learner::kNoClass;
  if (late.node_ticket != 0) {
    const auto outcome = node_->label(late.node_ticket, late.label);
    if (!outcome) return tl::unexpected(outcome.error());
    by_node = outcome->predicted;
  }
  if (twin_ && late.twin_ticket != 0) {
    const auto outcome = twin_->label(late.twin_ticket, late.label);
    if (!outcome) return tl::unexpected(outcome.error());
    by_twin = outcome->predicted;
  }
  if (config_.predictions && by_node != learner::kNoClass) {
    line["predicted"] = task_.classes[static_cast<std::size_t>(by_node)];
    line["y"] = task_.classes[static_cast<std::size_t>(late.label)];
    out_.put(line);
  }
  count(late.ordinal, late.label, by_node, by_twin);
  if (config_.progress_every > 0 && counted_ % config_.progress_every == 0) progress();
  return {};
}

void Runner::count(std::uint64_t ordinal, learner::ClassIndex label, learner::ClassIndex by_node,
                   learner::ClassIndex by_twin) {
  counted_ = ordinal + 1;
  if (!config_.correctness) return;
  const auto bit = [&](learner::ClassIndex predicted) {
    return predicted == learner::kNoClass ? '.' : predicted == label ? '1' : '0';
  };
  node_bits_ += bit(by_node);
  if (twin_) twin_bits_ += bit(by_twin);
}

std::string Runner::place() const {
  switch (config_.source.kind) {
    case SourceConfig::Kind::csv:
      return config_.source.path + ", ";
    case SourceConfig::Kind::idx:
      return config_.source.images + ", ";
    default:
      return {};
  }
}

bool Runner::refuse_row(const Error& error, std::uint64_t line, bool goes_on) {
  if (!goes_on) {
    feeder_done_ = true;
    stop_with(error, Context::data);
    return false;
  }
  ++input_errors_;
  out_.put(
      Json{{"type", "error"}, {"code", name(error.code)}, {"line", line}, {"text", error.text()}});
  log(LogLevel::debug, error.text());
  return true;
}

void Runner::process_batch() {
  if (batch_.empty()) return;
  const bool finite = config_.source.finite();
  const auto feed_one = [&](host::EdgeNode& learner, std::uint64_t has, std::vector<node::Outcome>& told) {
    std::vector<host::EdgeNode::Sample> samples;
    std::vector<std::size_t> from;
    told.assign(batch_.size(), {});
    for (std::size_t i = 0; i < batch_.size(); ++i) {
      if (finite && batch_[i].label && batch_[i].ordinal < has)
        continue;  // in its snapshot already
      samples.push_back({batch_[i].row.x, batch_[i].later ? std::nullopt : batch_[i].label});
      from.push_back(i);
    }
    if (samples.empty()) return true;
    const auto outcomes = learner.process(std::span<const host::EdgeNode::Sample>(samples));
    if (!outcomes) {
      stop_with(outcomes.error(), Context::run);
      return false;
    }
    for (std::size_t i = 0; i < outcomes->size(); ++i) told[from[i]] = (*outcomes)[i];
    return true;
  };
  std::vector<node::Outcome> by_node, by_twin;
  bool whole = feed_one(*node_, node_has_, by_node);
  if (whole && twin_) whole = feed_one(*twin_, twin_has_, by_twin);
  auto batch = std::move(batch_);
  batch_.clear();
  if (!whole) return;

  bool tell_progress = false;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const auto& pending = batch[i];
    const bool known = pending.label && !pending.later;
    const auto twin = twin_ ? by_twin[i] : node::Outcome{};
    if (config_.predictions && by_node[i].predicted != learner::kNoClass) {
      const auto class_name = [&](learner::ClassIndex c) {
        return task_.classes[static_cast<std::size_t>(c)];
      };
      Json line{{"type", "prediction"},
                {"line", pending.row.line},
                {"predicted", class_name(by_node[i].predicted)},
                {"y", known ? Json(class_name(*pending.label)) : Json(nullptr)}};
      if (!known && !finite) line["ticket"] = ticket(by_node[i].ticket);
      out_.put(line);
    }
    if (pending.later) {
      held_back_.push_back({.label = *pending.label,
                            .ordinal = pending.ordinal,
                            .line = pending.row.line,
                            .due = rows_ + config_.source.labels_after,
                            .node_ticket = by_node[i].ticket,
                            .twin_ticket = twin.ticket});
    }
    if (!known) continue;
    count(pending.ordinal, *pending.label, by_node[i].predicted, twin.predicted);
    tell_progress = tell_progress || (config_.progress_every > 0 && counted_ % config_.progress_every == 0);
  }
  if (tell_progress) progress();
  for (auto& pending : batch) spare_.push_back(std::move(pending.row));
}

void Runner::flush_correctness() {
  if (node_bits_.empty()) return;
  Json line{{"type", "correctness"}, {"from", bits_from_}, {"node", node_bits_}};
  if (twin_) line["twin"] = twin_bits_;
  out_.put(line);
  bits_from_ += node_bits_.size();
  node_bits_.clear();
  twin_bits_.clear();
}

void Runner::progress() {
  progress_at_ = counted_;
  drain_events();  // what happened before these counts is told before them
  flush_correctness();
  const auto status = node_->status();
  Json line{
      {"type", "progress"},
      {"samples", status.node.samples},
      {"accuracy", status.node.accuracy},
      {"windowed_accuracy", status.node.windowed_accuracy},
      {"twin_accuracy", nullptr},
      {"twin_windowed_accuracy", nullptr},
      {"phase", node::name(status.node.phase)},
      {"drifts", status.node.drifts},
      {"bytes_pulled", status.node.bytes_pulled},
      {"peers", status.overlay.good_nodes},
      {"links", std::count_if(status.peers.begin(), status.peers.end(),
                              [](const auto& peer) { return peer.connected; })},
  };
  if (twin_) {
    const auto twin = twin_->status().node;
    line["twin_accuracy"] = twin.accuracy;
    line["twin_windowed_accuracy"] = twin.windowed_accuracy;
  }
  out_.put(line);
}

void Runner::end_of_source() {
  source_state_ = SourceState::ended;
  give_labels(std::numeric_limits<std::uint64_t>::max());
  if (progress_at_ != counted_) progress();
  out_.put(Json{{"type", "end"}, {"samples", node_->status().node.samples}, {"rows", rows_}});
  log(LogLevel::info, fmt::format("the source is exhausted after {}{}", counted(rows_, "row"),
                                  config_.source.stay_at_end ? "; going on to serve" : ""));
}

}  // namespace p2p::tools
