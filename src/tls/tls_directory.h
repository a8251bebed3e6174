// SPDX-License-Identifier: Apache-2.0
// A server's files of TLS, in DATA_DIR/.tls unless tls.directory names another place.
//
//   server.pem      the server's identity (identity.h), mode 0600; replaced whole at a renewal
//   ca.pem          the certificates of the group's authority; no secret
//   authority.pem   the authority's key and certificate, mode 0600; only on servers that sign
//
// gRPC and a managed etcd member read the first two themselves, at every new connection or second.
// Threading: pure functions over Env. ENSURES of every write: the content, its name and the
// directory are on disk; after a crash a file is as it was or as it should be.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "env/env.h"
#include "tls/certificate_authority.h"
#include "tls/identity.h"

namespace understudy::tls {

struct TlsDirectory {
  explicit TlsDirectory(std::string directory) : path(std::move(directory)) {}
  // Where a server with that data directory has it.
  static TlsDirectory Below(std::string_view data_dir) {
    return TlsDirectory(env::JoinPath(data_dir, ".tls"));
  }

  std::string identity() const { return env::JoinPath(path, "server.pem"); }
  std::string ca() const { return env::JoinPath(path, "ca.pem"); }
  std::string authority() const { return env::JoinPath(path, "authority.pem"); }

  const std::string path;
};

// Nothing where there is none.
base::Result<std::optional<Identity>> LoadIdentity(env::Env& env, const TlsDirectory& directory);
base::Result<std::optional<CertificateAuthority>> LoadAuthority(env::Env& env,
                                                                const TlsDirectory& directory);

// Makes the directory; ca.pem first, so that an identity is never there without it.
base::Status SaveIdentity(env::Env& env, const TlsDirectory& directory, const Identity& identity);
base::Status SaveAuthority(env::Env& env, const TlsDirectory& directory,
                           const CertificateAuthority& authority);

}  // namespace understudy::tls
