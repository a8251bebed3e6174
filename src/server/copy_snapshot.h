// SPDX-License-Identifier: Apache-2.0
// OpenCopySnapshot: a read transaction of the copy of a database that is on this server, passive or
// active, for a backup or the archive. It stops nobody; readers see it until it is destroyed.
// Threading: any thread; it waits for the copy's. Errors: kNotFound: there is no copy here;
// kTimedOut: its thread did not get to it within the limit.
#pragma once

#include <memory>
#include <string>

#include "server/context.h"
#include "server/copy_host.h"
#include "server/snapshot_adaptor.h"

namespace understudy::server {

struct CopySnapshotOptions {
  std::string database = {};
  bool with_hashes = false;  // SnapshotSource::TakeHashes
  base::Duration limit{};
};

base::Result<std::unique_ptr<ReaderSnapshot>> OpenCopySnapshot(const ServerContext& context,
                                                               CopyHost& host,
                                                               const CopySnapshotOptions& options);

}  // namespace understudy::server
