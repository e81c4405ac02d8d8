#include "overlay/net/udp_port.hpp"

#include <array>
#include <cerrno>
#include <cstring>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fmt/core.h>

namespace p2p::net {

using metadata::Endpoint;

namespace {

constexpr std::size_t kBatch = 32;
constexpr std::size_t kPacketBytes = 64 * 1024;

sockaddr_in socket_address(const UdpAddress& address) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(address.port);
  out.sin_addr.s_addr = htonl(address.address);
  return out;
}

UdpAddress udp_address_of(const sockaddr_in& address) {
  return {ntohl(address.sin_addr.s_addr), ntohs(address.sin_port)};
}

}  // namespace

std::optional<UdpAddress> udp_address(const Endpoint& endpoint) {
  in_addr address{};
  if (inet_pton(AF_INET, endpoint.host.c_str(), &address) != 1) return std::nullopt;
  return UdpAddress{ntohl(address.s_addr), endpoint.port};
}

Endpoint endpoint(const UdpAddress& address) {
  std::array<char, INET_ADDRSTRLEN> text{};
  const in_addr number{htonl(address.address)};
  inet_ntop(AF_INET, &number, text.data(), text.size());
  return {text.data(), address.port};
}

// Untouched pages of these 2 MB cost nothing; most packets need one.
struct UdpPort::Batch {
  std::array<std::array<std::uint8_t, kPacketBytes>, kBatch> buffers;
  std::array<mmsghdr, kBatch> messages;
  std::array<iovec, kBatch> pieces;
  std::array<sockaddr_in, kBatch> senders;
  std::array<Packet, kBatch> packets;
};

UdpPort::Descriptor::~Descriptor() {
  if (value_ >= 0) ::close(value_);
}

UdpPort::UdpPort(Descriptor socket, Descriptor wake, UdpAddress local, bool threaded)
    : socket_(std::move(socket)), wake_(std::move(wake)), local_(local), threaded_(threaded) {}

UdpPort::~UdpPort() { stop(); }

Result<std::unique_ptr<UdpPort>> UdpPort::open(const UdpPortOptions& options) {
  const auto wanted = udp_address({options.bind, options.port});
  if (!wanted) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("\"{}\" is no numeric IPv4 address to bind to, such as 127.0.0.1", options.bind));
  }
  Descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  Descriptor wake(options.threaded ? ::eventfd(0, EFD_CLOEXEC) : -1);
  if (socket.get() < 0 || (options.threaded && wake.get() < 0)) {
    return fail(ErrorCode::io, "cannot open a socket: raise the limit on open files (ulimit -n)",
                std::strerror(errno));
  }
  // FORCE needs a privilege; without it the system's maximum is what we get.
  const int buffer = options.receive_buffer_bytes;
  if (::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer) != 0) {
    ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
  }
  sockaddr_in address = socket_address(*wanted);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const int error = errno;
    switch (error) {
      case EADDRINUSE:
        return fail(ErrorCode::in_use,
                    fmt::format("UDP port {} of {} is taken: stop the program that uses it, or choose another DHT port "
                                "(0 takes a free one)",
                                options.port, options.bind),
                    std::strerror(error));
      case EADDRNOTAVAIL:
        return fail(ErrorCode::invalid_argument,
                    fmt::format("{} is no address of this machine: bind to one of `ip address`", options.bind),
                    std::strerror(error));
      default:
        return fail(ErrorCode::io, fmt::format("cannot bind to {}:{}", options.bind, options.port),
                    std::strerror(error));
    }
  }
  socklen_t size = sizeof address;
  ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size);
  return std::unique_ptr<UdpPort>(
      new UdpPort(std::move(socket), std::move(wake), udp_address_of(address), options.threaded));
}

int UdpPort::send(const UdpAddress& to, ByteView bytes) noexcept {
  const sockaddr_in address = socket_address(to);
  const ssize_t sent = ::sendto(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL,
                                reinterpret_cast<const sockaddr*>(&address), sizeof address);
  return sent < 0 ? errno : 0;
}

void UdpPort::start(OnPackets handler) {
  P2P_ASSERT(!handler_ && handler);
  handler_ = std::move(handler);
  if (threaded_) reader_ = std::thread([this] { run(); });
}

void UdpPort::stop() {
  stopped_ = true;
  if (!threaded_) return;
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof one);
  if (reader_.joinable() && reader_.get_id() != std::this_thread::get_id()) reader_.join();
}

void UdpPort::run() {
  const auto batch = std::make_unique_for_overwrite<Batch>();
  std::array<pollfd, 2> waited{pollfd{socket_.get(), POLLIN, 0}, pollfd{wake_.get(), POLLIN, 0}};
  for (;;) {
    if (::poll(waited.data(), waited.size(), -1) < 0) {
      if (errno == EINTR) continue;
      return;
    }
    if (waited[1].revents != 0) return;
    read(*batch);
  }
}

bool UdpPort::read() {
  P2P_ASSERT(!threaded_);
  // One for all ports that a thread reads: thousands of ports would otherwise touch a page each, and more.
  static thread_local const auto batch = std::make_unique_for_overwrite<Batch>();
  return handler_ && !stopped_ && read(*batch);
}

bool UdpPort::read(Batch& batch) {
  for (std::size_t i = 0; i < kBatch; ++i) {
    batch.pieces[i] = {batch.buffers[i].data(), kPacketBytes};
    batch.messages[i] = {};
    batch.messages[i].msg_hdr.msg_iov = &batch.pieces[i];
    batch.messages[i].msg_hdr.msg_iovlen = 1;
    batch.messages[i].msg_hdr.msg_name = &batch.senders[i];
    batch.messages[i].msg_hdr.msg_namelen = sizeof batch.senders[i];
  }
  const int count = ::recvmmsg(socket_.get(), batch.messages.data(), kBatch, MSG_DONTWAIT, nullptr);
  if (count <= 0) return false;  // an ICMP error of some earlier packet, or nothing after all
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    batch.packets[i] = {.from = udp_address_of(batch.senders[i]),
                        .bytes = ByteView(batch.buffers[i].data(), batch.messages[i].msg_len),
                        .truncated = (batch.messages[i].msg_hdr.msg_flags & MSG_TRUNC) != 0};
  }
  handler_({batch.packets.data(), static_cast<std::size_t>(count)});
  return true;
}

}  // namespace p2p::net
