// SPDX-License-Identifier: Apache-2.0
// LimitedUpload: an Upload that takes no more than so many bytes a second, by waiting before it
// appends; with a limit for reading, what is read back waits too. Threading and errors: as of
// Upload.
#pragma once

#include <memory>
#include <utility>

#include "base/rate_limit.h"
#include "store/limited_reader.h"
#include "store/object_store.h"
#include "store/pause.h"

namespace understudy::store {

class LimitedUpload final : public Upload {
 public:
  LimitedUpload(env::Env& env, Pause pause, uint64_t bytes_per_second,
                std::unique_ptr<Upload> upload, std::shared_ptr<base::RateLimit> reading = nullptr)
      : env_(env),
        pause_(std::move(pause)),
        limit_(bytes_per_second),
        reading_(std::move(reading)),
        upload_(std::move(upload)) {}

  base::Status Append(base::ByteView bytes) override {
    const base::Duration wait = limit_.ReadyAt() - env_.Now();
    if (wait > base::Duration(0)) pause_(wait);
    limit_.Take(bytes.size(), env_.Now());
    return upload_->Append(bytes);
  }
  base::Result<uint64_t> Store(uint64_t up_to, bool whole) override {
    return upload_->Store(up_to, whole);
  }
  base::Result<std::unique_ptr<ObjectReader>> OpenStored() override {
    ASSIGN_OR_RETURN(auto stored, upload_->OpenStored());
    if (reading_ == nullptr) return stored;
    return std::unique_ptr<ObjectReader>(
        std::make_unique<LimitedReader>(env_, pause_, reading_, std::move(stored)));
  }
  base::Status Publish(bool replace) override { return upload_->Publish(replace); }

 private:
  env::Env& env_;
  const Pause pause_;
  base::RateLimit limit_;
  const std::shared_ptr<base::RateLimit> reading_;  // null: no limit
  const std::unique_ptr<Upload> upload_;
};

}  // namespace understudy::store
