// SPDX-License-Identifier: Apache-2.0
// SeedLink: the connection over which one copy takes the pages of its seed from another passive
// copy, while its log comes over the link to the active copy's server (peer_link.h).
//
// It connects to the peer that it was given, again and again (ship/reconnect.h), and lets go of it
// when given another one or none. An attempt under way is waited for in the background, or by the
// destructor (rpc::kConnectTimeoutDefault).
// Threading: confined to the link thread of the copy, whose signal its connection notifies.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "rpc/ship_connection.h"
#include "server/context.h"
#include "server/peer_dial.h"
#include "ship/channel_watch.h"
#include "ship/reconnect.h"
#include "ship/run_result.h"

namespace understudy::server {

class SeedLink {
 public:
  using Sink = std::function<void(ship::Message&&)>;

  SeedLink(const ServerContext& context, std::shared_ptr<rpc::Signal> signal)
      : context_(context), signal_(std::move(signal)) {}
  SeedLink(const SeedLink&) = delete;
  SeedLink& operator=(const SeedLink&) = delete;

  void SetPeer(const std::string& peer);  // empty: none
  // Connects, receives. Messages of a database go to `sink`. A connection that ends does so here;
  // another one comes in a later call.
  ship::RunResult RunOnce(base::SteadyTime now, const Sink& sink);
  // Null: not connected to that peer.
  ship::Channel* channel(const std::string& peer) const {
    return peer == peer_ ? connection_.get() : nullptr;
  }
  // Why it is not connected; empty: it is, or nothing was tried yet.
  const std::string& trouble() const { return trouble_; }

 private:
  void Connect(base::SteadyTime now);
  bool Receive(const Sink& sink);
  void Lost(const std::string& cause, base::SteadyTime now);

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
