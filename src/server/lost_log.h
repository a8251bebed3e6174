// SPDX-License-Identifier: Apache-2.0
// Lost log: records that a copy has and its group went on without, kept as a *bundle* in
// DATABASE/lost/ID (docs/formats/lost-log.md): which records are lost, the manifest, the list, and
// removal. Bundles are written by lost_log_writer.h.
// Threading: values and pure functions over Env. Errors: those of Env; kCorruption for a manifest
// that is not one.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "cluster/records.h"
#include "env/env.h"
#include "log/log_end.h"

namespace understudy::server {

inline constexpr std::string_view kLostDirectory = "lost";
inline constexpr std::string_view kLostManifest = "manifest.json";
inline constexpr std::string_view kLostDatabase = "database.db";
inline constexpr int kLostVersion = 1;
inline constexpr uint64_t kLostManifestBytesMax = 4 << 20;
inline constexpr size_t kLostFilesMax = 16384;
inline constexpr size_t kLostBundlesMax = 10000;  // listed on one server

struct LostRange {
  base::Position after;   // records after this one are lost
  cluster::TermStart by;  // the newer term that began there; term 0: not remembered
};
// What of a log that ends at `end` the group went on without, by its history of terms. `diverged`:
// the active copy said that this log has what it has not; then everything counts as lost (after seq
// 0) if the history does not tell from where. Nothing: no record is lost.
std::optional<LostRange> FindLost(const std::vector<cluster::TermStart>& history,
                                  const log::LogEnd& end, bool diverged);

struct LostFile {
  std::string name;
  uint64_t bytes = 0;
};
struct LostManifest {
  std::string id;
  std::string database;
  base::DatabaseId database_id;
  std::string server;
  base::WallTime created;
  std::string reason;
  base::Position after;
  base::Position first;
  base::Position last;
  base::WallTime first_commit;
  base::WallTime last_commit;
  uint64_t records = 0;
  uint64_t pages = 0;
  uint64_t log_bytes = 0;
  bool missing = false;
  uint32_t page_size = 0;
  cluster::TermStart newer;  // its `after` is not kept twice
  std::vector<LostFile> files;
  uint64_t database_bytes = 0;
  std::string database_left_out;
};
std::string ToJson(const LostManifest& manifest);
// `path` goes into messages.
base::Result<LostManifest> LostManifestFromJson(const std::string& path, std::string_view text);
// Of the bundle in `directory`.
base::Result<LostManifest> ReadLostManifest(env::Env& env, const std::string& directory);

// "20261126T014509Z-5.1742"
std::string LostId(base::WallTime now, base::Position first);
bool IsLostId(std::string_view text);

struct LostBundle {
  std::string directory;
  LostManifest manifest;  // of a damaged one only the id
  base::Status damaged;
};
// All bundles below a daemon's data directory, those of removed databases too, oldest first.
base::Result<std::vector<LostBundle>> ListLost(env::Env& env, const std::string& data_dir);
// ENSURES: not listed any more, and the space is free.
base::Status RemoveLost(env::Env& env, const LostBundle& bundle);
// Removes the files in `directory` and it; fine if it is not there.
base::Status RemoveFlatDirectory(env::Env& env, const std::string& directory);

}  // namespace understudy::server
