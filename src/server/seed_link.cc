// SPDX-License-Identifier: Apache-2.0
#include "server/seed_link.h"

#include <utility>

namespace understudy::server {
namespace {

constexpr int kMessagesPerRound = 64;

}  // namespace

void SeedLink::SetPeer(const std::string& peer) {
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

ship::RunResult SeedLink::RunOnce(base::SteadyTime now, const Sink& sink) {
  ship::RunResult result;
  if (!connection_) {
    Connect(now);
    if (connection_) {
      result.worked = true;
    } else if (!dial_ && !peer_.empty()) {
      result.Sooner(policy_->next_attempt());
    }
    return result;
  }
  result.worked = Receive(sink);
  result.Sooner(watch_->RunOnce(now).next);
  if (!connection_->closed()) return result;
  Lost(watch_->cause().empty() ? connection_->cause() : watch_->cause(), now);
  result.worked = true;
  return result;
}

void SeedLink::Connect(base::SteadyTime now) {
  if (dial_ == nullptr && !peer_.empty() && policy_->Due(now)) {
    dialled_ = peer_;
    dial_ = std::make_unique<PeerDial>(context_, peer_, signal_);
  }
  if (dial_ == nullptr) return;
  std::optional<PeerDial::Connection> dialled = dial_->TryTake();
  if (!dialled) return;
  dial_.reset();
  if (dialled_ != peer_) return;  // nobody wants that one any more
  if (!dialled->ok()) return Lost(dialled->status().message(), now);
  connection_ = std::move(*dialled).value();
  trouble_.clear();
  policy_->OnConnected(now);
  const Config config = context_.settings.Get();
  ship::ChannelWatch::Options options;
  options.interval = config.ship.heartbeat;
  options.silence_max = config.ship.silence_max;
  watch_ = std::make_unique<ship::ChannelWatch>(options, *connection_, now);
}

bool SeedLink::Receive(const Sink& sink) {
  for (int i = 0; i < kMessagesPerRound; ++i) {
    std::optional<ship::Message> message = connection_->TryReceive();
    if (!message) return i > 0;
    if (ship::DatabaseOf(*message)) sink(std::move(*message));
  }
  return true;
}

void SeedLink::Lost(const std::string& cause, base::SteadyTime now) {
  watch_.reset();
  connection_.reset();
  trouble_ = cause;
  policy_->OnLost(cause, now);
}

}  // namespace understudy::server
