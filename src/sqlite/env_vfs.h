// SPDX-License-Identifier: Apache-2.0
// EnvVfs: an SQLite VFS over env::Env, so that SQLite itself runs on a file system in memory that
// loses what was not synced, or on one that fails the Nth operation (testing/).
//
// Databases, journals and WALs are files of the Env; temporary files, wal-indexes and locks live in
// memory and are shared by the connections of one EnvVfs, with the rules of SQLite's unix VFS. So
// one EnvVfs is one machine between two boots: after a power cut, Kill() it, let its connections
// close (nothing they still do reaches the Env), and make another one over the same Env.
//
// For tests and the simulator: a daemon uses SQLite's own VFS, whose locks other processes see.
// Threading: thread-safe, as SQLite asks of a VFS. The Env must outlive it, and it must outlive its
// connections. Errors: SQLite's codes; kNoSpace becomes SQLITE_FULL, others SQLITE_IOERR.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "env/env.h"

struct sqlite3_vfs;

namespace understudy::sqlite {

// What the connections to one database share; env_vfs.cc.
struct EnvVfsNode;
struct EnvVfsFile;

class EnvVfs {
 public:
  // Registers itself with SQLite under a name of its own.
  explicit EnvVfs(env::Env& env);
  // REQUIRES: its connections are closed.
  ~EnvVfs();
  EnvVfs(const EnvVfs&) = delete;
  EnvVfs& operator=(const EnvVfs&) = delete;

  // For Connection::Options::vfs.
  const std::string& name() const { return name_; }

  // One process of several on the machine dies: files that were opened while `owner` said so lose
  // their locks, and are not used again.
  void SetOwner(std::function<uint64_t()> owner) { owner_ = std::move(owner); }
  void DropOwner(uint64_t owner);

  // The machine stops: from now on every operation of a connection fails and touches nothing.
  void Kill();
  bool is_killed() const;

  // For env_vfs.cc's C functions.
  env::Env& env() { return env_; }
  std::shared_ptr<EnvVfsNode> NodeOf(const std::string& path);
  void NoteOpened(EnvVfsFile& file);
  void NoteClosed(EnvVfsFile& file);

 private:
  env::Env& env_;
  const std::string name_;
  const std::unique_ptr<sqlite3_vfs> vfs_;
  mutable base::Mutex mutex_;
  bool is_killed_ GUARDED_BY(mutex_) = false;
  std::map<std::string, std::weak_ptr<EnvVfsNode>> nodes_ GUARDED_BY(mutex_);
  std::map<EnvVfsFile*, uint64_t> owners_ GUARDED_BY(mutex_);  // of open files
  std::function<uint64_t()> owner_;
};

}  // namespace understudy::sqlite
