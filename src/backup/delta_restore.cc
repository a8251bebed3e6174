// SPDX-License-Identifier: Apache-2.0
#include "backup/delta_restore.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>

#include "backup/ltx_format.h"
#include "backup/stored_chain.h"
#include "backup/wanted_backup.h"
#include "env/file_users.h"
#include "log/page_table.h"
#include "sqlite/exclusive_file.h"

namespace understudy::backup {
namespace {

constexpr std::string_view kMagic{"SQLite format 3\0", 16};
static_assert(kMagic.size() == kHalfRestored.size());
constexpr size_t kPageSizeOffset = 16;
constexpr size_t kHeaderBytes = 20;  // of what is looked at
constexpr size_t kReadBytes = 4 << 20;
constexpr uint64_t kSpareBytes = 1 << 20;  // for the names of the file system

// Begun or ended, even when a write of these few bytes was cut short.
bool IsHalfRestored(base::ByteView header) {
  bool whole = true;
  for (size_t i = 0; i < kMagic.size(); ++i) {
    const char byte = static_cast<char>(header[i]);
    if (byte != kMagic[i] && byte != kHalfRestored[i]) return false;
    whole = whole && byte == kMagic[i];
  }
  return !whole;
}

class Delta {
 public:
  Delta(env::Env& env, Executor& executor, const Repository& repository,
        const DeltaOptions& options)
      : env_(env), executor_(executor), repository_(repository), options_(options) {}

  base::Result<DeltaResult> Run() {
    const base::SteadyTime began = env_.Now();
    base::Status status = RunSteps();
    // Best effort; the next restore to this file takes it over.
    if (lock_) env_.Remove(options_.file + std::string(kRestoringSuffix)).IgnoreError();
    if (!status.ok()) {
      if (marked_) {
        status = status.WithContext(
            "the file is half restored, and SQLite refuses it until the same command is given "
            "again");
      }
      return status.WithContext(
          fmt::format("restore of {} onto {}", options_.database, options_.file));
    }
    const auto elapsed = std::chrono::duration_cast<std::chrono::milliseconds>(env_.Now() - began);
    result_.document = document_;
    result_.duration_ms = static_cast<uint64_t>(std::max<int64_t>(elapsed.count(), 0));
    return result_;
  }

 private:
  base::Status RunSteps() {
    RETURN_IF_ERROR(OpenFile());
    ASSIGN_OR_RETURN(ChosenBackup chosen,
                     ChooseBackup(repository_, options_.database, {.id = options_.backup}));
    document_ = std::move(chosen.document);
    ASSIGN_OR_RETURN(BackupChain chain, ChainOf(repository_, document_));
    ASSIGN_OR_RETURN(stored_,
                     StoredChain::Open(repository_, std::move(chain), /*from_disk=*/false));
    RETURN_IF_ERROR(CheckFile());
    ASSIGN_OR_RETURN(const BackupList list, repository_.List(options_.database));
    ASSIGN_OR_RETURN(wanted_, PageHashesOf(executor_, repository_, list, document_));
    RETURN_IF_ERROR(Compare());
    RETURN_IF_ERROR(CheckSpace());
    // All of it is proved before anything is written, and what is to be written is kept if it fits.
    RETURN_IF_ERROR(Scan("restoring", [this](base::PageNo page, base::ByteView image) {
      return Keep(page, image);
    }));
    if (found_ < to_write_) return base::Internal("the backup's data has not all of its pages");
    return to_write_ == 0 ? base::Status() : Write();
  }

  base::Status OpenFile() {
    const auto about = env_.Stat(options_.file);
    if (about.status().code() == base::Code::kNotFound) {
      return base::NotFound("there is no such file; --output makes a new one");
    }
    RETURN_IF_ERROR(about.status());
    if (about->is_directory) return base::InvalidArgument("it is a directory");
    RETURN_IF_ERROR(env::CheckNotInUse(env_, options_.file));
    ASSIGN_OR_RETURN(lock_, env_.Lock(options_.file + std::string(kRestoringSuffix)));
    base::Result<std::unique_ptr<sqlite::ExclusiveFile>> file =
        sqlite::ExclusiveFile::Open(options_.file, options_.vfs);
    if (file.ok()) file_ = std::move(*file);
    return file.status();
  }

  base::Status CheckFile() {
    ASSIGN_OR_RETURN(size_, file_->Size());
    std::array<uint8_t, kHeaderBytes> header{};
    RETURN_IF_ERROR(file_->ReadAt(0, header));
    const std::string_view magic(reinterpret_cast<const char*>(header.data()), kMagic.size());
    result_.was_half = IsHalfRestored(header);
    if (size_ == 0) return {};
    if (magic != kMagic && !result_.was_half) {
      return base::InvalidArgument(
          "it is no SQLite database; --output with --force replaces whatever is there");
    }
    marked_ = result_.was_half;
    const uint32_t stored = base::LoadBe16(&header[kPageSizeOffset]);
    const uint32_t page_size = stored == 1 ? log::kPageSizeMax : stored;
    if (page_size == document_.page_size) return {};
    if (page_size == 0 && result_.was_half) return {};  // the file was empty before
    return base::InvalidArgument(
        fmt::format("its pages have {} bytes, those of backup {} {}; --output with --force "
                    "replaces the file",
                    page_size, document_.id, document_.page_size));
  }

  // Which pages of the file are not those of the backup.
  base::Status Compare() {
    const uint32_t page_size = document_.page_size;
    differs_.assign(document_.pages, true);
    const auto have = static_cast<uint32_t>(std::min<uint64_t>(size_ / page_size, document_.pages));
    base::Bytes buffer(std::max<size_t>(kReadBytes / page_size, 1) * page_size);
    for (uint32_t done = 0; done < have;) {
      RETURN_IF_ERROR(Tell("comparing", uint64_t{done} * page_size, uint64_t{have} * page_size));
      const auto count =
          std::min<uint32_t>(static_cast<uint32_t>(buffer.size() / page_size), have - done);
      const std::span<uint8_t> some = std::span(buffer).first(size_t{count} * page_size);
      RETURN_IF_ERROR(file_->ReadAt(uint64_t{done} * page_size, some));
      for (uint32_t i = 0; i < count; ++i, ++done) {
        const base::ByteView image = some.subspan(size_t{i} * page_size, page_size);
        differs_[done] = log::HashPage(base::PageNo(done + 1), image) != wanted_[done];
        // The mark of a passive copy is not in the hash.
        if (done == 0 && image[log::kWriteVersionOffset] == log::kWriteVersionReadOnly) {
          differs_[0] = true;
        }
      }
    }
    const uint32_t lock_page = LockPage(page_size);
    if (lock_page <= document_.pages) differs_[lock_page - 1] = false;  // nobody reads it
    to_write_ = static_cast<uint64_t>(std::count(differs_.begin(), differs_.end(), true));
    // Where anything else changes, page 1 is written again, so that it is written last. A backup
    // has a page 1: its document would be refused without one.
    const bool changes = to_write_ > 0 || HasJournals() || size_ != bytes_total();
    if (changes && !differs_[0]) {
      differs_[0] = true;
      ++to_write_;
    }
    result_.bytes_written = to_write_ * page_size;
    result_.bytes_kept = bytes_total() - result_.bytes_written;
    return {};
  }

  base::Status CheckSpace() {
    const std::string directory = env::DirectoryOf(options_.file);
    const uint64_t growth = bytes_total() - std::min(size_, bytes_total());
    if (growth == 0) return {};
    ASSIGN_OR_RETURN(const env::Space space, env_.FreeSpace(directory));
    if (space.free >= growth + kSpareBytes) return {};
    return base::NoSpace(
        fmt::format("the file grows from {} to {} bytes, so {} are needed, and {} are free in {}",
                    size_, bytes_total(), growth + kSpareBytes, space.free, directory));
  }

  // The images of pages that are to be written, as the backup has them last.
  base::Status Scan(const char* phase,
                    const std::function<base::Status(base::PageNo, base::ByteView)>& take) {
    const uint32_t page_size = document_.page_size;
    const auto sink = [&](base::PageNo first, base::ByteView images) -> base::Status {
      for (size_t at = 0; at < images.size(); at += page_size) {
        const base::PageNo page(first.value + static_cast<uint32_t>(at / page_size));
        if (page.value > document_.pages || !differs_[page.value - 1]) continue;
        const base::ByteView image = images.subspan(at, page_size);
        // A state between has another image.
        if (log::HashPage(page, image) != wanted_[page.value - 1]) continue;
        RETURN_IF_ERROR(take(page, image));
      }
      return {};
    };
    return stored_->Scan(executor_, {.phase = phase, .progress = options_.progress, .sink = sink});
  }

  base::Status Keep(base::PageNo page, base::ByteView image) {
    if (seen_.empty()) seen_.assign(document_.pages, false);
    if (seen_[page.value - 1]) return {};  // two states have it
    seen_[page.value - 1] = true;
    ++found_;
    if ((kept_.size() + 1) * document_.page_size > options_.images_max) {
      all_kept_ = false;
      if (page.value != 1) return {};  // page 1 is kept in any case: it is written last
    }
    kept_.emplace(page.value, base::Bytes(image.begin(), image.end()));
    return {};
  }

  base::Status Write() {
    RETURN_IF_ERROR(Mark());
    RETURN_IF_ERROR(RemoveJournals());
    if (all_kept_) {
      for (const auto& [page, image] : kept_) {
        RETURN_IF_ERROR(WritePage(base::PageNo(page), image));
      }
    } else {
      RETURN_IF_ERROR(Scan("restoring", [this](base::PageNo page, base::ByteView image) {
        return WritePage(page, image);
      }));
    }
    RETURN_IF_ERROR(file_->Truncate(bytes_total()));
    RETURN_IF_ERROR(file_->Sync());
    RETURN_IF_ERROR(ReadBack());
    RETURN_IF_ERROR(file_->WriteAt(0, base::AsBytes(kMagic)));
    RETURN_IF_ERROR(file_->Sync());
    marked_ = false;
    return {};
  }

  // ENSURES: SQLite refuses the file, also after a power cut.
  base::Status Mark() {
    if (result_.was_half) return {};
    marked_ = true;
    RETURN_IF_ERROR(file_->WriteAt(0, base::AsBytes(kHalfRestored)));
    return file_->Sync();
  }

  base::Status RemoveJournals() {
    for (const std::string_view suffix : kJournalSuffixes) {
      const base::Status removed = env_.Remove(options_.file + std::string(suffix));
      if (!removed.ok() && removed.code() != base::Code::kNotFound) return removed;
    }
    return env_.SyncDirectory(env::DirectoryOf(options_.file));
  }

  base::Status WritePage(base::PageNo page, base::ByteView image) {
    const uint64_t offset = uint64_t{page.value - 1} * document_.page_size;
    RETURN_IF_ERROR(Tell("writing", written_, result_.bytes_written));
    written_ += image.size();
    const size_t skip = page.value == 1 ? kHalfRestored.size() : 0;  // that comes last
    return file_->WriteAt(offset + skip, image.subspan(skip));
  }

  base::Status ReadBack() {
    base::Bytes image(document_.page_size);
    for (uint32_t i = 0; i < document_.pages; ++i) {
      if (!differs_[i]) continue;
      RETURN_IF_ERROR(file_->ReadAt(uint64_t{i} * document_.page_size, image));
      if (i == 0) std::copy(kMagic.begin(), kMagic.end(), image.begin());
      if (log::HashPage(base::PageNo(i + 1), image) != wanted_[i]) {
        return base::Corruption(
            fmt::format("page {} is not what was written; look at the disk", i + 1));
      }
    }
    return {};
  }

  base::Status Tell(const char* phase, uint64_t done, uint64_t total) const {
    const bool go_on =
        !options_.progress ||
        options_.progress({.phase = phase, .bytes_done = done, .bytes_total = total});
    return go_on ? base::Status() : base::Cancelled("cancelled");
  }

  bool HasJournals() {
    return std::any_of(kJournalSuffixes.begin(), kJournalSuffixes.end(), [&](std::string_view s) {
      return env::Exists(env_, options_.file + std::string(s));
    });
  }
  uint64_t bytes_total() const { return uint64_t{document_.pages} * document_.page_size; }

  env::Env& env_;
  Executor& executor_;
  const Repository& repository_;
  const DeltaOptions& options_;
  BackupDocument document_;
  std::unique_ptr<env::FileLock> lock_;
  std::unique_ptr<sqlite::ExclusiveFile> file_;
  std::unique_ptr<StoredChain> stored_;
  uint64_t size_ = 0;
  std::vector<uint64_t> wanted_;
  std::vector<bool> differs_;
  std::vector<bool> seen_;
  uint64_t to_write_ = 0;
  uint64_t found_ = 0;
  uint64_t written_ = 0;
  bool all_kept_ = true;
  bool marked_ = false;
  std::map<uint32_t, base::Bytes> kept_;
  DeltaResult result_;
};

}  // namespace

base::Result<DeltaResult> RestoreOnto(env::Env& env, Executor& executor,
                                      const Repository& repository, const DeltaOptions& options) {
  return Delta(env, executor, repository, options).Run();
}

}  // namespace understudy::backup
