// SPDX-License-Identifier: Apache-2.0
#include "cli/lab_tls.h"

#include <chrono>

#include "tls/certificate_authority.h"
#include "tls/identity.h"
#include "tls/tls_directory.h"

namespace understudy::cli {
namespace {

constexpr const char* kGroup = "lab";
constexpr const char* kClient = "lab";
constexpr base::Duration kLifetime = std::chrono::hours(24 * 90);

tls::TlsDirectory DirectoryOf(const LabState& state, const LabServer& server) {
  return tls::TlsDirectory::Below(env::JoinPath(state.ServerDirectory(server.name), "data"));
}

base::Result<tls::CertificateAuthority> OpenAuthority(env::Env& env, const LabState& state) {
  const tls::TlsDirectory first = DirectoryOf(state, state.servers.front());
  ASSIGN_OR_RETURN(auto known, tls::LoadAuthority(env, first));
  if (known) return std::move(*known);
  ASSIGN_OR_RETURN(auto authority, tls::CertificateAuthority::Create(env, kGroup));
  RETURN_IF_ERROR(tls::SaveAuthority(env, first, authority));
  return authority;
}

base::Result<tls::Identity> Sign(env::Env& env, const tls::CertificateAuthority& authority,
                                 const tls::CertificateAuthority::Order& order) {
  ASSIGN_OR_RETURN(const std::string key, tls::NewKey());
  ASSIGN_OR_RETURN(const std::string request, tls::NewRequest(key));
  ASSIGN_OR_RETURN(const std::string chain, authority.Sign(env, request, order));
  return tls::ParseIdentity(key + chain);
}

}  // namespace

std::string LabIdentityPath(const std::string& directory) {
  return env::JoinPath(directory, "identity.pem");
}

bool LabHasTls(env::Env& env, const std::string& directory) {
  return env::Exists(env, LabIdentityPath(directory));
}

base::Status PrepareTls(env::Env& env, const LabState& state) {
  ASSIGN_OR_RETURN(const tls::CertificateAuthority authority, OpenAuthority(env, state));
  const base::Duration lifetime =
      state.certificate_ms > 0 ? std::chrono::milliseconds(state.certificate_ms) : kLifetime;
  for (const LabServer& server : state.servers) {
    const tls::TlsDirectory directory = DirectoryOf(state, server);
    ASSIGN_OR_RETURN(const auto known, tls::LoadIdentity(env, directory));
    if (known && env.WallNow() < known->certificate.ends) continue;
    ASSIGN_OR_RETURN(const tls::Identity identity, Sign(env, authority,
                                                        {.kind = tls::Kind::kServer,
                                                         .name = server.name,
                                                         .hosts = tls::HostsOf({server.address}),
                                                         .lifetime = lifetime}));
    RETURN_IF_ERROR(tls::SaveIdentity(env, directory, identity));
  }
  ASSIGN_OR_RETURN(
      const tls::Identity client,
      Sign(env, authority, {.kind = tls::Kind::kClient, .name = kClient, .lifetime = kLifetime}));
  return env::WritePrivateFileAtomically(env, LabIdentityPath(state.directory),
                                         base::AsBytes(client.pem));
}

}  // namespace understudy::cli
