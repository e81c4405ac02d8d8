#include "overlay/net/files.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/core.h>

namespace p2p::net {

namespace {

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  int get() const { return value_; }
  int release() { return std::exchange(value_, -1); }

 private:
  int value_;
};

tl::unexpected<Error> failed(const std::string& doing, int error) {
  const char* cause = std::strerror(error);
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return fail(ErrorCode::not_found, doing + ": there is no such file or directory; check the path", cause);
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return fail(ErrorCode::full, doing + ": no room is left; free some space, the old file is still there", cause);
    case EACCES:
    case EPERM:
    case EROFS:
      return fail(ErrorCode::io, doing + ": it is not allowed; check owner and permissions", cause);
    case EISDIR:
    case ELOOP:
      return fail(ErrorCode::io, doing + ": a directory or a link lies in the file's place; move it away", cause);
    default:
      return fail(ErrorCode::io, doing, cause);
  }
}

int open_retrying(const char* path, int flags, unsigned mode = 0) {
  int descriptor = -1;
  do {
    descriptor = ::open(path, flags | O_CLOEXEC, mode);
  } while (descriptor < 0 && errno == EINTR);
  return descriptor;
}

std::string directory_of(const std::string& path) {
  const auto slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// 0 or errno.
int write_all(int descriptor, ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor, bytes.data(), bytes.size());
    if (count < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
  return 0;
}

int sync_directory(const std::string& directory) {
  const Descriptor opened(open_retrying(directory.c_str(), O_RDONLY | O_DIRECTORY));
  if (opened.get() < 0) return errno;
  // Some file systems cannot sync a directory and say EINVAL; there is nothing more that could be done there.
  return ::fsync(opened.get()) == 0 || errno == EINVAL ? 0 : errno;
}

// The first line of a key file of ours; PEM allows text before it.
constexpr std::string_view kWhose = "Node ";
std::string whose(const metadata::KeyPair& key) { return fmt::format("{}{}\n", kWhose, key.id().hex()); }

}  // namespace

Result<Bytes> read_file(const std::string& path, std::size_t max_bytes) {
  const std::string doing = fmt::format("cannot read {}", path);
  const Descriptor file(open_retrying(path.c_str(), O_RDONLY));
  if (file.get() < 0) return failed(doing, errno);
  struct stat about {};
  if (::fstat(file.get(), &about) != 0) return failed(doing, errno);
  if (S_ISDIR(about.st_mode)) return fail(ErrorCode::invalid_argument, doing + ": it is a directory");
  // The size is a hint, never trusted: pipes have none, and files grow while they are read.
  Bytes out;
  if (about.st_size > 0) out.reserve(std::min(static_cast<std::size_t>(about.st_size), max_bytes) + 1);
  for (;;) {
    const std::size_t before = out.size();
    const std::size_t room = std::min<std::size_t>(max_bytes + 1 - before, 64 * 1024);
    out.resize(before + room);
    const ssize_t count = ::read(file.get(), out.data() + before, room);
    if (count < 0) {
      out.resize(before);
      if (errno == EINTR) continue;
      return failed(doing, errno);
    }
    out.resize(before + static_cast<std::size_t>(count));
    if (count == 0) return out;
    if (out.size() > max_bytes) {
      return fail(ErrorCode::limit_exceeded,
                  fmt::format("{} is larger than the {} bytes allowed for it; is it the right file?", path, max_bytes));
    }
  }
}

Result<void> write_atomically(const std::string& path, ByteView bytes, unsigned mode) {
  const std::string doing = fmt::format("cannot write {}", path);
  const std::string fresh = path + ".new";
  const Descriptor file(open_retrying(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode));
  if (file.get() < 0) return failed(doing, errno);
  int error = ::fchmod(file.get(), mode) == 0 ? 0 : errno;  // the file may be a crash's left-over, with another mode
  if (error == 0) error = write_all(file.get(), bytes);
  if (error == 0 && ::fsync(file.get()) != 0) error = errno;
  if (error == 0 && ::rename(fresh.c_str(), path.c_str()) != 0) error = errno;
  if (error != 0) {
    ::unlink(fresh.c_str());
    return failed(doing, error);
  }
  if (const int unsynced = sync_directory(directory_of(path)); unsynced != 0) return failed(doing, unsynced);
  return {};
}

Result<void> make_directories(const std::string& path) {
  for (std::size_t end = 0; end != std::string::npos;) {
    end = path.find('/', end + 1);
    const std::string part = path.substr(0, end);
    if (part.empty() || ::mkdir(part.c_str(), 0700) == 0) continue;
    const int error = errno;
    struct stat about {};
    if (::stat(part.c_str(), &about) == 0) {
      if (S_ISDIR(about.st_mode)) continue;
      return fail(ErrorCode::invalid_argument, fmt::format("{} is no directory; choose another path", part));
    }
    return failed(fmt::format("cannot make the directory {}", part), error);
  }
  return {};
}

Result<DirectoryLock> DirectoryLock::take(const std::string& directory) {
  const std::string path = directory + "/lock";
  Descriptor file(open_retrying(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  if (file.get() < 0) return failed(fmt::format("cannot lock {}", path), errno);
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return failed(fmt::format("cannot lock {}", directory), errno);
    char holder[24] = {};
    const ssize_t count = ::pread(file.get(), holder, sizeof holder - 1, 0);
    std::string pid(holder, count > 0 ? static_cast<std::size_t>(count) : 0);
    while (!pid.empty() && pid.back() == '\n') pid.pop_back();
    return fail(ErrorCode::in_use,
                fmt::format("{} is in use by process {}: stop it, or give this node another state directory",
                            directory, pid.empty() ? "(unknown)" : pid));
  }
  // A start that failed may have removed the file between our open() and flock(): then another one's lock is the real one.
  struct stat ours {}, named {};
  if (::fstat(file.get(), &ours) != 0 || ::stat(path.c_str(), &named) != 0 || ours.st_ino != named.st_ino) {
    return fail(ErrorCode::in_use, fmt::format("{} was just given up by another process: start again", directory));
  }
  // The number is for people; the lock is the kernel's and goes with the process.
  const std::string pid = fmt::format("{}\n", ::getpid());
  int error = ::ftruncate(file.get(), 0) == 0 ? 0 : errno;
  if (error == 0) error = write_all(file.get(), view(pid));
  if (error != 0) return failed(fmt::format("cannot lock {}", directory), error);
  return DirectoryLock(file.release());
}

DirectoryLock::DirectoryLock(DirectoryLock&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)) {}

DirectoryLock& DirectoryLock::operator=(DirectoryLock&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

DirectoryLock::~DirectoryLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

namespace {
bool is_there(const std::string& path) {
  struct stat about {};
  return ::lstat(path.c_str(), &about) == 0;
}
}  // namespace

NewState::NewState(std::string directory, const std::vector<std::string>& names) : directory_(std::move(directory)) {
  if (directory_.empty()) return;
  for (const auto& name : names) {
    if (auto path = directory_ + "/" + name; !is_there(path)) missing_.push_back(std::move(path));
  }
  lock_missing_ = !is_there(directory_ + "/lock");
  for (auto end = directory_.size(); end != 0 && end != std::string::npos; end = directory_.find_last_of('/', end - 1)) {
    const auto part = directory_.substr(0, end);
    if (is_there(part)) break;
    directories_.push_back(part);
  }
}

NewState::~NewState() {
  if (kept_ || directory_.empty() || (missing_.empty() && !lock_missing_) || !is_there(directory_)) return;
  {
    // Whoever has taken the directory meanwhile lives by what is there.
    const auto lock = DirectoryLock::take(directory_);
    if (!lock) return;
    for (const auto& path : missing_) ::remove(path.c_str());
    if (lock_missing_) ::unlink((directory_ + "/lock").c_str());
  }
  for (const auto& path : directories_) ::rmdir(path.c_str());
}

std::string key_text(const metadata::KeyPair& key) { return whose(key) + key.to_pem(); }

Result<metadata::KeyPair> load_key(const std::string& path) {
  struct stat about {};
  if (::stat(path.c_str(), &about) != 0) return failed(fmt::format("cannot read the key {}", path), errno);
  if (about.st_uid != ::geteuid()) {
    return fail(ErrorCode::untrusted,
                fmt::format("the key {} belongs to user {}, not to user {} who runs this: run as its owner, or use a "
                            "key of your own",
                            path, about.st_uid, ::geteuid()));
  }
  if ((about.st_mode & 077) != 0) {
    return fail(ErrorCode::untrusted,
                fmt::format("the key {} can be read by others: run `chmod 600 {}`, or make a new key if somebody may "
                            "have copied it",
                            path, path));
  }
  constexpr std::size_t kMaxKeyFile = 16 * 1024;
  auto bytes = read_file(path, kMaxKeyFile);
  if (!bytes) return tl::unexpected(bytes.error());
  const std::string text = to_string(*bytes);
  auto key = metadata::KeyPair::from_pem(text);
  // In the private half alone every damage is another key, and so another node.
  const bool damaged = key && text.starts_with(kWhose) && !text.starts_with(whose(*key));
  if (damaged) {
    return fail(ErrorCode::malformed,
                fmt::format("{} is damaged: it holds another key than its first line says; restore it from a copy, or move it "
                            "away and a new node is made",
                            path));
  }
  if (!key) {
    return fail(ErrorCode::malformed,
                fmt::format("{} holds no Ed25519 key in PEM; restore it from a copy, or move it away and a new node is "
                            "made",
                            path),
                key.error().text());
  }
  return key;
}

Result<metadata::KeyPair> load_or_create_key(const std::string& path) {
  auto key = load_key(path);
  if (key || key.error().code != ErrorCode::not_found) return key;
  const auto fresh = metadata::KeyPair::generate();
  const std::string pem = key_text(fresh);
  // link() instead of rename(): of two processes that start at once, one key wins and both use it.
  const std::string draft = fmt::format("{}.{}", path, ::getpid());
  if (auto written = write_atomically(draft, view(pem), 0600); !written) return tl::unexpected(written.error());
  const int error = ::link(draft.c_str(), path.c_str()) == 0 ? 0 : errno;
  ::unlink(draft.c_str());
  if (error != 0 && error != EEXIST) return failed(fmt::format("cannot write the key {}", path), error);
  if (const int unsynced = sync_directory(directory_of(path)); unsynced != 0) {
    return failed(fmt::format("cannot write the key {}", path), unsynced);
  }
  return load_key(path);
}

}  // namespace p2p::net
