// SPDX-License-Identifier: Apache-2.0
#include "store/sealed_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "store/encrypted_store.h"

namespace understudy::store {
namespace {

constexpr uint64_t kChunksAtOnce = kSealedReadMax / kSealedChunk;

uint64_t StoredAt(uint64_t chunk) { return kSealedHeaderBytes + chunk * kSealedChunkStored; }

}  // namespace

base::Result<std::unique_ptr<ObjectReader>> SealedReader::Open(std::unique_ptr<ObjectReader> below,
                                                               const RepositoryKeys& keys,
                                                               const std::string& name) {
  SealedHeader header{};
  ASSIGN_OR_RETURN(const size_t got, below->ReadAt(0, header));
  ASSIGN_OR_RETURN(Sealer sealer, Sealer::Open(keys, name, std::span(header).first(got)));
  ASSIGN_OR_RETURN(const uint64_t stored, below->Size());
  const std::optional<uint64_t> content = SealedContent(stored);
  if (!content) return base::Corruption(fmt::format("{} was cut off", name));
  auto end = std::make_shared<SealedEnd>();
  end->content = *content;
  end->last_chunk = SealedChunks(*content) - 1;
  std::unique_ptr<ObjectReader> reader =
      std::make_unique<SealedReader>(std::move(below), std::move(sealer), std::move(end));
  // Of an empty object this is the only look at it.
  if (*content == 0) {
    base::Bytes nothing;
    RETURN_IF_ERROR(static_cast<SealedReader&>(*reader).ReadChunks(0, 1, nothing));
  }
  return reader;
}

// Appends what is in them; fewer, or a short one, only at the end (kCorruption when it is nearer
// than it was), or behind what is uploaded already.
base::Status SealedReader::ReadChunks(uint64_t first, uint64_t count, base::Bytes& content) {
  base::Bytes stored(count * kSealedChunkStored);
  ASSIGN_OR_RETURN(const size_t got, below_->ReadAt(StoredAt(first), stored));
  const uint64_t last = end_->last_chunk.load();
  base::ByteView rest = base::ByteView(stored).first(got);
  uint64_t chunk = first;
  for (; chunk < first + count && !rest.empty(); ++chunk) {
    const base::ByteView one = rest.first(std::min<size_t>(rest.size(), kSealedChunkStored));
    if (one.size() < kSealedTag || (one.size() < kSealedChunkStored && chunk != last)) {
      return base::Corruption(fmt::format("an encrypted object ends within chunk {}", chunk));
    }
    const size_t at = content.size();
    content.resize(at + one.size() - kSealedTag);
    RETURN_IF_ERROR(sealer_.Unseal(chunk, chunk == last, one, std::span(content).subspan(at)));
    rest = rest.subspan(one.size());
  }
  // It had its last chunk when it was opened.
  if (last != SealedEnd::kUnknown && chunk <= last && chunk < first + count) {
    return base::Corruption(
        fmt::format("an encrypted object ends before chunk {} of {}", chunk, last + 1));
  }
  return {};
}

base::Result<size_t> SealedReader::ReadAt(uint64_t offset, std::span<uint8_t> out) {
  size_t done = 0;
  base::Bytes content;
  while (done < out.size()) {
    const uint64_t from = offset + done;
    const uint64_t first = from / kSealedChunk;
    const uint64_t skip = from % kSealedChunk;
    const uint64_t wanted = (skip + (out.size() - done) + kSealedChunk - 1) / kSealedChunk;
    if (first > end_->last_chunk.load()) break;
    content.clear();
    RETURN_IF_ERROR(ReadChunks(first, std::min(wanted, kChunksAtOnce), content));
    if (content.size() <= skip) break;
    const size_t some = std::min(content.size() - skip, out.size() - done);
    std::memcpy(&out[done], &content[skip], some);
    done += some;
    if (content.size() % kSealedChunk != 0) break;  // the end
  }
  return done;
}

void SealedReader::DropFromCache(uint64_t offset, uint64_t length) {
  const uint64_t first = offset / kSealedChunk;
  const uint64_t after = (offset + length + kSealedChunk - 1) / kSealedChunk;
  below_->DropFromCache(StoredAt(first), StoredAt(after) - StoredAt(first));
}

}  // namespace understudy::store
