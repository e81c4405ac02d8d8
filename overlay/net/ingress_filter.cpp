#include "overlay/net/ingress_filter.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>

#include "metadata/codec.hpp"

namespace p2p::net {

using metadata::Document;
using metadata::Value;
using Kind = metadata::Value::Kind;

namespace {

// OpenDHT's names for what a packet consists of; only what nodes of ours and stock dhtnodes need.
constexpr std::size_t kPacketBytes = 65'507;  // all that UDP carries
constexpr std::size_t kKeyBytes = 20;
constexpr std::size_t kNode4Bytes = kKeyBytes + 6, kNode6Bytes = kKeyBytes + 18;
constexpr std::size_t kMaxNodes = 64;
constexpr std::size_t kMaxToken = 64;
constexpr std::size_t kMaxVersionText = 32;
constexpr std::size_t kMaxErrorText = 512;
constexpr std::size_t kMaxFilters = 8;
constexpr std::uint64_t kMaxTime = 1ull << 33;  // seconds since 1970; what OpenDHT can turn into nanoseconds
constexpr std::string_view kTableName = "fileds";  // sic: so OpenDHT 2.4 spells it on the wire
constexpr std::uint16_t kOurType = 4243;
constexpr std::uint16_t kTextType = 0;

// OpenDHT's numbers for the fields of a value that a query can name. The owner is not among those we answer.
enum Field : std::uint64_t { field_id = 1, field_type = 2, field_sequence = 4, field_user_type = 5 };

bool is_binary(Value value, std::size_t size) { return value.kind() == Kind::binary && value.size() == size; }
bool is_key(Value value) { return is_binary(value, kKeyBytes); }
bool is_number(Value value, std::uint64_t most) {
  const auto number = value.unsigned_integer();
  return number && *number <= most;
}

using Names = std::span<const std::string_view>;

// The entries of a map whose keys are texts, each of them listed and each there once. OpenDHT takes the first of
// two equal keys; what other readers take is anybody's guess.
class Fields {
 public:
  Fields(Value map, Names known) : known_(known) {
    P2P_ASSERT(known.size() <= kMost);
    if (map.kind() != Kind::map || map.size() > known.size()) return;
    for (std::size_t i = 0; i < map.size(); ++i) {
      const auto [key, value] = map.entry(i);
      const auto text = key.text();
      if (!text) return;
      const auto place = std::find(known.begin(), known.end(), *text);
      if (place == known.end()) return;
      auto& slot = values_[static_cast<std::size_t>(place - known.begin())];
      if (slot) return;
      slot = value;
    }
    ok_ = true;
  }
  bool ok() const { return ok_; }
  bool has(std::string_view key) const { return (*this)[key].has_value(); }
  std::optional<Value> operator[](std::string_view key) const {
    const auto place = std::find(known_.begin(), known_.end(), key);
    P2P_ASSERT(place != known_.end());
    return values_[static_cast<std::size_t>(place - known_.begin())];
  }
  /// Not there, or as `check` wants it.
  template <typename Check>
  bool fits(std::string_view key, Check check) const {
    const auto value = (*this)[key];
    return !value || check(*value);
  }
  /// There, and as `check` wants it.
  template <typename Check>
  bool needs(std::string_view key, Check check) const {
    const auto value = (*this)[key];
    return value && check(*value);
  }

 private:
  static constexpr std::size_t kMost = 16;
  Names known_;
  std::array<std::optional<Value>, kMost> values_{};
  bool ok_ = false;
};

bool is_token(Value value) { return value.kind() == Kind::binary && value.size() <= kMaxToken; }
bool is_time(Value value) { return is_number(value, kMaxTime); }
bool is_id(Value value) { return value.unsigned_integer().has_value(); }
bool is_address(Value value) { return is_binary(value, 4) || is_binary(value, 16); }
bool is_short_text(Value value, std::size_t most) { return value.kind() == Kind::text && value.size() <= most; }

bool is_transaction(Value value) {
  return is_number(value, std::numeric_limits<std::uint32_t>::max()) || is_binary(value, 4);
}

template <std::size_t Each>
bool is_node_list(Value value) {
  return value.kind() == Kind::binary && value.size() % Each == 0 && value.size() <= kMaxNodes * Each;
}

// Address families that the asker wants nodes of.
bool is_family_list(Value value) {
  if (value.kind() != Kind::array || value.size() > 2) return false;
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (!is_number(value[i], 255)) return false;
  }
  return true;
}

bool is_selectable(Value value) {
  const auto number = value.unsigned_integer();
  return number && (*number == field_id || *number == field_type || *number == field_sequence ||
                    *number == field_user_type);
}

bool is_filter(Value value) {
  static constexpr std::array<std::string_view, 2> kNames{"f", "v"};
  const Fields fields(value, kNames);
  if (!fields.ok() || !fields.has("f") || !fields.has("v")) return false;
  const Value wanted = *fields["v"];
  switch (fields["f"]->unsigned_integer().value_or(0)) {
    case field_id:
      return is_id(wanted);
    case field_type:
      return is_number(wanted, std::numeric_limits<std::uint16_t>::max());
    case field_user_type:
      return wanted.kind() == Kind::binary && wanted.size() <= kMaxVersionText;
    default:
      return false;
  }
}

template <typename Check>
bool is_list_of(Value value, std::size_t most, Check check) {
  if (value.kind() != Kind::array || value.size() > most) return false;
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (!check(value[i])) return false;
  }
  return true;
}

// SELECT and WHERE of a get.
bool is_selection(Value value) {
  static constexpr std::array<std::string_view, 2> kNames{"s", "w"};
  const Fields fields(value, kNames);
  return fields.ok() && fields.needs("s", [](Value list) { return is_list_of(list, kMaxFilters, is_selectable); }) &&
         fields.needs("w", [](Value list) { return is_list_of(list, kMaxFilters, is_filter); });
}

// The answer to a SELECT: which fields, in ascending order, and their values, row after row.
bool is_table(Value value, const IngressLimits& limits) {
  static constexpr std::array<std::string_view, 2> kNames{"f", "v"};
  const Fields fields(value, kNames);
  if (!fields.ok() || !fields.has("f") || !fields.has("v")) return false;
  const Value names = *fields["f"], cells = *fields["v"];
  if (names.kind() != Kind::array || names.size() == 0 || names.size() > kMaxFilters) return false;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (!is_selectable(names[i])) return false;
    if (i > 0 && *names[i].unsigned_integer() <= *names[i - 1].unsigned_integer()) return false;
  }
  if (cells.kind() != Kind::array || cells.size() % names.size() != 0) return false;
  if (cells.size() / names.size() > limits.listed_ids) return false;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    bool fits = false;
    switch (*names[i % names.size()].unsigned_integer()) {
      case field_id:
        fits = is_id(cells[i]);
        break;
      case field_type:
      case field_sequence:
        fits = is_number(cells[i], std::numeric_limits<std::uint16_t>::max());
        break;
      case field_user_type:
        fits = is_short_text(cells[i], limits.text_bytes);
        break;
      default:
        break;
    }
    if (!fits) return false;
  }
  return true;
}

// One value, wherever it comes from.
Refusal check_value(Value value, const IngressLimits& limits) {
  if (value.unsigned_integer()) return Refusal::split_value;  // the size of one that would follow
  static constexpr std::array<std::string_view, 3> kNames{"id", "dat", "p"};
  const Fields outer(value, kNames);
  if (!outer.ok() || !outer.needs("id", is_id) || !outer.has("dat") || !outer.fits("p", [](Value priority) {
        return is_number(priority, 255);
      })) {
    return Refusal::bad_field;
  }
  const Value content = *outer["dat"];
  if (content.kind() == Kind::binary) return Refusal::encrypted_value;
  static constexpr std::array<std::string_view, 2> kContentNames{"body", "sig"};
  const Fields sealed(content, kContentNames);
  if (!sealed.ok() || !sealed.has("body")) return Refusal::bad_field;
  static constexpr std::array<std::string_view, 6> kBodyNames{"type", "data", "utype", "owner", "seq", "to"};
  const Fields body(*sealed["body"], kBodyNames);
  if (!body.ok()) return Refusal::bad_field;
  if (sealed.has("sig") || body.has("owner") || body.has("seq") || body.has("to")) return Refusal::owned_value;
  if (!body.has("type") || !body.has("data") || body["data"]->kind() != Kind::binary) return Refusal::bad_field;

  const auto type = body["type"]->unsigned_integer();
  const std::size_t size = body["data"]->size();
  if (!type) return Refusal::bad_field;
  if (*type == kOurType) {
    if (body.has("utype")) return Refusal::foreign_value;
    return size <= limits.record_bytes ? Refusal::none : Refusal::oversized_value;
  }
  if (*type != kTextType || !body.needs("utype", [](Value user_type) { return user_type.text() == "text/plain"; })) {
    return Refusal::foreign_value;
  }
  return size <= limits.text_bytes ? Refusal::none : Refusal::oversized_value;
}

Refusal check_values(Value values, const IngressLimits& limits) {
  if (values.kind() != Kind::array || values.size() > limits.values) return Refusal::bad_field;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (const Refusal refusal = check_value(values[i], limits); refusal != Refusal::none) return refusal;
  }
  return Refusal::none;
}

Refusal accept_if(bool fits) { return fits ? Refusal::none : Refusal::bad_field; }

// What a query of each kind says; "id" is the asker.
Refusal check_query(std::string_view kind, Value arguments, const IngressLimits& limits) {
  if (kind == "ping") {
    static constexpr std::array<std::string_view, 1> kNames{"id"};
    const Fields fields(arguments, kNames);
    return accept_if(fields.ok() && fields.needs("id", is_key));
  }
  if (kind == "find") {
    static constexpr std::array<std::string_view, 3> kNames{"id", "target", "w"};
    const Fields fields(arguments, kNames);
    return accept_if(fields.ok() && fields.needs("id", is_key) && fields.needs("target", is_key) &&
                     fields.fits("w", is_family_list));
  }
  if (kind == "get") {
    static constexpr std::array<std::string_view, 4> kNames{"id", "h", "q", "w"};
    const Fields fields(arguments, kNames);
    return accept_if(fields.ok() && fields.needs("id", is_key) && fields.needs("h", is_key) &&
                     fields.fits("q", is_selection) && fields.fits("w", is_family_list));
  }
  if (kind == "put") {
    static constexpr std::array<std::string_view, 5> kNames{"id", "h", "token", "values", "c"};
    const Fields fields(arguments, kNames);
    if (!fields.ok() || !fields.needs("id", is_key) || !fields.needs("h", is_key) ||
        !fields.needs("token", is_token) || !fields.has("values") || !fields.fits("c", is_time)) {
      return Refusal::bad_field;
    }
    return check_values(*fields["values"], limits);
  }
  if (kind == "refresh") {
    static constexpr std::array<std::string_view, 4> kNames{"id", "h", "token", "vid"};
    const Fields fields(arguments, kNames);
    return accept_if(fields.ok() && fields.needs("id", is_key) && fields.needs("h", is_key) &&
                     fields.needs("token", is_token) && fields.needs("vid", is_id));
  }
  return Refusal::unknown_kind;  // "listen" among them: no node of ours asks for it
}

Refusal check_answer(Value answer, const IngressLimits& limits) {
  static constexpr std::array<std::string_view, 8> kNames{"id", "sa", "n4", "n6", "token", "vid", "values", kTableName};
  const Fields fields(answer, kNames);
  if (!fields.ok() || !fields.needs("id", is_key) || !fields.fits("sa", is_address) ||
      !fields.fits("n4", is_node_list<kNode4Bytes>) || !fields.fits("n6", is_node_list<kNode6Bytes>) ||
      !fields.fits("token", is_token) || !fields.fits("vid", is_id) ||
      !fields.fits(kTableName, [&](Value table) { return is_table(table, limits); }) ||
      (fields.has("values") && fields.has(kTableName))) {
    return Refusal::bad_field;
  }
  return fields.has("values") ? check_values(*fields["values"], limits) : Refusal::none;
}

Refusal check_error(const Fields& packet) {
  static constexpr std::array<std::string_view, 1> kNames{"id"};
  const Value error = *packet["e"];
  if (error.kind() != Kind::array || error.size() != 2 || !is_number(error[0], 999) ||
      !is_short_text(error[1], kMaxErrorText) || !packet.has("r")) {
    return Refusal::bad_field;
  }
  const Fields fields(*packet["r"], kNames);
  return accept_if(fields.ok() && fields.needs("id", is_key));
}

}  // namespace

std::string_view name(Refusal refusal) {
  switch (refusal) {
    case Refusal::none: return "none";
    case Refusal::not_a_packet: return "not_a_packet";
    case Refusal::unknown_kind: return "unknown_kind";
    case Refusal::bad_field: return "bad_field";
    case Refusal::owned_value: return "owned_value";
    case Refusal::encrypted_value: return "encrypted_value";
    case Refusal::split_value: return "split_value";
    case Refusal::oversized_value: return "oversized_value";
    case Refusal::foreign_value: return "foreign_value";
  }
  return "unknown";
}

Refusal check_packet(ByteView packet, const IngressLimits& limits) {
  const metadata::DecodeLimits decode{.bytes = kPacketBytes, .depth = 8, .elements = 1u << 15};
  const auto document = Document::parse(packet, decode);
  if (!document || document->root().kind() != Kind::map) return Refusal::not_a_packet;

  // Deliveries of value parts and pushed updates answer requests that no node of ours makes.
  const Value root = document->root();
  if (root["p"].kind() != Kind::nil) return Refusal::split_value;
  if (root["u"].kind() != Kind::nil) return Refusal::unknown_kind;

  static constexpr std::array<std::string_view, 9> kNames{"a", "q", "r", "e", "t", "y", "v", "n", "s"};
  const Fields fields(root, kNames);
  if (!fields.ok() || !fields.needs("t", is_transaction) ||
      !fields.fits("v", [](Value version) { return is_short_text(version, kMaxVersionText); }) ||
      !fields.fits("n", [](Value network) { return is_number(network, std::numeric_limits<std::uint32_t>::max()); }) ||
      !fields.fits("s", [](Value client) { return client.kind() == Kind::boolean; }) || !fields.has("y")) {
    return Refusal::bad_field;
  }
  const auto kind = fields["y"]->text();
  if (kind == "q") {
    const auto query = fields.has("q") ? fields["q"]->text() : std::nullopt;
    if (!query || fields.has("r") || fields.has("e") || !fields.has("a")) return Refusal::bad_field;
    return check_query(*query, *fields["a"], limits);
  }
  if (fields.has("a") || fields.has("q")) return Refusal::bad_field;
  if (kind == "r" && fields.has("r") && !fields.has("e")) return check_answer(*fields["r"], limits);
  if (kind == "e" && fields.has("e")) return check_error(fields);
  return Refusal::unknown_kind;
}

}  // namespace p2p::net
