// SPDX-License-Identifier: Apache-2.0
// PeerConnection: a connection to another server's Replication service that is made again and again
// (ship/reconnect.h) and watched (ship/channel_watch.h). PeerLink has one to the server of active
// copies; a copy that takes the pages of its seed from another passive copy has one to that.
//
// Attempts run on a thread of their own (peer_dial.h). One that nobody wants any more is waited for
// in later calls of Connect, or by the destructor (rpc::kConnectTimeoutDefault).
// Threading: confined to one thread, whose signal the connection notifies.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "rpc/ship_connection.h"
#include "server/context.h"
#include "server/peer_dial.h"
#include "ship/channel_watch.h"
#include "ship/reconnect.h"
#include "ship/run_result.h"

namespace understudy::server {

class PeerConnection {
 public:
  PeerConnection(const ServerContext& context, std::shared_ptr<rpc::Signal> signal)
      : context_(context), signal_(std::move(signal)) {}
  PeerConnection(const PeerConnection&) = delete;
  PeerConnection& operator=(const PeerConnection&) = delete;

  // Lets go of the connection to another peer; empty: there is none to connect to.
  void SetPeer(const std::string& peer);
  const std::string& peer() const { return peer_; }
  // While not connected: begins an attempt when it is time. Nothing: none has ended; else how it
  // has.
  std::optional<base::Status> Connect(base::SteadyTime now);
  base::SteadyTime next_attempt() const;  // max(): none is due by time
  void RetryNow();                        // the peer was heard of by other means
  void AwaitAttempt() { dial_.reset(); }  // the one that is under way

  rpc::ShipConnection* connection() const { return connection_.get(); }  // null: not connected
  // REQUIRES of the rest: connected. Hands over some of the messages that are there; false: none.
  bool Receive(const std::function<void(ship::Message&&)>& sink);
  // Heartbeats, and the limit of silence. The cause, once it has ended: Drop must follow.
  std::optional<std::string> Watch(base::SteadyTime now, ship::RunResult& result);
  void Drop(const std::string& cause, base::SteadyTime now);
  // Why it is not connected; empty: it is, or nothing was tried yet.
  const std::string& trouble() const { return trouble_; }

 private:
  const ServerContext context_;
  const std::shared_ptr<rpc::Signal> signal_;
  std::string peer_;
  std::string dialled_;             // whom dial_ is for
  std::unique_ptr<PeerDial> dial_;  // while an attempt is under way
  std::unique_ptr<ship::ReconnectPolicy> policy_;
  std::unique_ptr<rpc::ShipConnection> connection_;
  std::unique_ptr<ship::ChannelWatch> watch_;
  std::string trouble_;
};

}  // namespace understudy::server
