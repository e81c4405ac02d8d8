#include "overlay/directory/registry_messages.hpp"

#include "metadata/codec.hpp"
#include "overlay/fields.hpp"

namespace p2p::directory::registry {

namespace {

using metadata::Encoder;
using metadata::Value;
using overlay::Fields;
using overlay::Goodbye;

// The numbers on the wire; the exchange's are below 64. Goodbye is the exchange's own, so that each understands why the
// other one ends a link that was meant for something else.
enum Kind : std::uint64_t {
  kGoodbye = 31,
  kGreeting = 64,
  kPublish = 65,
  kWithdraw = 66,
  kLookup = 67,
  kWatch = 68,
  kUnwatch = 69,
  kPing = 70,
  kDone = 80,
  kFound = 81,
  kAppeared = 82,
  kRefused = 83,
};

tl::unexpected<Error> bad(std::string_view what) {
  return fail(ErrorCode::malformed, "the other end sent a frame that is not of the registry's protocol: " + std::string(what));
}

void put_query(Encoder& out, const Query& query) {
  out.array(5).binary(query.task.view()).unsigned_integer(static_cast<std::uint8_t>(query.similarity));
  out.unsigned_integer(static_cast<std::uint8_t>(query.by));
  overlay::put_classes(out, query.classes);
  out.binary(query.fingerprint);
}

Query read_query(const Value& value, bool& ok) {
  Query out;
  Fields fields(value, 0);
  fields.require(value.kind() == Value::Kind::array);
  out.task = fields.fixed<metadata::TaskId>();
  out.similarity = static_cast<Similarity>(fields.number(static_cast<std::uint64_t>(Similarity::priors)));
  out.by = static_cast<metadata::By>(fields.number(static_cast<std::uint64_t>(metadata::By::classes)));
  out.classes = fields.classes();
  fields.require(out.classes.size() <= metadata::kMaxTaskClasses);
  out.fingerprint = fields.bytes();
  ok = fields.complete();
  return out;
}

Row read_row(const Value& value, bool& ok) {
  Row out;
  Fields fields(value, 0);
  fields.require(value.kind() == Value::Kind::array);
  out.entry = fields.bytes();
  out.description = fields.bytes();
  ok = fields.complete();
  return out;
}

}  // namespace

Bytes encode(const Frame& frame) {
  Encoder out;
  const auto start = [&](std::uint32_t fields, Kind kind) -> Encoder& {
    return out.array(fields + 2).unsigned_integer(kind).unsigned_integer(frame.id);
  };
  std::visit(overlay::Match{
                 [&](const Greeting& m) { start(2, kGreeting).unsigned_integer(m.version).unsigned_integer(m.frame_bytes); },
                 [&](const Publish& m) { start(2, kPublish).binary(m.entry).binary(m.description); },
                 [&](const Withdraw& m) {
                   start(3, kWithdraw).binary(m.task.view()).unsigned_integer(m.concept_id ? 1 : 0);
                   out.unsigned_integer(m.concept_id.value_or(0));
                 },
                 [&](const Lookup& m) {
                   put_query(start(3, kLookup), m.query);
                   out.unsigned_integer(m.want).array(static_cast<std::uint32_t>(m.excluded.size()));
                   for (const auto& node : m.excluded) out.binary(node.view());
                 },
                 [&](const Watch& m) {
                   put_query(start(2, kWatch), m.query);
                   out.real(m.within);
                 },
                 [&](const Unwatch& m) { start(1, kUnwatch).unsigned_integer(m.watch); },
                 [&](const Ping&) { start(0, kPing); },
                 [&](const Done&) { start(0, kDone); },
                 [&](const Found& m) {
                   start(3, kFound).unsigned_integer(m.known).unsigned_integer(m.more ? 1 : 0);
                   out.array(static_cast<std::uint32_t>(m.rows.size()));
                   for (const auto& row : m.rows) out.array(2).binary(row.entry).binary(row.description);
                 },
                 [&](const Appeared& m) { start(2, kAppeared).binary(m.row.entry).binary(m.row.description); },
                 [&](const Refused& m) {
                   start(3, kRefused).unsigned_integer(static_cast<std::uint8_t>(m.why));
                   out.unsigned_integer(m.retry_ms).text(m.text);
                 },
                 [&](const Goodbye& m) { start(1, kGoodbye).text(m.text); },
             },
             frame.message);
  return overlay::framed(out.take());
}

Result<Frame> decode_frame(ByteView body) {
  auto document = metadata::Document::parse(body, {.bytes = kFrameBytes, .depth = 4, .elements = 1u << 12});
  if (!document) return tl::unexpected(document.error());
  const Value root = document->root();
  const auto kind = root[std::size_t{0}].unsigned_integer();
  const auto id = root[std::size_t{1}].unsigned_integer();
  if (root.kind() != Value::Kind::array || !kind || !id) return bad("no kind and id");

  Frame frame;
  frame.id = *id;
  Fields fields(root);
  bool ok = true;
  switch (*kind) {
    case kGreeting: {
      Greeting m;
      m.version = fields.number32();
      // Later versions may say more, and are refused by number, not by shape.
      if (m.version > kProtocolVersion) {
        frame.message = m;
        return frame;
      }
      m.frame_bytes = fields.number32();
      frame.message = m;
      break;
    }
    case kPublish: {
      Publish m;
      m.entry = fields.bytes();
      m.description = fields.bytes();
      frame.message = std::move(m);
      break;
    }
    case kWithdraw: {
      Withdraw m{fields.fixed<metadata::TaskId>(), {}};
      const bool one = fields.number(1) == 1;
      const auto concept_id = fields.number32();
      if (one) m.concept_id = concept_id;
      fields.require(one || concept_id == 0);
      frame.message = m;
      break;
    }
    case kLookup: {
      Lookup m;
      m.query = read_query(fields.next(), ok);
      m.want = static_cast<std::uint32_t>(fields.number(kMaxWant));
      const Value excluded = fields.next();
      fields.require(ok && m.want > 0 && excluded.kind() == Value::Kind::array && excluded.size() <= kMaxExcluded);
      Fields nodes(excluded, 0);
      for (std::size_t i = 0; i < excluded.size() && i < kMaxExcluded; ++i) {
        m.excluded.push_back(nodes.fixed<metadata::NodeId>());
      }
      fields.require(nodes.complete());
      frame.message = std::move(m);
      break;
    }
    case kWatch: {
      Watch m;
      m.query = read_query(fields.next(), ok);
      m.within = fields.finite();
      fields.require(ok && m.within >= 0);
      frame.message = std::move(m);
      break;
    }
    case kUnwatch: frame.message = Unwatch{fields.number()}; break;
    case kPing: frame.message = Ping{}; break;
    case kDone: frame.message = Done{}; break;
    case kFound: {
      Found m;
      m.known = fields.number();
      m.more = fields.number(1) == 1;
      const Value rows = fields.next();
      fields.require(rows.kind() == Value::Kind::array && rows.size() <= kMaxWant);
      for (std::size_t i = 0; ok && i < rows.size() && i < kMaxWant; ++i) m.rows.push_back(read_row(rows[i], ok));
      fields.require(ok);
      frame.message = std::move(m);
      break;
    }
    case kAppeared: {
      Appeared m;
      m.row.entry = fields.bytes();
      m.row.description = fields.bytes();
      frame.message = std::move(m);
      break;
    }
    case kRefused: {
      Refused m;
      m.why = static_cast<Refused::Why>(fields.number(static_cast<std::uint64_t>(Refused::Why::untrusted)));
      m.retry_ms = fields.number32();
      m.text = fields.text();
      frame.message = std::move(m);
      break;
    }
    case kGoodbye: frame.message = Goodbye{fields.text()}; break;
    default: return bad("kind " + std::to_string(*kind) + " is not known");
  }
  if (!fields.complete()) return bad("a field is missing, wrong, or one too many");
  return frame;
}

bool is_request(const Message& m) {
  return std::holds_alternative<Publish>(m) || std::holds_alternative<Withdraw>(m) || std::holds_alternative<Lookup>(m) ||
         std::holds_alternative<Watch>(m) || std::holds_alternative<Unwatch>(m) || std::holds_alternative<Ping>(m);
}

}  // namespace p2p::directory::registry
