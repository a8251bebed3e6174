// SPDX-License-Identifier: Apache-2.0
#include "backup/restore.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "backup/stored_chain.h"
#include "backup/wanted_backup.h"
#include "env/file_users.h"

namespace understudy::backup {
namespace {

// How much is written before its writeback is started, without waiting for it.
constexpr uint64_t kKickBytes = 8 << 20;

class Restoration {
 public:
  Restoration(env::Env& env, Executor& executor, const Repository& repository,
              const RestoreOptions& options)
      : env_(env),
        executor_(executor),
        repository_(repository),
        options_(options),
        partial_(options.output + std::string(kRestoringSuffix)) {}

  base::Result<RestoreResult> Run() {
    const base::SteadyTime began = env_.Now();
    base::Status status = RunSteps();
    if (!status.ok()) {
      file_.reset();
      // Best effort; the next restore to this output starts it anew.
      if (owns_partial_) env_.Remove(partial_).IgnoreError();
      return status.WithContext(
          fmt::format("restore of {} to {}", options_.database, options_.output));
    }
    const auto elapsed = std::chrono::duration_cast<std::chrono::milliseconds>(env_.Now() - began);
    RestoreResult result{.document = document_, .output = options_.output};
    result.bytes = bytes_total();
    result.duration_ms = static_cast<uint64_t>(std::max<int64_t>(elapsed.count(), 0));
    result.bytes_per_second = result.bytes * 1000 / std::max<uint64_t>(result.duration_ms, 1);
    return result;
  }

 private:
  base::Status RunSteps() {
    ASSIGN_OR_RETURN(ChosenBackup chosen,
                     ChooseBackup(repository_, options_.database, {.id = options_.backup}));
    document_ = std::move(chosen.document);
    ASSIGN_OR_RETURN(BackupChain chain, ChainOf(repository_, document_));
    ASSIGN_OR_RETURN(const auto stored, StoredChain::Open(repository_, std::move(chain),
                                                          /*from_disk=*/false));
    RETURN_IF_ERROR(CheckOutput(uint64_t{stored->pages_max()} * document_.page_size));
    ASSIGN_OR_RETURN(lock_, env_.Lock(partial_));
    owns_partial_ = true;
    ASSIGN_OR_RETURN(file_, env_.Open(partial_, env::OpenMode::kCreateTruncate));
    RETURN_IF_ERROR(
        stored->Scan(executor_, {.phase = "restoring",
                                 .progress = options_.progress,
                                 .sink = [this](base::PageNo first, base::ByteView images) {
                                   return Write(first, images);
                                 }}));
    // A state before may have had more pages.
    if (stored->pages_max() > document_.pages) RETURN_IF_ERROR(file_->Truncate(bytes_total()));
    RETURN_IF_ERROR(file_->Sync());
    RETURN_IF_ERROR(file_->Close());
    return Publish();
  }

  uint64_t bytes_total() const {
    return static_cast<uint64_t>(document_.pages) * document_.page_size;
  }

  base::Status CheckOutput(uint64_t needed) {
    const std::string directory = env::DirectoryOf(options_.output);
    const auto about = env_.Stat(directory);
    if (!about.ok() || !about.value().is_directory) {
      return base::NotFound(fmt::format("there is no directory {}; make it first", directory));
    }
    const auto output = env_.Stat(options_.output);
    if (!output.ok() && output.status().code() != base::Code::kNotFound) return output.status();
    if (output.ok()) {
      if (output.value().is_directory) {
        return base::InvalidArgument(options_.output + " is a directory");
      }
      if (!options_.force) {
        return base::AlreadyExists(options_.output +
                                   " exists; choose another name, or force its replacement");
      }
      RETURN_IF_ERROR(env::CheckNotInUse(env_, options_.output));
    }
    for (const std::string_view suffix : kJournalSuffixes) {
      const std::string journal = options_.output + std::string(suffix);
      const auto journal_about = env_.Stat(journal);
      if (journal_about.status().code() == base::Code::kNotFound) continue;
      RETURN_IF_ERROR(journal_about.status());
      if (!options_.force) {
        return base::AlreadyExists(
            fmt::format("{} exists, and SQLite would apply it to the restored database; move it "
                        "away, or force its removal",
                        journal));
      }
    }
    ASSIGN_OR_RETURN(const env::Space space, env_.FreeSpace(directory));
    if (space.free < needed) {
      return base::NoSpace(
          fmt::format("it needs {} bytes, and {} are free in {}", needed, space.free, directory));
    }
    return base::Status();
  }

  base::Status Write(base::PageNo first, base::ByteView images) {
    const uint64_t offset = static_cast<uint64_t>(first.value - 1) * document_.page_size;
    RETURN_IF_ERROR(file_->WriteAt(offset, images));
    kick_from_ = std::min(kick_from_, offset);
    kick_to_ = std::max(kick_to_, offset + images.size());
    if (kick_to_ - kick_from_ >= kKickBytes) {
      file_->DropFromCache(kick_from_, kick_to_ - kick_from_);
      kick_from_ = UINT64_MAX;
      kick_to_ = 0;
    }
    return base::Status();
  }

  base::Status Publish() {
    const std::string directory = env::DirectoryOf(options_.output);
    if (!options_.force) {
      RETURN_IF_ERROR(env_.RenameNew(partial_, options_.output));
    } else {
      // First the old journals, durably: the restored database must never be seen beside them.
      for (const std::string_view suffix : kJournalSuffixes) {
        const std::string journal = options_.output + std::string(suffix);
        base::Status removed = env_.Remove(journal);
        if (!removed.ok() && removed.code() != base::Code::kNotFound) return removed;
      }
      RETURN_IF_ERROR(env_.SyncDirectory(directory));
      RETURN_IF_ERROR(env_.Rename(partial_, options_.output));
    }
    owns_partial_ = false;
    base::Status synced = env_.SyncDirectory(directory);
    // Not known to be durable; where nothing was replaced, nothing is left either.
    if (!synced.ok() && !options_.force) env_.Remove(options_.output).IgnoreError();
    return synced;
  }

  env::Env& env_;
  Executor& executor_;
  const Repository& repository_;
  const RestoreOptions& options_;
  const std::string partial_;
  BackupDocument document_;
  std::unique_ptr<env::FileLock> lock_;  // of partial_: nobody else restores to this output
  std::unique_ptr<env::File> file_;
  bool owns_partial_ = false;
  uint64_t kick_from_ = UINT64_MAX;
  uint64_t kick_to_ = 0;
};

}  // namespace

base::Result<RestoreResult> Restore(env::Env& env, Executor& executor, const Repository& repository,
                                    const RestoreOptions& options) {
  return Restoration(env, executor, repository, options).Run();
}

}  // namespace understudy::backup
