// SPDX-License-Identifier: Apache-2.0
// TarWriter: a tar archive in memory (POSIX.1-1988, "ustar"), compressed as gzip does.
// Names are relative, of at most 100 bytes. Memory: the compressed archive.
// Threading: thread-compatible.
#pragma once

#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/status.h"
#include "base/time.h"

namespace understudy::cli {

class TarWriter {
 public:
  static constexpr size_t kNameBytesMax = 100;

  explicit TarWriter(base::WallTime time) : time_(time) {}
  // kInvalidArgument for a name that does not fit or leaves the archive's folder.
  base::Status Add(const std::string& name, std::string_view content);
  // The archive, gzipped. Called once.
  base::Result<base::Bytes> Finish();

 private:
  const base::WallTime time_;
  std::string archive_;
};

}  // namespace understudy::cli
