// The drawing of the house in README.md is the rule; this test reads every #include and fails on an arrow that
// the drawing does not have. It also keeps each third-party library in the room that owns it.
#include <catch2/catch.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

using Arrows = std::map<std::string, std::set<std::string>>;  // room -> rooms that it may include

struct Source {
  std::string path;  // relative to the project
  std::string text;
};

// The room that a path belongs to; empty for files outside the house.
std::string room_of(const std::string& path) {
  const auto starts = [&](std::string_view prefix) { return path.rfind(prefix, 0) == 0; };
  if (starts("metadata/base/")) return "base";
  for (const char* room : {"directory", "sim", "node", "net", "host", "geo"}) {
    if (starts(std::string("overlay/") + room + "/")) return room;
  }
  for (const char* room : {"metadata", "learner", "overlay", "tools", "examples"}) {
    if (starts(std::string(room) + "/")) return room;
  }
  return {};
}

// Reads the lines "room -> room, room" between the markers in README.md.
Arrows read_drawing(const std::string& readme) {
  Arrows arrows;
  const auto begin = readme.find("<!-- arrows:begin -->");
  const auto end = readme.find("<!-- arrows:end -->");
  REQUIRE(begin != std::string::npos);
  REQUIRE(end != std::string::npos);
  std::istringstream lines(readme.substr(begin, end - begin));
  for (std::string line; std::getline(lines, line);) {
    const auto arrow = line.find("->");
    if (arrow == std::string::npos) continue;
    std::istringstream left(line.substr(0, arrow));
    std::string from;
    left >> from;
    std::string right = line.substr(arrow + 2);
    std::replace(right.begin(), right.end(), ',', ' ');
    std::istringstream targets(right);
    auto& allowed = arrows[from];
    for (std::string to; targets >> to;) {
      if (to != "-->" && to != "nothing") allowed.insert(to);
    }
  }
  return arrows;
}

// Third-party headers, and the files that may include them.
struct Owned {
  std::string header_prefix;
  std::vector<std::string> owners;  // path prefixes
};
const std::vector<Owned> kOwned = {
    {"<opendht", {"overlay/net/opendht.cpp"}},
    {"<msgpack", {"metadata/codec.cpp", "overlay/net/opendht.cpp"}},
    {"<uv.h", {"overlay/net/"}},
    {"<gnutls", {"metadata/crypto.cpp", "overlay/net/"}},
    {"<Eigen", {"learner/"}},
    {"<toml++", {"metadata/task", "tools/"}},
    {"<nlohmann", {"tools/"}},
    {"<CLI", {"tools/"}},
};

std::vector<std::string> violations(const std::vector<Source>& sources, const Arrows& arrows) {
  std::vector<std::string> out;
  for (const auto& source : sources) {
    const std::string from = room_of(source.path);
    if (from.empty()) continue;
    std::istringstream lines(source.text);
    for (std::string line; std::getline(lines, line);) {
      const auto hash = line.find_first_not_of(" \t");
      if (hash == std::string::npos || line.compare(hash, 8, "#include") != 0) continue;
      const auto open = line.find_first_of("\"<", hash + 8);
      if (open == std::string::npos) continue;
      const char close = line[open] == '<' ? '>' : '"';
      const auto target = line.substr(open + 1, line.find(close, open + 1) - open - 1);
      if (line[open] == '"') {
        const std::string to = room_of(target);
        if (to.empty() || to == from) continue;
        const auto known = arrows.find(from);
        if (known == arrows.end() || !known->second.count(to)) {
          out.push_back(source.path + " includes " + target + ": the drawing has no arrow " + from +
                        " -> " + to);
        }
        continue;
      }
      for (const auto& owned : kOwned) {
        if (("<" + target).rfind(owned.header_prefix, 0) != 0) continue;
        const bool allowed =
            std::any_of(owned.owners.begin(), owned.owners.end(),
                        [&](const std::string& owner) { return source.path.rfind(owner, 0) == 0; });
        if (!allowed) out.push_back(source.path + " includes <" + target + ">, which it does not own");
      }
    }
  }
  return out;
}

std::string read(const fs::path& path) {
  std::ifstream in(path);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

std::vector<Source> project_sources() {
  const fs::path root = P2P_SOURCE_DIR;
  std::vector<Source> sources;
  for (const char* top : {"metadata", "learner", "overlay", "tools", "examples"}) {
    for (const auto& entry : fs::recursive_directory_iterator(root / top)) {
      const auto extension = entry.path().extension();
      if (extension != ".hpp" && extension != ".cpp") continue;
      sources.push_back({fs::relative(entry.path(), root).string(), read(entry.path())});
    }
  }
  return sources;
}

}  // namespace

TEST_CASE("Every include in the project is an arrow of the drawing in README.md") {
  const auto arrows = read_drawing(read(fs::path(P2P_SOURCE_DIR) / "README.md"));
  const auto sources = project_sources();
  REQUIRE(sources.size() > 30);
  for (const auto& violation : violations(sources, arrows)) {
    UNSCOPED_INFO(violation);
    CHECK(violation.empty());
  }
}

TEST_CASE("The drawing in README.md has no cycle") {
  const auto arrows = read_drawing(read(fs::path(P2P_SOURCE_DIR) / "README.md"));
  std::map<std::string, int> state;  // 1: on the path, 2: done
  std::vector<std::string> path;
  const auto visit = [&](const auto& self, const std::string& room) -> void {
    if (state[room] == 2) return;
    INFO("at " << room);
    REQUIRE(state[room] != 1);
    state[room] = 1;
    if (const auto it = arrows.find(room); it != arrows.end()) {
      for (const auto& next : it->second) self(self, next);
    }
    state[room] = 2;
  };
  for (const auto& [room, targets] : arrows) visit(visit, room);
}

TEST_CASE("The include check sees a forbidden arrow and a library in the wrong room") {
  const Arrows arrows = {{"learner", {"base"}}, {"overlay", {"metadata", "base"}}};
  const auto found = violations({{"learner/a.cpp", "#include \"metadata/task.hpp\"\n"},
                                 {"overlay/b.cpp", "  #include <uv.h>\n"},
                                 {"overlay/c.cpp", "#include \"metadata/task.hpp\"\n"},
                                 {"overlay/net/d.cpp", "#include <uv.h>\n"}},
                                arrows);
  REQUIRE(found.size() == 2);
  CHECK(found[0].find("learner -> metadata") != std::string::npos);
  CHECK(found[1].find("uv.h") != std::string::npos);
}
