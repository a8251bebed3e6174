// SPDX-License-Identifier: Apache-2.0
#include "testing/fault_env.h"

#include <bit>
#include <utility>

#include "testing/mem_env.h"

namespace understudy::test {

using base::MutexLock;
using base::Result;
using base::Status;

class FaultFile final : public env::File, public MemFileControl {
 public:
  FaultFile(FaultEnv& env, std::unique_ptr<env::File> below, std::string path)
      : env_(env), below_(std::move(below)), path_(std::move(path)) {}

  Result<size_t> ReadAt(uint64_t offset, std::span<uint8_t> out) override {
    RETURN_IF_ERROR(env_.Judge(Op::kRead, path_).status);
    ASSIGN_OR_RETURN(const size_t got, below_->ReadAt(offset, out));
    env_.MaybeFlip(out.first(got));
    return got;
  }

  Status WriteAt(uint64_t offset, base::ByteView bytes) override {
    const FaultEnv::Verdict verdict = env_.Judge(Op::kWrite, path_);
    if (verdict.status.ok()) return below_->WriteAt(offset, bytes);
    if (verdict.effect != Effect::kNone) {
      const size_t count = verdict.effect == Effect::kWhole ? bytes.size() : bytes.size() / 2;
      RETURN_IF_ERROR(below_->WriteAt(offset, bytes.first(count)));
    }
    return verdict.status;
  }

  Status Sync() override {
    const FaultEnv::Verdict verdict = env_.Judge(Op::kSync, path_);
    if (verdict.status.ok()) return below_->Sync();
    ForgetDirty();
    return verdict.status;
  }

  Status Truncate(uint64_t size) override {
    return env_.Pass(Op::kTruncate, path_, [&] { return below_->Truncate(size); });
  }
  Result<uint64_t> Size() override {
    RETURN_IF_ERROR(env_.Judge(Op::kSize, path_).status);
    return below_->Size();
  }
  Status Close() override {
    // A close that reports failure has still given the descriptor back.
    const Status judged = env_.Judge(Op::kClose, path_).status;
    const Status closed = below_->Close();
    return judged.ok() ? closed : judged;
  }
  void DropFromCache(uint64_t offset, uint64_t length) override {
    below_->DropFromCache(offset, length);
  }

  void ForgetDirty() override {
    if (auto* control = dynamic_cast<MemFileControl*>(below_.get())) control->ForgetDirty();
  }

 private:
  FaultEnv& env_;
  const std::unique_ptr<env::File> below_;
  const std::string path_;
};

void FaultEnv::Arm(FaultPlan plan) {
  CHECK(plan.nth >= 1 && !plan.status.ok());
  MutexLock lock(mutex_);
  plan_ = std::move(plan);
  armed_ = true;
  fired_ = false;
  matches_ = 0;
}

void FaultEnv::Disarm() {
  MutexLock lock(mutex_);
  armed_ = false;
}

bool FaultEnv::fired() const {
  MutexLock lock(mutex_);
  return fired_;
}

uint64_t FaultEnv::Count(OpSet ops) const {
  MutexLock lock(mutex_);
  uint64_t sum = 0;
  for (uint32_t i = 0; i < kOpCount; ++i) {
    if (ops.Has(static_cast<Op>(1u << i))) sum += counts_[i];
  }
  return sum;
}

void FaultEnv::FlipReads(uint64_t seed, uint64_t one_in) {
  MutexLock lock(mutex_);
  flips_.seed(seed);
  flip_one_in_ = one_in;
}

void FaultEnv::MaybeFlip(std::span<uint8_t> bytes) {
  MutexLock lock(mutex_);
  if (flip_one_in_ == 0 || bytes.empty() || flips_() % flip_one_in_ != 0) return;
  bytes[flips_() % bytes.size()] ^= static_cast<uint8_t>(1u << (flips_() % 8));
}

FaultEnv::Verdict FaultEnv::Judge(Op op, const std::string& path) {
  MutexLock lock(mutex_);
  ++counts_[std::countr_zero(static_cast<uint32_t>(op))];
  if (!armed_) return {};
  const Status failed = plan_.status.WithContext(path);
  if (fired_ && plan_.halt_after) return {failed, Effect::kNone};
  if (!plan_.ops.Has(op) || path.find(plan_.path_contains) == std::string::npos) return {};
  ++matches_;
  if (matches_ == plan_.nth || (matches_ > plan_.nth && plan_.for_ever)) {
    fired_ = true;
    return {failed, plan_.effect};
  }
  return {};
}

Status FaultEnv::Pass(Op op, const std::string& path, const std::function<Status()>& operation) {
  const Verdict verdict = Judge(op, path);
  if (verdict.status.ok()) return operation();
  if (verdict.effect == Effect::kWhole) RETURN_IF_ERROR(operation());
  return verdict.status;
}

Result<std::unique_ptr<env::File>> FaultEnv::Open(const std::string& path, env::OpenMode mode) {
  const Verdict verdict = Judge(Op::kOpen, path);
  if (!verdict.status.ok() && verdict.effect != Effect::kWhole) return verdict.status;
  ASSIGN_OR_RETURN(auto file, below_.Open(path, mode));
  if (!verdict.status.ok()) return verdict.status;  // made, and yet reported as failed
  return std::unique_ptr<env::File>(new FaultFile(*this, std::move(file), path));
}

Result<env::FileStat> FaultEnv::Stat(const std::string& path) {
  RETURN_IF_ERROR(Judge(Op::kStat, path).status);
  return below_.Stat(path);
}
Result<std::vector<std::string>> FaultEnv::List(const std::string& directory) {
  RETURN_IF_ERROR(Judge(Op::kList, directory).status);
  return below_.List(directory);
}
Status FaultEnv::MakeDirectories(const std::string& path) {
  return Pass(Op::kMakeDirectories, path, [&] { return below_.MakeDirectories(path); });
}
Status FaultEnv::Rename(const std::string& from, const std::string& to) {
  return Pass(Op::kRename, from, [&] { return below_.Rename(from, to); });
}
Status FaultEnv::RenameNew(const std::string& from, const std::string& to) {
  return Pass(Op::kRename, from, [&] { return below_.RenameNew(from, to); });
}
Status FaultEnv::Remove(const std::string& path) {
  return Pass(Op::kRemove, path, [&] { return below_.Remove(path); });
}
Status FaultEnv::RemoveDirectory(const std::string& path) {
  return Pass(Op::kRemove, path, [&] { return below_.RemoveDirectory(path); });
}
Status FaultEnv::SyncDirectory(const std::string& path) {
  RETURN_IF_ERROR(Judge(Op::kSyncDirectory, path).status);
  return below_.SyncDirectory(path);
}
Result<env::Space> FaultEnv::FreeSpace(const std::string& path) {
  RETURN_IF_ERROR(Judge(Op::kFreeSpace, path).status);
  return below_.FreeSpace(path);
}
Result<std::unique_ptr<env::FileLock>> FaultEnv::Lock(const std::string& path) {
  RETURN_IF_ERROR(Judge(Op::kLock, path).status);
  return below_.Lock(path);
}
Status FaultEnv::SetModified(const std::string& path, base::WallTime time) {
  return Pass(Op::kSetModified, path, [&] { return below_.SetModified(path, time); });
}
Status FaultEnv::Clone(const std::string& from, const std::string& to) {
  return Pass(Op::kOpen, to, [&] { return below_.Clone(from, to); });
}

uint64_t FailEachOperation(FaultPlan plan, uint64_t runs_max,
                           const std::function<bool(const FaultPlan&)>& run) {
  for (uint64_t nth = 1; nth <= runs_max; ++nth) {
    plan.nth = nth;
    if (!run(plan)) return nth - 1;
  }
  CHECK(false && "FailEachOperation: every run up to runs_max failed an operation");
  return runs_max;
}

}  // namespace understudy::test
