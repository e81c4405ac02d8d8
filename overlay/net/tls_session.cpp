#include "overlay/net/tls_session.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include <gnutls/gnutls.h>
#include <sys/uio.h>

#include <fmt/core.h>

namespace p2p::net {

using metadata::NodeId;

namespace {

constexpr std::string_view kExporterLabel = "EXPORTER-p2p-learner-resumption";
constexpr unsigned kPreSharedKeyExtension = 41;

}  // namespace

TlsSession::TlsSession(std::shared_ptr<const TlsCredentials> credentials, Role role)
    : credentials_(std::move(credentials)), role_(role) {}

TlsSession::~TlsSession() {
  drop_packet();
  if (session_ != nullptr) gnutls_deinit(session_);
}

void TlsSession::drop_packet() {
  if (packet_ != nullptr) gnutls_packet_deinit(packet_);
  packet_ = nullptr;
}

Result<std::unique_ptr<TlsSession>> TlsSession::client(std::shared_ptr<const TlsCredentials> credentials,
                                                       const NodeId& expected, std::optional<Resumption> offer) {
  P2P_ASSERT(!offer || offer->peer == expected);
  std::unique_ptr<TlsSession> out(new TlsSession(std::move(credentials), Role::client));
  out->expected_ = expected;
  out->offer_ = std::move(offer);
  if (auto up = out->set_up(); !up) return tl::unexpected(up.error());
  return out;
}

Result<std::unique_ptr<TlsSession>> TlsSession::server(std::shared_ptr<const TlsCredentials> credentials, FindResumption find) {
  std::unique_ptr<TlsSession> out(new TlsSession(std::move(credentials), Role::server));
  out->find_ = std::move(find);
  if (auto up = out->set_up(); !up) return tl::unexpected(up.error());
  return out;
}

Result<void> TlsSession::set_up() {
  const unsigned flags = (role_ == Role::client ? GNUTLS_CLIENT : GNUTLS_SERVER) | GNUTLS_NONBLOCK |
                         GNUTLS_ENABLE_RAWPK | GNUTLS_NO_TICKETS;
  int error = gnutls_init(&session_, flags);
  if (error == 0) error = gnutls_priority_set(session_, find_ || offer_ ? credentials_->resuming_ : credentials_->priority_);
  if (error == 0) error = gnutls_credentials_set(session_, GNUTLS_CRD_CERTIFICATE, credentials_->certificate_);
  if (error == 0 && offer_) error = gnutls_credentials_set(session_, GNUTLS_CRD_PSK, credentials_->offering_);
  if (error < 0) return fail(ErrorCode::io, "GnuTLS cannot open a session", gnutls_strerror(error));
  if (role_ == Role::server) gnutls_certificate_server_set_request(session_, GNUTLS_CERT_REQUIRE);
  gnutls_session_set_ptr(session_, this);
  gnutls_session_set_verify_function(session_, &TlsSession::on_peer_key);
  if (find_) {
    gnutls_handshake_set_hook_function(
        session_, GNUTLS_HANDSHAKE_CLIENT_HELLO, GNUTLS_HOOK_PRE,
        [](gnutls_session_t session, unsigned, unsigned, unsigned, const gnutls_datum_t* message) {
          return static_cast<TlsSession*>(gnutls_session_get_ptr(session))->take_hello({message->data, message->size});
        });
  }
  gnutls_transport_set_ptr(session_, this);
  gnutls_transport_set_vec_push_function(session_, [](gnutls_transport_ptr_t self, const giovec_t* pieces, int count) {
    return static_cast<ssize_t>(on_push(self, pieces, count));
  });
  gnutls_transport_set_pull_function(session_, [](gnutls_transport_ptr_t self, void* out, std::size_t size) {
    return static_cast<ssize_t>(on_pull(self, out, size));
  });
  return {};
}

long TlsSession::on_push(void* self, const iovec* pieces, int count) {
  auto& session = *static_cast<TlsSession*>(self);
  long total = 0;
  for (int i = 0; i < count; ++i) {
    session.push(static_cast<const std::uint8_t*>(pieces[i].iov_base), pieces[i].iov_len);
    total += static_cast<long>(pieces[i].iov_len);
  }
  return total;
}

void TlsSession::push(const std::uint8_t* data, std::size_t size) {
  while (size > 0) {
    if (outgoing_.empty() || outgoing_.back().size() >= kPieceBytes) {
      outgoing_.emplace_back();
      outgoing_.back().reserve(std::min(kPieceBytes, std::max(size, to_come_)));
    }
    Bytes& last = outgoing_.back();
    const std::size_t part = std::min(size, kPieceBytes - last.size());
    last.insert(last.end(), data, data + part);
    data += part;
    size -= part;
    to_come_ -= std::min(to_come_, part);
  }
}

long TlsSession::on_pull(void* self, void* out, std::size_t size) {
  auto& session = *static_cast<TlsSession*>(self);
  const std::size_t there = session.incoming_.size() - session.consumed_;
  if (there == 0) {
    const std::size_t taken = std::min(size, session.lent_.size());
    if (taken > 0) {
      std::memcpy(out, session.lent_.data(), taken);
      session.lent_ = session.lent_.subspan(taken);
      return static_cast<long>(taken);
    }
    if (session.end_of_input_) {
      session.cut_ = true;
      return 0;
    }
    gnutls_transport_set_errno(session.session_, EAGAIN);
    return -1;
  }
  const std::size_t taken = std::min(size, there);
  std::memcpy(out, session.incoming_.data() + session.consumed_, taken);
  session.consumed_ += taken;
  if (session.consumed_ == session.incoming_.size()) {
    session.incoming_.clear();
    session.consumed_ = 0;
  }
  return static_cast<long>(taken);
}

void TlsSession::receive(ByteView ciphertext) {
  settle();
  lent_ = ciphertext;
}

void TlsSession::settle() {
  if (lent_.empty()) return;
  if (consumed_ > 0) {
    incoming_.erase(incoming_.begin(), incoming_.begin() + static_cast<std::ptrdiff_t>(consumed_));
    consumed_ = 0;
  }
  incoming_.insert(incoming_.end(), lent_.begin(), lent_.end());
  lent_ = {};
}

// Called by GnuTLS when the peer's key has come and its signature over the handshake has been checked.
int TlsSession::on_peer_key(gnutls_session_int* session) {
  auto& self = *static_cast<TlsSession*>(gnutls_session_get_ptr(session));
  self.refusal_ = self.inspect_peer();
  return self.refusal_ ? GNUTLS_E_CERTIFICATE_ERROR : 0;
}

std::optional<Error> TlsSession::inspect_peer() {
  unsigned count = 0;
  const gnutls_datum_t* keys = gnutls_certificate_get_peers(session_, &count);
  if (gnutls_certificate_type_get2(session_, GNUTLS_CTYPE_PEERS) != GNUTLS_CRT_RAWPK || keys == nullptr ||
      count != 1 || keys->size != kEd25519Prefix.size() + 32 ||
      !std::equal(kEd25519Prefix.begin(), kEd25519Prefix.end(), keys->data)) {
    return Error{ErrorCode::untrusted, "the peer shows no Ed25519 node key; it is no node of ours", {}};
  }
  NodeId id;
  std::memcpy(id.bytes.data(), keys->data + kEd25519Prefix.size(), id.bytes.size());
  if (expected_ && id != *expected_) {
    return Error{ErrorCode::untrusted,
                 fmt::format("the peer at this address is node {}, not {}; its address may have been taken over",
                             id.brief(), expected_->brief()),
                 {}};
  }
  shown_ = id;
  return std::nullopt;
}

const ResumptionSecret* TlsSession::offered(gnutls_session_int* session) {
  const auto& self = *static_cast<const TlsSession*>(gnutls_session_get_ptr(session));
  return self.offer_ ? &self.offer_->secret : nullptr;
}

// Before GnuTLS reads the client's hello. It would break off the handshake at a name that is not known; so it is told that there
// are pre-shared keys only when this one is.
int TlsSession::take_hello(ByteView message) {
  // A second hello answers our asking for another group, for which a client that resumes gives no reason.
  if (offer_) return GNUTLS_E_UNEXPECTED_PACKET;
  const auto find = std::move(find_);
  find_ = nullptr;
  std::optional<ResumptionId> named;
  const gnutls_datum_t hello{const_cast<unsigned char*>(message.data()), static_cast<unsigned>(message.size())};
  const int error = gnutls_ext_raw_parse(
      &named,
      [](void* out, unsigned type, const unsigned char* data, unsigned size) {
        if (type == kPreSharedKeyExtension) {
          *static_cast<std::optional<ResumptionId>*>(out) = offered_resumption({data, size});
        }
        return 0;
      },
      &hello, GNUTLS_EXT_RAW_FLAG_TLS_CLIENT_HELLO);
  if (error < 0 || !named || !find) return 0;  // what is wrong with it is for GnuTLS to say
  offer_ = find(*named);
  return offer_ ? gnutls_credentials_set(session_, GNUTLS_CRD_PSK, credentials_->accepting_) : 0;
}

// The one place that says who the peer is.
void TlsSession::complete() {
  const bool resumed = gnutls_kx_get(session_) == GNUTLS_KX_ECDHE_PSK;
  // Without a pre-shared key both roles demand a signature, so GnuTLS has shown us a key; anything else is a bug of ours or of GnuTLS.
  P2P_ASSERT(resumed ? offer_.has_value() && !shown_ : shown_.has_value());
  if (resumed) resumed_from_ = offer_->proven;
  peer_ = resumed ? offer_->peer : *shown_;
  offer_.reset();
}

Result<TlsSession::NextSecrets> TlsSession::next_secrets() const {
  P2P_ASSERT(peer_.has_value());
  NextSecrets out;
  const auto fill = [&](ResumptionSecret& secret, std::string_view direction) {
    std::array<std::uint8_t, sizeof secret.id + sizeof secret.key> bytes;
    const int error = gnutls_prf_rfc5705(session_, kExporterLabel.size(), kExporterLabel.data(), direction.size(),
                                         direction.data(), bytes.size(), reinterpret_cast<char*>(bytes.data()));
    std::copy_n(bytes.begin(), secret.id.size(), secret.id.begin());
    std::copy_n(bytes.begin() + sizeof secret.id, secret.key.size(), secret.key.begin());
    gnutls_memset(bytes.data(), 0, bytes.size());
    return error;
  };
  int error = fill(out.onward, "onward");
  if (error == 0) error = fill(out.back, "back");
  if (error < 0) return fail(ErrorCode::io, "GnuTLS exports no secret", gnutls_strerror(error));
  return out;
}

Error TlsSession::failure(int code) {
  std::string cause = gnutls_strerror(code);
  if (code == GNUTLS_E_FATAL_ALERT_RECEIVED || code == GNUTLS_E_WARNING_ALERT_RECEIVED) {
    const char* alert = gnutls_alert_get_name(gnutls_alert_get(session_));
    if (alert != nullptr) cause += fmt::format(" The peer's alert: {}.", alert);
  }
  if (refusal_) {
    failed_ = *refusal_;
    failed_->cause = std::move(cause);
    return *failed_;
  }
  switch (code) {
    case GNUTLS_E_CERTIFICATE_REQUIRED:
    case GNUTLS_E_NO_CERTIFICATE_FOUND:
      failed_ = Error{ErrorCode::untrusted, "the peer shows no key; it is no node of ours", {}};
      break;
    case GNUTLS_E_FATAL_ALERT_RECEIVED:
      failed_ = Error{peer_ ? ErrorCode::io : ErrorCode::closed, "the peer broke off the TLS session", {}};
      break;
    case GNUTLS_E_PREMATURE_TERMINATION:
      failed_ = Error{ErrorCode::io, "the connection was cut off", {}};
      break;
    case GNUTLS_E_UNSUPPORTED_VERSION_PACKET:
      failed_ = Error{ErrorCode::malformed, "the peer speaks no TLS 1.3; update it", {}};
      break;
    default:
      failed_ = cut_ ? Error{ErrorCode::io, "the connection was cut off", {}}
                     : Error{ErrorCode::malformed, "the peer breaks the TLS protocol; it is no node of ours", {}};
  }
  failed_->cause = std::move(cause);
  return *failed_;
}

// GnuTLS says "again" after a part of a message, and after one of its own between those of the user, with more to read there.
bool TlsSession::goes_on(std::size_t& unread) const {
  const std::size_t before = std::exchange(unread, unread_bytes());
  return unread < before && (unread > 0 || end_of_input_);
}

Result<bool> TlsSession::handshake() {
  if (failed_) return tl::unexpected(*failed_);
  if (peer_) return true;
  for (std::size_t unread = unread_bytes();;) {
    const int code = gnutls_handshake(session_);
    if (code == GNUTLS_E_SUCCESS) {
      complete();
      return true;
    }
    if (code == GNUTLS_E_AGAIN) {
      if (goes_on(unread)) continue;
      if (!end_of_input_) return false;
      return tl::unexpected(failure(GNUTLS_E_PREMATURE_TERMINATION));
    }
    if (code == GNUTLS_E_INTERRUPTED || gnutls_error_is_fatal(code) == 0) continue;
    gnutls_alert_send_appropriate(session_, code);
    return tl::unexpected(failure(code));
  }
}

Result<ByteView> TlsSession::read() {
  drop_packet();
  if (failed_) return tl::unexpected(*failed_);
  if (ended_) return ByteView();
  P2P_ASSERT(peer_.has_value());
  for (std::size_t unread = unread_bytes();;) {
    const ssize_t code = gnutls_record_recv_packet(session_, &packet_);
    if (code > 0) {
      gnutls_datum_t plain{};
      gnutls_packet_get(packet_, &plain, nullptr);
      return ByteView(plain.data, plain.size);
    }
    drop_packet();
    if (code == 0) {
      ended_ = true;
      return ByteView();
    }
    if (code == GNUTLS_E_AGAIN) {
      if (goes_on(unread)) continue;
      if (!end_of_input_) return ByteView();
      return tl::unexpected(failure(GNUTLS_E_PREMATURE_TERMINATION));
    }
    if (code == GNUTLS_E_INTERRUPTED || gnutls_error_is_fatal(static_cast<int>(code)) == 0) continue;
    gnutls_alert_send_appropriate(session_, static_cast<int>(code));
    return tl::unexpected(failure(static_cast<int>(code)));
  }
}

Result<void> TlsSession::write(ByteView head, ByteView body) {
  constexpr std::size_t kOverhead = 32;  // of a record, at most
  to_come_ = head.size() + body.size() + kOverhead * ((head.size() + body.size()) / kRecordBytes + 2);
  if (body.empty() || head.size() >= kRecordBytes) {
    if (auto written = write_records(head); !written || body.empty()) return written;
    return write_records(body);
  }
  // A short head does not get a record of its own.
  std::array<std::uint8_t, kRecordBytes> first;
  const std::size_t part = std::min(body.size(), first.size() - head.size());
  std::copy(head.begin(), head.end(), first.begin());
  std::copy_n(body.begin(), part, first.begin() + static_cast<std::ptrdiff_t>(head.size()));
  if (auto written = write_records(ByteView(first).first(head.size() + part)); !written) return written;
  return write_records(body.subspan(part));
}

Result<void> TlsSession::write_records(ByteView plaintext) {
  if (failed_) return tl::unexpected(*failed_);
  P2P_ASSERT(peer_.has_value());
  while (!plaintext.empty()) {
    const ssize_t code = gnutls_record_send(session_, plaintext.data(), plaintext.size());
    if (code == GNUTLS_E_AGAIN || code == GNUTLS_E_INTERRUPTED) continue;  // memory is always ready
    if (code < 0) return tl::unexpected(failure(static_cast<int>(code)));
    plaintext = plaintext.subspan(static_cast<std::size_t>(code));
  }
  return {};
}

Result<void> TlsSession::end() {
  if (failed_) return tl::unexpected(*failed_);
  for (;;) {
    const int code = gnutls_bye(session_, GNUTLS_SHUT_WR);
    if (code == GNUTLS_E_SUCCESS) return {};
    if (code == GNUTLS_E_AGAIN || code == GNUTLS_E_INTERRUPTED) continue;
    return tl::unexpected(failure(code));
  }
}

std::size_t TlsSession::outgoing_bytes() const {
  std::size_t total = 0;
  for (const Bytes& piece : outgoing_) total += piece.size();
  return total;
}

std::string TlsSession::description() const {
  char* text = gnutls_session_get_desc(session_);
  const std::string out = text == nullptr ? "" : text;
  gnutls_free(text);
  return out;
}

}  // namespace p2p::net
