// What a stranger says first to the accepting end of a link: a hello, which may offer to resume by a secret that this end
// knows. Nobody is believed to be anyone before he has finished, and nothing is read out of an offer of another form.
#include "overlay/net/tls_session.hpp"
#include "tests/fuzz/hello_secret.hpp"

using namespace p2p;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (const auto name = net::offered_resumption({data, size})) P2P_ASSERT(std::equal(name->begin(), name->end(), data + 4));
  static const auto credentials = *net::TlsCredentials::make(metadata::KeyPair::from_seed({1}));
  int asked = 0;
  const auto session = *net::TlsSession::server(credentials, [&](const net::ResumptionId& name) {
    ++asked;
    const auto known = net::testing::hello_secret(metadata::KeyPair::from_seed({2}).id());
    return name == known.secret.id ? std::optional(known) : std::nullopt;
  });
  session->receive({data, size});
  const auto done = session->handshake();
  session->settle();
  P2P_ASSERT(!done || !*done);
  session->receive_end();
  P2P_ASSERT(!session->handshake());
  P2P_ASSERT(!session->peer() && asked <= 1 && session->outgoing_bytes() < 4096);
  return 0;
}
