// SPDX-License-Identifier: Apache-2.0
// EncryptedStore: objects that only who has the key can read, and nobody can change, in any other
// store (docs/formats/sealed-object.md). Names, and about the sizes, stay as they are.
//
// Objects are read at any offset and written as a stream; memory: two chunks for an upload, the
// chunks that a read touches, kSealedReadMax at most at once, for a read. What others see as the
// size is that of the content. One object is not encrypted: kClearObject, which says that the
// others are and with which key (backup/repository.h).
// Threading and errors: as of ObjectStore; kCorruption for an object that was changed,
// kInvalidArgument when none of the keys is its.
#pragma once

#include <memory>
#include <string>

#include "store/object_store.h"
#include "store/repository_key.h"

namespace understudy::store {

inline constexpr uint64_t kSealedReadMax = 4 << 20;

class EncryptedStore final : public ObjectStore {
 public:
  EncryptedStore(env::Env& env, std::unique_ptr<ObjectStore> below, RepositoryKeys keys);

  const std::string& name() const override { return below_->name(); }
  const RepositoryKeys* keys() const override { return &keys_; }
  base::Result<std::unique_ptr<ObjectReader>> Open(const std::string& key) override;
  base::Result<ObjectInfo> Stat(const std::string& key) override;
  base::Result<ObjectList> List(const std::string& folder) override;
  base::Status Put(const std::string& key, base::ByteView content, PutMode mode) override;
  base::Result<std::unique_ptr<Upload>> Begin(const UploadOptions& options) override;
  base::Status Delete(const std::string& key) override { return below_->Delete(key); }
  base::Status RemoveUnfinished(const std::vector<std::string>& folders) override {
    return below_->RemoveUnfinished(folders);
  }
  base::Result<std::optional<env::Space>> Free() override { return below_->Free(); }
  base::Result<std::unique_ptr<env::FileLock>> LockOnHost(const std::string& key) override {
    return below_->LockOnHost(key);
  }

 private:
  env::Env& env_;
  const std::unique_ptr<ObjectStore> below_;
  const RepositoryKeys keys_;
};

}  // namespace understudy::store
