// The library of past concepts out of a snapshot whose checksum an attacker has put right: refused, or one that can be
// asked, used, saved and merged from.
#include <cmath>

#include "overlay/node/library.hpp"
#include "tests/fuzz/models.hpp"

using namespace p2p;

namespace {
constexpr std::uint32_t kDimensions = 8;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const node::Library::Options options{.bytes = 1u << 20, .concepts = 4};
  node::Library library(options);
  if (!library.decode({data, size}, kDimensions, fuzz::kClasses)) {
    P2P_ASSERT(library.all().empty() && library.bytes() == 0);
    return 0;
  }
  P2P_ASSERT(library.all().size() <= options.concepts && library.bytes() <= options.bytes);
  metadata::FingerprintBuilder builder({.dimensions = kDimensions, .classes = fuzz::kClasses, .half_life = 0});
  builder.add(std::vector<float>(kDimensions, 0.25f), 1, true);
  for (const auto by : {metadata::By::joint, metadata::By::marginal, metadata::By::classes}) {
    for (const auto& near : library.near({builder.build(), {1}, by}, 2)) P2P_ASSERT(std::isfinite(near.distance));
  }
  static const auto target = fuzz::trained("softmax", 30, 1);
  for (const auto& archived : library.all()) {
    auto model = target->clone();
    if (model->merge(archived.part, {.classes = {1}})) fuzz::exercise(*model);
  }
  if (!library.all().empty()) library.used(library.all().front().id, 1);
  (void)library.archive(target->partition({}), builder.build(), 1);
  node::Library again(options);
  P2P_ASSERT(again.decode(library.encode(), kDimensions, fuzz::kClasses).has_value());
  P2P_ASSERT(again.encode() == library.encode());
  return 0;
}
