// SPDX-License-Identifier: Apache-2.0
#include "store/encrypted_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "store/sealed_format.h"
#include "store/sealed_reader.h"

namespace understudy::store {
namespace {

Sealer NewSealer(env::Env& env, const RepositoryKeys& keys, const std::string& name) {
  Salt salt;
  for (size_t i = 0; i < salt.size(); i += sizeof(uint64_t)) {
    const uint64_t random = env.Random();
    std::memcpy(&salt[i], &random, sizeof random);
  }
  return Sealer(keys.first(), name, salt);
}

ObjectInfo OfContent(ObjectInfo info) {
  // What is no encrypted object is told as it is; reading it says so.
  if (info.name != kClearObject) info.bytes = SealedContent(info.bytes).value_or(info.bytes);
  return info;
}

class EncryptedUpload final : public Upload {
 public:
  EncryptedUpload(std::unique_ptr<Upload> below, Sealer sealer)
      : below_(std::move(below)), sealer_(std::move(sealer)) {}

  // A whole chunk waits for what follows: it may be the last.
  base::Status Append(base::ByteView bytes) override {
    while (!bytes.empty()) {
      if (chunk_.size() == kSealedChunk) RETURN_IF_ERROR(SealChunk(/*last=*/false));
      const size_t some = std::min(bytes.size(), kSealedChunk - chunk_.size());
      base::AppendBytes(chunk_, bytes.first(some));
      bytes = bytes.subspan(some);
    }
    return {};
  }

  base::Result<uint64_t> Store(uint64_t up_to, bool whole) override {
    if (whole) {
      end_->content = next_ * kSealedChunk + chunk_.size();
      end_->last_chunk = next_.load();
      RETURN_IF_ERROR(SealChunk(/*last=*/true));
      const uint64_t stored = SealedStored(end_->content);
      ASSIGN_OR_RETURN(const uint64_t readable, below_->Store(stored, true));
      return readable == stored ? end_->content.load() : ContentOf(readable);
    }
    const uint64_t chunks = std::min(up_to / kSealedChunk, next_.load());
    const uint64_t stored = chunks == 0 ? 0 : kSealedHeaderBytes + chunks * kSealedChunkStored;
    ASSIGN_OR_RETURN(const uint64_t readable, below_->Store(stored, false));
    return ContentOf(readable);
  }

  base::Result<std::unique_ptr<ObjectReader>> OpenStored() override {
    ASSIGN_OR_RETURN(auto stored, below_->OpenStored());
    return std::unique_ptr<ObjectReader>(
        std::make_unique<SealedReader>(std::move(stored), sealer_, end_));
  }
  base::Status Publish(bool replace) override { return below_->Publish(replace); }

 private:
  // Of the whole chunks in so many stored bytes.
  static uint64_t ContentOf(uint64_t stored) {
    if (stored < kSealedHeaderBytes) return 0;
    return (stored - kSealedHeaderBytes) / kSealedChunkStored * kSealedChunk;
  }

  base::Status SealChunk(bool last) {
    sealed_.clear();
    if (next_ == 0) base::AppendBytes(sealed_, sealer_.header());
    sealer_.Seal(next_, last, chunk_, sealed_);
    chunk_.clear();
    RETURN_IF_ERROR(below_->Append(sealed_));
    ++next_;
    return {};
  }

  const std::unique_ptr<Upload> below_;
  const Sealer sealer_;
  const std::shared_ptr<SealedEnd> end_ = std::make_shared<SealedEnd>();
  std::atomic<uint64_t> next_ = 0;  // chunk; those before it were appended below
  base::Bytes chunk_;
  base::Bytes sealed_;
};

}  // namespace

EncryptedStore::EncryptedStore(env::Env& env, std::unique_ptr<ObjectStore> below,
                               RepositoryKeys keys)
    : env_(env), below_(std::move(below)), keys_(std::move(keys)) {}

base::Result<std::unique_ptr<ObjectReader>> EncryptedStore::Open(const std::string& key) {
  ASSIGN_OR_RETURN(auto reader, below_->Open(key));
  if (key == kClearObject) return reader;
  return SealedReader::Open(std::move(reader), keys_, key);
}

base::Result<ObjectInfo> EncryptedStore::Stat(const std::string& key) {
  ASSIGN_OR_RETURN(ObjectInfo info, below_->Stat(key));
  return OfContent(std::move(info));
}

base::Result<ObjectList> EncryptedStore::List(const std::string& folder) {
  ASSIGN_OR_RETURN(ObjectList list, below_->List(folder));
  for (ObjectInfo& info : list.objects) info = OfContent(std::move(info));
  return list;
}

base::Status EncryptedStore::Put(const std::string& key, base::ByteView content, PutMode mode) {
  if (key == kClearObject) return below_->Put(key, content, mode);
  const Sealer sealer = NewSealer(env_, keys_, key);
  base::Bytes sealed(sealer.header().begin(), sealer.header().end());
  const uint64_t chunks = SealedChunks(content.size());
  for (uint64_t chunk = 0; chunk < chunks; ++chunk) {
    const base::ByteView rest = content.subspan(chunk * kSealedChunk);
    sealer.Seal(chunk, chunk + 1 == chunks, rest.first(std::min(rest.size(), size_t{kSealedChunk})),
                sealed);
  }
  return below_->Put(key, sealed, mode);
}

base::Result<std::unique_ptr<Upload>> EncryptedStore::Begin(const UploadOptions& options) {
  ASSIGN_OR_RETURN(auto upload, below_->Begin(options));
  return std::unique_ptr<Upload>(
      std::make_unique<EncryptedUpload>(std::move(upload), NewSealer(env_, keys_, options.key)));
}

}  // namespace understudy::store
