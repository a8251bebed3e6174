// SPDX-License-Identifier: Apache-2.0
// PeerDial: one attempt to connect to another server's Replication service, on a thread of its own
// ("dial-<peer>"), so that a server that does not answer holds up nothing else on its link.
//
// Destruction waits for the attempt, which rpc::kConnectTimeoutDefault bounds. Threading:
// thread-safe.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/mutex.h"
#include "base/thread.h"
#include "rpc/ship_connection.h"
#include "server/context.h"

namespace understudy::server {

class PeerDial {
 public:
  using Connection = base::Result<std::unique_ptr<rpc::ShipConnection>>;

  // `signal` is the connection's, and notified when the attempt has ended.
  PeerDial(const ServerContext& context, const std::string& peer,
           std::shared_ptr<rpc::Signal> signal);
  ~PeerDial();
  PeerDial(const PeerDial&) = delete;
  PeerDial& operator=(const PeerDial&) = delete;

  // Nothing while it is under way.
  std::optional<Connection> TryTake() EXCLUDES_LOCK(mutex_);

 private:
  Connection Dial();

  const ServerContext context_;
  const std::string peer_;
  const std::shared_ptr<rpc::Signal> signal_;
  base::Mutex mutex_;
  std::optional<Connection> result_ GUARDED_BY(mutex_);
  base::Thread thread_;
};

}  // namespace understudy::server
