// Keeps the newest snapshot on disk without holding up the thread that learns.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "metadata/base/bytes.hpp"
#include "metadata/base/error.hpp"

namespace p2p::host {

/// One file, written whole and atomically, by a thread of its own: a sync can take longer than many samples.
///
/// Invariants: an older snapshot never replaces a newer one, whoever writes last. A failed write leaves the former
/// file as it is, and the next one is tried as usual: a full disk costs snapshots, not learning.
/// Thread: any.
/// Bounds: one waiting snapshot, for a newer one takes its place, and one being written.
class SnapshotWriter {
 public:
  explicit SnapshotWriter(std::string path);
  /// Writes what waits, then ends the thread.
  ~SnapshotWriter();
  SnapshotWriter(const SnapshotWriter&) = delete;
  SnapshotWriter& operator=(const SnapshotWriter&) = delete;

  /// `order` grows with what the bytes know.
  void write_later(std::uint64_t order, Bytes bytes);
  Result<void> write_now(std::uint64_t order, const Bytes& bytes);
  /// Why the latest write failed; empty: it did not.
  std::string last_error() const;

 private:
  struct Waiting {
    std::uint64_t order;
    Bytes bytes;
  };
  void run();

  const std::string path_;
  mutable std::mutex mutex_;           // of what follows
  std::condition_variable changed_;
  std::optional<Waiting> waiting_;
  std::string error_;
  bool ending_ = false;
  std::mutex file_;                    // of the file, and of what follows
  std::optional<std::uint64_t> written_;
  std::thread thread_;                 // last: it uses all of the above
};

}  // namespace p2p::host
