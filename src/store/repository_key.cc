// SPDX-License-Identifier: Apache-2.0
#include "store/repository_key.h"

#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/hex.h"

namespace understudy::store {
namespace {

constexpr std::string_view kWord = "understudy-key-1 ";
constexpr size_t kCrcDigits = 8;
constexpr std::string_view kIdMeaning = "understudy key id";

std::string CrcOf(const std::array<uint8_t, kKeyBytes>& bytes) {
  return fmt::format("{:08x}", base::Crc32c(bytes));
}

std::optional<RepositoryKey> ParseLine(std::string_view line) {
  if (!line.starts_with(kWord)) return std::nullopt;
  line.remove_prefix(kWord.size());
  std::array<uint8_t, kKeyBytes> bytes{};
  if (line.size() != 2 * kKeyBytes + 1 + kCrcDigits || line[2 * kKeyBytes] != ' ' ||
      !base::HexDecode(line.substr(0, 2 * kKeyBytes), bytes) ||
      line.substr(2 * kKeyBytes + 1) != CrcOf(bytes)) {
    return std::nullopt;
  }
  RepositoryKey key(bytes);
  sodium_memzero(bytes.data(), bytes.size());
  return key;
}

}  // namespace

std::string ToHex(const KeyId& id) { return base::HexEncode(id); }

RepositoryKey::RepositoryKey(const std::array<uint8_t, kKeyBytes>& bytes) : bytes_(bytes) {
  CHECK(sodium_init() >= 0);
  std::array<uint8_t, 32> hash{};
  crypto_generichash(hash.data(), hash.size(), reinterpret_cast<const uint8_t*>(kIdMeaning.data()),
                     kIdMeaning.size(), bytes_.data(), bytes_.size());
  std::memcpy(id_.data(), hash.data(), id_.size());
}

RepositoryKey::~RepositoryKey() { sodium_memzero(bytes_.data(), bytes_.size()); }

base::Result<RepositoryKeys> RepositoryKeys::Parse(std::string_view text,
                                                   const std::string& source) {
  RepositoryKeys keys;
  keys.source_ = source;
  size_t number = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    while (line.ends_with('\r') || line.ends_with(' ')) line.remove_suffix(1);
    if (line.empty() || line.starts_with('#')) continue;
    std::optional<RepositoryKey> key = ParseLine(line);
    if (!key) {
      return base::InvalidArgument(fmt::format(
          "line {} of the key file {} is no key, or has a typing error\na key file is made by "
          "understudy repository make-key FILE",
          number, source));
    }
    if (keys.keys_.size() == kRepositoryKeysMax) {
      return base::InvalidArgument(
          fmt::format("the key file {} has more than {} keys", source, kRepositoryKeysMax));
    }
    keys.keys_.push_back(*key);
  }
  if (keys.keys_.empty()) {
    return base::InvalidArgument(fmt::format("the key file {} has no key", source));
  }
  return keys;
}

base::Result<RepositoryKeys> RepositoryKeys::Load(env::Env& env, const std::string& path) {
  auto text = env::ReadFile(env, path, kKeyFileBytesMax);
  if (!text.ok()) return text.status().WithContext("the repository's key");
  base::Result<RepositoryKeys> keys =
      Parse({reinterpret_cast<const char*>(text->data()), text->size()}, path);
  sodium_memzero(text->data(), text->size());
  return keys;
}

const RepositoryKey* RepositoryKeys::Find(const KeyId& id) const {
  const auto found = std::ranges::find_if(keys_, [&](const auto& key) { return key.id() == id; });
  return found == keys_.end() ? nullptr : &*found;
}

bool RepositoryKeys::HasId(std::string_view hex) const {
  return std::ranges::any_of(keys_, [&](const auto& key) { return ToHex(key.id()) == hex; });
}

std::string RepositoryKeys::Ids() const {
  std::string ids;
  for (const RepositoryKey& key : keys_) ids += (ids.empty() ? "" : ", ") + ToHex(key.id());
  return ids;
}

std::string MakeKeyFile(env::Env& env) {
  std::array<uint8_t, kKeyBytes> bytes{};
  for (size_t i = 0; i < kKeyBytes; i += sizeof(uint64_t)) {
    const uint64_t random = env.Random();
    std::memcpy(&bytes[i], &random, sizeof random);
  }
  std::string text = fmt::format(
      "# The key of a repository of Understudy. Keep a copy elsewhere: without it nothing of what "
      "is\n# stored there can be read again, by anybody.\n{}{} {}\n",
      kWord, base::HexEncode(bytes), CrcOf(bytes));
  sodium_memzero(bytes.data(), bytes.size());
  return text;
}

}  // namespace understudy::store
