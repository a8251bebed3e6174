// SPDX-License-Identifier: Apache-2.0
// PosixEnv: Env over Linux system calls. The only code that calls them for files, clocks and
// randomness.
#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>

#include "env/clone_file.h"
#include "env/env.h"

namespace understudy::env {
namespace {

using base::Result;
using base::Status;

// How many times an interrupted or partial call is taken up again before it counts as failed.
constexpr int kAttemptsMax = 1000;

Status FromErrno(std::string_view action, std::string_view path, int error) {
  std::string message = fmt::format("cannot {} {}: {}", action, path, std::strerror(error));
  switch (error) {
    case ENOENT: return base::NotFound(std::move(message));
    case EEXIST: return base::AlreadyExists(std::move(message));
    case ENOSPC:
    case EDQUOT: return base::NoSpace(std::move(message));
    default: return base::IoError(std::move(message));
  }
}

class PosixFile final : public File {
 public:
  PosixFile(int descriptor, std::string path) : descriptor_(descriptor), path_(std::move(path)) {}
  ~PosixFile() override {
    Close().IgnoreError();
  }  // who cares about the result calls Close() first
  PosixFile(const PosixFile&) = delete;
  PosixFile& operator=(const PosixFile&) = delete;

  Result<size_t> ReadAt(uint64_t offset, std::span<uint8_t> out) override {
    size_t done = 0;
    for (int attempt = 0; done < out.size() && attempt < kAttemptsMax; ++attempt) {
      const ssize_t got = ::pread(descriptor_, out.data() + done, out.size() - done,
                                  static_cast<off_t>(offset + done));
      if (got == 0) return done;
      if (got < 0 && errno != EINTR) return FromErrno("read", path_, errno);
      if (got > 0) done += static_cast<size_t>(got);
    }
    return done;
  }

  Status WriteAt(uint64_t offset, base::ByteView bytes) override {
    size_t done = 0;
    for (int attempt = 0; done < bytes.size(); ++attempt) {
      const ssize_t put = ::pwrite(descriptor_, bytes.data() + done, bytes.size() - done,
                                   static_cast<off_t>(offset + done));
      if (put > 0) {
        done += static_cast<size_t>(put);
      } else if (put == 0 || errno != EINTR || attempt >= kAttemptsMax) {
        return FromErrno("write", path_, put == 0 ? ENOSPC : errno);
      }
    }
    return Status();
  }

  Status Sync() override {
    return ::fdatasync(descriptor_) == 0 ? Status() : FromErrno("sync", path_, errno);
  }
  Status Truncate(uint64_t size) override {
    return ::ftruncate(descriptor_, static_cast<off_t>(size)) == 0
               ? Status()
               : FromErrno("truncate", path_, errno);
  }
  Result<uint64_t> Size() override {
    struct stat about{};
    if (::fstat(descriptor_, &about) != 0) return FromErrno("look at", path_, errno);
    return static_cast<uint64_t>(about.st_size);
  }
  Status Close() override {
    if (descriptor_ < 0) return Status();
    const int descriptor = descriptor_;
    descriptor_ = -1;
    return ::close(descriptor) == 0 || errno == EINTR ? Status() : FromErrno("close", path_, errno);
  }
  void DropFromCache(uint64_t offset, uint64_t length) override {
    ::posix_fadvise(descriptor_, static_cast<off_t>(offset), static_cast<off_t>(length),
                    POSIX_FADV_DONTNEED);
  }

 private:
  int descriptor_;
  const std::string path_;
};

class PosixLock final : public FileLock {
 public:
  explicit PosixLock(int descriptor) : descriptor_(descriptor) {}
  ~PosixLock() override { ::close(descriptor_); }
  PosixLock(const PosixLock&) = delete;
  PosixLock& operator=(const PosixLock&) = delete;

 private:
  const int descriptor_;
};

int OpenFlags(OpenMode mode) {
  switch (mode) {
    case OpenMode::kRead: return O_RDONLY;
    case OpenMode::kReadWrite: return O_RDWR;
    case OpenMode::kCreate: return O_RDWR | O_CREAT;
    case OpenMode::kCreateNew:
    case OpenMode::kCreateNewPrivate: return O_RDWR | O_CREAT | O_EXCL;
    case OpenMode::kCreateTruncate: return O_RDWR | O_CREAT | O_TRUNC;
  }
  return O_RDONLY;
}

class PosixEnvironment final : public Env {
 public:
  Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    const mode_t access = mode == OpenMode::kCreateNewPrivate ? 0600 : 0640;
    const int descriptor = ::open(path.c_str(), OpenFlags(mode) | O_CLOEXEC, access);
    if (descriptor < 0) return FromErrno("open", path, errno);
    return std::unique_ptr<File>(new PosixFile(descriptor, path));
  }

  Result<FileStat> Stat(const std::string& path) override {
    struct stat about{};
    if (::stat(path.c_str(), &about) != 0) return FromErrno("look at", path, errno);
    return FileStat{.size = static_cast<uint64_t>(about.st_size),
                    .is_directory = S_ISDIR(about.st_mode),
                    .device = about.st_dev,
                    .inode = about.st_ino,
                    .modified = {about.st_mtim.tv_sec * 1000 + about.st_mtim.tv_nsec / 1'000'000}};
  }

  Result<std::vector<std::string>> List(const std::string& directory) override {
    DIR* stream = ::opendir(directory.c_str());
    if (stream == nullptr) return FromErrno("list", directory, errno);
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = ::readdir(stream)) {
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
      errno = 0;
    }
    const int error = errno;
    ::closedir(stream);
    if (error != 0) return FromErrno("list", directory, error);
    std::sort(names.begin(), names.end());
    return names;
  }

  Status MakeDirectories(const std::string& path) override {
    for (size_t slash = path.find('/', 1); slash != std::string::npos;
         slash = path.find('/', slash + 1)) {
      RETURN_IF_ERROR(MakeOne(path.substr(0, slash)));
    }
    return path.ends_with('/') ? Status() : MakeOne(path);
  }

  Status Rename(const std::string& from, const std::string& to) override {
    return ::rename(from.c_str(), to.c_str()) == 0 ? Status()
                                                   : FromErrno("rename to " + to, from, errno);
  }
  Status RenameNew(const std::string& from, const std::string& to) override {
    return ::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0
               ? Status()
               : FromErrno("rename to " + to, from, errno);
  }
  Status Remove(const std::string& path) override {
    return ::unlink(path.c_str()) == 0 ? Status() : FromErrno("remove", path, errno);
  }
  Status RemoveDirectory(const std::string& path) override {
    return ::rmdir(path.c_str()) == 0 ? Status() : FromErrno("remove", path, errno);
  }

  Status SyncDirectory(const std::string& path) override {
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return FromErrno("open directory", path, errno);
    const int result = ::fsync(descriptor);
    const int error = errno;
    ::close(descriptor);
    return result == 0 ? Status() : FromErrno("sync directory", path, error);
  }

  Result<Space> FreeSpace(const std::string& path) override {
    struct statvfs about{};
    if (::statvfs(path.c_str(), &about) != 0)
      return FromErrno("ask for the free space of", path, errno);
    return Space{.free = about.f_bavail * about.f_frsize, .total = about.f_blocks * about.f_frsize};
  }

  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override {
    const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (descriptor < 0) return FromErrno("open", path, errno);
    if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
      const int error = errno;
      ::close(descriptor);
      if (error == EWOULDBLOCK)
        return base::Busy(fmt::format("{} is locked by another process", path));
      return FromErrno("lock", path, error);
    }
    return std::unique_ptr<FileLock>(new PosixLock(descriptor));
  }

  Status Clone(const std::string& from, const std::string& to) override {
    return CloneFile(from, to);
  }

  Status SetModified(const std::string& path, base::WallTime time) override {
    timespec at{};
    at.tv_sec = time.unix_ms / 1000;
    at.tv_nsec = time.unix_ms % 1000 * 1'000'000;
    const timespec both[2] = {at, at};
    return ::utimensat(AT_FDCWD, path.c_str(), both, 0) == 0
               ? Status()
               : FromErrno("set the time of", path, errno);
  }

  base::SteadyTime Now() override { return std::chrono::steady_clock::now(); }
  base::WallTime WallNow() override {
    const auto since = std::chrono::system_clock::now().time_since_epoch();
    return {std::chrono::duration_cast<std::chrono::milliseconds>(since).count()};
  }
  uint64_t Random() override {
    uint64_t value = 0;
    CHECK(::getrandom(&value, sizeof value, 0) == sizeof value);
    return value;
  }

 private:
  // Makes one directory; what is made is on disk when this returns.
  Status MakeOne(const std::string& path) {
    if (path.empty()) return Status();
    if (::mkdir(path.c_str(), 0750) == 0) return SyncDirectory(DirectoryOf(path));
    if (errno != EEXIST) return FromErrno("make directory", path, errno);
    struct stat about{};
    if (::stat(path.c_str(), &about) != 0) return FromErrno("look at", path, errno);
    return S_ISDIR(about.st_mode) ? Status() : FromErrno("make directory", path, ENOTDIR);
  }
};

}  // namespace

Env& PosixEnv() {
  static PosixEnvironment environment;
  return environment;
}

}  // namespace understudy::env
