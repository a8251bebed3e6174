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

// Makes `path`, a plain SQLite file whose content was not compared with anything yet. It is on
// disk, and its owner may rename or remove it at once. On a failure there is no file.
base::Result<std::unique_ptr<backup::SnapshotSource>> CloneSnapshot(env::Env& env,
                                                                    ReaderSnapshot& snapshot,
                                                                    const std::string& path);

}  // namespace understudy::server
