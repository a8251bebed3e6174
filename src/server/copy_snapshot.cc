// SPDX-License-Identifier: Apache-2.0
#include "server/copy_snapshot.h"

#include <fmt/format.h>

namespace understudy::server {
namespace {

using Source = std::unique_ptr<ReaderSnapshot>;

template <typename Snapshot>
base::Result<Source> Take(const backup::SnapshotOrigin& origin, base::Result<Snapshot> opened) {
  ASSIGN_OR_RETURN(Snapshot snapshot, std::move(opened));
  return Source(std::make_unique<ReaderSnapshot>(origin, std::move(snapshot.reader), snapshot.at,
                                                 std::move(snapshot.hashes)));
}

}  // namespace

base::Result<std::unique_ptr<ReaderSnapshot>> OpenCopySnapshot(const ServerContext& context,
                                                               CopyHost& host,
                                                               const CopySnapshotOptions& options) {
  backup::SnapshotOrigin origin;
  origin.database_name = options.database;
  origin.server = context.server;
  // By value: a call that was given up may still be made.
  if (const std::shared_ptr<PassiveCopy> passive = host.FindPassive(options.database)) {
    origin.database = passive->id();
    origin.role = "passive";
    return passive->tasks().Call<Source>(
        [origin, with_hashes = options.with_hashes](replay::Replayer& replayer)
            -> base::Result<Source> { return Take(origin, replayer.OpenSnapshot(with_hashes)); },
        options.limit);
  }
  if (const std::shared_ptr<ActiveCopy> active = host.FindActive(options.database)) {
    origin.database = active->id();
    origin.role = "active";
    return active->tasks().Call<Source>(
        [origin, with_hashes = options.with_hashes](capture::Capture& capture)
            -> base::Result<Source> { return Take(origin, capture.OpenSnapshot(with_hashes)); },
        options.limit);
  }
  return base::NotFound(
      fmt::format("server {} has no copy of {}", context.server, options.database));
}

}  // namespace understudy::server
