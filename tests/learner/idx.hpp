// Reads the MNIST file format (idx, gzip) for the benchmark; the product has its own reader in
// tools/.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "learner/model.hpp"

namespace p2p::learner::bench {

struct DataSet {
  std::uint32_t features = 0, classes = 10;
  std::vector<float> x;  ///< (rows x features), scaled to [0, 1]
  std::vector<ClassIndex> y;
  std::size_t rows() const { return y.size(); }
  Features row(std::size_t i) const { return {x.data() + i * features, features}; }
};

inline std::vector<std::uint8_t> gunzip(const std::string& path) {
  const gzFile file = gzopen(path.c_str(), "rb");
  if (file == nullptr) {
    std::fprintf(stderr, "cannot open %s\n", path.c_str());
    std::exit(2);
  }
  std::vector<std::uint8_t> out, piece(1 << 20);
  for (int n; (n = gzread(file, piece.data(), static_cast<unsigned>(piece.size()))) > 0;) {
    out.insert(out.end(), piece.begin(), piece.begin() + n);
  }
  gzclose(file);
  return out;
}

/// `which`: "train" or "t10k".
inline DataSet read_idx(const std::string& folder, const std::string& which) {
  const auto images = gunzip(folder + "/" + which + "-images-idx3-ubyte.gz");
  const auto labels = gunzip(folder + "/" + which + "-labels-idx1-ubyte.gz");
  DataSet out;
  out.features = 784;
  if (images.size() < 16 || labels.size() < 8 || images.size() - 16 != (labels.size() - 8) * 784) {
    std::fprintf(stderr, "%s: not a pair of idx files\n", folder.c_str());
    std::exit(2);
  }
  for (std::size_t i = 16; i < images.size(); ++i)
    out.x.push_back(static_cast<float>(images[i]) / 255.0f);
  for (std::size_t i = 8; i < labels.size(); ++i) out.y.push_back(labels[i]);
  return out;
}

}  // namespace p2p::learner::bench
