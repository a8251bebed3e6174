// SPDX-License-Identifier: Apache-2.0
// LostExport: writes what a server sends of a bundle of lost log to a directory of this machine:
// DATABASE-ID.db (if the bundle has the database), DATABASE-ID.txt and DATABASE-ID.json.
//
//   Begin -> Take for every message -> Finish
//
// ENSURES, once Finish returned ok: the files are on disk with their names, and the database was
// read back and has the checksum that the server told. Before that no file has its name; the .json
// gets it last. What is there is replaced with `force` only: kAlreadyExists.
// Limits: one chunk of memory. Threading: confined to one thread. Errors: those of Env; kCorruption
// for a chunk that is not what its checksum says; kUnavailable when the end did not come.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "env/env.h"
#include "understudy/v1/admin.pb.h"

namespace understudy::cli {

class LostExport {
 public:
  LostExport(env::Env& env, std::string directory, bool force)
      : env_(env), directory_(std::move(directory)), force_(force) {}
  ~LostExport();  // removes what has not got its name
  LostExport(const LostExport&) = delete;
  LostExport& operator=(const LostExport&) = delete;

  base::Status Begin(const v1::LostBundle& bundle);
  base::Status Take(const v1::ExportLostResponse& message);
  struct Description {
    std::string text;
    std::string json;
  };
  base::Status Finish(const Description& description);

  const std::optional<v1::LostBundle>& bundle() const { return bundle_; }
  uint64_t bytes() const { return bytes_; }
  // The database's path; empty: the bundle has none.
  std::string database_path() const;
  std::string path(const std::string& suffix) const;

 private:
  std::string temporary(const std::string& suffix) const;
  base::Status TakeChunk(const v1::ExportLostChunk& chunk);
  base::Status ReadBack(const std::string& path);
  base::Status Write(const std::string& suffix, const std::string& content);
  base::Status Name(const std::string& suffix);

  env::Env& env_;
  const std::string directory_;
  const bool force_;
  std::optional<v1::LostBundle> bundle_;
  std::unique_ptr<env::File> file_;
  uint64_t bytes_ = 0;
  uint32_t crc_ = 0;
  bool ended_ = false;
};

}  // namespace understudy::cli
