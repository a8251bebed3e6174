// SPDX-License-Identifier: Apache-2.0
// FileHash: XXH3-128 of a file, fed in order; `xxhsum -H2 FILE` prints the same digits.
// Threading: thread-compatible.
#pragma once

#include <memory>
#include <string>

#include "base/bytes.h"

namespace understudy::backup {

class FileHash {
 public:
  FileHash();
  ~FileHash();
  FileHash(const FileHash&) = delete;
  FileHash& operator=(const FileHash&) = delete;

  void Add(base::ByteView bytes);
  std::string Hex() const;  // 32 digits, of what was added so far

 private:
  struct State;
  const std::unique_ptr<State> state_;
};

}  // namespace understudy::backup
