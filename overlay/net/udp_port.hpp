// The real datagram port: one UDP socket, read in batches.
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "metadata/base/error.hpp"
#include "overlay/net/datagram_port.hpp"

namespace p2p::net {

struct UdpPortOptions {
  std::string bind = "127.0.0.1";  ///< numeric IPv4 address
  std::uint16_t port = 0;          ///< 0: any free one
  /// Of the kernel. A get of many values answers in one burst, which the default of 208 KB does not hold.
  int receive_buffer_bytes = 4 << 20;
  /// false: no thread reads; whoever polls descriptor() calls read(). For many ports in one process.
  bool threaded = true;
};

/// A UDP socket that is read in batches of 32, with poll rather than OpenDHT's select, which ends a process with more
/// than 1024 open files.
class UdpPort final : public DatagramPort {
 public:
  /// Opens and binds; reads nothing before start(). `in_use`, `invalid_argument` (address), `io`.
  static Result<std::unique_ptr<UdpPort>> open(const UdpPortOptions& options);
  ~UdpPort() override;

  int send(const UdpAddress& to, ByteView bytes) noexcept override;
  UdpAddress local() const override { return local_; }
  void start(OnPackets handler) override;
  void stop() override;

  /// Without a thread of its own: becomes readable when read() has something to hand over.
  int descriptor() const { return socket_.get(); }
  /// Hands over what has come, at most one batch; false when there was nothing. Only without a thread.
  bool read();

 private:
  /// Closes what it holds.
  class Descriptor {
   public:
    explicit Descriptor(int value = -1) : value_(value) {}
    Descriptor(Descriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
    Descriptor& operator=(Descriptor&&) = delete;
    ~Descriptor();
    int get() const { return value_; }

   private:
    int value_;
  };
  struct Batch;

  UdpPort(Descriptor socket, Descriptor wake, UdpAddress local, bool threaded);
  void run();
  bool read(Batch& batch);

  Descriptor socket_, wake_;
  const UdpAddress local_;
  const bool threaded_;
  OnPackets handler_;
  bool stopped_ = false;  ///< of the owner's thread
  std::thread reader_;
};

}  // namespace p2p::net
