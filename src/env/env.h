// SPDX-License-Identifier: Apache-2.0
// Env: the seam between this program and the outside world: files, directories, clocks, randomness.
//
// Every component gets an Env& and touches the world only through it, so that tests can fail the
// Nth operation (testing/fault_env.h), lose what was not synced (testing/mem_env.h) and drive time
// (SimClock). PosixEnv is the only code that calls the operating system's file functions.
//
// Invariants:
//   1. What Write returned ok for is visible to later Reads at once, and survives a crash of the
//   process.
//      It survives a power cut only after Sync of that File returned ok.
//   2. A created, renamed or removed name survives a power cut only after SyncDirectory of its
//   directory.
//   3. After a failed Sync the file's content on disk is unknown. Never Sync again and believe it:
//   close, reopen,
//      verify (base/status.h kIoError is sticky at the component that saw it).
//   4. Nobody opens a live SQLite database or -shm file through Env: closing it would drop the
//   process's SQLite
//      locks. `-wal` files are safe. (src/sqlite/ reads databases through SQLite's own handles.)
//
// Threading: Env is thread-safe. A File is thread-compatible, except that concurrent ReadAt calls
// are fine. Units: bytes. Errors: kNotFound, kAlreadyExists, kNoSpace, kIoError; messages name the
// path and the errno text.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "base/time.h"
#include "env/file_watcher.h"

namespace understudy::env {

class File {
 public:
  virtual ~File() = default;  // closes; use Close() where a failure to close matters

  // Reads up to out.size() bytes at `offset`; fewer only at the end of the file.
  virtual base::Result<size_t> ReadAt(uint64_t offset, std::span<uint8_t> out) = 0;
  // Writes all of `bytes` at `offset`, extending the file with zeros if needed.
  virtual base::Status WriteAt(uint64_t offset, base::ByteView bytes) = 0;
  // ENSURES: everything written before is on disk (fdatasync; the size counts as data).
  virtual base::Status Sync() = 0;
  virtual base::Status Truncate(uint64_t size) = 0;
  virtual base::Result<uint64_t> Size() = 0;
  virtual base::Status Close() = 0;
  // Starts writing back, or forgets, pages of the page cache. Advice: never fails, never needed.
  virtual void DropFromCache(uint64_t offset, uint64_t length) = 0;
};

enum class OpenMode {
  kRead,              // must exist
  kReadWrite,         // must exist
  kCreate,            // read and write; made if absent, kept if present
  kCreateNew,         // read and write; kAlreadyExists if present
  kCreateTruncate,    // read and write; emptied if present
  kCreateNewPrivate,  // as kCreateNew, and nobody but the owner may open it (mode 0600)
};

struct FileStat {
  uint64_t size = 0;
  bool is_directory = false;
  uint64_t device = 0;  // device and inode tell whether a path still names the same file
  uint64_t inode = 0;
  base::WallTime modified;
};

struct Space {
  uint64_t free = 0;  // usable by this process
  uint64_t total = 0;
};

// Held until destroyed or the process ends.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

class Env {
 public:
  virtual ~Env() = default;

  virtual base::Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) = 0;
  virtual base::Result<FileStat> Stat(const std::string& path) = 0;
  virtual base::Result<std::vector<std::string>> List(
      const std::string& directory) = 0;  // names, sorted
  // With its parents; fine if present, kIoError if a file is in the way.
  // ENSURES: the names of the directories it made are on disk.
  virtual base::Status MakeDirectories(const std::string& path) = 0;
  virtual base::Status Rename(const std::string& from, const std::string& to) = 0;  // replaces `to`
  // Like Rename, but kAlreadyExists when `to` exists.
  virtual base::Status RenameNew(const std::string& from, const std::string& to) = 0;
  virtual base::Status Remove(const std::string& path) = 0;           // a file; kNotFound if absent
  virtual base::Status RemoveDirectory(const std::string& path) = 0;  // an empty directory
  virtual base::Status SyncDirectory(const std::string& path) = 0;
  virtual base::Result<Space> FreeSpace(const std::string& path) = 0;
  // kBusy when another process (or this one) holds the lock on that file, which is made if absent.
  virtual base::Result<std::unique_ptr<FileLock>> Lock(const std::string& path) = 0;
  // A new file `to` that shares the blocks of `from`, as it is at one moment; `from` may be a live
  // database (clone_file.h). kInvalidArgument where there is no such thing.
  virtual base::Status Clone(const std::string& from, const std::string& to);
  // Sets the modification time (Litestream reads a backup file's time from it).
  virtual base::Status SetModified(const std::string& path, base::WallTime time) = 0;

  virtual base::Result<std::unique_ptr<FileWatcher>> NewWatcher() { return FileWatcher::Create(); }

  virtual base::SteadyTime Now() = 0;
  virtual base::WallTime WallNow() = 0;
  virtual uint64_t Random() = 0;  // 64 bits nobody can guess in PosixEnv; seeded in tests
};

bool Exists(Env& env, const std::string& path);
std::string DirectoryOf(std::string_view path);  // "/a/b" -> "/a", "b" -> "."
std::string BaseNameOf(std::string_view path);
std::string JoinPath(std::string_view directory, std::string_view name);

// The whole file; kInvalidArgument when it is larger than `bytes_max`.
base::Result<base::Bytes> ReadFile(Env& env, const std::string& path, uint64_t bytes_max);
// The first bytes of a file whose size says nothing, as those of /proc: `bytes_max` at most.
base::Result<std::string> ReadHead(Env& env, const std::string& path, size_t bytes_max);
// Replaces `path` so that after a crash it holds the old content or the new, never a part.
// ENSURES: the new content and its name are on disk. Uses path + ".tmp".
base::Status WriteFileAtomically(Env& env, const std::string& path, base::ByteView content);
// The same for a secret: nobody but the owner may ever read it, nor what it is made from.
base::Status WritePrivateFileAtomically(Env& env, const std::string& path, base::ByteView content);

// The real one. One for the whole process.
Env& PosixEnv();

}  // namespace understudy::env
