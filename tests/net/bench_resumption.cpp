// What does resuming save, and what does it cost? bench_resumption [handshakes=2000]
// Two ends in one thread, memory between them, each kind of handshake in turns: ours (tls_session.cpp) in full, in full with
// the secrets for the next time, resumed, and in full after an offer in vain; and, as the alternative that lost, GnuTLS's own
// session tickets with the same keys and ciphers. Then what a stranger's first words cost the accepting end alone, who says no more,
// and what the tables of secrets cost. Printed: processor time (median, p95), bytes of both directions.
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include "metadata/crypto.hpp"
#include "overlay/net/tls_session.hpp"
#include "overlay/net/tls_transport.hpp"

namespace p2p::net {
namespace {

constexpr const char* kPriority =
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CTYPE-ALL:+CTYPE-RAWPK:-GROUP-ALL:+GROUP-X25519:-SIGN-ALL:+SIGN-EDDSA-ED25519"
    ":-CIPHER-ALL:+AES-256-GCM:+AES-128-GCM:+CHACHA20-POLY1305";

void must(int code, const char* what) {
  if (code < 0) std::printf("%s: %s\n", what, gnutls_strerror(code)), std::abort();
}

metadata::KeyPair key_of(std::uint8_t number) {
  std::array<std::uint8_t, 32> seed{};
  seed[0] = number;
  return metadata::KeyPair::from_seed(seed);
}

gnutls_certificate_credentials_t credentials_of(std::uint8_t number) {
  const auto key = key_of(number);
  const auto seed = key.seed();
  Bytes public_der = *from_hex("302a300506032b6570032100"), private_der = *from_hex("302e020100300506032b657004220420");
  public_der.insert(public_der.end(), key.id().bytes.begin(), key.id().bytes.end());
  private_der.insert(private_der.end(), seed.begin(), seed.end());
  const gnutls_datum_t open{public_der.data(), static_cast<unsigned>(public_der.size())};
  const gnutls_datum_t secret{private_der.data(), static_cast<unsigned>(private_der.size())};
  gnutls_certificate_credentials_t out;
  must(gnutls_certificate_allocate_credentials(&out), "credentials");
  must(gnutls_certificate_set_rawpk_key_mem(out, &open, &secret, GNUTLS_X509_FMT_DER, nullptr,
                                            GNUTLS_KEY_DIGITAL_SIGNATURE, nullptr, 0, 0), "key");
  return out;
}

struct End {
  gnutls_session_t session{};
  Bytes* in = nullptr;
  Bytes* out = nullptr;
  std::size_t sent = 0;
  ~End() { gnutls_deinit(session); }

  void set_up(unsigned role, unsigned flags, gnutls_certificate_credentials_t credentials) {
    must(gnutls_init(&session, role | GNUTLS_NONBLOCK | GNUTLS_ENABLE_RAWPK | flags), "session");
    must(gnutls_priority_set_direct(session, kPriority, nullptr), "priority");
    must(gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials), "credentials");
    gnutls_transport_set_ptr(session, this);
    gnutls_transport_set_push_function(session, [](gnutls_transport_ptr_t self, const void* data, std::size_t size) {
      auto& end = *static_cast<End*>(self);
      const auto* bytes = static_cast<const std::uint8_t*>(data);
      end.out->insert(end.out->end(), bytes, bytes + size);
      end.sent += size;
      return static_cast<ssize_t>(size);
    });
    gnutls_transport_set_pull_function(session, [](gnutls_transport_ptr_t self, void* data, std::size_t size) {
      auto& end = *static_cast<End*>(self);
      const auto taken = std::min(size, end.in->size());
      if (taken == 0) {
        gnutls_transport_set_errno(end.session, EAGAIN);
        return ssize_t{-1};
      }
      std::memcpy(data, end.in->data(), taken);
      end.in->erase(end.in->begin(), end.in->begin() + static_cast<std::ptrdiff_t>(taken));
      return static_cast<ssize_t>(taken);
    });
  }
};

double cpu() {
  timespec used{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) * 1e6 + static_cast<double>(used.tv_nsec) * 1e-3;
}

struct Outcome {
  double us = 0;
  std::size_t bytes = 0;
  bool resumed = false;
};

/// `ticket`: the server gives one; `resume`: what the client kept of the last session, and keeps of this one.
Outcome shake(gnutls_certificate_credentials_t ours, gnutls_certificate_credentials_t theirs, gnutls_datum_t* ticket,
              gnutls_datum_t* resume, bool use) {
  Bytes up, down;
  End client, server;
  client.out = server.in = &up;
  client.in = server.out = &down;
  const double start = cpu();
  const unsigned flags = ticket == nullptr ? GNUTLS_NO_TICKETS : 0;
  client.set_up(GNUTLS_CLIENT, flags, ours);
  server.set_up(GNUTLS_SERVER, flags, theirs);
  gnutls_certificate_server_set_request(server.session, GNUTLS_CERT_REQUIRE);
  if (ticket != nullptr) must(gnutls_session_ticket_enable_server(server.session, ticket), "ticket");
  if (use) must(gnutls_session_set_data(client.session, resume->data, resume->size), "resume");
  int here = GNUTLS_E_AGAIN, there = GNUTLS_E_AGAIN;
  while (here < 0 || there < 0) {
    if (here < 0) here = gnutls_handshake(client.session);
    if (here < 0 && gnutls_error_is_fatal(here)) must(here, "client");
    if (there < 0) there = gnutls_handshake(server.session);
    if (there < 0 && gnutls_error_is_fatal(there)) must(there, "server");
  }
  Outcome out;
  if (ticket != nullptr) {  // it comes behind the handshake
    std::uint8_t byte;
    (void)gnutls_record_recv(client.session, &byte, 1);
    if (resume->data != nullptr) gnutls_free(resume->data);
    must(gnutls_session_get_data2(client.session, resume), "keep");
  }
  out.us = cpu() - start;
  out.bytes = client.sent + server.sent;
  out.resumed = gnutls_session_is_resumed(client.session) != 0;
  return out;
}

/// Our two ends, with a secret that both know or that only the client knows.
class Ours {
 public:
  enum class How { plain, deriving, resuming, in_vain };

  Outcome shake(How how) {
    Resumption offer{key_of(1).id(), secret_, {}};
    if (how == How::in_vain) offer.secret.id.fill(0);
    Resumption known{key_of(2).id(), secret_, {}};
    const double start = cpu();
    const bool offers = how == How::resuming || how == How::in_vain;
    auto client = TlsSession::client(ours_, key_of(1).id(), offers ? std::optional(offer) : std::nullopt).value();
    auto server = server_of(how == How::plain ? nullptr : &known);
    Outcome out;
    for (bool here = false, there = false; !here || !there;) {
      if (!here) here = client->handshake().value();
      out.bytes += carry(*client, *server);
      if (!there) there = server->handshake().value();
      out.bytes += carry(*server, *client);
    }
    if (how != How::plain) {
      const auto next = client->next_secrets().value();
      secret_ = server->next_secrets()->onward;
      if (secret_.id != next.onward.id) std::abort();
    }
    out.us = cpu() - start;
    out.resumed = client->resumed_from().has_value() && server->resumed_from().has_value();
    return out;
  }

  /// What the accepting end spends on a hello and its answer to it.
  Outcome answer(How how, bool right_key) {
    Resumption offer{key_of(1).id(), secret_, {}}, known{key_of(2).id(), secret_, {}};
    if (how == How::in_vain) offer.secret.id.fill(0);
    if (!right_key) offer.secret.key.fill(0);
    auto client =
        TlsSession::client(ours_, key_of(1).id(), how == How::plain ? std::nullopt : std::optional(offer)).value();
    static_cast<void>(client->handshake());
    const Bytes hello = taken(*client);
    const double start = cpu();
    auto server = server_of(&known);
    server->receive(hello);
    static_cast<void>(server->handshake());
    const Bytes answer = taken(*server);
    server.reset();
    return {cpu() - start, hello.size() + answer.size(), false};
  }

 private:
  std::unique_ptr<TlsSession> server_of(const Resumption* known) {
    if (known == nullptr) return TlsSession::server(theirs_).value();
    return TlsSession::server(theirs_, [known](const ResumptionId& id) {
             return id == known->secret.id ? std::optional(*known) : std::nullopt;
           }).value();
  }
  static Bytes taken(TlsSession& from) {
    Bytes out;
    for (auto& pieces = from.outgoing(); !pieces.empty(); pieces.pop_front()) {
      out.insert(out.end(), pieces.front().begin(), pieces.front().end());
    }
    return out;
  }
  static std::size_t carry(TlsSession& from, TlsSession& to) {
    const Bytes wire = taken(from);
    to.receive(wire);
    to.settle();
    return wire.size();
  }

  std::shared_ptr<const TlsCredentials> theirs_ = TlsCredentials::make(key_of(1)).value();
  std::shared_ptr<const TlsCredentials> ours_ = TlsCredentials::make(key_of(2)).value();
  ResumptionSecret secret_;
};

/// What a link asks of full tables: two secrets to keep, one to offer or to find by its name.
void tables() {
  constexpr std::uint32_t kLinks = 20000;
  const auto most = TlsOptions{}.resumptions;
  ResumptionTable table({.most = most, .life = std::chrono::hours(1)});
  const auto of = [](std::uint32_t number) {
    Resumption out;
    const std::uint32_t scattered = number * 2654435761u;
    std::memcpy(out.peer.bytes.data(), &scattered, sizeof scattered);
    std::memcpy(out.secret.id.data(), &scattered, sizeof scattered);
    return out;
  };
  std::uint32_t next = 0;
  for (; next < most; ++next) table.keep(of(next), {});
  std::uint32_t found = 0;
  const double start = cpu();
  for (std::uint32_t i = 0; i < kLinks; ++i) {
    table.keep(of(next++), {});
    table.keep(of(next++), {});
    const auto one = of(next - static_cast<std::uint32_t>(most) / 2);
    found += (i % 2 == 0 ? table.take(one.peer, {}) : table.take(one.secret.id, {})).has_value() ? 1 : 0;
  }
  std::printf("a link's look-ups in tables that are full with %zu: %.1f us; %u of %u found\n", most, (cpu() - start) / kLinks, found,
              kLinks);
}

void print(const char* what, std::vector<Outcome> all) {
  std::sort(all.begin(), all.end(), [](const Outcome& a, const Outcome& b) { return a.us < b.us; });
  const auto resumed = std::count_if(all.begin(), all.end(), [](const Outcome& one) { return one.resumed; });
  std::printf("%-52s %4.0f us (p95 %.0f); %4zu bytes; %td of %zu resumed\n", what, all[all.size() / 2].us,
              all[all.size() * 95 / 100].us, all[0].bytes, resumed, all.size());
}

}  // namespace
}  // namespace p2p::net

int main(int argc, char** argv) {
  using namespace p2p::net;
  const std::string_view word = argc > 1 ? argv[1] : "";
  const int count = word.starts_with("handshakes=") ? std::max(1, std::atoi(argv[1] + 11)) : 2000;
  const auto ours = credentials_of(2), theirs = credentials_of(1);
  gnutls_datum_t ticket{}, resume{};
  must(gnutls_session_ticket_key_generate(&ticket), "ticket key");
  using How = Ours::How;
  Ours ends;
  std::vector<Outcome> plain, deriving, resumed, in_vain, giving, by_ticket, strange, unknown, wrong;
  for (int i = 0; i < count; ++i) {
    plain.push_back(ends.shake(How::plain));
    deriving.push_back(ends.shake(How::deriving));
    resumed.push_back(ends.shake(How::resuming));
    in_vain.push_back(ends.shake(How::in_vain));
    giving.push_back(shake(ours, theirs, &ticket, &resume, false));
    by_ticket.push_back(shake(ours, theirs, &ticket, &resume, true));
    strange.push_back(ends.answer(How::plain, true));
    unknown.push_back(ends.answer(How::in_vain, true));
    wrong.push_back(ends.answer(How::resuming, false));
  }
  std::puts("processor of both ends:");
  print("full", plain);
  print("full, and secrets for the next time", deriving);
  print("resumed, and secrets for the next time", resumed);
  print("full after an offer in vain, and secrets", in_vain);
  print("GnuTLS: full, and a ticket for the next time", giving);
  print("GnuTLS: resumed, and a ticket for the next time", by_ticket);
  std::puts("processor of the accepting end, for a hello that nothing follows:");
  print("no offer", strange);
  print("an offer by a name that it does not know", unknown);
  print("an offer by a name that it knows, with another key", wrong);
  tables();
  gnutls_free(resume.data);
  gnutls_free(ticket.data);
  gnutls_certificate_free_credentials(ours);
  gnutls_certificate_free_credentials(theirs);
}
