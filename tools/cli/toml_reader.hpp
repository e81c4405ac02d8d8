// Reads a TOML table into variables, and says precisely what it does not understand.
#pragma once

#include <toml++/toml.h>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "metadata/base/error.hpp"

namespace p2p::tools {

/// One table of a configuration file. Every get() names a key that may be there; finish() refuses
/// all others.
///
/// Only the first error counts; after it everything is passed over. Reading continues into the same
/// variables, so their values beforehand are the defaults.
class TomlTable {
 public:
  struct Source {
    std::string path;                ///< for messages
    std::vector<std::string> known;  ///< "table.key" of all tables, for suggestions
    std::optional<Error> error;      ///< the first one
  };
  /// `table` null: the file does not have it.
  TomlTable(Source& source, std::string name, const toml::table* table);

  void get(std::string_view key, std::string& out);
  void get(std::string_view key, bool& out);
  void get(std::string_view key, std::vector<std::string>& out);
  void get(std::string_view key, double& out, double least, double most);
  template <std::unsigned_integral T>
  void get(std::string_view key, T& out, std::uint64_t least, std::uint64_t most) {
    if (const auto value = integer(key, least, most)) out = static_cast<T>(*value);
  }
  /// The number of the key, if it is there; it must be one of `numbers`.
  std::optional<std::uint64_t> get_number(std::string_view key,
                                          const std::vector<std::uint64_t>& numbers);
  /// The index of the word among `words`, if the key is there.
  std::optional<std::size_t> get_word(std::string_view key,
                                      const std::vector<std::string_view>& words);
  /// A key that is read elsewhere.
  void allow(std::string_view key) { asked_.emplace(key); }
  /// Line of a key, for errors that the caller finds; 0 when it is not there.
  std::uint32_t line(std::string_view key) const;
  /// Refuses every key that no get() has named.
  void finish();

 private:
  const toml::node* find(std::string_view key);
  std::optional<std::uint64_t> integer(std::string_view key, std::uint64_t least,
                                       std::uint64_t most);
  void refuse(const toml::node& node, const std::string& what);
  void wrong_type(std::string_view key, const toml::node& node, std::string_view wanted);

  Source& source_;
  std::string name_;
  const toml::table* table_;
  std::set<std::string, std::less<>> asked_;
};

/// "FILE:LINE: what", as compilers write it.
Error config_error(const std::string& path, std::uint32_t line, const std::string& what);

}  // namespace p2p::tools
