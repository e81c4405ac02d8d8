// Words and numbers in sentences for people.
#pragma once

#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>

namespace p2p {

/// What `count` of a thing is called: "node" for 1, else `many`, by default with an s: "nodes".
template <std::integral T>
std::string plural(T count, std::string_view one, std::string_view many = {}) {
  if (count == 1) return std::string(one);
  return many.empty() ? std::string(one) + "s" : std::string(many);
}

/// "1 node", "0 nodes", "3 entries": counted(3, "entry", "entries").
template <std::integral T>
std::string counted(T count, std::string_view one, std::string_view many = {}) {
  return std::to_string(count) + " " + plural(count, one, many);
}

/// Insertions, deletions, replacements and swapped neighbours that turn one word into the other (optimal string
/// alignment): how near a word is to the one that was probably meant.
std::size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace p2p
