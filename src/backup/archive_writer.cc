// SPDX-License-Identifier: Apache-2.0
#include "backup/archive_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "backup/describe.h"
#include "backup/increment_file.h"
#include "backup/ltx_reader.h"
#include "backup/page_difference.h"
#include "backup/page_hashes.h"
#include "backup/stored_chain.h"

namespace understudy::backup {
namespace {

constexpr std::string_view kMethodReadBack = "read back when it was archived";

// Later in the history that both are of; seqs name what a file spans, so they must grow, too.
bool IsBefore(base::Position earlier, base::Position later) {
  return earlier < later && earlier.seq < later.seq;
}

}  // namespace

ArchiveWriter::ArchiveWriter(env::Env& env, Executor& executor, const Repository& repository,
                             std::string database, std::string software)
    : env_(env),
      executor_(executor),
      repository_(repository),
      database_(std::move(database)),
      software_(std::move(software)) {}

ArchiveResult ArchiveWriter::Add(SnapshotSource& source) {
  ArchiveResult result;
  needs_root_ = false;
  result.status = AddSteps(source, result.stored);
  result.needs_root = !result.status.ok() && needs_root_;
  // What is there is read anew, so that nothing that was misunderstood stays.
  if (!result.status.ok() && result.status.code() != base::Code::kUnavailable) Forget();
  return result;
}

base::Status ArchiveWriter::AddSteps(SnapshotSource& source,
                                     std::optional<BackupDocument>& stored) {
  BackupDocument document = Describe(source);
  RETURN_IF_ERROR(Follow(document));
  if (tail_->position == document.position || document.position < tail_->position) return {};
  if (!IsBefore(tail_->position, document.position)) {
    return base::Unavailable(fmt::format(
        "{} has {} of {}, of commits that the group went on without: the archive goes on when seq "
        "{} is passed",
        repository_.name(), base::ToString(tail_->position), database_, tail_->position.seq.value));
  }
  if (since_root_ >= kArchivedMax) {
    needs_root_ = true;
    return base::Unavailable(fmt::format(
        "{} archived states follow backup {}, which is the most that can", since_root_, root_));
  }
  RETURN_IF_ERROR(Store(source, document));
  stored = std::move(document);
  return {};
}

void ArchiveWriter::Forget() {
  backup_names_.clear();
  root_.clear();
  tail_.reset();
  hashes_ = {};
  since_root_ = 0;
}

BackupDocument ArchiveWriter::Describe(const SnapshotSource& source) const {
  BackupDocument document = DescribeSnapshot(source);
  document.type = BackupType::kLog;
  document.started = env_.WallNow();
  document.id = MakeBackupId(document.started, document.type, env_.Random());
  document.software = software_;
  return document;
}

base::Status ArchiveWriter::Follow(const BackupDocument& now) {
  RETURN_IF_ERROR(FollowBackups(now));
  return FollowArchive(now);
}

// Documents are read again only when there are others than before.
base::Status ArchiveWriter::FollowBackups(const BackupDocument& now) {
  ASSIGN_OR_RETURN(const store::ObjectList there, repository_.store().List(database_ + "/backups"));
  std::vector<std::string> names;
  for (const store::ObjectInfo& object : there.objects) names.push_back(object.name);
  if (tail_ && names == backup_names_) return {};
  const auto list = repository_.List(database_);
  const auto good = list.ok() ? repository_.Good(database_, *list)
                              : base::Result<std::vector<BackupDocument>>(list.status());
  if (good.status().code() == base::Code::kNotFound) needs_root_ = true;
  RETURN_IF_ERROR(good.status());
  const BackupDocument* root = nullptr;
  for (const BackupDocument& document : *good) {
    const bool fits = document.type != BackupType::kCopy && document.database == now.database &&
                      document.page_size == now.page_size && document.position <= now.position &&
                      document.position.seq <= now.position.seq;
    if (fits) root = &document;
  }
  if (root == nullptr) {
    needs_root_ = true;
    return base::NotFound(
        fmt::format("{} has no full or incremental backup of {} that {} could follow",
                    repository_.name(), database_, base::ToString(now.position)));
  }
  if (!tail_ || tail_->position < root->position) RETURN_IF_ERROR(TakeRoot(*root, *list));
  backup_names_ = std::move(names);
  return {};
}

base::Status ArchiveWriter::TakeRoot(const BackupDocument& root, const BackupList& list) {
  auto hashes = PageHashesOf(executor_, repository_, list, root);
  if (hashes.status().code() == base::Code::kCorruption) needs_root_ = true;
  RETURN_IF_ERROR(hashes.status().WithContext(fmt::format("following backup {}", root.id)));
  hashes_ = std::move(*hashes);
  const uint32_t lock_page = LockPage(root.page_size);
  if (lock_page <= hashes_.size()) hashes_[lock_page - 1] = 0;  // it is in no file
  root_ = root.id;
  tail_ = root;
  since_root_ = 0;
  return {};
}

// The last state that leads to `now`, and what it is based on as far as that is not known yet.
base::Status ArchiveWriter::FollowArchive(const BackupDocument& now) {
  ASSIGN_OR_RETURN(const std::vector<ArchivedState> states,
                   ListArchive(repository_, database_, root_));
  const ArchivedState* last = nullptr;
  for (const ArchivedState& state : states) {
    const bool fits = state.position <= now.position && state.position.seq <= now.position.seq;
    if (fits && tail_->position < state.position) last = &state;
  }
  if (last == nullptr) return {};
  auto since = ArchivedSince(repository_, database_, *last);
  if (since.status().code() == base::Code::kCorruption) needs_root_ = true;
  RETURN_IF_ERROR(since.status());
  const auto known = std::find_if(since->begin(), since->end(),
                                  [&](const BackupDocument& d) { return d.base == tail_->id; });
  if (known == since->end()) {
    // Another writer went on from an earlier state.
    ASSIGN_OR_RETURN(const BackupDocument root, repository_.Find(database_, root_));
    ASSIGN_OR_RETURN(const BackupList list, repository_.List(database_));
    RETURN_IF_ERROR(TakeRoot(root, list));
    for (const BackupDocument& archived : *since) RETURN_IF_ERROR(Apply(archived));
    return {};
  }
  for (auto archived = known; archived != since->end(); ++archived) {
    RETURN_IF_ERROR(Apply(*archived));
  }
  return {};
}

base::Status ArchiveWriter::Apply(const BackupDocument& archived) {
  const BackupFile& stored = archived.files.front();
  const std::string path = repository_.FilePath(stored);
  auto opened = repository_.store().Open(stored.path);
  needs_root_ = true;  // unless all of it is right
  RETURN_IF_ERROR(opened.status());
  ASSIGN_OR_RETURN(const auto file, LtxFile::Open(std::move(*opened), path));
  RETURN_IF_ERROR(file->CheckIncrement());
  if (file->header().commit != archived.pages || file->header().page_size != archived.page_size) {
    return base::Corruption(fmt::format("{}: it is not the file that {} wrote", path, archived.id));
  }
  RETURN_IF_ERROR(
      ScanIncrement(*file, {.phase = "comparing", .progress = {}, .sink = {}}, hashes_).status());
  if (!MatchesDocument(hashes_, archived)) {
    return base::Corruption(
        fmt::format("{}: the database checksum after it is not {:016x}", path, archived.checksum));
  }
  needs_root_ = false;
  tail_ = archived;
  ++since_root_;
  return {};
}

base::Status ArchiveWriter::Store(SnapshotSource& source, BackupDocument& document) {
  const base::SteadyTime began = env_.Now();
  ASSIGN_OR_RETURN(std::vector<uint64_t> hashes, SnapshotHashes(source, document, {}));
  PageDifference difference(hashes);
  difference.From(hashes_);
  const std::vector<uint32_t> pages = difference.Pages(document.page_size);
  BackupFile file;
  file.path = ArchiveDataKey(database_, root_, document.id);
  file.min_txid = tail_->position.seq.value + 1;
  file.max_txid = document.position.seq.value;
  ASSIGN_OR_RETURN(
      const std::unique_ptr<store::Upload> upload,
      repository_.store().Begin({.key = file.path,
                                 .temporary = file.path + std::string(store::kPartialSuffix),
                                 .modified = document.commit_time}));
  ASSIGN_OR_RETURN(const IncrementSums sums, StoreIncrement(*upload, source,
                                                            {.document = document,
                                                             .header = HeaderOf(document, file),
                                                             .pages = pages,
                                                             .base_hashes = hashes_,
                                                             .hashes = hashes,
                                                             .path = repository_.FilePath(file)}));
  file.bytes = sums.bytes;
  file.crc64 = sums.crc64;
  file.xxh3_128 = sums.xxh3_128;
  document.base = tail_->id;
  document.bytes_pages = uint64_t{pages.size()} * document.page_size;
  Complete(document, file, env_.WallNow(), env_.Now() - began, kMethodReadBack);
  RETURN_IF_ERROR(upload->Publish(/*replace=*/false));
  const ArchivedState state{.position = document.position,
                            .commit_time = document.commit_time,
                            .id = document.id,
                            .root = root_};
  RETURN_IF_ERROR(repository_.store().Put(ArchiveDocumentKey(database_, state),
                                          base::AsBytes(ToJson(document)), store::PutMode::kNew));
  hashes_ = std::move(hashes);
  tail_ = document;
  ++since_root_;
  return {};
}

}  // namespace understudy::backup
