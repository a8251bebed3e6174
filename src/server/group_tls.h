// SPDX-License-Identifier: Apache-2.0
// GroupTls: what this server has of its group's TLS while it runs: its identity, the authority's
// key where it has that, and which certificates were revoked (docs/design/0007-joining.md).
//
// The cluster thread reads the revocations when they change; until the coordinator was read once,
// and while it is away, the last that was known counts. Threading: thread-safe. The list is read at
// every call and message, so it is swapped whole.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "cluster/coordinator.h"
#include "env/env.h"
#include "rpc/channel_security.h"
#include "server/config.h"
#include "tls/certificate_authority.h"
#include "tls/identity.h"
#include "tls/tls_directory.h"

namespace understudy::server {

// The serials of certificates that do not count any more.
class Revocations final : public rpc::PeerPolicy {
 public:
  void Replace(std::set<std::string> serials) EXCLUDES_LOCK(mutex_);
  bool Has(const std::string& serial) const EXCLUDES_LOCK(mutex_);
  base::Status Check(const tls::Certificate& peer) const override;

 private:
  mutable base::Mutex mutex_;
  std::set<std::string> serials_ GUARDED_BY(mutex_);
};

class GroupTls {
 public:
  // Null where `config` wants none, or where there is no identity and nothing but this machine can
  // reach the server. kInvalidArgument says what to do where there has to be one, or where it has
  // ended and cannot be renewed here.
  static base::Result<std::unique_ptr<GroupTls>> Open(env::Env& env, const Config& config);

  const tls::TlsDirectory& directory() const { return directory_; }
  tls::IdentityHolder& identity() { return identity_; }
  // Nothing where this server does not sign.
  const std::optional<tls::CertificateAuthority>& authority() const { return authority_; }
  const std::shared_ptr<Revocations>& revocations() const { return revocations_; }

  base::Status ReadCertificates(env::Env& env, cluster::Coordinator& coordinator);
  // This server's own certificate was revoked.
  bool was_removed() const { return revocations_->Has(identity_.Get()->certificate.serial); }

  // A new identity for this server, signed here. REQUIRES: authority().
  base::Result<tls::Identity> SignOwn(env::Env& env, const Config& config) const;
  // To the disk, then to new connections.
  base::Status Install(env::Env& env, tls::Identity identity);
  // From the disk: a person may have brought another one.
  base::Status Reload(env::Env& env);

 private:
  GroupTls(tls::TlsDirectory directory, tls::Identity identity,
           std::optional<tls::CertificateAuthority> authority)
      : directory_(std::move(directory)),
        identity_(std::move(identity)),
        authority_(std::move(authority)) {}

  const tls::TlsDirectory directory_;
  tls::IdentityHolder identity_;
  const std::optional<tls::CertificateAuthority> authority_;
  const std::shared_ptr<Revocations> revocations_ = std::make_shared<Revocations>();
};

// For a connection to `server` (empty: any of the group); plaintext where `tls` is null.
rpc::ChannelSecurity SecurityTo(GroupTls* tls, const std::string& server);

// What the certificate of a server names beside its name: the hosts of its addresses.
std::vector<std::string> HostsOf(const Config& config);
// "127.0.0.1:1", "[::1]:1", "localhost:1", "unix:/p": nothing but this machine reaches it.
bool IsLocalAddress(const std::string& address);

}  // namespace understudy::server
