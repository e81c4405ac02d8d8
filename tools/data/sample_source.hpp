// Where samples come from: one interface for files and streams.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "metadata/base/error.hpp"

namespace p2p::tools {

/// A cell that is no number: a category by its name.
struct TextCell {
  std::uint32_t column = 0;
  std::string text;
};

/// One sample as its source has it: not scaled, its label still text. NaN stands for "missing".
struct Row {
  std::vector<float> x;
  std::vector<TextCell> texts;  ///< where x has NaN because the cell is text; by column
  std::string label;
  bool labelled = false;
  std::string ticket;      ///< not empty: no sample, but the label of the one that this ticket stands for
  std::uint64_t line = 0;  ///< line of the text, or number of the record (1 is the first)
};

/// A stream of rows, read once from front to back with bounded memory.
///
/// Labels stay text here, so that the readers need no task: the same ones serve a node, and the
/// command that infers a task. `resolve_label` turns the text into a class.
class SampleSource {
 public:
  enum class Got { row, wait, end };
  virtual ~SampleSource() = default;

  /// The next row into `out` (its memory is reused). `wait`: nothing now; poll wait_fd().
  virtual Result<Got> next(Row& out) = 0;
  /// Passes over rows that need not be looked at; returns how many there were.
  virtual Result<std::uint64_t> skip(std::uint64_t count);
  /// Descriptor to poll for reading after `wait`; -1: this source never waits.
  virtual int wait_fd() const { return -1; }
  /// May next() be called again after an error? True where one bad line says nothing of the next.
  virtual bool goes_on_after_error() const { return false; }
  /// Columns per row; 0 when the source cannot know beforehand.
  virtual std::uint32_t features() const = 0;
  /// Names of the columns; empty when there are none.
  virtual std::vector<std::string> feature_names() const { return {}; }
  /// Rows in all; 0 when unknown.
  virtual std::uint64_t size() const { return 0; }
  /// Categories that the source itself declares, per column, empty for a numeric one; or nothing at
  /// all.
  virtual std::vector<std::vector<std::string>> declared_categories() const { return {}; }
  /// Classes that the source itself declares, in their order.
  virtual std::vector<std::string> declared_classes() const { return {}; }
};

/// Index of the class that `text` means: by name first, then, if it is a whole number within range,
/// by index. `invalid_argument` lists the classes otherwise.
Result<std::int32_t> resolve_label(std::span<const std::string> classes, const std::string& text);

/// IDX (the MNIST format), gzip or plain: unsigned bytes, images of 1 to 3 dimensions. Labels are
/// their decimal digits. Fails with file and byte offset for a wrong magic, a dimension of 0,
/// unequal counts, truncated or superfluous bytes.
Result<std::unique_ptr<SampleSource>> open_idx(const std::string& images,
                                               const std::string& labels);

struct CsvOptions {
  std::string path = {};
  std::string label = {};                ///< name of the label's column; empty: the last one
  bool unlabelled = false;               ///< all columns are features
  bool text = false;                     ///< a cell may be text (Row::texts); else it is refused
  std::vector<std::string> ignore = {};  ///< columns that are passed over
  bool header = true;  ///< false: the first line is data, and the columns are named x1, x2, ...
};
/// CSV with a header line (or without), gzip or plain; comma, semicolon or tab, whichever the
/// header has most of. Fields may be quoted; a quoted field ends on its line. Missing values:
/// empty, NaN, NA, N/A, null, ?. An empty label means: predict only. Errors name file, line and
/// column.
Result<std::unique_ptr<SampleSource>> open_csv(const CsvOptions& options);

/// LIBSVM / svmlight, gzip or plain: "label index:value ...", indices from 1, increasing, all
/// others 0; "# ..." is a comment, "qid:..." is passed over. `features`: how many there are; 0: the
/// largest index of the file, which is read once more for it. Rows are given dense. Errors name
/// file and line.
Result<std::unique_ptr<SampleSource>> open_libsvm(const std::string& path,
                                                  std::uint32_t features = 0);

struct ArffOptions {
  std::string path = {};
  std::string label = {};  ///< name of the class attribute; empty: the last one
  std::vector<std::string> ignore = {};
};
/// ARFF (Weka), gzip or plain, dense rows or sparse ones {index value, ...}: numeric, nominal and
/// string attributes; nominal values come as text, and what the file declares of them is told. "?"
/// is missing. Refused: date and relational attributes, weights of instances. Errors name file,
/// line and attribute.
Result<std::unique_ptr<SampleSource>> open_arff(const ArffOptions& options);

/// JSON lines from a file, gzip or plain; a line that does not parse ends it.
Result<std::unique_ptr<SampleSource>> open_json(const std::string& path);

/// JSON lines {"x": [...], "y": "class" | index | null} from a descriptor that stays the caller's,
/// and among them {"ticket": "...", "y": "class" | index}, a label that comes after its sample; with
/// `text` an element of x may be text. Lines that do not parse are errors with their number;
/// the next call goes on behind them. The descriptor should be non-blocking where the caller wants
/// `wait`.
std::unique_ptr<SampleSource> json_lines(int fd, bool text = false);

}  // namespace p2p::tools
