// SPDX-License-Identifier: Apache-2.0
// CopyPages: ship::BasePages over a copy's database, for a resync and for a lost log's database.
//
// Normally a snapshot: what the WAL holds counts, and nobody can change it meanwhile. Of a file
// that SQLite cannot read, the pages as they are on disk. Readers of the database are not
// disturbed. Threading: as BasePages.
#pragma once

#include <memory>
#include <string>

#include "ship/base_pages.h"

namespace understudy::server {

// kNotFound, or kCorruption when not even pages can be told apart; kBusy, kIoError and others are
// of the moment.
base::Result<std::unique_ptr<ship::BasePages>> OpenCopyPages(const std::string& path);

}  // namespace understudy::server
