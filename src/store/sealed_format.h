// SPDX-License-Identifier: Apache-2.0
// SealedFormat: an encrypted object as it is stored (docs/formats/sealed-object.md):
//
//   header (64 bytes): "USSEAL1\n", version (u32 LE) 1, bytes of a chunk (u32 LE) 65536,
//                      id of the key (8), salt (32), 8 zeros
//   chunks:            XChaCha20-Poly1305 of 65,536 bytes each, of the last one what is left, each
//                      followed by its tag (16 bytes); of an empty object one chunk of no bytes
//
// Each object has a key of its own: BLAKE2b, keyed with the repository's key, of salt and the
// object's name; so nothing under another name, of another object or of another repository is taken
// for it. A chunk's nonce is its number and whether it is the last; so none can be left out, moved,
// repeated or cut off. The header is authenticated with every chunk.
// Threading: Sealer is thread-safe (const). Errors: kCorruption names the object and the chunk.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/status.h"
#include "store/repository_key.h"

namespace understudy::store {

inline constexpr uint64_t kSealedHeaderBytes = 64;
inline constexpr uint64_t kSealedChunk = 64 << 10;  // of what is in it
inline constexpr uint64_t kSealedTag = 16;
inline constexpr uint64_t kSealedChunkStored = kSealedChunk + kSealedTag;
inline constexpr size_t kSaltBytes = 32;

using SealedHeader = std::array<uint8_t, kSealedHeaderBytes>;
using Salt = std::array<uint8_t, kSaltBytes>;

// How many bytes an object has, of which so many are stored; nothing: no object is so long.
std::optional<uint64_t> SealedContent(uint64_t stored);
uint64_t SealedStored(uint64_t content);
constexpr uint64_t SealedChunks(uint64_t content) {  // at least one
  return content == 0 ? 1 : (content + kSealedChunk - 1) / kSealedChunk;
}

class Sealer {
 public:
  // A new object of that name.
  Sealer(const RepositoryKey& key, std::string name, const Salt& salt);
  // One that is stored. kInvalidArgument: none of the keys is its; kCorruption: no sealed object.
  static base::Result<Sealer> Open(const RepositoryKeys& keys, std::string name,
                                   base::ByteView header);
  Sealer(const Sealer&) = default;
  ~Sealer();

  const SealedHeader& header() const { return header_; }
  // Appends the chunk as it is stored. REQUIRES: content.size() <= kSealedChunk, and less only if
  // `last`.
  void Seal(uint64_t chunk, bool last, base::ByteView content, base::Bytes& to) const;
  // REQUIRES: out.size() + kSealedTag == stored.size().
  base::Status Unseal(uint64_t chunk, bool last, base::ByteView stored,
                      std::span<uint8_t> out) const;

 private:
  Sealer(const RepositoryKey& key, std::string name, const SealedHeader& header);

  std::string name_;
  SealedHeader header_;
  std::array<uint8_t, kKeyBytes> object_key_{};
};

}  // namespace understudy::store
