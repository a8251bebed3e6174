// SPDX-License-Identifier: Apache-2.0
// LostLogWriter: saves what a copy has and the group went on without, before anything of the copy
// is replaced (docs/formats/lost-log.md).
//
//   scan (counts the lost records) -> files (copies log files) -> database -> finish
//
// ENSURES, once RunOnce has returned true: the bundle is on disk, and so is its name. A crash or a
// failure before leaves none; begin anew then, with the same id. If a bundle of that id is there
// already, nothing is done.
//
// The database is left out, and the manifest says why, when it is too large, when there is no room
// for it, or when it cannot be read. The log is never left out: kNoSpace tells what is needed.
//
// Memory: one buffer, one bit a page. Threading: confined to one thread. Errors: those of Env.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "log/log_store.h"
#include "server/lost_log.h"
#include "ship/base_pages.h"

namespace understudy::server {

class LostLogWriter {
 public:
  struct Options {
    std::string directory;      // of the copy: DATA_DIR/DATABASE
    std::string log_directory;  // its log
    std::string id;
    std::string database;
    base::DatabaseId database_id;
    std::string server;
    LostRange range;
    std::string reason;
    uint64_t database_bytes_max = 0;
    std::string database_left_out;   // why there is no `database`
    std::string temporary = ".tmp";  // in lost/: two writers of a copy must not share it
  };
  // `log` is null when it is too damaged to be read: then all its files are kept, uncounted.
  // `database` is null when there is none to keep. `env` is borrowed.
  LostLogWriter(env::Env& env, Options options, std::shared_ptr<log::LogStore> log,
                std::unique_ptr<ship::BasePages> database);
  ~LostLogWriter();
  LostLogWriter(const LostLogWriter&) = delete;
  LostLogWriter& operator=(const LostLogWriter&) = delete;

  // Some MiB of work; true when the bundle is there.
  base::Result<bool> RunOnce();

  // Whole once RunOnce returned true. Without records when the log turned out to have none that are
  // lost; then there is no bundle.
  const LostManifest& manifest() const { return manifest_; }
  std::string bundle_directory() const;

 private:
  enum class Step { kBegin, kScan, kFiles, kDatabase, kFinish, kDone };

  base::Status Begin();
  base::Status Scan();
  void Count(const log::RecordPart& part);
  base::Status ListFiles();
  base::Status CheckSpace();
  base::Status CopyFiles();
  base::Status CopyDatabase();
  void LeaveDatabaseOut(const std::string& why);
  base::Status Finish();
  std::string lost_directory() const { return env::JoinPath(options_.directory, kLostDirectory); }
  std::string temporary() const { return env::JoinPath(lost_directory(), options_.temporary); }

  env::Env& env_;
  const Options options_;
  const std::shared_ptr<log::LogStore> log_;
  std::unique_ptr<ship::BasePages> database_;
  LostManifest manifest_;
  Step step_ = Step::kBegin;
  std::unique_ptr<log::LogReader> reader_;
  std::vector<bool> pages_;         // that lost records have
  std::vector<std::string> names_;  // of log files
  size_t next_file_ = 0;
  std::unique_ptr<env::File> from_;
  std::unique_ptr<env::File> to_;
  uint64_t offset_ = 0;
  base::PageNo next_page_{1};
  base::Bytes buffer_;
};

}  // namespace understudy::server
