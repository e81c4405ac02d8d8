#include <catch2/catch.hpp>

#include "metadata/record.hpp"

using p2p::ErrorCode;
using namespace p2p::metadata;

TEST_CASE("endpoints of both families read back from their text") {
  for (const auto& [text, host, port] : std::vector<std::tuple<std::string, std::string, int>>{
           {"127.0.0.1:4222", "127.0.0.1", 4222},
           {"0.0.0.0:0", "0.0.0.0", 0},
           {"255.255.255.255:65535", "255.255.255.255", 65535},
           {"[::1]:4222", "::1", 4222},
           {"[2001:db8::7]:1", "2001:db8::7", 1},
           {"[::ffff:192.0.2.1]:80", "::ffff:192.0.2.1", 80}}) {
    INFO(text);
    const auto endpoint = parse_endpoint(text);
    REQUIRE(endpoint);
    CHECK(endpoint->host == host);
    CHECK(endpoint->port == port);
    CHECK(endpoint->text() == text);
  }
}

TEST_CASE("one IPv6 address has one text, whatever it was written as") {
  const auto a = parse_endpoint("[2001:DB8:0:0:0:0:0:7]:9");
  REQUIRE(a);
  CHECK(a->text() == "[2001:db8::7]:9");
}

TEST_CASE("what is no numeric endpoint is refused, and the sentence shows one") {
  for (const std::string& text :
       {std::string(""), std::string("127.0.0.1"), std::string("127.0.0.1:"), std::string(":4222"),
        std::string("::1:4222"), std::string("[::1]"), std::string("[127.0.0.1]:4222"), std::string("[]:1"),
        std::string("127.0.0.1:65536"), std::string("127.0.0.1:-1"), std::string("127.0.0.1:+1"),
        std::string("127.0.0.1: 1"), std::string("127.0.0.1:1 "), std::string("127.0.0.1:0x10"),
        std::string("127.0.0:1"), std::string("127.0.0.256:1"), std::string("localhost:4222"),
        std::string("example.org:80"), std::string("[::1%lo]:1"), std::string("[::1]]:1"), std::string("[[::1]]:1"),
        std::string("127.0.0.1\0:1", 12), std::string(1000, '1') + ":1", std::string("[:::]:1")}) {
    INFO(text);
    const auto endpoint = parse_endpoint(text);
    REQUIRE_FALSE(endpoint);
    CHECK(endpoint.error().code == ErrorCode::invalid_argument);
    CHECK(endpoint.error().message.find("192.0.2.1") != std::string::npos);
  }
}

TEST_CASE("an address that nobody can connect to is told from one that somebody can") {
  for (const Endpoint& good : {Endpoint{"127.0.0.1", 1}, Endpoint{"10.1.2.3", 4222}, Endpoint{"::1", 1},
                               Endpoint{"fe80::1", 9}, Endpoint{"223.255.255.255", 65535}}) {
    INFO(good.text());
    CHECK(connectable(good));
  }
  for (const Endpoint& bad : {Endpoint{"127.0.0.1", 0}, Endpoint{"0.0.0.0", 1}, Endpoint{"0.1.2.3", 1},
                              Endpoint{"224.0.0.1", 1}, Endpoint{"255.255.255.255", 1}, Endpoint{"::", 1},
                              Endpoint{"ff02::1", 1}, Endpoint{"::ffff:127.0.0.1", 1}, Endpoint{"", 1},
                              Endpoint{"name", 1}, Endpoint{std::string("10.0.0.1\0x", 10), 1}}) {
    INFO(bad.text());
    CHECK_FALSE(connectable(bad));
  }
}
