// SPDX-License-Identifier: Apache-2.0
// A scrub's view of the copies of one database: the one on this server, active or passive, and
// those on others.
//
// What is read or written here happens on the copy's own thread, a chunk at a time, between its own
// work. Others' pages and log files come over their Admin service, each server within
// kFetchLimit. Threading: confined to the scrub thread. Errors as scrub/copy_access.h.
#pragma once

#include <memory>

#include "scrub/copy_access.h"
#include "server/context.h"
#include "server/copy_host.h"

namespace understudy::server {

// One answer of a copy's thread, and of another server.
inline constexpr base::Duration kScrubTaskLimit = std::chrono::seconds(5);
inline constexpr base::Duration kFetchLimit = std::chrono::seconds(3);
// A log file is fetched in pieces of this size, up to kFetchedGenerationMax.
inline constexpr uint64_t kFetchPieceBytes = 1 << 20;
inline constexpr uint64_t kFetchedGenerationMax = 72 << 20;

std::unique_ptr<scrub::CopyAccess> AccessTo(const ServerContext& context,
                                            const CopyHost::Hosted& copy);
std::unique_ptr<scrub::OtherCopies> OthersOf(const ServerContext& context, base::DatabaseId id,
                                             const std::string& name);

// What this server gives others of its copy.
base::Result<std::optional<base::Bytes>> ReadPageWithHash(const CopyHost::Hosted& copy,
                                                          base::PageNo page, uint64_t hash);
base::Result<log::LogStore::GenerationBytes> ReadGeneration(const CopyHost::Hosted& copy,
                                                            base::Generation generation,
                                                            uint64_t offset);

}  // namespace understudy::server
