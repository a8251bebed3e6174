// SPDX-License-Identifier: Apache-2.0
#include "server/peer_dial.h"

#include <utility>

#include "base/thread.h"
#include "base/thread_name.h"
#include "rpc/protocol.h"
#include "server/group_tls.h"
#include "server/group_view.h"

namespace understudy::server {

PeerDial::PeerDial(const ServerContext& context, const std::string& peer,
                   std::shared_ptr<rpc::Signal> signal)
    : context_(context), peer_(peer), signal_(std::move(signal)) {
  thread_ = base::Thread([this] {
    base::NameThisThread("dial-" + peer_);
    Connection connection = Dial();
    {
      base::MutexLock lock(mutex_);
      result_ = std::move(connection);
    }
    signal_->Notify();
  });
}

PeerDial::~PeerDial() { thread_.Join(); }

PeerDial::Connection PeerDial::Dial() {
  ASSIGN_OR_RETURN(const std::string address, AddressOf(context_, peer_));
  return context_.dialer.DialShip(address, peer_, context_.server, signal_,
                                  rpc::kConnectTimeoutDefault, SecurityTo(context_.tls, peer_));
}

std::optional<PeerDial::Connection> PeerDial::TryTake() {
  base::MutexLock lock(mutex_);
  return std::exchange(result_, std::nullopt);
}

}  // namespace understudy::server
