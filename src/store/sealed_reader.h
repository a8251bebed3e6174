// SPDX-License-Identifier: Apache-2.0
// SealedReader: the content of an encrypted object, read at any offset, also while it is uploaded.
// Internal to store/. Threading: as of ObjectReader. Errors: kCorruption when a chunk is not what
// was encrypted.
#pragma once

#include <atomic>
#include <memory>

#include "store/object_store.h"
#include "store/sealed_format.h"

namespace understudy::store {

// Which chunk is the last one; none is known to be while it is uploaded.
struct SealedEnd {
  static constexpr uint64_t kUnknown = UINT64_MAX;
  std::atomic<uint64_t> last_chunk = kUnknown;
  std::atomic<uint64_t> content = 0;
};

class SealedReader final : public ObjectReader {
 public:
  // Of one that is stored whole: reads its header and size.
  static base::Result<std::unique_ptr<ObjectReader>> Open(std::unique_ptr<ObjectReader> below,
                                                          const RepositoryKeys& keys,
                                                          const std::string& name);
  SealedReader(std::unique_ptr<ObjectReader> below, Sealer sealer,
               std::shared_ptr<const SealedEnd> end)
      : below_(std::move(below)), sealer_(std::move(sealer)), end_(std::move(end)) {}

  base::Result<size_t> ReadAt(uint64_t offset, std::span<uint8_t> out) override;
  base::Result<uint64_t> Size() override { return end_->content.load(); }
  void DropFromCache(uint64_t offset, uint64_t length) override;

 private:
  base::Status ReadChunks(uint64_t first, uint64_t count, base::Bytes& content);

  const std::unique_ptr<ObjectReader> below_;
  const Sealer sealer_;
  const std::shared_ptr<const SealedEnd> end_;
};

}  // namespace understudy::store
