// SPDX-License-Identifier: Apache-2.0
#include "store/limited_store.h"

#include "store/limited_reader.h"

namespace understudy::store {
base::Result<std::unique_ptr<ObjectReader>> LimitedStore::Open(const std::string& key) {
  ASSIGN_OR_RETURN(auto reader, below_->Open(key));
  return std::unique_ptr<ObjectReader>(
      std::make_unique<LimitedReader>(env_, pause_, reading_, std::move(reader)));
}

base::Result<std::unique_ptr<Upload>> LimitedStore::Begin(const UploadOptions& options) {
  ASSIGN_OR_RETURN(auto upload, below_->Begin(options));
  return std::unique_ptr<Upload>(
      std::make_unique<LimitedUpload>(env_, pause_, rate_, std::move(upload), reading_));
}

}  // namespace understudy::store
