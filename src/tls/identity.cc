// SPDX-License-Identifier: Apache-2.0
#include "tls/identity.h"

#include <fmt/format.h>

#include "tls/openssl.h"

namespace understudy::tls {

base::Result<Identity> ParseIdentity(std::string_view pem) {
  Identity identity;
  ASSIGN_OR_RETURN(const std::vector<std::string> chain, SplitChain(pem));
  ASSIGN_OR_RETURN(const KeyPtr key, ReadKey(pem));
  ASSIGN_OR_RETURN(const X509Ptr certificate, ReadCertificate(chain.front()));
  const bool fits = X509_check_private_key(certificate.get(), key.get()) == 1;
  ClearErrors();
  if (!fits) return base::InvalidArgument("the key is not that of the first certificate");
  ASSIGN_OR_RETURN(identity.certificate, ParseCertificate(chain.front()));
  for (size_t i = 1; i < chain.size(); ++i) {
    ASSIGN_OR_RETURN(const Certificate authority, ParseCertificate(chain[i]));
    if (authority.kind == Kind::kAuthority && authority.group == identity.certificate.group) {
      identity.authority += chain[i];
    }
  }
  if (identity.authority.empty()) {
    return base::InvalidArgument(fmt::format(
        "the certificate of the authority of group {} is missing", identity.certificate.group));
  }
  RETURN_IF_ERROR(
      VerifyCertificate(chain.front(), identity.authority, identity.certificate.issued).status());
  identity.pem = pem;
  return identity;
}

base::Result<Identity> ReadIdentity(env::Env& env, const std::string& path) {
  ASSIGN_OR_RETURN(const base::Bytes bytes, env::ReadFile(env, path, kPemBytesMax));
  base::Result<Identity> identity =
      ParseIdentity({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  if (!identity.ok()) return identity.status().WithContext(path);
  return identity;
}

}  // namespace understudy::tls
