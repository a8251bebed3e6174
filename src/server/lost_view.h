// SPDX-License-Identifier: Apache-2.0
// A bundle of lost log as the admin service tells of it, and how its database is sent.
// Threading: pure functions. Errors: those of Env and of the sender.
#pragma once

#include <functional>

#include "server/lost_log.h"
#include "server/lost_records.h"
#include "sqlite/row_difference.h"
#include "understudy/v1/admin.pb.h"

namespace understudy::server {

inline constexpr size_t kLostChunkBytes = 1 << 20;

v1::LostBundle LostToProto(const LostBundle& bundle, const std::string& server);
void FillLostRecords(const LostRecords& records, v1::ShowLostResponse& to);
void FillDifferences(const std::vector<sqlite::TableDifference>& tables,
                     google::protobuf::RepeatedPtrField<v1::TableDifference>& to);

// The bundle that `name` means among `bundles`: kNotFound, or kInvalidArgument when there are
// several.
base::Result<v1::LostBundle> ChooseLost(const v1::ListLostResponse& bundles,
                                        const v1::LostName& name);

// Sends `size` bytes of a file in chunks; what the receiver has to have in the end. `send` is false
// when nobody listens any more: kCancelled.
base::Result<v1::ExportLostEnd> SendFile(env::Env& env, const std::string& path, uint64_t size,
                                         const std::function<bool(v1::ExportLostChunk&&)>& send);

// Sends the database of a bundle, if it has one, and the end. `send` is false when nobody listens
// any more: kCancelled.
base::Status SendLostDatabase(env::Env& env, const LostBundle& bundle,
                              const std::function<bool(const v1::ExportLostResponse&)>& send);

}  // namespace understudy::server
