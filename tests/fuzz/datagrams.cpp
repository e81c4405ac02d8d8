// What strangers may send in a datagram: what is decoded is within bounds, and is what it is written as again.
#include "overlay/dht.hpp"
#include "overlay/directory/messages.hpp"

using namespace p2p;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto message = directory::decode({data, size});
  if (!message) return 0;
  P2P_ASSERT(size <= overlay::Dht::kMaxDatagramBytes);
  if (const auto* answer = std::get_if<directory::Answer>(&*message)) {
    P2P_ASSERT(answer->hints.size() <= directory::Answer::kMaxHints);
    for (const auto& hint : answer->hints) P2P_ASSERT(metadata::connectable(hint.at));
  }
  const Bytes again = directory::encode(*message);
  P2P_ASSERT(again.size() <= overlay::Dht::kMaxDatagramBytes);
  const auto back = directory::decode(again);
  P2P_ASSERT(back.has_value() && back->index() == message->index() && directory::encode(*back) == again);
  return 0;
}
