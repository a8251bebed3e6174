// SPDX-License-Identifier: Apache-2.0
// MembershipClient: calls a server's Membership service. JoinGroup: asks a join listener to be let
// in.
//
// Threading: thread-safe. Limits: the timeouts. Errors: the server's own code, message and hint;
// kUnavailable and kTimedOut for a server that cannot be reached. No grpc header is needed to use
// it.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "base/time.h"
#include "env/env.h"
#include "rpc/channel_security.h"
#include "rpc/protocol.h"
#include "tls/join_token.h"
#include "understudy/v1/membership.pb.h"

namespace understudy::rpc {

class MembershipClient {
 public:
  // Connects at the first call.
  MembershipClient(const std::string& address, const ChannelSecurity& security);
  ~MembershipClient();
  MembershipClient(const MembershipClient&) = delete;
  MembershipClient& operator=(const MembershipClient&) = delete;

  base::Result<v1::MakeTokenResponse> MakeToken(const v1::MakeTokenRequest& request,
                                                base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::SignResponse> Sign(const v1::SignRequest& request,
                                      base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::ListCertificatesResponse> ListCertificates(
      const v1::ListCertificatesRequest& request, base::Duration timeout = kCallTimeoutDefault);
  base::Result<v1::RemoveServerResponse> RemoveServer(const v1::RemoveServerRequest& request,
                                                      base::Duration timeout = kLongCallTimeout);
  base::Result<v1::RevokeClientResponse> RevokeClient(const v1::RevokeClientRequest& request,
                                                      base::Duration timeout = kCallTimeoutDefault);

 private:
  struct State;
  const std::unique_ptr<State> state_;
};

// Asks the token's addresses one after the other until one answers. The secret is sent only to a
// server whose certificate was signed by the token's authority.
base::Result<v1::JoinResponse> JoinGroup(env::Env& env, const tls::JoinToken& token,
                                         const v1::JoinRequest& request,
                                         base::Duration timeout = kCallTimeoutDefault);

}  // namespace understudy::rpc
