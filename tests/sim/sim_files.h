// SPDX-License-Identifier: Apache-2.0
// SimFiles: the files of one simulated machine: a MemEnv whose syncs take time, whose operations
// may be where the machine dies, and whose watchers notice writes.
//
// It lives as long as the machine, over its crashes. Threading: confined to the simulation's
// thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "base/scheduler.h"
#include "env/env.h"
#include "testing/mem_env.h"

namespace understudy::sim {

class SimWatcher;

class SimFiles final : public env::Env {
 public:
  SimFiles(test::SimClock& clock, uint64_t seed);

  // The operation that many changes (writes, syncs, names) from now calls `crash`, which may never
  // return.
  void CrashAfter(uint64_t changes, std::function<void()> crash);
  // Nothing more fits than that many bytes; nullopt: as much as one likes.
  void LimitSpace(std::optional<uint64_t> more);
  // One read, write or sync fails, that many changes from now; a failed sync loses what it was for.
  void FailAfter(uint64_t changes) { fail_at_ = changes_ + changes; }
  // The nth operation of any kind from now on that `owner` asks for fails, and does nothing.
  void FailNth(uint64_t owner, uint64_t nth) {
    nth_owner_ = owner;
    nth_ = nth;
  }
  bool has_failed_nth() const { return nth_owner_ != 0 && nth_ == 0; }
  // Damage: one bit of a file is another one than was written; the byte that it is in, then.
  base::Result<uint8_t> FlipBit(const std::string& path, uint64_t offset);
  // The byte that is there, past all faults; kNotFound: the file is shorter or gone.
  base::Result<uint8_t> ByteAt(const std::string& path, uint64_t offset);
  // Neither crash nor failure is to come any more.
  void Disarm() { crash_at_ = fail_at_ = 0; }
  void PowerCut(uint64_t seed);
  // Whose locks are whose; a process that dies loses its own.
  void SetOwner(std::function<uint64_t()> owner) { owner_ = std::move(owner); }
  void DropOwner(uint64_t owner);
  uint64_t changes() const { return changes_; }

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
  base::Result<env::Space> FreeSpace(const std::string& path) override {
    return memory_.FreeSpace(path);
  }
  base::Result<std::unique_ptr<env::FileLock>> Lock(const std::string& path) override;
  base::Status SetModified(const std::string& path, base::WallTime time) override {
    return memory_.SetModified(path, time);
  }
  base::Result<std::unique_ptr<env::FileWatcher>> NewWatcher() override;
  // By the machine's own clocks.
  base::SteadyTime Now() override { return base::SteadyNow(); }
  base::WallTime WallNow() override { return {memory_.WallNow().unix_ms + wall_ms_}; }
  void StepWall(std::chrono::milliseconds by) { wall_ms_ += by.count(); }
  size_t CountOpen(uint64_t owner) const;
  uint64_t Random() override { return memory_.Random(); }

  // For its Files and watchers.
  void Change();
  base::Status ChangeOrFail(const std::string& path);
  base::Status CountOperation(const std::string& path);
  void WaitForDisk();
  void NoteWrite(const std::string& path);
  void NoteOpen(uint64_t owner, int change);
  std::multimap<std::string, SimWatcher*>& armed() { return armed_; }
  void Unlock(uint64_t lock) { locks_.erase(lock); }
  uint64_t owner() const { return owner_ ? owner_() : 0; }

 private:
  void BeginBoot();

  test::MemEnv memory_;
  test::MemEnv proc_;  // what the kernel tells, whatever becomes of the disk
  uint64_t boots_ = 0;
  std::mt19937_64 random_;
  int64_t wall_ms_ = 0;           // how far the machine's wall clock is ahead
  std::map<uint64_t, int> open_;  // files, by owner
  uint64_t changes_ = 0;
  uint64_t crash_at_ = 0;   // 0: never
  uint64_t fail_at_ = 0;    // 0: never
  uint64_t nth_owner_ = 0;  // FailNth
  uint64_t nth_ = 0;
  std::function<void()> crash_;
  std::multimap<std::string, SimWatcher*> armed_;  // by path
  struct HeldLock {
    uint64_t owner = 0;
    std::unique_ptr<env::FileLock> lock;
  };
  std::map<uint64_t, HeldLock> locks_;
  uint64_t next_lock_ = 1;
  std::function<uint64_t()> owner_;
};

}  // namespace understudy::sim
