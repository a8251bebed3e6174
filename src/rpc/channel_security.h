// SPDX-License-Identifier: Apache-2.0
// Who may be at the other end of a connection, for both ends (docs/design/0007-joining.md).
//
// Without an identity there is no TLS. With one, a connection comes about only between holders of
// certificates that the group's authority signed; who dials checks that a server answers, and
// which; who listens asks its PeerPolicy at the handshake, at every call and at every message of a
// stream. Threading: values; PeerPolicy is thread-safe and never waits.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/status.h"
#include "tls/identity.h"
#include "tls/tls_directory.h"

namespace understudy::rpc {

class PeerPolicy {
 public:
  virtual ~PeerPolicy() = default;
  // Not ok: the certificate, though signed and not ended, does not count (any more).
  virtual base::Status Check(const tls::Certificate& peer) const = 0;
};

// Of who dials.
struct ChannelSecurity {
  std::shared_ptr<const tls::Identity> identity;  // null: no TLS
  std::string server;                             // who must answer; empty: any of the group
  std::shared_ptr<const PeerPolicy> policy;       // null: none
};

// Of who listens. The files are read anew once a second, so that a renewed identity is used.
struct ServerSecurity {
  tls::TlsDirectory directory;
  std::shared_ptr<const PeerPolicy> policy;
};

// Who calls; nobody in particular without TLS.
struct Caller {
  std::optional<tls::Certificate> certificate;

  bool IsServer(const std::string& name) const {
    return certificate && certificate->kind == tls::Kind::kServer && certificate->name == name;
  }
};

}  // namespace understudy::rpc
