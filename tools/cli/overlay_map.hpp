// The directory as a picture: where nodes and buckets lie, how full these are, and whom the node can reach.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/cli/overlay_survey.hpp"

namespace p2p::tools {

/// One table of the index drawn as a ring (ring_position), the nodes that one node has in mind, and its routing.
struct OverlayMap {
  struct Bucket {
    std::uint8_t depth = 0;
    std::uint32_t prefix = 0;
    std::size_t listed = 0;  ///< entries read: its load
    double crowd = 0;        ///< nodes that belong there, listed or not
    double from() const { return ring_position(prefix, depth); }
    double width() const;
  };
  struct Label {
    std::string name;
    std::size_t listed = 0;
    double crowd = 0;
  };
  struct Contact {
    std::string id, endpoint;
    double position = 0;             ///< on the ring
    std::optional<double> distance;  ///< between sketches
    bool near = false;
    double heard_ago_s = 0;
  };
  std::string node, table;
  std::vector<Bucket> buckets;  ///< all that were read of this table
  std::vector<Label> labels;
  std::vector<Contact> contacts;
  std::vector<double> seen;     ///< positions of all nodes that were listed somewhere or are contacts, each once
  std::optional<double> own;    ///< position of the node itself
  std::size_t good_nodes = 0, known_nodes = 0;
  double estimated_nodes = 0;
  std::size_t unread = 0, failed = 0;
};

/// `nodes`: the answer to overlay_nodes; `table` of kIndexTables.
OverlayMap make_map(const std::string& node, std::size_t table, const Json& nodes, const Survey& survey,
                    const metadata::Task& task);

/// The ring cut into equal sectors: how many of the nodes seen lie in each.
std::vector<std::size_t> sector_counts(const OverlayMap& map, std::size_t sectors);
/// A bucket should list about eight; one that lists more than so many is hot.
inline constexpr std::size_t kHotBucket = 16;

/// The ring unrolled, one row a depth, for a terminal of 80 columns.
std::string map_text(const OverlayMap& map);
/// The ring itself.
std::string map_svg(const OverlayMap& map);
/// Sentences that say what to look at: routing, the fullest bucket, gaps, contacts that are silent.
std::vector<std::string> map_findings(const OverlayMap& map);

}  // namespace p2p::tools
