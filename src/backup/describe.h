// SPDX-License-Identifier: Apache-2.0
// What documents say of the snapshot that they are about and of how it was stored, whoever stores
// it: a backup (backup_run.h) or the archive (archive_writer.h). Threading: pure functions.
#pragma once

#include <string_view>

#include "backup/backup_document.h"
#include "backup/ltx_format.h"
#include "backup/snapshot_source.h"
#include "base/time.h"

namespace understudy::backup {

// Origin, position, size and checksum; the rest is the caller's.
BackupDocument DescribeSnapshot(const SnapshotSource& source);
// Of the data file that holds it, or the change to it.
LtxHeader HeaderOf(const BackupDocument& document, const BackupFile& file);
// Stored in `file` (without a path: nothing had changed) and proved by `method`.
// REQUIRES: document.bytes_pages.
void Complete(BackupDocument& document, const BackupFile& file, base::WallTime now,
              base::Duration took, std::string_view method);

}  // namespace understudy::backup
