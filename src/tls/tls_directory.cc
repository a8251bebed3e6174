// SPDX-License-Identifier: Apache-2.0
#include "tls/tls_directory.h"

#include "base/bytes.h"

namespace understudy::tls {

base::Result<std::optional<Identity>> LoadIdentity(env::Env& env, const TlsDirectory& directory) {
  if (!env::Exists(env, directory.identity())) return std::optional<Identity>();
  ASSIGN_OR_RETURN(Identity identity, ReadIdentity(env, directory.identity()));
  return std::optional<Identity>(std::move(identity));
}

base::Result<std::optional<CertificateAuthority>> LoadAuthority(env::Env& env,
                                                                const TlsDirectory& directory) {
  const std::string path = directory.authority();
  if (!env::Exists(env, path)) return std::optional<CertificateAuthority>();
  ASSIGN_OR_RETURN(const base::Bytes bytes, env::ReadFile(env, path, kPemBytesMax));
  base::Result<CertificateAuthority> authority =
      CertificateAuthority::FromPem({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  if (!authority.ok()) return authority.status().WithContext(path);
  return std::optional<CertificateAuthority>(std::move(authority).value());
}

base::Status SaveIdentity(env::Env& env, const TlsDirectory& directory, const Identity& identity) {
  RETURN_IF_ERROR(env.MakeDirectories(directory.path));
  RETURN_IF_ERROR(env::WriteFileAtomically(env, directory.ca(), base::AsBytes(identity.authority)));
  return env::WritePrivateFileAtomically(env, directory.identity(), base::AsBytes(identity.pem));
}

base::Status SaveAuthority(env::Env& env, const TlsDirectory& directory,
                           const CertificateAuthority& authority) {
  RETURN_IF_ERROR(env.MakeDirectories(directory.path));
  return env::WritePrivateFileAtomically(env, directory.authority(),
                                         base::AsBytes(authority.pem()));
}

}  // namespace understudy::tls
