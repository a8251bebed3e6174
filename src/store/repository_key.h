// SPDX-License-Identifier: Apache-2.0
// RepositoryKeys: the keys that a repository's objects are encrypted with
// (store/encrypted_store.h), from a file that a person keeps on every server, and elsewhere too.
//
//   # comment
//   understudy-key-1 <64 hex digits> <8 hex digits>      a key, and its CRC-32C against typing
//   errors
//
// The first key encrypts; all of them decrypt, so a key is changed by putting a new line on top.
// A key's id is eight bytes of a hash of it; it is no secret. Keys are wiped when they are
// destroyed, and are never part of a message. Threading: values. Errors: kInvalidArgument with the
// line that is wrong, never its content.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "env/env.h"

namespace understudy::store {

inline constexpr size_t kKeyBytes = 32;
inline constexpr size_t kKeyIdBytes = 8;
inline constexpr size_t kRepositoryKeysMax = 16;
inline constexpr uint64_t kKeyFileBytesMax = 16 << 10;

using KeyId = std::array<uint8_t, kKeyIdBytes>;
std::string ToHex(const KeyId& id);

class RepositoryKey {
 public:
  explicit RepositoryKey(const std::array<uint8_t, kKeyBytes>& bytes);
  RepositoryKey(const RepositoryKey&) = default;
  RepositoryKey& operator=(const RepositoryKey&) = default;
  ~RepositoryKey();

  const std::array<uint8_t, kKeyBytes>& bytes() const { return bytes_; }
  const KeyId& id() const { return id_; }

 private:
  std::array<uint8_t, kKeyBytes> bytes_;
  KeyId id_;
};

class RepositoryKeys {
 public:
  // `source` is for messages.
  static base::Result<RepositoryKeys> Parse(std::string_view text, const std::string& source);
  static base::Result<RepositoryKeys> Load(env::Env& env, const std::string& path);

  const RepositoryKey& first() const { return keys_.front(); }
  const RepositoryKey* Find(const KeyId& id) const;  // null: not among them
  bool HasId(std::string_view hex) const;
  std::string Ids() const;  // "3f2a…, 77b0…"
  const std::string& source() const { return source_; }

 private:
  std::vector<RepositoryKey> keys_;  // at least one
  std::string source_;
};

// The text of a file with a new key.
std::string MakeKeyFile(env::Env& env);

}  // namespace understudy::store
