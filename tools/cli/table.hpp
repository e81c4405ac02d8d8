// Columns of text for people.
#pragma once

#include <string>
#include <vector>

#include "tools/cli/output.hpp"

namespace p2p::tools {

/// Left-aligned columns, as wide as their widest cell (in UTF-8 characters).
class Table {
 public:
  explicit Table(std::vector<std::string> header) : header_(std::move(header)) {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  std::string text(bool with_header) const;

 private:
  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;
};

/// "0.3 ms"; "-" for null: not measured.
std::string ms_text(const Json& milliseconds);
/// "812 B", "1.4 KB", "20.1 MB".
std::string bytes_text(double bytes);

}  // namespace p2p::tools
