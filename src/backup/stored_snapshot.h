// SPDX-License-Identifier: Apache-2.0
// The data file of a listed full backup, held against what its document says. Shared by verify and
// restore. Threading: thread-compatible.
#pragma once

#include <memory>

#include "backup/ltx_reader.h"
#include "backup/repository.h"

namespace understudy::backup {

// Opens the file and compares size, page size, page count, transaction ids and file checksum with
// the document, without reading pages. `from_disk` drops it from the page cache first.
// kCorruption when it is damaged or gone.
base::Result<std::unique_ptr<LtxFile>> OpenStoredSnapshot(env::Env& env,
                                                          const Repository& repository,
                                                          const BackupDocument& document,
                                                          bool from_disk);

// Reads all pages (ScanSnapshot) and compares file hash and database checksum with the document.
base::Status ScanStoredSnapshot(Executor& executor, const LtxFile& file,
                                const BackupDocument& document, const ScanOptions& options);

}  // namespace understudy::backup
