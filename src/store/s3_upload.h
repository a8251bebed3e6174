// SPDX-License-Identifier: Apache-2.0
// S3Upload: an object of an S3Store while it is uploaded, and how one that was left is given up.
// Internal to store/. Memory: a part. Threading and errors: as of Upload.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "store/object_store.h"
#include "store/s3_client.h"

namespace understudy::store {

class S3Upload final : public Upload {
 public:
  S3Upload(ObjectStore& store, S3Client& client, const UploadOptions& options)
      : store_(store), client_(client), options_(options) {}
  ~S3Upload() override;

  base::Status Append(base::ByteView bytes) override;
  base::Result<uint64_t> Store(uint64_t up_to, bool whole) override;
  base::Result<std::unique_ptr<ObjectReader>> OpenStored() override;
  base::Status Publish(bool replace) override;

 private:
  base::Status BeginParts();
  base::Status SendPart();
  base::Status Complete();
  std::vector<std::pair<std::string, std::string>> Headers() const;

  ObjectStore& store_;
  S3Client& client_;
  const UploadOptions options_;
  base::Bytes part_;
  std::vector<std::string> etags_;  // of the parts sent
  std::string upload_id_;           // empty: no parts were begun
  uint64_t bytes_ = 0;
  bool stored_ = false;
  bool published_ = false;
};

// Gives up the upload that this object is about, and deletes it.
base::Status AbortUpload(ObjectStore& store, S3Client& client, const std::string& marker);

}  // namespace understudy::store
