// The ingress filter: any bytes are judged; and what passes holds nothing that OpenDHT would take for an owner, a
// signature, an encrypted or a split value, found here by another walk than the filter's own.
#include <algorithm>
#include <string_view>

#include "metadata/codec.hpp"
#include "overlay/net/ingress_filter.hpp"

using namespace p2p;

namespace {

void inspect_value(metadata::Value value, const net::IngressLimits& limits) {
  P2P_ASSERT(value.kind() == metadata::Value::Kind::map);
  const auto content = value["dat"];
  P2P_ASSERT(content.kind() == metadata::Value::Kind::map && content.size() == 1);
  const auto body = content["body"];
  for (std::size_t i = 0; i < body.size(); ++i) {
    const auto key = body.entry(i).first.text();
    P2P_ASSERT(key == "type" || key == "data" || key == "utype");
  }
  const auto data = body["data"].binary();
  P2P_ASSERT(data && data->size() <= std::max(limits.record_bytes, limits.text_bytes));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const net::IngressLimits limits;
  const net::Refusal refusal = net::check_packet({data, size}, limits);
  P2P_ASSERT(net::name(refusal) != "unknown");
  if (refusal != net::Refusal::none) return 0;
  const auto document = metadata::Document::parse({data, size}, {.bytes = 1u << 16, .depth = 16, .elements = 1u << 16});
  P2P_ASSERT(document.has_value());
  for (const std::string_view part : {"a", "r"}) {
    const auto values = document->root()[part]["values"];
    for (std::size_t i = 0; i < values.size(); ++i) inspect_value(values[i], limits);
  }
  return 0;
}
