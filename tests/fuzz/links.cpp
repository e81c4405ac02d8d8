// What a proven peer may do on a link: any frames in any order. Whatever it says, an honest node reports a pull from it
// once, holds nothing for it after it has gone, and goes on serving others.
//
// First byte: 1: it is asked for a part, else it connects; 2: bytes as they are, else frames with the right length;
// 4: it does not greet. Then messages, each two bytes of length and its content; one after each frame that it hears.
#include "tests/overlay/support.hpp"

using namespace p2p;

namespace {

class Script {
 public:
  explicit Script(ByteView bytes) : in_(bytes) {}
  bool more() const { return in_.remaining() > 2; }
  Bytes next(bool framed) {
    const auto length = in_.get<std::uint16_t>();
    Bytes content(std::min<std::size_t>(length, in_.remaining()));
    in_.get_array(std::span(content));
    return framed && !content.empty() ? overlay::framed(content) : content;
  }

 private:
  ByteReader in_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  sim::Simulation simulation(1);
  simulation.network().latency_low = simulation.network().latency_high = test::Duration(1000);
  for (const char* name : {"honest", "hostile", "other"}) simulation.add_host({.name = name});
  test::Party honest(simulation, simulation.host(0));
  honest.offer = test::offer_of({300, 0, 900});
  test::Party other(simulation, simulation.host(2));

  const bool asked = data[0] & 1, framed = !(data[0] & 2);
  Script script({data + 1, size - 1});
  test::RawPeer hostile(simulation.host(1));
  hostile.greets = !(data[0] & 4);
  const auto speak = [&](test::RawPeer& peer, const overlay::Frame&) {
    if (script.more()) peer.write(script.next(framed));
  };
  std::shared_ptr<test::Report<overlay::PulledPart>> pulled;
  if (asked) {
    hostile.listen(speak);
    pulled = honest.pull({simulation.host(1).id(), simulation.host(1).endpoint()});
  } else {
    hostile.connect(simulation.host(0), speak);
  }
  simulation.run_for(std::chrono::milliseconds(100));
  while (script.more() && hostile.link && !hostile.closed) {
    hostile.write(script.next(framed));
    simulation.run_for(std::chrono::milliseconds(10));
  }
  simulation.run_for(std::chrono::seconds(40));  // past every deadline
  P2P_ASSERT(!pulled || pulled->calls == 1);
  P2P_ASSERT(honest.links() == 0);
  const auto sound = other.pull(honest.peer());
  simulation.run_for(std::chrono::seconds(2));
  P2P_ASSERT(sound->ok() && sound->value().blocks.size() == 3);
  return 0;
}
