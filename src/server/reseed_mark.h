// SPDX-License-Identifier: Apache-2.0
// ReseedMark: the small file that says that a copy's log and database are being replaced, why, and
// how far that is: DATA_DIR/DATABASE/.reseed.
//
//   kSave -> kRemoveLog -> kSeed -> (no file)
//   kSave: what the group went on without is being saved (lost_log_writer.h); nothing is replaced
//   kRemoveLog: it is saved, or there was nothing; the old log goes
//   kSeed: a seed or resync, with a log of its own, replaces the database
// Each step may be repeated after a crash.
// Threading: values and functions over Env. Errors: those of Env.
#pragma once

#include <optional>
#include <string>

#include "env/env.h"

namespace understudy::server {

struct ReseedMark {
  enum class Stage { kSave, kRemoveLog, kSeed };
  Stage stage = Stage::kSave;
  bool full = false;         // fetch all pages
  bool diverged = false;     // the active copy said that this copy has what it has not
  bool from_replay = false;  // the database was the copy's, not half of a seed
  std::string lost_id;       // of the bundle that is being saved
  std::string why;
};

// `directory`: DATA_DIR/DATABASE. Nothing when there is no file; a file that cannot be read counts
// as one of stage kSeed.
base::Result<std::optional<ReseedMark>> LoadReseedMark(env::Env& env, const std::string& directory);
// ENSURES: durable.
base::Status SaveReseedMark(env::Env& env, const std::string& directory, const ReseedMark& mark);
base::Status RemoveReseedMark(env::Env& env, const std::string& directory);

}  // namespace understudy::server
