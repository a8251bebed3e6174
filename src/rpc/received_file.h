// SPDX-License-Identifier: Apache-2.0
// ReceivedFile: a file that a server sends in chunks, written to this machine.
//
// ENSURES, once Finish returned ok: the file is on disk with its name, was read back, and has the
// checksum that the server told. Before that only PATH.tmp is there, and it goes with the object.
// What is there is replaced with `force` only: kAlreadyExists.
// Limits: one chunk of memory. Threading: confined to one thread. Errors: those of Env; kCorruption
// for a chunk that is not what its checksum says; kUnavailable when the end did not come.
#pragma once

#include <memory>
#include <string>

#include "env/env.h"
#include "understudy/v1/admin.pb.h"

namespace understudy::rpc {

class ReceivedFile {
 public:
  ReceivedFile(env::Env& env, std::string path, bool force)
      : env_(env), path_(std::move(path)), force_(force) {}
  ~ReceivedFile();
  ReceivedFile(const ReceivedFile&) = delete;
  ReceivedFile& operator=(const ReceivedFile&) = delete;

  base::Status CheckPlace() const;
  base::Status Take(const v1::ExportLostChunk& chunk);
  base::Status End(const v1::ExportLostEnd& end);
  base::Status Finish();

  uint64_t bytes() const { return bytes_; }

 private:
  std::string temporary() const { return path_ + ".tmp"; }
  base::Status ReadBack();

  env::Env& env_;
  const std::string path_;
  const bool force_;
  std::unique_ptr<env::File> file_;
  uint64_t bytes_ = 0;
  uint32_t crc_ = 0;
  bool ended_ = false;
  bool made_ = false;  // the temporary file is ours
};

}  // namespace understudy::rpc
