#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tools/cli/overlay_map.hpp"
#include "tools/cli/plot_text.hpp"

namespace p2p::tools {

namespace {

constexpr double kWidth = 1000, kHeight = 640, kCentre = 320;
constexpr double kDisk = 146, kRingFrom = 172, kRingTo = 306;  // radii: contacts within, buckets around
constexpr double kPanel = 660;
constexpr std::size_t kMostLabels = 16, kSectors = 128;

constexpr const char* kStyle =
    "<style>svg{background:#fff;font:12px sans-serif}text{fill:#333}.title{font-size:15px}.disk{fill:#f6f6f6;stroke:#ccc}"
    ".none{fill:none;stroke:#bbb;stroke-dasharray:2 3;stroke-width:.8}.few{fill:#bcd7f5;stroke:#fff}"
    ".full{fill:#4f8fd6;stroke:#fff}.hot{fill:#d64533;stroke:#fff}.near{fill:#1f5fbf}.far{fill:#fff;stroke:#1f5fbf;stroke-width:1.4}"
    ".seen{fill:#555}.silent{opacity:.35}.link{stroke:#9db8d8;stroke-width:.6}.self{fill:#e08a00}.mark{stroke:#e08a00;stroke-width:2}"
    "@media(prefers-color-scheme:dark){svg{background:#161616}text{fill:#ccc}.disk{fill:#202020;stroke:#444}.none{stroke:#555}"
    ".few{fill:#2c4a6d;stroke:#161616}.full{fill:#5a9be0;stroke:#161616}.hot{stroke:#161616}"
    ".near{fill:#7ab0ff}.far{fill:#161616;stroke:#7ab0ff}.seen{fill:#bbb}.link{stroke:#3c5270}}</style>\n";

struct Point {
  double x, y;
};
/// Position 0 is at the top, clockwise.
Point at(double position, double radius) {
  const double angle = 2 * std::numbers::pi * position - std::numbers::pi / 2;
  return {kCentre + radius * std::cos(angle), kCentre + radius * std::sin(angle)};
}

const char* css(const OverlayMap::Bucket& bucket) {
  if (bucket.listed == 0) return "none";
  return bucket.listed > kHotBucket ? "hot" : bucket.listed > kHotBucket / 2 ? "full" : "few";
}

/// A piece of a ring; the whole one, which has no two ends, in two halves.
std::string arc(double from, double width, double inner, double outer) {
  const auto piece = [&](double a, double b) {
    const auto p = at(a, outer), q = at(b, outer), r = at(b, inner), s = at(a, inner);
    return fmt::format("M{:.1f} {:.1f}A{:.1f} {:.1f} 0 0 1 {:.1f} {:.1f}L{:.1f} {:.1f}A{:.1f} {:.1f} 0 0 0 {:.1f} {:.1f}Z", p.x, p.y,
                       outer, outer, q.x, q.y, r.x, r.y, inner, inner, s.x, s.y);
  };
  if (width > 0.5) return piece(from, from + width / 2) + piece(from + width / 2, from + width);
  return piece(from, from + width);
}

std::string buckets(const OverlayMap& map) {
  int deepest = 0;
  for (const auto& bucket : map.buckets) deepest = std::max(deepest, int{bucket.depth});
  const double step = std::min(40.0, (kRingTo - kRingFrom) / (deepest / metadata::Place::kLevelBits + 1));
  std::string out;
  for (const auto& bucket : map.buckets) {
    const double inner = kRingFrom + step * (bucket.depth / metadata::Place::kLevelBits);
    out += fmt::format("<path class=\"{}\" d=\"{}\"><title>{}</title></path>\n", css(bucket),
                       arc(bucket.from(), bucket.width(), inner, inner + step - 2),
                       markup_escaped(fmt::format("{}/{}/{}: {} listed, about {:.0f} nodes belong here", map.table, bucket.depth,
                                                  bucket.prefix, bucket.listed, bucket.crowd)));
  }
  return out;
}

/// How many of the nodes seen lie where, on the rim of the contacts' disk: where many lie, buckets fill.
std::string seen(const OverlayMap& map) {
  const auto counts = sector_counts(map, kSectors);
  const auto most = std::max<std::size_t>(*std::max_element(counts.begin(), counts.end()), 1);
  std::string out;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0) continue;
    const double length = (kRingFrom - kDisk - 4) * static_cast<double>(counts[i]) / static_cast<double>(most);
    out += fmt::format("<path class=\"seen\" d=\"{}\"><title>{} nodes seen here</title></path>\n",
                       arc(static_cast<double>(i) / kSectors, 1.0 / kSectors, kDisk + 1, kDisk + 2 + length), counts[i]);
  }
  return out;
}

std::string contacts(const OverlayMap& map) {
  double furthest = 0;
  for (const auto& contact : map.contacts) furthest = std::max(furthest, contact.distance.value_or(0));
  std::string links, dots;
  for (const auto& contact : map.contacts) {
    const double share = furthest > 0 && contact.distance ? *contact.distance / furthest : 1;
    const auto p = at(contact.position, 12 + (kDisk - 20) * share);
    links += fmt::format("<line class=\"link\" x1=\"{0}\" y1=\"{0}\" x2=\"{1:.1f}\" y2=\"{2:.1f}\"/>", kCentre, p.x, p.y);
    const auto distance = contact.distance ? fmt::format("{:.3f}", *contact.distance) : std::string("unknown");
    dots += fmt::format("<circle class=\"{}{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4.5\"><title>{}</title></circle>\n",
                        contact.near ? "near" : "far", contact.heard_ago_s > 300 ? " silent" : "", p.x, p.y,
                        markup_escaped(fmt::format("{} at {}, distance {}, heard {:.0f} s ago", contact.id, contact.endpoint, distance,
                                                   contact.heard_ago_s)));
  }
  std::string out = fmt::format("<circle class=\"disk\" cx=\"{0}\" cy=\"{0}\" r=\"{1}\"/>\n{2}\n{3}", kCentre, kDisk, links, dots);
  if (map.own) {
    const auto a = at(*map.own, kDisk), b = at(*map.own, kRingTo + 8);
    out += fmt::format("<line class=\"mark\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"><title>the node itself</title></line>\n",
                       a.x, a.y, b.x, b.y);
  }
  return out + fmt::format("<circle class=\"self\" cx=\"{0}\" cy=\"{0}\" r=\"6\"><title>{1}</title></circle>\n", kCentre,
                           markup_escaped(map.node));
}

std::string legend(double y) {
  std::string out;
  for (const auto& [css, text] : {std::pair{"few", "a bucket that lists up to 8; deeper outside"}, {"full", "up to 16"}, {"hot", "more: hot"},
                                  {"none", "nobody"}, {"seen", "how many nodes were seen there"}}) {
    out += fmt::format("<rect class=\"{}\" x=\"{}\" y=\"{:.0f}\" width=\"16\" height=\"12\"/><text x=\"{}\" y=\"{:.0f}\">{}</text>\n", css, kPanel,
                       y - 10, kPanel + 24, y, text);
    y += 18;
  }
  for (const auto& [css, text] : {std::pair{"near", "near contact; from the centre: distance"}, {"far", "far contact; faint: not heard for 5 min"},
                                  {"self", "the node itself"}}) {
    out += fmt::format("<circle class=\"{}\" cx=\"{}\" cy=\"{:.0f}\" r=\"5\"/><text x=\"{}\" y=\"{:.0f}\">{}</text>\n", css, kPanel + 8, y - 4,
                       kPanel + 24, y, text);
    y += 18;
  }
  return out;
}

/// Words on lines that fit the panel.
std::string sentences(const OverlayMap& map, double& y) {
  std::string out;
  for (const auto& finding : map_findings(map)) {
    std::string line;
    std::size_t from = 0;
    const auto put = [&] {
      out += fmt::format("<text x=\"{}\" y=\"{:.0f}\">{}</text>\n", kPanel, y, markup_escaped(line));
      line.clear();
      y += 16;
    };
    while (from < finding.size()) {
      const auto end = std::min(finding.find(' ', from), finding.size());
      if (line.size() + end - from > 46) put();
      if (!line.empty()) line += ' ';
      line += finding.substr(from, end - from);
      from = end + 1;
    }
    put();
    y += 4;
  }
  return out;
}

/// At most 14 bytes of a name, cut between characters.
std::string shortened(std::string name) {
  if (name.size() <= 14) return name;
  std::size_t end = 13;
  while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xC0) == 0x80) --end;
  return name.substr(0, end) + "~";
}

std::string labels(const OverlayMap& map, double y) {
  std::string out;
  std::size_t most = 1;
  for (const auto& label : map.labels) most = std::max(most, label.listed);
  std::size_t drawn = 0;
  for (const auto& label : map.labels) {
    if (label.listed == 0) continue;
    if (drawn++ == 0) {
      out += fmt::format("<text x=\"{}\" y=\"{:.0f}\">Listed under classes</text>\n", kPanel, y);
      y += 18;
    }
    if (drawn > kMostLabels) continue;
    const double bar = 140.0 * static_cast<double>(label.listed) / static_cast<double>(most);
    out += fmt::format(
        "<text x=\"{}\" y=\"{:.0f}\">{}</text><rect class=\"few\" x=\"{}\" y=\"{:.0f}\" width=\"{:.1f}\" height=\"10\"/>"
        "<text x=\"{:.1f}\" y=\"{:.0f}\">{}</text>\n",
        kPanel, y, markup_escaped(shortened(label.name)), kPanel + 96, y - 9, bar, kPanel + 102 + bar, y, label.listed);
    y += 15;
  }
  if (drawn > kMostLabels) out += fmt::format("<text x=\"{}\" y=\"{:.0f}\">and {} more</text>\n", kPanel, y, drawn - kMostLabels);
  return out;
}

}  // namespace

std::string map_svg(const OverlayMap& map) {
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n{}", kWidth, kHeight,
      markup_escaped(fmt::format("Table {} of the directory, seen from {}", map.table, map.node)), kStyle);
  out += fmt::format("<text class=\"title\" x=\"{}\" y=\"36\">{}</text>\n", kPanel,
                     markup_escaped(fmt::format("{} seen from {}", map.table, map.node)));
  out += buckets(map) + seen(map) + contacts(map);
  double y = 62;
  out += sentences(map, y);
  out += legend(y + 14);
  return out + labels(map, y + 14 + 8 * 18 + 18) + "</svg>\n";
}

}  // namespace p2p::tools
