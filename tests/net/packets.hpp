// OpenDHT packets written by hand, field by field, so that each test can bend one of them.
#pragma once

#include <array>
#include <functional>
#include <string>

#include "metadata/codec.hpp"
#include "metadata/index.hpp"

namespace p2p::net::test {

using metadata::DhtKey;
using metadata::Encoder;

/// Writes one msgpack value.
using Write = std::function<void(Encoder&)>;

inline Bytes packed(const Write& write) {
  Encoder out;
  write(out);
  return out.take();
}
inline Write text(std::string value) {
  return [value = std::move(value)](Encoder& out) { out.text(value); };
}
inline Write number(std::uint64_t value) {
  return [value](Encoder& out) { out.unsigned_integer(value); };
}
inline Write binary(Bytes value) {
  return [value = std::move(value)](Encoder& out) { out.binary(value); };
}
inline Write zeros(std::size_t size) { return binary(Bytes(size, 0)); }
inline Write list(std::vector<Write> items) {
  return [items = std::move(items)](Encoder& out) {
    out.array(static_cast<std::uint32_t>(items.size()));
    for (const Write& item : items) item(out);
  };
}

/// A map that keeps the order of its keys and may hold one twice.
class MapOf {
 public:
  MapOf() = default;
  MapOf(std::initializer_list<std::pair<std::string, Write>> entries) : entries_(entries) {}
  MapOf& set(const std::string& key, Write value) {
    for (auto& [name, old] : entries_) {
      if (name == key) {
        old = std::move(value);
        return *this;
      }
    }
    return add(key, std::move(value));
  }
  MapOf& add(const std::string& key, Write value) {
    entries_.emplace_back(key, std::move(value));
    return *this;
  }
  MapOf& remove(const std::string& key) {
    std::erase_if(entries_, [&](const auto& entry) { return entry.first == key; });
    return *this;
  }
  operator Write() const {  // NOLINT: a map is a value like the others
    return [entries = entries_](Encoder& out) {
      out.map(static_cast<std::uint32_t>(entries.size()));
      for (const auto& [key, value] : entries) {
        out.text(key);
        value(out);
      }
    };
  }

 private:
  std::vector<std::pair<std::string, Write>> entries_;
};

inline Bytes id_bytes(std::uint8_t first = 7) {
  Bytes out(20, 0x11);
  out[0] = first;
  return out;
}

/// A query or answer as OpenDHT 2.4 frames it.
inline MapOf query(const std::string& kind, const MapOf& arguments, std::uint32_t network = 5) {
  return {{"a", arguments}, {"q", text(kind)},     {"t", number(0xABCDEF01)}, {"y", text("q")},
          {"v", text("RNG1")}, {"n", number(network)}};
}
inline MapOf answer(const MapOf& result) {
  return {{"r", result}, {"t", number(0xABCDEF01)}, {"y", text("r")}, {"v", text("RNG1")}, {"n", number(5)}};
}
inline MapOf value_body(std::uint64_t type, Bytes data) {
  return {{"type", number(type)}, {"data", binary(std::move(data))}};
}
inline MapOf value_of(const MapOf& body, std::uint64_t id = 99) {
  return {{"id", number(id)}, {"dat", MapOf{{"body", body}}}};
}
inline MapOf put_arguments(const std::vector<Write>& values) {
  return {{"id", binary(id_bytes())}, {"h", binary(id_bytes(8))}, {"token", zeros(32)}, {"values", list(values)}};
}

}  // namespace p2p::net::test
