#include "tests/net/plain_stream.hpp"

#include <arpa/inet.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "metadata/base/random.hpp"
#include "metadata/crypto.hpp"

namespace p2p::net::testing {

namespace {

constexpr std::size_t kPiece = 64u << 10;
constexpr std::size_t kBlock = 8u << 20;

double thread_cpu() {
  timespec used{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * 1e-9;
}

class Session {
 public:
  Session(unsigned role, int socket) : socket_(socket) {
    gnutls_init(&session, role);
    gnutls_priority_set_direct(session, "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+PSK:-CIPHER-ALL:+AES-256-GCM", nullptr);
    if (role == GNUTLS_SERVER) {
      gnutls_psk_allocate_server_credentials(&server_);
      gnutls_psk_set_server_credentials_function(server_, [](gnutls_session_t, const char*, gnutls_datum_t* key) {
        key->data = static_cast<unsigned char*>(gnutls_calloc(1, 32));
        key->size = 32;
        return 0;
      });
      gnutls_credentials_set(session, GNUTLS_CRD_PSK, server_);
    } else {
      unsigned char zeros[32] = {};
      const gnutls_datum_t key{zeros, sizeof zeros};
      gnutls_psk_allocate_client_credentials(&client_);
      gnutls_psk_set_client_credentials(client_, "bench", &key, GNUTLS_PSK_KEY_RAW);
      gnutls_credentials_set(session, GNUTLS_CRD_PSK, client_);
    }
    const int on = 1;
    ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    gnutls_transport_set_int(session, socket);
    int code;
    do {
      code = gnutls_handshake(session);
    } while (code < 0 && gnutls_error_is_fatal(code) == 0);
    if (code < 0) std::printf("plain GnuTLS: %s\n", gnutls_strerror(code)), std::abort();
  }
  ~Session() {
    gnutls_deinit(session);
    if (server_ != nullptr) gnutls_psk_free_server_credentials(server_);
    if (client_ != nullptr) gnutls_psk_free_client_credentials(client_);
    ::close(socket_);
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  gnutls_session_t session{};

 private:
  int socket_;
  gnutls_psk_server_credentials_t server_{};
  gnutls_psk_client_credentials_t client_{};
};

void receive(gnutls_session_t session, std::size_t bytes, Load load) {
  std::vector<Bytes> kept;
  metadata::Sha256 hash;
  Bytes piece(kPiece);
  for (std::size_t received = 0; received < bytes;) {
    const ssize_t count = gnutls_record_recv(session, piece.data(), piece.size());
    if (count <= 0) std::printf("plain GnuTLS: cut off\n"), std::abort();
    received += static_cast<std::size_t>(count);
    if (load == Load::passing) continue;
    if (kept.empty() || kept.back().size() + static_cast<std::size_t>(count) > kBlock) kept.emplace_back().reserve(kBlock);
    kept.back().insert(kept.back().end(), piece.begin(), piece.begin() + count);
    hash.add(ByteView(piece).first(static_cast<std::size_t>(count)));
  }
  (void)hash.finish();
}

}  // namespace

StreamFigures plain_stream(std::size_t bytes, Load load) {
  StreamFigures out;
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ::listen(listener, 1) != 0) std::abort();
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  Bytes memory(load == Load::kept ? bytes : kPiece);
  Random random(1);
  for (std::size_t i = 0; i + 8 <= memory.size(); i += 8) {
    const auto value = random.next();
    std::memcpy(memory.data() + i, &value, 8);
  }
  std::thread receiver([&] {
    Session in(GNUTLS_SERVER, ::accept(listener, nullptr, nullptr));
    const double cpu = thread_cpu();
    receive(in.session, bytes, load);
    out.receiver_cpu = thread_cpu() - cpu;
  });
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  if (::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) std::abort();
  {
    Session session(GNUTLS_CLIENT, socket);
    out.cipher = gnutls_cipher_get_name(gnutls_cipher_get(session.session));
    const double cpu = thread_cpu();
    const auto start = std::chrono::steady_clock::now();
    for (std::size_t sent = 0; sent < bytes;) {
      const std::size_t at = load == Load::kept ? sent : 0;
      const ssize_t count = gnutls_record_send(session.session, memory.data() + at, std::min(kPiece, bytes - sent));
      if (count <= 0) std::printf("plain GnuTLS: cannot send\n"), std::abort();
      sent += static_cast<std::size_t>(count);
    }
    out.sender_cpu = thread_cpu() - cpu;
    receiver.join();
    out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  ::close(listener);
  return out;
}

}  // namespace p2p::net::testing
