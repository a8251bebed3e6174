// SPDX-License-Identifier: Apache-2.0
#include "store/directory_store.h"

#include <fmt/format.h>

#include <algorithm>

#include "store/directory_upload.h"

namespace understudy::store {
namespace {

constexpr std::string_view kTemporarySuffix = ".tmp";

bool IsUnfinished(std::string_view name) {
  return name.ends_with(kTemporarySuffix) || name.ends_with(kPartialSuffix);
}

class FileReader final : public ObjectReader {
 public:
  explicit FileReader(std::unique_ptr<env::File> file) : file_(std::move(file)) {}
  base::Result<size_t> ReadAt(uint64_t offset, std::span<uint8_t> out) override {
    return file_->ReadAt(offset, out);
  }
  base::Result<uint64_t> Size() override { return file_->Size(); }
  void DropFromCache(uint64_t offset, uint64_t length) override {
    file_->DropFromCache(offset, length);
  }

 private:
  const std::unique_ptr<env::File> file_;
};

}  // namespace

std::unique_ptr<ObjectReader> ReaderOf(std::unique_ptr<env::File> file) {
  return std::make_unique<FileReader>(std::move(file));
}

base::Result<std::unique_ptr<DirectoryStore>> DirectoryStore::Open(env::Env& env,
                                                                   const std::string& path) {
  const auto about = env.Stat(path);
  if (about.ok() && !about->is_directory) {
    return base::InvalidArgument(fmt::format("{} is not a directory", path));
  }
  if (!about.ok() && about.status().code() != base::Code::kNotFound) return about.status();
  std::string plain = path;
  while (plain.size() > 1 && plain.back() == '/') plain.pop_back();
  return std::unique_ptr<DirectoryStore>(new DirectoryStore(env, std::move(plain)));
}

base::Result<std::unique_ptr<ObjectReader>> DirectoryStore::Open(const std::string& key) {
  ASSIGN_OR_RETURN(auto file, env_.Open(NameOf(key), env::OpenMode::kRead));
  return ReaderOf(std::move(file));
}

base::Result<ObjectInfo> DirectoryStore::Stat(const std::string& key) {
  ASSIGN_OR_RETURN(const env::FileStat about, env_.Stat(NameOf(key)));
  if (about.is_directory) return base::NotFound(NameOf(key) + " is a directory");
  return ObjectInfo{env::BaseNameOf(key), about.size, about.modified};
}

base::Result<ObjectList> DirectoryStore::List(const std::string& folder) {
  const std::string directory = folder.empty() ? path_ : NameOf(folder);
  const auto names = env_.List(directory);
  if (names.status().code() == base::Code::kNotFound) return ObjectList();
  RETURN_IF_ERROR(names.status());
  ObjectList list;
  for (const std::string& name : *names) {
    if (IsUnfinished(name)) continue;
    const auto about = env_.Stat(env::JoinPath(directory, name));
    if (about.status().code() == base::Code::kNotFound) continue;  // gone meanwhile
    RETURN_IF_ERROR(about.status());
    if (about->is_directory) {
      list.folders.push_back(name);
    } else {
      list.objects.push_back({name, about->size, about->modified});
    }
  }
  return list;
}

base::Status DirectoryStore::PrepareDirectoryOf(const std::string& key) {
  const size_t slash = key.rfind('/');
  const std::string directory = slash == std::string::npos ? path_ : NameOf(key.substr(0, slash));
  {
    base::MutexLock lock(mutex_);
    if (prepared_.contains(directory)) return {};
  }
  RETURN_IF_ERROR(env_.MakeDirectories(directory));
  // One that was there may have been made by somebody who crashed before its name was synced.
  std::string made = directory;
  while (true) {
    RETURN_IF_ERROR(env_.SyncDirectory(env::DirectoryOf(made)));
    if (made == path_) break;
    made = env::DirectoryOf(made);
  }
  base::MutexLock lock(mutex_);
  prepared_.insert(directory);
  return {};
}

base::Status DirectoryStore::Put(const std::string& key, base::ByteView content, PutMode mode) {
  RETURN_IF_ERROR(PrepareDirectoryOf(key));
  const std::string path = NameOf(key);
  if (mode == PutMode::kReplace) return env::WriteFileAtomically(env_, path, content);
  // The name says whose it is: two hosts may try at once.
  const std::string temporary = fmt::format("{}.{:016x}{}", path, env_.Random(), kTemporarySuffix);
  base::Status status;
  {
    ASSIGN_OR_RETURN(const auto file, env_.Open(temporary, env::OpenMode::kCreateNew));
    status = file->WriteAt(0, content);
    if (status.ok()) status = file->Sync();
    if (status.ok()) status = file->Close();
  }
  if (status.ok()) status = env_.RenameNew(temporary, path);
  if (!status.ok()) {
    env_.Remove(temporary).IgnoreError();
    return status;
  }
  return env_.SyncDirectory(env::DirectoryOf(path));
}

base::Result<std::unique_ptr<Upload>> DirectoryStore::Begin(const UploadOptions& options) {
  ASSIGN_OR_RETURN(auto upload, DirectoryUpload::Begin(env_, *this, options));
  return std::unique_ptr<Upload>(std::move(upload));
}

base::Status DirectoryStore::Delete(const std::string& key) {
  const std::string path = NameOf(key);
  const base::Status removed = env_.Remove(path);
  if (removed.code() == base::Code::kNotFound) return {};
  RETURN_IF_ERROR(removed);
  return env_.SyncDirectory(env::DirectoryOf(path));
}

base::Status DirectoryStore::RemoveUnfinished(const std::vector<std::string>& folders) {
  for (const std::string& folder : folders) {
    const std::string directory = folder.empty() ? path_ : NameOf(folder);
    const auto names = env_.List(directory);
    if (names.status().code() == base::Code::kNotFound) continue;
    RETURN_IF_ERROR(names.status());
    for (const std::string& name : *names) {
      if (!IsUnfinished(name)) continue;
      const base::Status removed = env_.Remove(env::JoinPath(directory, name));
      if (removed.code() != base::Code::kNotFound) RETURN_IF_ERROR(removed);
    }
  }
  return {};
}

base::Result<std::optional<env::Space>> DirectoryStore::Free() {
  ASSIGN_OR_RETURN(const env::Space space, env_.FreeSpace(path_));
  return std::optional<env::Space>(space);
}

base::Result<std::unique_ptr<env::FileLock>> DirectoryStore::LockOnHost(const std::string& key) {
  RETURN_IF_ERROR(PrepareDirectoryOf(key));
  return env_.Lock(NameOf(key));
}

}  // namespace understudy::store
