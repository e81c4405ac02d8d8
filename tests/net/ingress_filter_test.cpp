#include "overlay/net/ingress_filter.hpp"

#include <fstream>
#include <iterator>

#include "metadata/base/random.hpp"
#include "packets.hpp"
#include "support.hpp"

namespace p2p::net::test {
namespace {

constexpr const char* kTableName = "fileds";  // sic

Refusal judge(const Write& packet) { return check_packet(packed(packet), {}); }
Refusal judge_put(const Write& value) { return judge(query("put", put_arguments({value}))); }
Refusal judge_answer_with(const Write& value) {
  return judge(answer({{"id", binary(id_bytes())}, {"values", list({value})}}));
}
MapOf record(std::size_t size = 300) { return value_body(4243, Bytes(size, 1)); }
MapOf twin(std::size_t size = 300) { return value_body(0, Bytes(size, 'x')).add("utype", text("text/plain")); }

// "put" and the answer to a "get" carry values in the same form, and are judged alike.
void check_both(const Write& value, Refusal expected) {
  CHECK(judge_put(value) == expected);
  CHECK(judge_answer_with(value) == expected);
}

TEST_CASE("The ingress filter lets pass what nodes of ours say to each other") {
  const MapOf id{{"id", binary(id_bytes())}};
  const MapOf get{{"id", binary(id_bytes())}, {"h", binary(id_bytes(8))}};
  const MapOf select_ids{{"s", list({number(1)})}, {"w", list({MapOf{{"f", number(2)}, {"v", number(4243)}}})}};
  CHECK(judge(query("ping", id)) == Refusal::none);
  CHECK(judge(query("find", MapOf(id).add("target", binary(id_bytes(9))).add("w", list({number(2), number(10)})))) ==
        Refusal::none);
  CHECK(judge(query("get", get)) == Refusal::none);
  CHECK(judge(query("get", MapOf(get).add("q", select_ids).add("w", list({number(2)})))) == Refusal::none);
  CHECK(judge(query("put", put_arguments({value_of(record())}))) == Refusal::none);
  CHECK(judge(query("put", put_arguments({value_of(record()), value_of(twin())}).add("c", number(1'700'000'000)))) ==
        Refusal::none);
  CHECK(judge(query("refresh", MapOf(get).add("token", zeros(32)).add("vid", number(~0ull)))) == Refusal::none);
  CHECK(judge(query("ping", id).set("t", binary({1, 2, 3, 4})).add("s", [](Encoder& out) { out.boolean(true); })) ==
        Refusal::none);

  CHECK(judge(answer(MapOf(id).add("sa", zeros(4)))) == Refusal::none);
  CHECK(judge(answer(MapOf(id).add("sa", zeros(16)).add("n4", zeros(26 * 8)).add("n6", zeros(38 * 8)).add(
            "token", zeros(32)))) == Refusal::none);
  CHECK(judge(answer(MapOf(id).add("vid", number(12)))) == Refusal::none);
  CHECK(judge(answer(MapOf(id).add("values", list({value_of(record()), value_of(twin())})))) == Refusal::none);
  const MapOf rows{{"f", list({number(1), number(5)})},
                   {"v", list({number(7), text("a"), number(8), text("b")})}};
  CHECK(judge(answer(MapOf(id).add(kTableName, rows))) == Refusal::none);
  CHECK(judge(MapOf{{"e", list({number(401), text("Put with wrong token")})}, {"r", id}, {"t", number(1)},
                    {"y", text("e")}, {"v", text("RNG1")}}) == Refusal::none);
}

TEST_CASE("The ingress filter lets pass what OpenDHT 2.4.12 and dhtnode really sent, but for dhtnode's listen") {
  int packets = 0;
  for (const auto& file : std::filesystem::directory_iterator(P2P_INGRESS_CORPUS)) {
    std::ifstream in(file.path(), std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(in)), {});
    const std::string what = file.path().filename();
    INFO(what);
    CHECK(check_packet(view(bytes), {}) == (what.starts_with("listen") ? Refusal::unknown_kind : Refusal::none));
    ++packets;
  }
  CHECK(packets >= 16);
}

TEST_CASE("The ingress filter drops values that carry an OpenDHT owner") {
  for (const bool with_signature : {false, true}) {
    const MapOf body = record().add("owner", zeros(294)).add("seq", number(0));
    MapOf content{{"body", body}};
    if (with_signature) content.add("sig", zeros(256));
    check_both(MapOf{{"id", number(1)}, {"dat", content}}, Refusal::owned_value);
  }
  check_both(value_of(twin().add("owner", zeros(294))), Refusal::owned_value);
}

TEST_CASE("The ingress filter drops values that carry a signature, a sequence number or a recipient of OpenDHT's") {
  check_both(MapOf{{"id", number(1)}, {"dat", MapOf{{"body", record()}, {"sig", zeros(256)}}}}, Refusal::owned_value);
  check_both(value_of(record().add("seq", number(3))), Refusal::owned_value);
  check_both(value_of(record().add("to", binary(id_bytes()))), Refusal::owned_value);
}

TEST_CASE("The ingress filter finds an owned value behind good ones") {
  const Write good = value_of(record()), bad = value_of(record().add("owner", zeros(10)));
  CHECK(judge(query("put", put_arguments({good, good, bad}))) == Refusal::owned_value);
  CHECK(judge(query("put", put_arguments({bad, good}))) == Refusal::owned_value);
}

TEST_CASE("The ingress filter drops encrypted values") {
  check_both(MapOf{{"id", number(1)}, {"dat", zeros(500)}}, Refusal::encrypted_value);
}

TEST_CASE("The ingress filter drops values that come in parts, their announcement and the parts themselves") {
  check_both(number(2000), Refusal::split_value);
  const MapOf part{{"p", MapOf{{"0", MapOf{{"o", number(0)}, {"d", zeros(100)}}}}}, {"t", number(1)}, {"y", text("v")},
                   {"v", text("RNG1")}};
  CHECK(judge(part) == Refusal::split_value);
}

TEST_CASE("The ingress filter drops values larger than their kind may be, and lets the largest pass") {
  const IngressLimits limits;
  check_both(value_of(record(limits.record_bytes)), Refusal::none);
  check_both(value_of(record(limits.record_bytes + 1)), Refusal::oversized_value);
  check_both(value_of(twin(limits.text_bytes)), Refusal::none);
  check_both(value_of(twin(limits.text_bytes + 1)), Refusal::oversized_value);
}

TEST_CASE("The ingress filter drops values of types that this overlay does not use") {
  check_both(value_of(value_body(0, Bytes(10))), Refusal::foreign_value);  // no text
  check_both(value_of(value_body(0, Bytes(10)).add("utype", text("application/json"))), Refusal::foreign_value);
  check_both(value_of(record().add("utype", text("text/plain"))), Refusal::foreign_value);
  for (const std::uint64_t type : {1, 2, 3, 8, 4242, 4244, 65535}) {
    check_both(value_of(value_body(type, Bytes(10))), Refusal::foreign_value);
  }
}

TEST_CASE("The ingress filter drops values whose form it does not know") {
  check_both(text("value"), Refusal::bad_field);
  check_both(MapOf{{"id", number(1)}}, Refusal::bad_field);
  check_both(MapOf{{"dat", MapOf{{"body", record()}}}}, Refusal::bad_field);
  check_both(MapOf{{"id", text("1")}, {"dat", MapOf{{"body", record()}}}}, Refusal::bad_field);
  check_both(MapOf{{"id", number(1)}, {"dat", MapOf{}}}, Refusal::bad_field);
  check_both(MapOf{{"id", number(1)}, {"dat", text("body")}}, Refusal::bad_field);
  check_both(value_of(MapOf{{"type", number(4243)}}), Refusal::bad_field);
  check_both(value_of(MapOf{{"data", zeros(10)}}), Refusal::bad_field);
  check_both(value_of(MapOf{{"type", text("x")}, {"data", zeros(10)}}), Refusal::bad_field);
  check_both(value_of(MapOf{{"type", number(4243)}, {"data", text("not binary")}}), Refusal::bad_field);
  check_both(value_of(record().add("colour", number(1))), Refusal::bad_field);
  check_both(value_of(record()).operator Write(), Refusal::none);
}

TEST_CASE("The ingress filter drops packets that say a thing twice, whichever of the two is good") {
  const MapOf id{{"id", binary(id_bytes())}};
  CHECK(judge(query("ping", MapOf(id).add("id", binary(id_bytes(9))))) == Refusal::bad_field);
  CHECK(judge(query("ping", id).add("q", text("put"))) == Refusal::bad_field);
  check_both(value_of(record().add("data", zeros(5000))), Refusal::bad_field);
  check_both(value_of(record()).add("dat", zeros(10)), Refusal::bad_field);
}

TEST_CASE("The ingress filter drops what is no packet: garbage, cuts, surplus, deep nests, false sizes") {
  const auto verdict = [](ByteView bytes) { return check_packet(bytes, {}); };
  CHECK(verdict({}) == Refusal::not_a_packet);
  CHECK(verdict(view("hello")) == Refusal::not_a_packet);
  CHECK(verdict(Bytes{0xdf, 0xff, 0xff, 0xff, 0xff}) == Refusal::not_a_packet);  // a map of 4 G entries
  CHECK(verdict(Bytes{0xc6, 0xff, 0xff, 0xff, 0xff}) == Refusal::not_a_packet);  // 4 GB of bytes
  Bytes nest(60'000, 0x91);
  CHECK(verdict(nest) == Refusal::not_a_packet);
  const Bytes good = packed(query("put", put_arguments({value_of(record())})));
  REQUIRE(verdict(good) == Refusal::none);
  for (std::size_t size = 0; size < good.size(); ++size) {
    REQUIRE(verdict(ByteView(good).first(size)) == Refusal::not_a_packet);
  }
  Bytes longer = good;
  longer.push_back(0xc0);
  CHECK(verdict(longer) == Refusal::not_a_packet);
  CHECK(verdict(Bytes(70'000, 0x80)) == Refusal::not_a_packet);
}

TEST_CASE("The ingress filter drops kinds of packets that no node of ours needs") {
  const MapOf get{{"id", binary(id_bytes())}, {"h", binary(id_bytes(8))}};
  CHECK(judge(query("listen", MapOf(get).add("token", zeros(32)).add("sid", number(1)))) == Refusal::unknown_kind);
  CHECK(judge(query("announce_peer", get)) == Refusal::unknown_kind);
  const MapOf update{{"u", MapOf{{"id", binary(id_bytes())}, {"values", list({value_of(record())})}}},
                     {"t", number(1)}, {"y", text("r")}, {"v", text("RNG1")}};
  CHECK(judge(update) == Refusal::unknown_kind);
  CHECK(judge(MapOf{{"t", number(1)}, {"y", text("x")}}) == Refusal::unknown_kind);
}

TEST_CASE("The ingress filter drops packets with a field of the wrong kind, size or place") {
  const MapOf id{{"id", binary(id_bytes())}};
  const MapOf ping = query("ping", id);
  const auto bad = [](const MapOf& packet) { return judge(packet) == Refusal::bad_field; };
  CHECK(bad(query("ping", {})));
  CHECK(bad(query("ping", {{"id", zeros(19)}})));
  CHECK(bad(query("ping", {{"id", text("abcdefghijklmnopqrst")}})));
  CHECK(bad(query("ping", MapOf(id).add("values", list({})))));
  CHECK(bad(MapOf(ping).remove("t")));
  CHECK(bad(MapOf(ping).remove("y")));
  CHECK(bad(MapOf(ping).remove("q")));
  CHECK(bad(MapOf(ping).remove("a")));
  CHECK(bad(MapOf(ping).set("a", list({}))));
  CHECK(bad(MapOf(ping).set("q", number(1))));
  CHECK(bad(MapOf(ping).set("t", binary({1, 2, 3}))));
  CHECK(bad(MapOf(ping).set("t", number(1ull << 32))));
  CHECK(bad(MapOf(ping).set("n", text("5"))));
  CHECK(bad(MapOf(ping).set("v", text(std::string(33, 'v')))));
  CHECK(bad(MapOf(ping).add("s", number(1))));
  CHECK(bad(MapOf(ping).add("r", id)));
  CHECK(bad(MapOf(ping).add("e", list({}))));
  CHECK(bad(MapOf(ping).add("zz", number(1))));
  CHECK(bad(answer(id).add("q", text("ping"))));
  CHECK(bad(answer(id).add("a", id)));
  CHECK(bad(answer({})));
  CHECK(bad(answer(MapOf(id).add("n4", zeros(25)))));
  CHECK(bad(answer(MapOf(id).add("n4", zeros(26 * 65)))));
  CHECK(bad(answer(MapOf(id).add("n6", zeros(26)))));
  CHECK(bad(answer(MapOf(id).add("sa", zeros(5)))));
  CHECK(bad(answer(MapOf(id).add("token", zeros(65)))));
  CHECK(bad(answer(MapOf(id).add("exp", list({number(1)})))));
  const MapOf put = put_arguments({value_of(record())});
  CHECK(bad(query("put", MapOf(put).remove("token"))));
  CHECK(bad(query("put", MapOf(put).remove("h"))));
  CHECK(bad(query("put", MapOf(put).remove("values"))));
  CHECK(bad(query("put", MapOf(put).set("values", text("none")))));
  CHECK(bad(query("put", MapOf(put).add("c", number(~0ull)))));
  CHECK(bad(query("put", put_arguments(std::vector<Write>(65, value_of(record(8)))))));
}

TEST_CASE("The ingress filter drops errors and tables that would be read past their end or divided by nothing") {
  const MapOf id{{"id", binary(id_bytes())}};
  const auto error = [&](const Write& content) {
    return judge(MapOf{{"e", content}, {"r", id}, {"t", number(1)}, {"y", text("e")}});
  };
  CHECK(error(list({number(401), text("x")})) == Refusal::none);
  CHECK(error(list({})) == Refusal::bad_field);
  CHECK(error(list({text("401"), text("x")})) == Refusal::bad_field);
  CHECK(error(text("401")) == Refusal::bad_field);
  CHECK(judge(MapOf{{"e", list({number(401), text("x")})}, {"t", number(1)}, {"y", text("e")}}) == Refusal::bad_field);

  const auto table = [&](const Write& names, const Write& cells) {
    return judge(answer(MapOf(id).add(kTableName, MapOf{{"f", names}, {"v", cells}})));
  };
  CHECK(table(list({number(1)}), list({number(7), number(8)})) == Refusal::none);
  CHECK(table(list({}), list({number(7)})) == Refusal::bad_field);
  CHECK(table(list({number(1), number(1)}), list({number(7), number(8)})) == Refusal::bad_field);
  CHECK(table(list({number(5), number(1)}), list({text("a"), number(8)})) == Refusal::bad_field);
  CHECK(table(list({number(1), number(2)}), list({number(7)})) == Refusal::bad_field);
  CHECK(table(list({number(3)}), list({binary(id_bytes())})) == Refusal::bad_field);
  CHECK(table(list({number(0)}), list({number(7)})) == Refusal::bad_field);
  CHECK(table(list({number(1)}), list({text("seven")})) == Refusal::bad_field);
  CHECK(table(list({number(2)}), list({number(65536)})) == Refusal::bad_field);
  CHECK(judge(answer(MapOf(id).add(kTableName, MapOf{{"f", list({number(1)})}}))) == Refusal::bad_field);
}

TEST_CASE("The ingress filter drops selections by owner, by sequence number and by unknown fields") {
  const auto get = [](const Write& select, const Write& where) {
    return judge(query("get", {{"id", binary(id_bytes())}, {"h", binary(id_bytes(8))},
                               {"q", MapOf{{"s", select}, {"w", where}}}}));
  };
  const auto where = [&](std::uint64_t field, const Write& value) {
    return get(list({}), list({MapOf{{"f", number(field)}, {"v", value}}}));
  };
  CHECK(where(1, number(~0ull)) == Refusal::none);
  CHECK(where(2, number(4243)) == Refusal::none);
  CHECK(where(5, binary({'t'})) == Refusal::none);
  CHECK(where(1, text("x")) == Refusal::bad_field);
  CHECK(where(2, number(70'000)) == Refusal::bad_field);
  CHECK(where(3, binary(id_bytes())) == Refusal::bad_field);
  CHECK(where(4, number(1)) == Refusal::bad_field);
  CHECK(where(6, number(1)) == Refusal::bad_field);
  CHECK(get(list({number(3)}), list({})) == Refusal::bad_field);
  CHECK(get(list({number(1)}), list({})) == Refusal::none);
  CHECK(get(list(std::vector<Write>(9, number(1))), list({})) == Refusal::bad_field);
}

TEST_CASE("The ingress filter survives a hundred thousand damaged packets") {
  Random random(20240607);
  const std::vector<Bytes> good = {
      packed(query("put", put_arguments({value_of(record()), value_of(twin())}))),
      packed(answer({{"id", binary(id_bytes())}, {"values", list({value_of(record())})}, {"n4", zeros(26 * 8)}})),
      packed(query("get", {{"id", binary(id_bytes())}, {"h", binary(id_bytes(8))},
                           {"q", MapOf{{"s", list({number(1)})}, {"w", list({})}}}})),
      packed(answer({{"id", binary(id_bytes())},
                     {kTableName, MapOf{{"f", list({number(1)})}, {"v", list({number(7), number(8)})}}}})),
  };
  int passed = 0;
  for (int round = 0; round < 100'000; ++round) {
    Bytes packet = good[random.below(good.size())];
    const auto changes = 1 + random.below(4);
    for (std::uint64_t i = 0; i < changes; ++i) {
      packet[random.below(packet.size())] = static_cast<std::uint8_t>(random.next());
    }
    if (random.below(4) == 0) packet.resize(random.below(packet.size() + 1));
    const Refusal refusal = check_packet(packet, {});
    CHECK(name(refusal) != "unknown");
    passed += refusal == Refusal::none ? 1 : 0;
  }
  CHECK(passed > 0);       // damage inside the data is nobody's business here
  CHECK(passed < 90'000);  // and most other damage is seen
}

}  // namespace
}  // namespace p2p::net::test
