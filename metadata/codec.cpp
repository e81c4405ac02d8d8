#include "metadata/codec.hpp"

#include <algorithm>
#include <limits>
#include <msgpack.hpp>
#include <utility>
#include <vector>

#include "metadata/utf8.hpp"

namespace p2p::metadata {

namespace {
/// Lets msgpack::packer append straight to our bytes.
struct ByteSink {
  Bytes bytes;
  void write(const char* data, std::size_t size) {
    const auto* first = reinterpret_cast<const std::uint8_t*>(data);
    bytes.insert(bytes.end(), first, first + size);
  }
};

std::uint32_t length32(std::size_t size) {
  P2P_ASSERT(size <= std::numeric_limits<std::uint32_t>::max());
  return static_cast<std::uint32_t>(size);
}
}  // namespace

struct Encoder::State {
  ByteSink sink;
  msgpack::packer<ByteSink> packer{sink};
};

Encoder::Encoder() : state_(std::make_unique<State>()) {}
Encoder::~Encoder() = default;

Encoder& Encoder::array(std::uint32_t size) {
  state_->packer.pack_array(size);
  return *this;
}
Encoder& Encoder::map(std::uint32_t size) {
  state_->packer.pack_map(size);
  return *this;
}
Encoder& Encoder::nil() {
  state_->packer.pack_nil();
  return *this;
}
Encoder& Encoder::boolean(bool value) {
  value ? state_->packer.pack_true() : state_->packer.pack_false();
  return *this;
}
Encoder& Encoder::integer(std::int64_t value) {
  state_->packer.pack_int64(value);
  return *this;
}
Encoder& Encoder::unsigned_integer(std::uint64_t value) {
  state_->packer.pack_uint64(value);
  return *this;
}
Encoder& Encoder::real(double value) {
  // Not pack_double(): it turns whole numbers into integers, and a kind must not depend on a value.
  const auto bits = std::bit_cast<std::uint64_t>(value);
  std::uint8_t out[9] = {0xcb};
  for (int i = 0; i < 8; ++i) out[1 + i] = static_cast<std::uint8_t>(bits >> (56 - 8 * i));
  return raw(out);
}
Encoder& Encoder::real32(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  std::uint8_t out[5] = {0xca};
  for (int i = 0; i < 4; ++i) out[1 + i] = static_cast<std::uint8_t>(bits >> (24 - 8 * i));
  return raw(out);
}
Encoder& Encoder::text(std::string_view value) {
  state_->packer.pack_str(length32(value.size()));
  state_->packer.pack_str_body(value.data(), length32(value.size()));
  return *this;
}
Encoder& Encoder::binary(ByteView value) {
  state_->packer.pack_bin(length32(value.size()));
  state_->packer.pack_bin_body(reinterpret_cast<const char*>(value.data()), length32(value.size()));
  return *this;
}
Encoder& Encoder::binary_head(std::uint32_t size) {
  state_->packer.pack_bin(size);
  return *this;
}
Encoder& Encoder::raw(ByteView packed) {
  state_->sink.write(reinterpret_cast<const char*>(packed.data()), packed.size());
  return *this;
}

Bytes Encoder::take() { return std::exchange(state_->sink.bytes, {}); }

namespace {

/// One value of a message. Containers refer to their children by distance, so that the nodes may move together.
struct Node {
  Value::Kind kind = Value::Kind::nil;
  bool negative = false;     // integer: `bits` is a negative two's complement
  std::uint32_t size = 0;    // of a text, binary, array; of a map: its pairs
  union {
    std::uint64_t bits = 0;  // boolean, integer
    double number;
    const char* data;        // text, binary
    std::uint64_t children;  // array, map: distance from this node to its first child
  };
};
static_assert(sizeof(Node) == 16);

/// Builds the nodes in one pass over the bytes and stops at the first bound that is passed.
///
/// Each value takes at least one byte of input, so a message of n bytes cannot hold more than n of them: a
/// container that claims more is refused before room is made for its children.
class TreeBuilder : public msgpack::null_visitor {
 public:
  TreeBuilder(std::size_t input_size, const DecodeLimits& limits)
      : limits_(limits), most_(std::min(limits.elements, input_size)), input_size_(input_size) {
    nodes_.emplace_back();
    next_.push_back({0});
  }

  bool visit_nil() { return put(Value::Kind::nil) != nullptr; }
  bool visit_boolean(bool value) {
    put(Value::Kind::boolean)->bits = value ? 1 : 0;
    return true;
  }
  bool visit_positive_integer(std::uint64_t value) {
    put(Value::Kind::integer)->bits = value;
    return true;
  }
  bool visit_negative_integer(std::int64_t value) {
    Node* node = put(Value::Kind::integer);
    node->bits = static_cast<std::uint64_t>(value);
    node->negative = value < 0;
    return true;
  }
  bool visit_float32(float value) {
    put(Value::Kind::real)->number = value;
    return true;
  }
  bool visit_float64(double value) {
    put(Value::Kind::real)->number = value;
    return true;
  }
  bool visit_str(const char* data, std::uint32_t size) {
    if (!is_utf8({data, size})) return stop(ErrorCode::malformed, "text is not UTF-8");
    return sized(Value::Kind::text, data, size);
  }
  bool visit_bin(const char* data, std::uint32_t size) {
    return sized(Value::Kind::binary, data, size);
  }
  bool visit_ext(const char* data, std::uint32_t size) {
    return sized(Value::Kind::extension, data, size);
  }
  bool start_array(std::uint32_t size) { return open(Value::Kind::array, size, size); }
  bool end_array() { return close(); }
  bool start_map(std::uint32_t size) {
    return open(Value::Kind::map, size, std::uint64_t{2} * size);
  }
  bool end_map() { return close(); }
  void insufficient_bytes(std::size_t, std::size_t) {
    if (!failed_) stop(ErrorCode::malformed, "the message is cut short");
  }
  void parse_error(std::size_t, std::size_t) {
    if (!failed_) stop(ErrorCode::malformed, "the message has a byte that msgpack does not use");
  }

  bool failed() const { return failed_; }
  const Error& error() const { return error_; }
  std::vector<Node> take() { return std::move(nodes_); }

 private:
  struct Level {
    std::size_t next;  // where the next value of this container goes
  };

  bool stop(ErrorCode code, const char* message) {
    failed_ = true;
    error_ = Error{code, message, {}};
    return false;
  }
  Node* put(Value::Kind kind) {
    Node* node = &nodes_[next_.back().next++];
    node->kind = kind;
    return node;
  }
  bool sized(Value::Kind kind, const char* data, std::uint32_t size) {
    Node* node = put(kind);
    node->size = size;
    node->data = data;
    return true;
  }
  bool open(Value::Kind kind, std::uint32_t size, std::uint64_t children) {
    if (next_.size() > limits_.depth) {
      return stop(ErrorCode::limit_exceeded, "the message is nested too deep");
    }
    if (children > most_ - used_) {
      if (children > input_size_ - used_) {
        return stop(ErrorCode::malformed, "the message claims more elements than it has bytes");
      }
      return stop(ErrorCode::limit_exceeded, "the message has too many elements");
    }
    used_ += children;
    Node* node = put(kind);
    node->size = size;
    const std::size_t first = nodes_.size();
    node->children = static_cast<std::uint64_t>(first - static_cast<std::size_t>(node - nodes_.data()));
    nodes_.resize(first + children);
    next_.push_back({first});
    return true;
  }
  bool close() {
    next_.pop_back();
    return true;
  }

  DecodeLimits limits_;
  std::size_t most_;
  std::size_t input_size_;
  std::uint64_t used_ = 0;
  std::vector<Node> nodes_;
  std::vector<Level> next_;
  bool failed_ = false;
  Error error_;
};

const Node kNil{};
const Node& node_of(const void* object) {
  return object ? *static_cast<const Node*>(object) : kNil;
}

}  // namespace

struct Document::State {
  Bytes bytes;  // what texts and binaries point into
  std::vector<Node> nodes;
};

Document::Document(std::unique_ptr<State> state) : state_(std::move(state)) {}
Document::Document(Document&&) noexcept = default;
Document& Document::operator=(Document&&) noexcept = default;
Document::~Document() = default;

Result<Document> Document::parse(ByteView bytes, const DecodeLimits& limits) {
  if (bytes.size() > limits.bytes) {
    return fail(ErrorCode::limit_exceeded, "the message is longer than allowed");
  }
  Bytes own(bytes.begin(), bytes.end());
  auto document = of_lent(own, limits);
  if (document) document->state_->bytes = std::move(own);  // where they lie does not change
  return document;
}

Result<Document> Document::of_lent(ByteView bytes, const DecodeLimits& limits) {
  if (bytes.size() > limits.bytes) {
    return fail(ErrorCode::limit_exceeded, "the message is longer than allowed");
  }
  auto state = std::make_unique<State>();
  TreeBuilder builder(bytes.size(), limits);
  std::size_t offset = 0;
  bool whole = false;
  try {
    whole = msgpack::parse(reinterpret_cast<const char*>(bytes.data()), bytes.size(), offset, builder);
  } catch (const msgpack::unpack_error& e) {  // an extension's size; nothing wider: room is never asked for in vain
    return fail(ErrorCode::malformed, "the message does not decode", e.what());
  }
  if (builder.failed()) return tl::unexpected<Error>(builder.error());
  if (!whole) return fail(ErrorCode::malformed, "the message is cut short");
  if (offset != bytes.size()) {
    return fail(ErrorCode::malformed, "the message has bytes after its end");
  }
  state->nodes = builder.take();
  return Document(std::move(state));
}

Value Document::root() const { return state_ ? Value(state_->nodes.data()) : Value(); }

Value::Kind Value::kind() const { return node_of(object_).kind; }

std::size_t Value::size() const {
  const Node& node = node_of(object_);
  switch (node.kind) {
    case Kind::text:
    case Kind::binary:
    case Kind::array:
    case Kind::map: return node.size;
    default: return 0;
  }
}
std::optional<bool> Value::boolean() const {
  const Node& node = node_of(object_);
  if (node.kind != Kind::boolean) return std::nullopt;
  return node.bits != 0;
}
std::optional<std::int64_t> Value::integer() const {
  const Node& node = node_of(object_);
  if (node.kind != Kind::integer) return std::nullopt;
  if (!node.negative && node.bits > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    return std::nullopt;
  }
  return static_cast<std::int64_t>(node.bits);
}
std::optional<std::uint64_t> Value::unsigned_integer() const {
  const Node& node = node_of(object_);
  if (node.kind != Kind::integer || node.negative) return std::nullopt;
  return node.bits;
}
std::optional<double> Value::real() const {
  const Node& node = node_of(object_);
  if (node.kind == Kind::real) return node.number;
  if (node.kind != Kind::integer) return std::nullopt;
  return node.negative ? static_cast<double>(static_cast<std::int64_t>(node.bits))
                       : static_cast<double>(node.bits);
}
std::optional<std::string_view> Value::text() const {
  const Node& node = node_of(object_);
  if (node.kind != Kind::text) return std::nullopt;
  return std::string_view(node.data, node.size);
}
std::optional<ByteView> Value::binary() const {
  const Node& node = node_of(object_);
  if (node.kind != Kind::binary) return std::nullopt;
  return ByteView(reinterpret_cast<const std::uint8_t*>(node.data), node.size);
}
Value Value::operator[](std::size_t index) const {
  const Node& node = node_of(object_);
  if (node.kind != Kind::array || index >= node.size) return {};
  return Value(&node + node.children + index);
}
Value Value::operator[](std::string_view key) const {
  const Node& node = node_of(object_);
  if (node.kind != Kind::map) return {};
  for (std::size_t i = 0; i < node.size; ++i) {
    const auto [name, value] = entry(i);
    if (name.text() == key) return value;
  }
  return {};
}
std::pair<Value, Value> Value::entry(std::size_t index) const {
  const Node& node = node_of(object_);
  if (node.kind != Kind::map || index >= node.size) return {};
  const Node* key = &node + node.children + 2 * index;
  return {Value(key), Value(key + 1)};
}

}  // namespace p2p::metadata
