// SPDX-License-Identifier: Apache-2.0
// CloneSnapshot: the same state as a snapshot of a copy, as a clone of the database's file
// (provider "reflink", design/0038). With it the snapshot's read transaction can end at once, so
// that the copy's WAL does not grow for as long as a backup takes, and a requester that copies a
// file itself gets one without all pages being written.
//
// The clone has what is in the file at that moment, among it pages that a checkpoint just writes:
// those, and only those, are in the WAL too (sqlite/snapshot_reader.h), and are put over it.
// Threading: any thread; the snapshot is not used by others meanwhile. Errors: kInvalidArgument:
// files cannot be cloned there, which costs nothing to find out; others as of Env.
#pragma once

#include <memory>
#include <string>

#include "backup/snapshot_source.h"
#include "env/env.h"
#include "server/snapshot_adaptor.h"

namespace understudy::server {

inline constexpr const char* kReflink = "reflink";

struct ClonedSnapshot {
  std::unique_ptr<backup::SnapshotSource> source;
  std::string path;  // of a plain SQLite file, whose content was not compared with anything yet
};

// Makes `directory`, and DATABASE.db in it, which stays until its owner removes it. It is on disk.
// On a failure there may be a directory, but no file.
base::Result<ClonedSnapshot> CloneSnapshot(env::Env& env, ReaderSnapshot& snapshot,
                                           const std::string& directory);

}  // namespace understudy::server
