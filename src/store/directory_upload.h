// SPDX-License-Identifier: Apache-2.0
// DirectoryUpload: an object of a DirectoryStore while it is written, under its temporary name. It
// is synced piece by piece, and what was synced is dropped from the page cache so that reading back
// reads the disk. Three handles of one file, because three threads may be at it. Internal to
// store/. Threading and errors: as of Upload.
#pragma once

#include <memory>
#include <string>

#include "store/directory_store.h"

namespace understudy::store {

class DirectoryUpload final : public Upload {
 public:
  static base::Result<std::unique_ptr<DirectoryUpload>> Begin(env::Env& env, DirectoryStore& store,
                                                              const UploadOptions& options);
  ~DirectoryUpload() override;

  base::Status Append(base::ByteView bytes) override;
  base::Result<uint64_t> Store(uint64_t up_to, bool whole) override;
  base::Result<std::unique_ptr<ObjectReader>> OpenStored() override;
  base::Status Publish(bool replace) override;

 private:
  DirectoryUpload(env::Env& env, DirectoryStore& store, const UploadOptions& options)
      : env_(env),
        store_(store),
        options_(options),
        partial_(store.NameOf(options.temporary)),
        path_(store.NameOf(options.key)) {}

  env::Env& env_;
  DirectoryStore& store_;
  const UploadOptions options_;
  const std::string partial_;
  const std::string path_;
  std::unique_ptr<env::File> write_file_;
  std::unique_ptr<env::File> sync_file_;
  uint64_t written_ = 0;  // Append's
  uint64_t kicked_ = 0;   // the same: writeback was started up to here
  uint64_t synced_ = 0;   // Store's
  bool published_ = false;
};

}  // namespace understudy::store
