// SPDX-License-Identifier: Apache-2.0
// S3Store: objects in a bucket, below a prefix.
//
// An object larger than a part is uploaded in parts, one in memory at a time; each is sent with its
// MD5, which the server compares. It has its key once all are there, before it was read back. While
// it is uploaded its temporary key is a small object that says so (the upload's id), so that
// RemoveUnfinished finds what a killed process left, also where uploads cannot be listed.
//
// PutMode::kNew is If-None-Match. A server that does not know it can let two hosts put at once;
// ChecksIfNoneMatch finds out. Threading and errors: as of ObjectStore and S3Client.
#pragma once

#include <memory>
#include <string>

#include "store/object_store.h"
#include "store/s3_client.h"

namespace understudy::store {

inline constexpr size_t kListPagesMax = 1000;  // of at most 1000 names each

class S3Store final : public ObjectStore {
 public:
  // REQUIRES: CheckS3Options(options).ok().
  S3Store(env::Env& env, std::unique_ptr<HttpClient> http, const S3Options& options,
          Pause pause = PauseThread);
  // The real one. Errors: of CheckS3Options and LoadS3Credentials.
  static base::Result<std::unique_ptr<S3Store>> Open(env::Env& env, const S3Options& options);

  const std::string& name() const override { return name_; }
  base::Result<std::unique_ptr<ObjectReader>> Open(const std::string& key) override;
  base::Result<ObjectInfo> Stat(const std::string& key) override;
  base::Result<ObjectList> List(const std::string& folder) override;
  base::Status Put(const std::string& key, base::ByteView content, PutMode mode) override;
  base::Result<std::unique_ptr<Upload>> Begin(const UploadOptions& options) override;
  base::Status Delete(const std::string& key) override;
  base::Status RemoveUnfinished(const std::vector<std::string>& folders) override;
  base::Result<std::optional<env::Space>> Free() override;
  base::Result<std::unique_ptr<env::FileLock>> LockOnHost(const std::string& key) override;

  // Whether the server keeps PutMode::kNew; uses the object `key`, which is gone afterwards.
  base::Result<bool> ChecksIfNoneMatch(const std::string& key);

 private:
  base::Status PutNew(const std::string& key, base::ByteView content);

  const std::string name_;
  S3Client client_;
};

}  // namespace understudy::store
