// SPDX-License-Identifier: Apache-2.0
#include "store/sealed_format.h"

#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace understudy::store {
namespace {

constexpr std::string_view kMagic = "USSEAL1\n";
constexpr uint32_t kVersion = 1;
constexpr size_t kVersionAt = 8;
constexpr size_t kChunkAt = 12;
constexpr size_t kKeyIdAt = 16;
constexpr size_t kSaltAt = 24;
constexpr size_t kZerosAt = 56;
constexpr std::string_view kKeyMeaning = "understudy object key";

static_assert(kSealedTag == crypto_aead_xchacha20poly1305_ietf_ABYTES);
static_assert(kKeyBytes == crypto_aead_xchacha20poly1305_ietf_KEYBYTES);

using Nonce = std::array<uint8_t, crypto_aead_xchacha20poly1305_ietf_NPUBBYTES>;

// Never used twice with one key: a key is for one object, whose chunks have different numbers.
Nonce NonceOf(uint64_t chunk, bool last) {
  Nonce nonce{};
  base::StoreLe(nonce.data(), chunk);
  nonce[8] = last ? 1 : 0;
  return nonce;
}

SealedHeader HeaderOf(const KeyId& id, const Salt& salt) {
  SealedHeader header{};
  std::memcpy(header.data(), kMagic.data(), kMagic.size());
  base::StoreLe(&header[kVersionAt], kVersion);
  base::StoreLe(&header[kChunkAt], static_cast<uint32_t>(kSealedChunk));
  std::memcpy(&header[kKeyIdAt], id.data(), id.size());
  std::memcpy(&header[kSaltAt], salt.data(), salt.size());
  return header;
}

void Add(crypto_generichash_state& state, const void* bytes, size_t size) {
  crypto_generichash_update(&state, static_cast<const uint8_t*>(bytes), size);
}

}  // namespace

std::optional<uint64_t> SealedContent(uint64_t stored) {
  if (stored < kSealedHeaderBytes + kSealedTag) return std::nullopt;
  const uint64_t chunks = stored - kSealedHeaderBytes;
  const uint64_t whole = chunks / kSealedChunkStored;
  const uint64_t rest = chunks % kSealedChunkStored;
  if (rest == 0) return whole * kSealedChunk;
  // A last chunk has something in it, unless it is the only one.
  if (rest < kSealedTag || (rest == kSealedTag && whole > 0)) return std::nullopt;
  return whole * kSealedChunk + rest - kSealedTag;
}

uint64_t SealedStored(uint64_t content) {
  return kSealedHeaderBytes + content + SealedChunks(content) * kSealedTag;
}

Sealer::Sealer(const RepositoryKey& key, std::string name, const Salt& salt)
    : Sealer(key, std::move(name), HeaderOf(key.id(), salt)) {}

Sealer::Sealer(const RepositoryKey& key, std::string name, const SealedHeader& header)
    : name_(std::move(name)), header_(header) {
  crypto_generichash_state state;
  crypto_generichash_init(&state, key.bytes().data(), key.bytes().size(), object_key_.size());
  Add(state, kKeyMeaning.data(), kKeyMeaning.size());
  Add(state, &header_[kSaltAt], kSaltBytes);
  Add(state, name_.data(), name_.size());
  crypto_generichash_final(&state, object_key_.data(), object_key_.size());
  sodium_memzero(&state, sizeof state);
}

Sealer::~Sealer() { sodium_memzero(object_key_.data(), object_key_.size()); }

base::Result<Sealer> Sealer::Open(const RepositoryKeys& keys, std::string name,
                                  base::ByteView header) {
  SealedHeader own;
  if (header.size() != own.size() ||
      std::memcmp(header.data(), kMagic.data(), kMagic.size()) != 0) {
    return base::Corruption(fmt::format("{} is no encrypted object", name));
  }
  std::ranges::copy(header, own.begin());
  const bool zeros = std::all_of(own.begin() + kZerosAt, own.end(), [](auto b) { return b == 0; });
  if (base::LoadLe<uint32_t>(&own[kVersionAt]) != kVersion ||
      base::LoadLe<uint32_t>(&own[kChunkAt]) != kSealedChunk || !zeros) {
    return base::Corruption(
        fmt::format("{} is encrypted in a way that this program does not know", name));
  }
  KeyId id;
  std::memcpy(id.data(), &own[kKeyIdAt], id.size());
  const RepositoryKey* const key = keys.Find(id);
  if (key == nullptr) {
    return base::InvalidArgument(
        fmt::format("{} is encrypted with the key {}, and {} has {}\nadd that key to the file",
                    name, ToHex(id), keys.source(), keys.Ids()));
  }
  return Sealer(*key, std::move(name), own);
}

void Sealer::Seal(uint64_t chunk, bool last, base::ByteView content, base::Bytes& to) const {
  CHECK(content.size() <= kSealedChunk && (last || content.size() == kSealedChunk));
  const size_t at = to.size();
  to.resize(at + content.size() + kSealedTag);
  const Nonce nonce = NonceOf(chunk, last);
  unsigned long long stored = 0;  // NOLINT(google-runtime-int): libsodium's
  crypto_aead_xchacha20poly1305_ietf_encrypt(&to[at], &stored, content.data(), content.size(),
                                             header_.data(), header_.size(), nullptr, nonce.data(),
                                             object_key_.data());
  CHECK(stored == content.size() + kSealedTag);
}

base::Status Sealer::Unseal(uint64_t chunk, bool last, base::ByteView stored,
                            std::span<uint8_t> out) const {
  CHECK(out.size() + kSealedTag == stored.size());
  const Nonce nonce = NonceOf(chunk, last);
  unsigned long long size = 0;  // NOLINT(google-runtime-int): libsodium's
  if (crypto_aead_xchacha20poly1305_ietf_decrypt(out.data(), &size, nullptr, stored.data(),
                                                 stored.size(), header_.data(), header_.size(),
                                                 nonce.data(), object_key_.data()) == 0) {
    return {};
  }
  return base::Corruption(fmt::format(
      "{}: chunk {} is not what was encrypted: it was changed, moved or cut off", name_, chunk));
}

}  // namespace understudy::store
