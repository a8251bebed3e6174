// SPDX-License-Identifier: Apache-2.0
// JoinToken: the text that lets one new server into a group, once, until it expires.
//
//   understudy-join-v1/GROUP/ADDRESS[,ADDRESS…]/FINGERPRINT/ID/SECRET/EXPIRES/CRC
//
// FINGERPRINT is the SHA-256 of the authority's certificate: a joining server trusts that one and
// no other, so that it gives its secret to nobody else. ID (16 digits) names the token in the
// registry, which keeps only the SHA-256 of SECRET (64 digits). EXPIRES is in seconds of 1970 UTC,
// CRC the CRC-32C of all before it, for a text that was not copied whole. Numbers but EXPIRES are
// hexadecimal. Threading: values and pure functions. Limits: below. Errors: kInvalidArgument that
// says what is wrong with the text, without repeating it: it is a secret.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "env/env.h"

namespace understudy::tls {

inline constexpr size_t kTokenBytesMax = 2048;
inline constexpr size_t kTokenAddressesMax = 8;

struct JoinToken {
  std::string group;
  std::vector<std::string> addresses;  // "host:port" of join listeners, at least one
  std::string fingerprint;
  std::string id;
  std::string secret;
  base::WallTime expires;  // whole seconds

  bool operator==(const JoinToken&) const = default;
};

std::string ToText(const JoinToken& token);
base::Result<JoinToken> ParseJoinToken(std::string_view text);

std::string NewTokenId(env::Env& env);
std::string NewTokenSecret(env::Env& env);  // 256 random bits

}  // namespace understudy::tls
