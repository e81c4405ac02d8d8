// What a peer may send on a link: the exchange's frames and manifests, and geo's frames, whole and as a stream that is cut anywhere.
#include "overlay/geo/wire.hpp"
#include "overlay/manifest.hpp"
#include "overlay/messages.hpp"

using namespace p2p;

namespace {
constexpr std::uint32_t kDimension = 64;  // of geo's vector
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView bytes{data, size};
  if (const auto frame = overlay::decode_frame(bytes)) {
    const auto again = overlay::encode(*frame);
    P2P_ASSERT(overlay::decode_frame(ByteView(again).subspan(4)).has_value());
  }
  if (const auto lent = overlay::decode_frame(bytes, overlay::Content::lent)) {
    const auto again = overlay::encode(*lent);
    const auto owned = overlay::decode_frame(bytes);
    P2P_ASSERT(owned.has_value() && overlay::encode(*owned) == again);
  }
  if (const auto manifest = overlay::decode_manifest(bytes, {})) {
    P2P_ASSERT(overlay::decode_manifest(overlay::encode(*manifest), {}).has_value());
  }
  (void)geo::decode_frame(bytes, kDimension);

  overlay::FrameReader reader(1024);
  for (std::size_t at = 0; at < size; at += 7) {
    const auto fed = reader.feed(bytes.subspan(at, std::min<std::size_t>(7, size - at)), [](ByteView body) {
      P2P_ASSERT(!body.empty() && body.size() <= 1024);
      (void)overlay::decode_frame(body);
      return true;
    });
    if (!fed) break;
  }
  return 0;
}
