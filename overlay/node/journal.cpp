#include "overlay/node/journal.hpp"

#include <algorithm>
#include <utility>

namespace p2p::node {
namespace {

using learner::Trial;

constexpr std::uint32_t kFormat = 2;  // 1 had no `provisional`
constexpr std::size_t kMaxReason = 4096;
constexpr std::size_t kMaxFigures = 16;
constexpr std::size_t kMaxChallengers = 64;  // 8 parts make at most 17, four own concepts a few more
constexpr auto kLastCause = learner::DriftCause::confusion;
constexpr auto kLastKind = DriftKind::changed_mix;
constexpr auto kLastEvent = EventKind::interrupted;

std::string cut(std::string text, std::size_t most) {
  if (text.size() > most) {
    text.resize(most - 3);
    while (!text.empty() && (static_cast<unsigned char>(text.back()) & 0xC0) == 0x80) text.pop_back();
    if (!text.empty() && static_cast<unsigned char>(text.back()) >= 0xC0) text.pop_back();  // half a character
    text += "...";
  }
  return text;
}

/// One order of fields for both directions: what is written is what is read.
class Writer {
 public:
  template <Plain T>
  void value(const T& field) {
    out.put(field);
  }
  void count(const std::size_t& field) { out.put(static_cast<std::uint64_t>(field)); }
  void flag(const bool& field) { out.put(static_cast<std::uint8_t>(field)); }
  void time(const Duration& field) { out.put(static_cast<std::int64_t>(field.count())); }
  void text(const std::string& field, std::size_t most) { out.put_sized(view(cut(field, most))); }
  template <typename E>
  void choice(const E& field, E) {
    out.put(static_cast<std::uint8_t>(field));
  }
  template <typename T, typename Each>
  void list(const std::vector<T>& items, std::size_t most, Each each) {
    const auto size = std::min(items.size(), most);
    out.put(static_cast<std::uint32_t>(size));
    for (std::size_t i = 0; i < size; ++i) each(items[i]);
  }
  std::uint32_t format = kFormat;
  ByteWriter out;
};

class Reader {
 public:
  explicit Reader(ByteView bytes) : in(bytes) {}
  template <Plain T>
  void value(T& field) {
    field = in.get<T>();
  }
  void count(std::size_t& field) { field = static_cast<std::size_t>(in.get<std::uint64_t>()); }
  void flag(bool& field) {
    const auto byte = in.get<std::uint8_t>();
    good = good && byte <= 1;
    field = byte == 1;
  }
  void time(Duration& field) { field = Duration(in.get<std::int64_t>()); }
  void text(std::string& field, std::size_t most) { field = to_string(in.get_sized(most)); }
  template <typename E>
  void choice(E& field, E last) {
    const auto byte = in.get<std::uint8_t>();
    good = good && byte <= static_cast<std::uint8_t>(last);
    if (good) field = static_cast<E>(byte);
  }
  template <typename T, typename Each>
  void list(std::vector<T>& items, std::size_t most, Each each) {
    const auto size = in.get<std::uint32_t>();
    good = good && in.ok() && size <= most && size <= in.remaining();  // nothing is shorter than a byte
    if (!good) return;
    for (std::uint32_t i = 0; i < size && ok(); ++i) each(items.emplace_back());
  }
  bool ok() const { return good && in.ok(); }
  std::uint32_t format = kFormat;
  ByteReader in;
  bool good = true;
};

template <typename Coder, typename T>
void code_tally(Coder& coder, T& tally) {
  for (auto* field : {&tally.samples, &tally.champion_correct, &tally.challenger_correct, &tally.wins, &tally.losses}) {
    coder.count(*field);
  }
}

template <typename Coder, typename T>
void code_step(Coder& coder, T& step) {
  coder.choice(step.kind, kLastEvent);
  coder.value(step.samples);
  coder.value(step.wall_ms);
  coder.text(step.subject, Journal::kMaxText);
  coder.text(step.text, Journal::kMaxText);
  coder.list(step.figures, kMaxFigures, [&](auto& figure) {
    coder.text(figure.first, Journal::kMaxText);
    coder.value(figure.second);
  });
  coder.list(step.challengers, kMaxChallengers, [&](auto& challenger) {
    coder.text(challenger.label, Journal::kMaxText);
    code_tally(coder, challenger.tally);
    coder.value(challenger.luck);
  });
}

template <typename Coder, typename T>
void code_report(Coder& coder, T& report) {
  coder.value(report.id);
  coder.value(report.detected_at);
  coder.value(report.since);
  coder.choice(report.cause, kLastCause);
  coder.choice(report.kind, kLastKind);
  coder.list(report.classes, learner::kMaxClasses, [&](auto& c) { coder.value(c); });
  coder.value(report.part_of);
  coder.flag(report.finished);
  coder.value(report.archived);
  coder.value(report.own_concept);
  for (auto* field : {&report.attempts, &report.gets, &report.candidates, &report.parts, &report.blocks}) {
    coder.count(*field);
  }
  coder.text(report.helper, Journal::kMaxText);
  coder.value(report.helper_distance);
  coder.value(report.bytes_pulled);
  coder.flag(report.accepted);
  if (coder.format >= 2) coder.flag(report.provisional);
  coder.flag(report.rolled_back);
  coder.text(report.reason, kMaxReason);
  code_tally(coder, report.tally);
  coder.value(report.luck);
  coder.value(report.merged_at);
  code_tally(coder, report.watch);
  for (auto* field : {&report.lookup, &report.ask, &report.pull, &report.trial, &report.detect_to_merge}) {
    coder.time(*field);
  }
  coder.value(report.steps_left_out);
  coder.list(report.steps, DriftReport::kMaxSteps, [&](auto& step) { code_step(coder, step); });
}

}  // namespace

void add_step(DriftReport& report, Step step) {
  step.text = cut(std::move(step.text), Journal::kMaxText);
  if (report.steps.size() == DriftReport::kMaxSteps) {
    report.steps.erase(report.steps.begin() + 1);  // the alarm stays, and so does how it ends
    ++report.steps_left_out;
  }
  report.steps.push_back(std::move(step));
}

void Journal::put(const DriftReport& report) {
  ++version_;
  for (auto it = reports_.rbegin(); it != reports_.rend(); ++it) {
    if (it->id == report.id) {
      *it = report;
      return;
    }
  }
  if (reports_.size() == kMax) reports_.erase(reports_.begin());
  reports_.push_back(report);
}

const DriftReport* Journal::find(std::uint64_t id) const {
  const auto at = std::find_if(reports_.begin(), reports_.end(), [id](const DriftReport& report) { return report.id == id; });
  return at == reports_.end() ? nullptr : &*at;
}

void Journal::interrupt(std::uint64_t samples, std::uint64_t wall_ms) {
  for (auto& report : reports_) {
    if (report.finished) continue;
    ++version_;
    report.finished = true;
    report.reason += report.reason.empty() ? "" : "; ";
    report.reason += !report.accepted      ? "the node stopped before this drift was healed"
                     : report.rolled_back ? "the node stopped before labels spoke for the merge, and the former model goes on"
                                          : "the node stopped while the merge was being watched, and it stays";
    add_step(report, {.kind = EventKind::interrupted, .samples = samples, .wall_ms = wall_ms, .text = report.reason});
  }
}

Bytes Journal::encode() const {
  Writer writer;
  writer.out.put(writer.format);
  writer.list(reports_, kMax, [&](const DriftReport& report) { code_report(writer, report); });
  return writer.out.take();
}

Result<Journal> Journal::decode(ByteView bytes) {
  Reader reader(bytes);
  reader.format = reader.in.get<std::uint32_t>();
  if (reader.ok() && reader.format > kFormat) {
    return fail(ErrorCode::version, "the journal of drifts was saved by a newer p2p-learner");
  }
  reader.good = reader.format > 0;
  Journal journal;
  std::uint64_t last = 0;
  reader.list(journal.reports_, kMax, [&](DriftReport& report) {
    code_report(reader, report);
    reader.good = reader.good && report.id > last;
    last = report.id;
  });
  if (!reader.ok() || !reader.in.at_end()) return fail(ErrorCode::malformed, "the saved journal of drifts is damaged");
  return journal;
}

}  // namespace p2p::node
