// Key files and node ids as a person may hand them over.
#include "metadata/crypto.hpp"

using namespace p2p;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto text = to_string({data, size});
  if (const auto key = metadata::KeyPair::from_pem(text)) (void)key->id();
  if (const auto id = metadata::parse_node_id(text)) P2P_ASSERT(id->hex().size() == 64);
  return 0;
}
