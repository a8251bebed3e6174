// SPDX-License-Identifier: Apache-2.0
#include "server/join_door.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/diag.h"
#include "cluster/membership.h"
#include "server/group_tls.h"

namespace understudy::server {

base::Result<std::string> JoinDoor::Open() {
  const Config config = context_.settings.Get();
  base::MutexLock lock(mutex_);
  ++openings_;
  if (listener_ == nullptr) {
    ASSIGN_OR_RETURN(listener_, rpc::JoinListener::Start(config.tls.join_listen,
                                                         context_.tls->directory(), backend_));
    base::Diag(base::DiagLevel::kInfo, "tls", "listening for servers that join",
               {{"listen", config.tls.join_listen}, {"port", listener_->port()}});
  }
  const std::string& own = config.server.advertise;
  return fmt::format("{}:{}", own.substr(0, own.rfind(':')), listener_->port());
}

base::Status JoinDoor::RunOnce() {
  uint64_t openings = 0;
  {
    base::MutexLock lock(mutex_);
    if (listener_ == nullptr && looked_) return {};
    openings = openings_;
  }
  cluster::Membership membership(context_.env, context_.registry.coordinator());
  ASSIGN_OR_RETURN(const std::vector<cluster::TokenRecord> tokens, membership.Tokens());
  looked_ = true;
  const base::WallTime now = context_.env.WallNow();
  const bool expected = std::any_of(tokens.begin(), tokens.end(), [&](const auto& token) {
    return token.made_on == context_.server && now < token.expires;
  });
  if (expected) return Open().status();
  CloseUnlessOpened(openings);
  return {};
}

void JoinDoor::Close() { CloseUnlessOpened(std::nullopt); }

// Not where somebody has opened it since the tokens were looked at.
void JoinDoor::CloseUnlessOpened(std::optional<uint64_t> since) {
  std::unique_ptr<rpc::JoinListener> closing;
  {
    base::MutexLock lock(mutex_);
    if (since && *since != openings_) return;
    closing.swap(listener_);
  }
  if (closing == nullptr) return;
  closing.reset();
  base::Diag(base::DiagLevel::kInfo, "tls", "no longer listening for servers that join");
}

}  // namespace understudy::server
