#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "metadata/record.hpp"

namespace p2p::metadata {

std::string Endpoint::text() const {
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port)
                                             : fmt::format("[{}]:{}", host, port);
}

Result<std::string> parse_host(std::string_view text) {
  const bool v6 = text.find(':') != std::string_view::npos;
  const int family = v6 ? AF_INET6 : AF_INET;
  unsigned char address[16];
  char canonical[INET6_ADDRSTRLEN];
  // inet_pton reads up to the first zero, so a text with one inside would pass as its beginning.
  if (text.size() >= sizeof canonical || text.find('\0') != std::string_view::npos ||
      inet_pton(family, std::string(text).c_str(), address) != 1 ||
      inet_ntop(family, address, canonical, sizeof canonical) == nullptr) {
    return fail(ErrorCode::invalid_argument,
                "the address is neither IPv4 (like 192.0.2.1) nor IPv6 (like 2001:db8::1); names are not looked up "
                "here");
  }
  return std::string(canonical);
}

Result<Endpoint> parse_endpoint(std::string_view text) {
  const auto refuse = [&](const char* what) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("an endpoint looks like 192.0.2.1:4222 or [2001:db8::1]:4222; {}", what));
  };
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return refuse("the port is missing");
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);

  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if ((host.find(':') != std::string_view::npos) != bracketed) {
    return refuse("an IPv6 address, and no other, stands in brackets");
  }
  Endpoint out;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), out.port);
  if (port.empty() || error != std::errc{} || end != port.data() + port.size()) {
    return refuse("the port is a number from 0 to 65535");
  }
  auto canonical = parse_host(host);
  if (!canonical) return tl::unexpected<Error>(std::move(canonical).error());
  out.host = std::move(*canonical);
  return out;
}

bool connectable(const Endpoint& endpoint) {
  if (endpoint.port == 0 || endpoint.host.find('\0') != std::string::npos) return false;
  in_addr v4{};
  if (inet_pton(AF_INET, endpoint.host.c_str(), &v4) == 1) {
    const auto first = ntohl(v4.s_addr) >> 24;
    return first != 0 && first < 224;  // 0.0.0.0/8: this host; 224/4: multicast; 240/4: reserved, broadcast
  }
  in6_addr v6{};
  if (inet_pton(AF_INET6, endpoint.host.c_str(), &v6) != 1) return false;
  return !IN6_IS_ADDR_UNSPECIFIED(&v6) && !IN6_IS_ADDR_MULTICAST(&v6) && !IN6_IS_ADDR_V4MAPPED(&v6);
}

}  // namespace p2p::metadata
