// SPDX-License-Identifier: Apache-2.0
// ArchiveWriter: adds states of one database to the archive (archive.h), each based on the newest
// that is there, whoever wrote it.
//
//   follow    the newest good backup is the root, if nothing that is archived is newer; the states
//             that follow it are read once, so that the page hashes of the last one are known
//   compare   the page hashes of the snapshot with those: what differs is written, and read back
//   publish   the data, then the document, whose name is the commit point
//
// What crashed between the two is data of no document; it goes with its root. ENSURES: a state that
// Add gives is stored durably, and was proved. Memory: 8 bytes a page, and 24 during Add.
// Threading: thread-compatible.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "backup/archive.h"
#include "backup/executor.h"
#include "backup/snapshot_source.h"

namespace understudy::backup {

struct [[nodiscard]] ArchiveResult {
  base::Status status;
  // Nothing: what the snapshot has is archived or backed up already.
  std::optional<BackupDocument> stored;
  // Of a failed one: an incremental or full backup is needed to go on from.
  bool needs_root = false;
};

class ArchiveWriter {
 public:
  // `repository` must outlive it.
  ArchiveWriter(env::Env& env, Executor& executor, const Repository& repository,
                std::string database, std::string software);

  ArchiveResult Add(SnapshotSource& source);
  // What the next one will be based on: the last archived state, or the root.
  const std::optional<BackupDocument>& tail() const { return tail_; }
  size_t since_root() const { return since_root_; }

 private:
  base::Status AddSteps(SnapshotSource& source, std::optional<BackupDocument>& stored);
  BackupDocument Describe(const SnapshotSource& source) const;
  base::Status Follow(const BackupDocument& now);
  base::Status FollowBackups(const BackupDocument& now);
  base::Status FollowArchive(const BackupDocument& now);
  base::Status TakeRoot(const BackupDocument& root, const BackupList& list);
  base::Status Apply(const BackupDocument& archived);
  base::Status Store(SnapshotSource& source, BackupDocument& document);
  void Forget();

  env::Env& env_;
  Executor& executor_;
  const Repository& repository_;
  const std::string database_;
  const std::string software_;

  std::vector<std::string> backup_names_;  // of the documents that were looked at
  std::string root_;                       // id
  std::optional<BackupDocument> tail_;
  std::vector<uint64_t> hashes_;  // of tail_
  size_t since_root_ = 0;
  bool needs_root_ = false;
};

}  // namespace understudy::backup
