// SPDX-License-Identifier: Apache-2.0
#include "backup/file_hash.h"

#include <fmt/format.h>
#include <xxhash.h>

#include "base/check.h"

namespace understudy::backup {

struct FileHash::State {
  XXH3_state_t* xxh3 = XXH3_createState();
  ~State() { XXH3_freeState(xxh3); }
};

FileHash::FileHash() : state_(std::make_unique<State>()) {
  CHECK(state_->xxh3 != nullptr && XXH3_128bits_reset(state_->xxh3) == XXH_OK);
}
FileHash::~FileHash() = default;

void FileHash::Add(base::ByteView bytes) {
  CHECK(XXH3_128bits_update(state_->xxh3, bytes.data(), bytes.size()) == XXH_OK);
}

std::string FileHash::Hex() const {
  const XXH128_hash_t hash = XXH3_128bits_digest(state_->xxh3);
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

}  // namespace understudy::backup
