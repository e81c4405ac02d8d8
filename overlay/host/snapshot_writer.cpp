#include "overlay/host/snapshot_writer.hpp"

#include <utility>

#include "overlay/net/files.hpp"

namespace p2p::host {

SnapshotWriter::SnapshotWriter(std::string path) : path_(std::move(path)), thread_([this] { run(); }) {}

SnapshotWriter::~SnapshotWriter() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void SnapshotWriter::write_later(std::uint64_t order, Bytes bytes) {
  {
    const std::lock_guard lock(mutex_);
    waiting_ = Waiting{order, std::move(bytes)};
  }
  changed_.notify_one();
}

Result<void> SnapshotWriter::write_now(std::uint64_t order, const Bytes& bytes) {
  const std::lock_guard file_lock(file_);
  if (written_ && *written_ > order) return {};
  auto done = net::write_atomically(path_, bytes, 0600);
  if (done) written_ = order;
  const std::lock_guard lock(mutex_);
  error_ = done ? std::string() : done.error().text();
  return done;
}

std::string SnapshotWriter::last_error() const {
  const std::lock_guard lock(mutex_);
  return error_;
}

void SnapshotWriter::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return ending_ || waiting_.has_value(); });
    if (!waiting_) return;
    const auto next = std::exchange(waiting_, std::nullopt);
    lock.unlock();
    static_cast<void>(write_now(next->order, next->bytes));  // last_error() tells
    lock.lock();
  }
}

}  // namespace p2p::host
