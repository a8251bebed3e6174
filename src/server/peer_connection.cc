// SPDX-License-Identifier: Apache-2.0
#include "server/peer_connection.h"

#include <utility>

namespace understudy::server {
namespace {

constexpr int kMessagesPerRound = 64;

}  // namespace

void PeerConnection::SetPeer(const std::string& peer) {
  if (peer == peer_) return;
  peer_ = peer;
  watch_.reset();
  connection_.reset();
  trouble_.clear();
  ship::ReconnectPolicy::Options options;
  options.peer = peer;
  options.delay_max = context_.settings.Get().ship.retry_max;
  policy_ = std::make_unique<ship::ReconnectPolicy>(context_.env, options);
}

std::optional<base::Status> PeerConnection::Connect(base::SteadyTime now) {
  if (dial_ == nullptr && !peer_.empty() && policy_->Due(now)) {
    dialled_ = peer_;
    dial_ = std::make_unique<PeerDial>(context_, peer_, signal_);
  }
  if (dial_ == nullptr) return std::nullopt;
  std::optional<PeerDial::Connection> dialled = dial_->TryTake();
  if (!dialled) return std::nullopt;
  dial_.reset();
  if (dialled_ != peer_) return std::nullopt;  // nobody wants that one any more
  if (!dialled->ok()) {
    Drop(dialled->status().message(), now);
    return dialled->status();
  }
  connection_ = std::move(*dialled).value();
  trouble_.clear();
  policy_->OnConnected(now);
  const Config config = context_.settings.Get();
  ship::ChannelWatch::Options options;
  options.interval = config.ship.heartbeat;
  options.silence_max = config.ship.silence_max;
  watch_ = std::make_unique<ship::ChannelWatch>(options, *connection_, now);
  return base::Status();
}

base::SteadyTime PeerConnection::next_attempt() const {
  const bool waits = !connection_ && !dial_ && !peer_.empty();
  return waits ? policy_->next_attempt() : base::SteadyTime::max();
}

void PeerConnection::RetryNow() {
  if (policy_) policy_->RetryNow();
}

bool PeerConnection::Receive(const std::function<void(ship::Message&&)>& sink) {
  for (int i = 0; i < kMessagesPerRound; ++i) {
    std::optional<ship::Message> message = connection_->TryReceive();
    if (!message) return i > 0;
    sink(std::move(*message));
  }
  return true;
}

std::optional<std::string> PeerConnection::Watch(base::SteadyTime now, ship::RunResult& result) {
  result.Sooner(watch_->RunOnce(now).next);
  if (!connection_->closed()) return std::nullopt;
  return watch_->cause().empty() ? connection_->cause() : watch_->cause();
}

void PeerConnection::Drop(const std::string& cause, base::SteadyTime now) {
  watch_.reset();
  connection_.reset();
  trouble_ = cause;
  policy_->OnLost(cause, now);
}

}  // namespace understudy::server
