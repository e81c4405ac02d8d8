// Worked examples in documents are golden files: the bytes are read from the page.
#pragma once

#include <catch2/catch.hpp>
#include <fstream>
#include <map>
#include <string>

#include "metadata/base/bytes.hpp"

namespace p2p::testing {

/// The blocks "```hex NAME ... ```" of a document, hexadecimal; what follows a '#' in a line is comment.
using HexBlocks = std::map<std::string, std::string>;

inline HexBlocks read_hex_blocks(const char* path) {
  std::ifstream file(path);
  REQUIRE(file);
  HexBlocks out;
  std::string line, name;
  while (std::getline(file, line)) {
    if (line.rfind("```hex ", 0) == 0) {
      name = line.substr(7);
      REQUIRE(out.count(name) == 0);
      out[name];
    } else if (line == "```") {
      name.clear();
    } else if (!name.empty()) {
      for (const char c : line.substr(0, line.find('#'))) {
        if (c != ' ') out[name] += c;
      }
    }
  }
  return out;
}

inline Bytes bytes_of(const HexBlocks& all, const std::string& name) {
  INFO(name);
  REQUIRE(all.count(name) == 1);
  const auto bytes = from_hex(all.at(name));
  REQUIRE(bytes);
  return *bytes;
}

}  // namespace p2p::testing
