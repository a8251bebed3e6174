// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/sim_files.h"

#include <limits>
#include <utility>

#include "base/mutex.h"
#include "env/boot_id.h"

namespace understudy::sim {

using base::Result;
using base::Status;

class SimWatcher final : public env::FileWatcher {
 public:
  explicit SimWatcher(SimFiles& files) : files_(files), owner_(files.owner()) {}
  ~SimWatcher() override { Disarm(); }
  SimWatcher(const SimWatcher&) = delete;
  SimWatcher& operator=(const SimWatcher&) = delete;

  Status Arm(const std::string& path) override {
    if (armed_) return {};
    RETURN_IF_ERROR(files_.Stat(path).status());
    armed_ = true;
    files_.armed().emplace(path, this);
    return {};
  }
  Event Wait(base::Duration limit) override {
    const base::SteadyTime end = base::SteadyNow() + limit;
    base::MutexLock lock(mutex_);
    while (!woken_ && !written_ && base::SteadyNow() < end) {
      changed_.WaitFor(mutex_, end - base::SteadyNow());
    }
    if (std::exchange(woken_, false)) return Event::kWoken;
    return std::exchange(written_, false) ? Event::kWritten : Event::kLimit;
  }
  void Wake() override {
    base::MutexLock lock(mutex_);
    woken_ = true;
    changed_.NotifyAll();
  }
  uint64_t owner() const { return owner_; }
  void Written() {
    armed_ = false;
    written_ = true;
    changed_.NotifyAll();
  }

 private:
  void Disarm() {
    if (!armed_) return;
    std::erase_if(files_.armed(), [this](const auto& each) { return each.second == this; });
  }

  SimFiles& files_;
  const uint64_t owner_;
  bool armed_ = false;
  base::Mutex mutex_;
  base::CondVar changed_;
  bool woken_ GUARDED_BY(mutex_) = false;
  bool written_ = false;  // set without the lock: nobody is between looking and waiting here
};

namespace {

class SimLock final : public env::FileLock {
 public:
  SimLock(SimFiles& files, uint64_t lock) : files_(files), lock_(lock) {}
  ~SimLock() override { files_.Unlock(lock_); }
  SimLock(const SimLock&) = delete;
  SimLock& operator=(const SimLock&) = delete;

 private:
  SimFiles& files_;
  const uint64_t lock_;
};

class SimFile final : public env::File {
 public:
  SimFile(SimFiles& files, std::string path, std::unique_ptr<env::File> below)
      : files_(files), owner_(files.owner()), path_(std::move(path)), below_(std::move(below)) {
    files_.NoteOpen(owner_, 1);
  }
  ~SimFile() override { files_.NoteOpen(owner_, -1); }
  SimFile(const SimFile&) = delete;
  SimFile& operator=(const SimFile&) = delete;

  Result<size_t> ReadAt(uint64_t offset, std::span<uint8_t> out) override {
    RETURN_IF_ERROR(files_.CountOperation(path_));
    return below_->ReadAt(offset, out);
  }
  Status WriteAt(uint64_t offset, base::ByteView bytes) override {
    RETURN_IF_ERROR(files_.CountOperation(path_));
    RETURN_IF_ERROR(files_.ChangeOrFail(path_));
    RETURN_IF_ERROR(below_->WriteAt(offset, bytes));
    files_.NoteWrite(path_);
    return {};
  }
  Status Sync() override {
    const Status counted = files_.CountOperation(path_);
    const Status failure = counted.ok() ? files_.ChangeOrFail(path_) : counted;
    files_.WaitForDisk();
    if (failure.ok()) return below_->Sync();
    dynamic_cast<test::MemFileControl&>(*below_).ForgetDirty();
    return failure;
  }
  Status Truncate(uint64_t size) override {
    RETURN_IF_ERROR(files_.CountOperation(path_));
    files_.Change();
    return below_->Truncate(size);
  }
  Result<uint64_t> Size() override { return below_->Size(); }
  Status Close() override { return below_->Close(); }
  void DropFromCache(uint64_t offset, uint64_t length) override {
    below_->DropFromCache(offset, length);
  }

 private:
  SimFiles& files_;
  const uint64_t owner_;
  const std::string path_;
  const std::unique_ptr<env::File> below_;
};

}  // namespace

SimFiles::SimFiles(test::SimClock& clock, uint64_t seed)
    : memory_({.seed = seed, .clock = &clock}), random_(seed ^ 0xf11e5) {
  BeginBoot();
}

// As Linux tells it: another one after each start of the machine.
void SimFiles::BeginBoot() {
  const std::string id = "boot-" + std::to_string(++boots_) + "\n";
  const std::string path(env::kBootIdPath);
  CHECK(proc_.MakeDirectories(env::DirectoryOf(path)).ok());
  auto file = proc_.Open(path, env::OpenMode::kCreateTruncate);
  CHECK(file.ok() && (*file)->WriteAt(0, base::AsBytes(id)).ok());
}

void SimFiles::CrashAfter(uint64_t changes, std::function<void()> crash) {
  crash_at_ = changes_ + changes;
  crash_ = std::move(crash);
}

void SimFiles::PowerCut(uint64_t seed) {
  crash_at_ = fail_at_ = 0;
  armed_.clear();  // of processes that are gone
  locks_.clear();
  memory_.PowerCut(seed);
  BeginBoot();
}

Result<uint8_t> SimFiles::ByteAt(const std::string& path, uint64_t offset) {
  ASSIGN_OR_RETURN(const auto file, memory_.Open(path, env::OpenMode::kRead));
  uint8_t byte = 0;
  ASSIGN_OR_RETURN(const size_t read, file->ReadAt(offset, {&byte, 1}));
  if (read != 1) return base::NotFound(path + " is shorter");
  return byte;
}

Result<uint8_t> SimFiles::FlipBit(const std::string& path, uint64_t offset) {
  ASSIGN_OR_RETURN(uint8_t byte, ByteAt(path, offset));
  byte = static_cast<uint8_t>(byte ^ (1U << (random_() % 8)));
  ASSIGN_OR_RETURN(const auto file, memory_.Open(path, env::OpenMode::kReadWrite));
  RETURN_IF_ERROR(file->WriteAt(offset, {&byte, 1}));
  return byte;
}

void SimFiles::NoteOpen(uint64_t owner, int change) { open_[owner] += change; }

size_t SimFiles::CountOpen(uint64_t owner) const {
  const auto found = open_.find(owner);
  return found == open_.end() ? 0 : static_cast<size_t>(found->second);
}

void SimFiles::DropOwner(uint64_t owner) {
  std::erase_if(armed_, [owner](const auto& each) { return each.second->owner() == owner; });
  std::erase_if(locks_, [owner](const auto& each) { return each.second.owner == owner; });
}

Result<std::unique_ptr<env::FileLock>> SimFiles::Lock(const std::string& path) {
  ASSIGN_OR_RETURN(std::unique_ptr<env::FileLock> lock, memory_.Lock(path));
  const uint64_t id = next_lock_++;
  locks_[id] = {owner(), std::move(lock)};
  return std::unique_ptr<env::FileLock>(std::make_unique<SimLock>(*this, id));
}

void SimFiles::Change() {
  if (++changes_ != crash_at_) return;
  crash_at_ = 0;
  crash_();
}

Status SimFiles::CountOperation(const std::string& path) {
  if (nth_ == 0 || owner() != nth_owner_ || --nth_ != 0) return {};
  return base::IoError("cannot use " + path + ": Input/output error (the nth operation)");
}

Status SimFiles::ChangeOrFail(const std::string& path) {
  Change();
  if (changes_ != fail_at_) return {};
  return base::IoError("cannot write " + path + ": Input/output error");
}

void SimFiles::LimitSpace(std::optional<uint64_t> more) {
  memory_.SetSpaceLimit(std::numeric_limits<uint64_t>::max());
  if (!more) return;
  const env::Space space = memory_.FreeSpace("/").value();
  memory_.SetSpaceLimit(space.total - space.free + *more);
}

void SimFiles::WaitForDisk() {
  if (base::InstalledScheduler() == nullptr) return;
  base::Mutex mutex;
  base::CondVar nothing;
  base::MutexLock lock(mutex);
  const uint64_t slow = random_() % 50 == 0 ? 40'000 : 400;
  nothing.WaitFor(mutex, std::chrono::microseconds(50 + random_() % slow));
}

void SimFiles::NoteWrite(const std::string& path) {
  const auto [begin, end] = armed_.equal_range(path);
  for (auto at = begin; at != end; ++at) at->second->Written();
  armed_.erase(begin, end);
}

Result<std::unique_ptr<env::File>> SimFiles::Open(const std::string& path, env::OpenMode mode) {
  RETURN_IF_ERROR(CountOperation(path));
  if (mode != env::OpenMode::kRead && mode != env::OpenMode::kReadWrite) Change();
  test::MemEnv& where = path == env::kBootIdPath ? proc_ : memory_;
  ASSIGN_OR_RETURN(std::unique_ptr<env::File> below, where.Open(path, mode));
  return std::unique_ptr<env::File>(std::make_unique<SimFile>(*this, path, std::move(below)));
}
Result<env::FileStat> SimFiles::Stat(const std::string& path) {
  RETURN_IF_ERROR(CountOperation(path));
  return memory_.Stat(path);
}
Result<std::vector<std::string>> SimFiles::List(const std::string& directory) {
  RETURN_IF_ERROR(CountOperation(directory));
  return memory_.List(directory);
}
Status SimFiles::MakeDirectories(const std::string& path) {
  RETURN_IF_ERROR(CountOperation(path));
  Change();
  return memory_.MakeDirectories(path);
}
Status SimFiles::Rename(const std::string& from, const std::string& to) {
  RETURN_IF_ERROR(CountOperation(from));
  Change();
  return memory_.Rename(from, to);
}
Status SimFiles::RenameNew(const std::string& from, const std::string& to) {
  RETURN_IF_ERROR(CountOperation(from));
  Change();
  return memory_.RenameNew(from, to);
}
Status SimFiles::Remove(const std::string& path) {
  RETURN_IF_ERROR(CountOperation(path));
  Change();
  return memory_.Remove(path);
}
Status SimFiles::RemoveDirectory(const std::string& path) {
  RETURN_IF_ERROR(CountOperation(path));
  Change();
  return memory_.RemoveDirectory(path);
}
Status SimFiles::SyncDirectory(const std::string& path) {
  RETURN_IF_ERROR(CountOperation(path));
  Change();
  WaitForDisk();
  return memory_.SyncDirectory(path);
}
Result<std::unique_ptr<env::FileWatcher>> SimFiles::NewWatcher() {
  return std::unique_ptr<env::FileWatcher>(std::make_unique<SimWatcher>(*this));
}

}  // namespace understudy::sim
