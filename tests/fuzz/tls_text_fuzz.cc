// SPDX-License-Identifier: Apache-2.0
// Texts that a stranger may send: join tokens, certificates, chains, identities, signing requests.
// What is accepted as a token is the same text when printed again.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "env/env.h"
#include "tls/certificate_authority.h"
#include "tls/identity.h"
#include "tls/join_token.h"

namespace {

namespace tls = understudy::tls;

const tls::CertificateAuthority& Authority() {
  static const tls::CertificateAuthority kAuthority =
      tls::CertificateAuthority::Create(understudy::env::PosixEnv(), "fuzz").value();
  return kAuthority;
}

void CheckToken(std::string_view text) {
  const auto token = tls::ParseJoinToken(text);
  if (token.ok()) CHECK(tls::ToText(*token) == text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  CheckToken(text);
  // Only that they return.
  tls::ParseCertificate(text).status().IgnoreError();
  tls::SplitChain(text).status().IgnoreError();
  tls::ParseIdentity(text).status().IgnoreError();
  tls::CertificateAuthority::FromPem(text).status().IgnoreError();
  tls::VerifyCertificate(text, Authority().certificate_pem(), {1'800'000'000'000})
      .status()
      .IgnoreError();
  Authority()
      .Sign(understudy::env::PosixEnv(), text, {.kind = tls::Kind::kClient, .name = "f"})
      .status()
      .IgnoreError();
  return 0;
}
