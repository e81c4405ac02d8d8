// Accuracy and speed of the tree families on CSV streams, one pass in file order:
//   bench_trees FAMILY FILE.csv.gz[,...] [name=value ...]
// The label is the last column; text columns (and elec2's day) become one-hot, the rest is min-max scaled.
#include <algorithm>
#include <ctime>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <fmt/core.h>
#include <zlib.h>

#include "learner/metrics.hpp"
#include "learner/model.hpp"
#include "learner/models/trees/adaptive_random_forest.hpp"

namespace p2p::learner::bench {
namespace {

struct Table {
  std::vector<std::string> names;
  std::vector<std::vector<std::string>> columns;
};

Table read(const std::string& path) {
  gzFile file = gzopen(path.c_str(), "rb");
  if (file == nullptr) {
    fmt::print(stderr, "{} cannot be opened\n", path);
    std::exit(2);
  }
  Table table;
  std::string line(1 << 20, '\0');
  while (gzgets(file, line.data(), static_cast<int>(line.size())) != nullptr) {
    std::vector<std::string> fields(1);
    for (const char* c = line.c_str(); *c != '\0' && *c != '\n' && *c != '\r'; ++c) {
      if (*c == ',') {
        fields.emplace_back();
      } else {
        fields.back() += *c;
      }
    }
    if (table.names.empty()) {
      table.names = fields;
      table.columns.resize(fields.size());
    } else if (fields.size() == table.names.size()) {
      for (std::size_t i = 0; i < fields.size(); ++i) table.columns[i].push_back(fields[i]);
    }
  }
  gzclose(file);
  return table;
}

struct Stream {
  std::uint32_t features = 0, classes = 0;
  std::vector<float> x;
  std::vector<ClassIndex> y;
  std::span<const float> row(std::size_t i) const {
    return {x.data() + i * features, features};
  }
};

Stream stream(const std::string& path) {
  const Table table = read(path);
  std::vector<std::vector<float>> columns;
  const std::size_t rows = table.columns[0].size();
  for (std::size_t i = 0; i + 1 < table.columns.size(); ++i) {
    const auto& column = table.columns[i];
    const auto is_text = [](const std::string& v) {
      char* end = nullptr;
      std::strtod(v.c_str(), &end);
      return end == v.c_str() || *end != '\0';
    };
    const bool text =
        table.names[i] == "day" || std::any_of(column.begin(), column.end(), is_text);
    if (text) {
      const std::set<std::string> values(column.begin(), column.end());
      for (const std::string& value : values) {
        auto& out = columns.emplace_back();
        for (const std::string& v : column) out.push_back(v == value ? 1.0f : 0.0f);
      }
      continue;
    }
    std::vector<double> numbers;
    for (const std::string& v : column) numbers.push_back(std::strtod(v.c_str(), nullptr));
    const auto [low, high] = std::minmax_element(numbers.begin(), numbers.end());
    auto& out = columns.emplace_back();
    for (const double v : numbers)
      out.push_back(*high > *low ? static_cast<float>((v - *low) / (*high - *low)) : 0.0f);
  }
  Stream out;
  out.features = static_cast<std::uint32_t>(columns.size());
  std::map<std::string, ClassIndex> classes;
  for (const std::string& label : table.columns.back()) classes.emplace(label, 0);
  for (auto& [label, index] : classes) index = static_cast<ClassIndex>(out.classes++);
  out.x.reserve(rows * columns.size());
  for (std::size_t r = 0; r < rows; ++r) {
    for (const auto& column : columns) out.x.push_back(column[r]);
    out.y.push_back(classes.at(table.columns.back()[r]));
  }
  return out;
}

double seconds_used() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

int run(int argc, char** argv) {
  std::string files = argv[2];
  while (!files.empty()) {
    const auto comma = files.find(',');
    const std::string file = files.substr(0, comma);
    files = comma == std::string::npos ? "" : files.substr(comma + 1);
    const Stream data = stream(file);
    ModelSpec spec;
    spec.family = argv[1];
    spec.features = data.features;
    spec.classes = data.classes;
    spec.seed = 1;
    spec.bandwidth = 1;
    for (int i = 3; i < argc; ++i) {
      const std::string text = argv[i];
      const auto at = text.find('=');
      if (text.substr(0, at) == "seed") {
        spec.seed = std::stoull(text.substr(at + 1));
      } else {
        spec.params[text.substr(0, at)] = std::stod(text.substr(at + 1));
      }
    }
    auto model = make_model(spec);
    if (!model) {
      fmt::print(stderr, "{}\n", model.error().text());
      return 2;
    }
    Prequential metrics(data.classes, 1000);
    const double start = seconds_used();
    for (std::size_t i = 0; i < data.y.size(); ++i)
      metrics.add(data.y[i], (*model)->predict_then_learn(data.row(i), data.y[i]));
    const double seconds = seconds_used() - start;
    fmt::print("{:<40} {:>3} features  accuracy {:.4f}  {:.0f} rows/s  {} KiB",
               file.substr(file.size() > 40 ? file.size() - 40 : 0), data.features,
               metrics.accuracy(), static_cast<double>(data.y.size()) / seconds,
               (*model)->bytes() / 1024);
    fmt::print("  a block:");
    for (const auto precision :
         {Precision::bits32, Precision::bits16, Precision::bits8, Precision::bits4}) {
      const Part part = (*model)->partition({}, precision);
      fmt::print(" {}", part.bytes() / std::max<std::size_t>(1, part.blocks.size()));
    }
    if (const auto* forest = dynamic_cast<AdaptiveRandomForest*>(model->get())) {
      double leaves = 0, depth = 0, active = 0;
      const auto report = forest->report();
      for (const auto& tree : report) {
        leaves += tree.leaves;
        depth += tree.depth;
        active += tree.observing;
      }
      const auto n = static_cast<double>(report.size());
      fmt::print("  {} warnings {} drifts, {:.0f} leaves ({:.0f} observe) depth {:.0f}",
                 forest->events().warnings, forest->events().drifts, leaves / n, active / n,
                 depth / n);
    }
    fmt::print("\n");
  }
  return 0;
}

}  // namespace
}  // namespace p2p::learner::bench

int main(int argc, char** argv) {
  if (argc < 3) {
    fmt::print(stderr, "bench_trees FAMILY FILE.csv.gz[,...] [name=value ...]\n");
    return 2;
  }
  return p2p::learner::bench::run(argc, argv);
}
