// SPDX-License-Identifier: Apache-2.0
// The archive: states of a database between its backups, a few seconds apart
// (docs/design/0018-continuous-archive.md). Each is an increment with a document of type "log";
// those that follow one backup, their root, are in one folder, and lie there as a chain.
//
//   <repository>/<database>/archive/<root>/<term>-<seq>-<commit time>-<id>.json      document
//   <repository>/<database>/archive/<root>/<id>.ltx                                  its data
//
// A document's name says where it stands, so that a point is found without reading any. Two writers
// may have gone on from one state: each document names what it is based on, and any is right.
// Threading: pure functions over a Repository. Errors: kCorruption for a chain that is broken.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backup/repository.h"

namespace understudy::backup {

// In one folder: as many files a restore has open. Then a new root is needed.
inline constexpr size_t kArchivedMax = 360;
// Of a folder that are listed: several writers may have been there.
inline constexpr size_t kArchivedListedMax = 16 * kArchivedMax;

struct ArchivedState {
  base::Position position;
  base::WallTime commit_time;
  std::string id;
  std::string root;  // id of the backup that the chain begins at

  bool operator==(const ArchivedState&) const = default;
};

std::string ArchiveDocumentKey(const std::string& database, const ArchivedState& state);
std::string ArchiveDataKey(const std::string& database, const std::string& root,
                           const std::string& id);
// Of a data file's path: is it one of the archive, of this database and id?
bool IsArchiveDataKey(std::string_view path, const std::string& database, const std::string& id);
std::optional<ArchivedState> ParseArchiveName(std::string_view name, const std::string& root);

// By position, then commit time, then id. kCorruption: more than kArchivedListedMax.
base::Result<std::vector<ArchivedState>> ListArchive(const Repository& repository,
                                                     const std::string& database,
                                                     const std::string& root);
// Of all roots that have an archive, listed or not. kNotFound: no such id.
base::Result<ArchivedState> FindArchived(const Repository& repository, const std::string& database,
                                         const std::string& id);
base::Result<BackupDocument> ReadArchived(const Repository& repository, const std::string& database,
                                          const ArchivedState& state);
// From the root's first change to `state`, without the root.
base::Result<std::vector<BackupDocument>> ArchivedSince(const Repository& repository,
                                                        const std::string& database,
                                                        const ArchivedState& state);
// Takes away the archives of roots that are not listed. REQUIRES: every document can be read, and
// the database is locked.
base::Status RemoveArchivesWithoutRoot(const Repository& repository, const std::string& database,
                                       const BackupList& list);

}  // namespace understudy::backup
