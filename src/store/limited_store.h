// SPDX-License-Identifier: Apache-2.0
// LimitedStore: a store to and from which no more than so many bytes a second of large objects go,
// by waiting before they do; small objects at once. Threading and errors: as of ObjectStore.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "base/rate_limit.h"
#include "store/limited_upload.h"
#include "store/object_store.h"
#include "store/pause.h"

namespace understudy::store {

class LimitedStore final : public ObjectStore {
 public:
  LimitedStore(env::Env& env, std::unique_ptr<ObjectStore> below, uint64_t bytes_per_second,
               Pause pause = PauseThread)
      : env_(env),
        below_(std::move(below)),
        rate_(bytes_per_second),
        pause_(std::move(pause)),
        reading_(std::make_shared<base::RateLimit>(bytes_per_second)) {}

  const std::string& name() const override { return below_->name(); }
  base::Result<std::unique_ptr<ObjectReader>> Open(const std::string& key) override;
  base::Result<ObjectInfo> Stat(const std::string& key) override { return below_->Stat(key); }
  base::Result<ObjectList> List(const std::string& folder) override { return below_->List(folder); }
  base::Status Put(const std::string& key, base::ByteView content, PutMode mode) override {
    return below_->Put(key, content, mode);
  }
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
  const uint64_t rate_;
  const Pause pause_;
  const std::shared_ptr<base::RateLimit> reading_;  // of all readers together
};

}  // namespace understudy::store
