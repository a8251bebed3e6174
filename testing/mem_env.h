// SPDX-License-Identifier: Apache-2.0
// MemEnv: a whole file system in memory that forgets what a disk would forget.
//
// What it promises is what Env promises and no more (env/env.h, invariants 1 to 3):
//   - data is durable up to the last Sync of its file; what was written after that is, at a power
//     cut, lost, kept or torn, sector by sector;
//   - a name (create, rename, remove) is durable once its directory was synced; of the later
//   changes
//     of a directory a prefix survives. A rename is never half done. MakeDirectories is durable;
//   - a process crash loses nothing.
// Open Files and locks die with the power: every further call on such a File returns kIoError.
// "Fair" faults only: a sector that was synced is never damaged (flip bytes by writing them).
//
// Threading: thread-safe; it must outlive its Files and locks. Paths: relative ones start at "/".
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "env/env.h"
#include "testing/sim_clock.h"

namespace understudy::test {

struct MemNode;  // a file or directory, mem_env.cc

// Implemented by the Files of MemEnv; FaultEnv looks for it.
class MemFileControl {
 public:
  virtual ~MemFileControl() = default;
  // What a failed fsync does on Linux: pages that could not be written are marked clean, so that a
  // later Sync returns ok and still does not bring them to disk.
  virtual void ForgetDirty() = 0;
};

struct MemEnvOptions {
  uint64_t seed = 1;          // of Random()
  SimClock* clock = nullptr;  // borrowed; an own one if null
  uint64_t space_bytes_max = std::numeric_limits<uint64_t>::max();
};

class MemEnv final : public env::Env {
 public:
  explicit MemEnv(MemEnvOptions options = {});
  ~MemEnv() override;

  // The power fails. What was not durable is lost, kept or torn as the seed decides.
  void PowerCut(uint64_t seed);
  // The power fails, and nothing survives but what was durable.
  void PowerCutDropAll();
  void DropUnsynced() { PowerCutDropAll(); }
  // The process dies: all data stays; Files and locks are dead.
  void ProcessCrash();

  // Writes that would exceed it write what fits and return kNoSpace.
  void SetSpaceLimit(uint64_t bytes_max);
  SimClock& clock() { return *clock_; }

  base::Result<std::unique_ptr<env::File>> Open(const std::string& path,
                                                env::OpenMode mode) override;
  base::Result<env::FileStat> Stat(const std::string& path) override;
  base::Result<std::vector<std::string>> List(const std::string& directory) override;
  base::Status MakeDirectories(const std::string& path) override;
  base::Status Rename(const std::string& from, const std::string& to) override;
  base::Status RenameNew(const std::string& from, const std::string& to) override;
  base::Status Remove(const std::string& path) override;
  base::Status RemoveDirectory(const std::string& path) override;
  base::Status SyncDirectory(const std::string& path) override;
  base::Result<env::Space> FreeSpace(const std::string& path) override;
  base::Result<std::unique_ptr<env::FileLock>> Lock(const std::string& path) override;
  base::Status SetModified(const std::string& path, base::WallTime time) override;

  base::SteadyTime Now() override { return clock_->Now(); }
  base::WallTime WallNow() override { return clock_->WallNow(); }
  uint64_t Random() override;

 private:
  friend class MemFile;
  friend class MemLock;
  using NodePtr = std::shared_ptr<MemNode>;

  // One name of one directory now means another node (or none). A rename is two of them.
  struct NameChange {
    NodePtr directory;
    std::string name;
    NodePtr node;
  };
  // Name changes that reach the disk together, and have not yet.
  struct PendingOp {
    std::vector<NameChange> changes;
  };
  struct Place {  // where a path leads: node is null when the name is absent
    NodePtr directory;
    std::string name;
    NodePtr node;
  };

  base::Result<Place> Find(const std::string& path) REQUIRES_LOCK(mutex_);
  base::Result<NodePtr> FindNode(const std::string& path) REQUIRES_LOCK(mutex_);
  base::Status RenameLocked(const std::string& from, const std::string& to, bool replace)
      REQUIRES_LOCK(mutex_);
  base::Status RemoveLocked(const std::string& path, bool directory) REQUIRES_LOCK(mutex_);
  NodePtr NewNode(bool directory) REQUIRES_LOCK(mutex_);
  void Do(PendingOp op) REQUIRES_LOCK(mutex_);  // changes the live names, remembers it as pending
  // Makes the file at least `size` bytes long as far as there is space; returns its length then.
  uint64_t Grow(MemNode& node, uint64_t size) REQUIRES_LOCK(mutex_);
  void ReleaseIfUnused(const MemNode& node) REQUIRES_LOCK(mutex_);
  void Cut(std::mt19937_64* fate) REQUIRES_LOCK(mutex_);  // null: drop all
  void SurviveNames(std::mt19937_64& fate) REQUIRES_LOCK(mutex_);
  void Restore(MemNode& node, std::mt19937_64* fate) REQUIRES_LOCK(mutex_);

  SimClock own_clock_;
  SimClock* const clock_;

  mutable base::Mutex mutex_;
  std::mt19937_64 random_ GUARDED_BY(mutex_);
  NodePtr root_ GUARDED_BY(mutex_);
  std::vector<PendingOp> pending_ GUARDED_BY(mutex_);
  std::set<const MemNode*> locked_ GUARDED_BY(mutex_);
  uint64_t next_inode_ GUARDED_BY(mutex_) = 1;
  uint64_t epoch_ GUARDED_BY(mutex_) = 0;  // counts crashes; a handle of an older one is dead
  uint64_t used_bytes_ GUARDED_BY(mutex_) = 0;
  uint64_t space_bytes_max_ GUARDED_BY(mutex_);
};

}  // namespace understudy::test
