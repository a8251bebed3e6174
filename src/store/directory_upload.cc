// SPDX-License-Identifier: Apache-2.0
#include "store/directory_upload.h"

namespace understudy::store {
namespace {

// How much is written before its writeback is started, without waiting for it.
constexpr uint64_t kKickBytes = 8 << 20;
// Pages of the page cache (and more than any file system's block).
constexpr uint64_t kCacheBlock = 64 << 10;

}  // namespace

base::Result<std::unique_ptr<DirectoryUpload>> DirectoryUpload::Begin(
    env::Env& env, DirectoryStore& store, const UploadOptions& options) {
  RETURN_IF_ERROR(store.PrepareDirectoryOf(options.temporary));
  std::unique_ptr<DirectoryUpload> upload(new DirectoryUpload(env, store, options));
  ASSIGN_OR_RETURN(upload->write_file_, env.Open(upload->partial_, env::OpenMode::kCreateNew));
  ASSIGN_OR_RETURN(upload->sync_file_, env.Open(upload->partial_, env::OpenMode::kReadWrite));
  return upload;
}

DirectoryUpload::~DirectoryUpload() {
  if (write_file_ == nullptr || published_) return;
  env_.Remove(partial_).IgnoreError();  // if it cannot be removed, RemoveUnfinished will
}

base::Status DirectoryUpload::Append(base::ByteView bytes) {
  RETURN_IF_ERROR(write_file_->WriteAt(written_, bytes));
  written_ += bytes.size();
  if (written_ - kicked_ >= kKickBytes) {
    write_file_->DropFromCache(kicked_, written_ - kicked_);
    kicked_ = written_;
  }
  return {};
}

base::Result<uint64_t> DirectoryUpload::Store(uint64_t up_to, bool whole) {
  RETURN_IF_ERROR(sync_file_->Sync());
  const uint64_t from = synced_ / kCacheBlock * kCacheBlock;
  // A block that was only partly synced is dirty again: what lies in it waits for the next sync.
  const uint64_t to = whole ? up_to : up_to / kCacheBlock * kCacheBlock;
  if (to > from) sync_file_->DropFromCache(from, to - from);
  synced_ = up_to;
  return to;
}

base::Result<std::unique_ptr<ObjectReader>> DirectoryUpload::OpenStored() {
  ASSIGN_OR_RETURN(auto file, env_.Open(partial_, env::OpenMode::kRead));
  return ReaderOf(std::move(file));
}

base::Status DirectoryUpload::Publish(bool replace) {
  RETURN_IF_ERROR(write_file_->Close());
  RETURN_IF_ERROR(sync_file_->Close());
  // The rename after it makes it durable.
  if (options_.modified) RETURN_IF_ERROR(env_.SetModified(partial_, *options_.modified));
  RETURN_IF_ERROR(store_.PrepareDirectoryOf(options_.key));
  RETURN_IF_ERROR(replace ? env_.Rename(partial_, path_) : env_.RenameNew(partial_, path_));
  published_ = true;
  return env_.SyncDirectory(env::DirectoryOf(path_));
}

}  // namespace understudy::store
