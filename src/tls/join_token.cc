// SPDX-License-Identifier: Apache-2.0
#include "tls/join_token.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/hex.h"
#include "base/ids.h"

namespace understudy::tls {
namespace {

using base::InvalidArgument;

constexpr std::string_view kMagic = "understudy-join-v1";
constexpr size_t kFields = 8;
constexpr size_t kAddressBytesMax = 260;
constexpr size_t kIdDigits = 16;
constexpr size_t kSecretDigits = 64;
constexpr size_t kCrcDigits = 8;
constexpr int64_t kSecondsMax = 253'402'300'799;  // the end of the year 9999

// At most `most` parts and one more, which then is too many.
std::vector<std::string_view> Split(std::string_view text, char separator, size_t most) {
  std::vector<std::string_view> parts;
  while (parts.size() <= most) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return parts;
}

bool IsHex(std::string_view text, size_t digits) {
  return text.size() == digits && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

bool IsAddress(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0 || text.size() > kAddressBytesMax) return false;
  const bool host = std::all_of(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(colon),
                                [](unsigned char c) {
                                  return std::isalnum(c) != 0 || c == '.' || c == '-' || c == '_' ||
                                         c == ':' || c == '[' || c == ']';
                                });
  uint16_t port = 0;
  const char* const end = text.data() + text.size();
  const auto [parsed, error] = std::from_chars(text.data() + colon + 1, end, port);
  return host && error == std::errc() && parsed == end && port != 0 && text[colon + 1] != '0';
}

std::string Crc(std::string_view text) {
  return fmt::format("{:08x}", base::Crc32c(base::AsBytes(text)));
}

std::string RandomHex(env::Env& env, size_t digits) {
  base::Bytes bytes;
  while (bytes.size() < digits / 2) base::AppendLe(bytes, env.Random());
  return base::HexEncode({bytes.data(), digits / 2});
}

}  // namespace

std::string ToText(const JoinToken& token) {
  const std::string text =
      fmt::format("{}/{}/{}/{}/{}/{}/{}", kMagic, token.group, fmt::join(token.addresses, ","),
                  token.fingerprint, token.id, token.secret, token.expires.unix_ms / 1000);
  return fmt::format("{}/{}", text, Crc(text));
}

base::Result<JoinToken> ParseJoinToken(std::string_view text) {
  if (text.size() > kTokenBytesMax) {
    return InvalidArgument(
        fmt::format("the token has {} bytes, at most {} can be", text.size(), kTokenBytesMax));
  }
  const std::vector<std::string_view> fields = Split(text, '/', kFields);
  if (fields.front() != kMagic) {
    return InvalidArgument(fmt::format("the token does not begin with {}/", kMagic));
  }
  const size_t last = text.rfind('/');
  if (fields.size() != kFields || !IsHex(fields[7], kCrcDigits) ||
      fields[7] != Crc(text.substr(0, last))) {
    return InvalidArgument("the token was not copied whole: its checksum does not fit");
  }
  JoinToken token;
  RETURN_IF_ERROR(base::CheckName("the token's group", fields[1]));
  token.group = fields[1];
  for (const std::string_view address : Split(fields[2], ',', kTokenAddressesMax)) {
    if (!IsAddress(address)) return InvalidArgument("the token has an address that is none");
    token.addresses.emplace_back(address);
  }
  if (token.addresses.size() > kTokenAddressesMax) {
    return InvalidArgument(fmt::format("the token has more than {} addresses", kTokenAddressesMax));
  }
  if (!IsHex(fields[3], kSecretDigits) || !IsHex(fields[4], kIdDigits) ||
      !IsHex(fields[5], kSecretDigits)) {
    return InvalidArgument("the token's fingerprint, id or secret is none");
  }
  token.fingerprint = fields[3];
  token.id = fields[4];
  token.secret = fields[5];
  int64_t seconds = 0;
  const char* const end = fields[6].data() + fields[6].size();
  const auto [parsed, error] = std::from_chars(fields[6].data(), end, seconds);
  if (error != std::errc() || parsed != end || seconds < 0 || seconds > kSecondsMax ||
      fmt::format("{}", seconds) != fields[6]) {
    return InvalidArgument("the token's expiry is no time");
  }
  token.expires.unix_ms = seconds * 1000;
  return token;
}

std::string NewTokenId(env::Env& env) { return RandomHex(env, kIdDigits); }
std::string NewTokenSecret(env::Env& env) { return RandomHex(env, kSecretDigits); }

}  // namespace understudy::tls
