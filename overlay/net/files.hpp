// What a node keeps on disk, read with bounds and written so that a crash loses nothing.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "metadata/base/bytes.hpp"
#include "metadata/base/error.hpp"
#include "metadata/crypto.hpp"

namespace p2p::net {

/// The whole file. `not_found`, `limit_exceeded` when it is longer than `max_bytes`, `io`.
Result<Bytes> read_file(const std::string& path, std::size_t max_bytes);

/// Replaces the file as a whole: after a crash at any instant it holds the old bytes or the new ones. Written to
/// "<path>.new" beside it, synced, renamed, and the directory synced. On error the old file is untouched; `full`
/// when there is no room.
Result<void> write_atomically(const std::string& path, ByteView bytes, unsigned mode = 0644);

/// Creates the directory and those above it, mode 0700 for new ones. `invalid_argument` when something else is there.
Result<void> make_directories(const std::string& path);

/// Sole use of a state directory by one process, until destroyed or the process dies.
class DirectoryLock {
 public:
  /// `in_use` with the holder's process id, `not_found`, `io`.
  static Result<DirectoryLock> take(const std::string& directory);
  DirectoryLock(DirectoryLock&& other) noexcept;
  DirectoryLock& operator=(DirectoryLock&& other) noexcept;
  ~DirectoryLock();

 private:
  explicit DirectoryLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_ = -1;
};

/// What a start makes in a state directory, taken back if the start fails: a user who mistyped a port finds no key, no lock
/// and no directory that were not there before.
///
/// Invariants: nothing that was there when this object was made is touched, and nothing at all while another process has
/// the directory locked. Destroy what writes there, and its lock, before this object.
class NewState {
 public:
  /// `names`: what may be made in it, in the order in which it can be removed; the lock is taken care of.
  NewState(std::string directory, const std::vector<std::string>& names);
  NewState(const NewState&) = delete;
  NewState& operator=(const NewState&) = delete;
  ~NewState();
  /// The start went well: all stays.
  void keep() { kept_ = true; }

 private:
  std::string directory_;
  std::vector<std::string> missing_;      // paths of `names`
  std::vector<std::string> directories_;  // that were missing, innermost first
  bool lock_missing_ = false, kept_ = false;
};

/// What a key file holds: the node's id, by which damage to the key is noticed, then the key as PEM.
std::string key_text(const metadata::KeyPair& key);
/// The node's key, PEM, mode 0600; a line with its id before that is checked. `not_found`; `untrusted` when others can
/// read it or it is another user's; `malformed` when it is no Ed25519 key, or another one than the line says.
Result<metadata::KeyPair> load_key(const std::string& path);
/// The same, but makes and writes a new key where there is no file. Never overwrites.
Result<metadata::KeyPair> load_or_create_key(const std::string& path);

}  // namespace p2p::net
