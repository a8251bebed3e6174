// SPDX-License-Identifier: Apache-2.0
// DirectoryStore: objects are files below a directory, keys their paths.
//
// A file gets its content, is synced, gets its name by rename, and then its directory is synced. It
// has the name of its object with ".tmp", or its Upload's temporary key, before that: files that
// end in ".tmp" or ".partial" are never objects.
// Threading and errors: as of ObjectStore.
#pragma once

#include <memory>
#include <set>
#include <string>

#include "base/mutex.h"
#include "store/object_store.h"

namespace understudy::store {

class DirectoryStore final : public ObjectStore {
 public:
  // The directory need not be there; the first Put makes it. kInvalidArgument if a file is.
  static base::Result<std::unique_ptr<DirectoryStore>> Open(env::Env& env, const std::string& path);

  const std::string& name() const override { return path_; }
  base::Result<std::unique_ptr<ObjectReader>> Open(const std::string& key) override;
  base::Result<ObjectInfo> Stat(const std::string& key) override;
  base::Result<ObjectList> List(const std::string& folder) override;
  base::Status Put(const std::string& key, base::ByteView content, PutMode mode) override;
  base::Result<std::unique_ptr<Upload>> Begin(const UploadOptions& options) override;
  base::Status Delete(const std::string& key) override;
  base::Status RemoveUnfinished(const std::vector<std::string>& folders) override;
  base::Result<std::optional<env::Space>> Free() override;
  base::Result<std::unique_ptr<env::FileLock>> LockOnHost(const std::string& key) override;

  // ENSURES: the directory of this key, and the names of all between, are on disk.
  base::Status PrepareDirectoryOf(const std::string& key);

 private:
  DirectoryStore(env::Env& env, std::string path) : env_(env), path_(std::move(path)) {}

  env::Env& env_;
  const std::string path_;
  base::Mutex mutex_;
  std::set<std::string> prepared_ GUARDED_BY(mutex_);  // directories
};

// Reads a file as an object.
std::unique_ptr<ObjectReader> ReaderOf(std::unique_ptr<env::File> file);

}  // namespace understudy::store
