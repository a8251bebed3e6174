// SPDX-License-Identifier: Apache-2.0
// What the services of proto/understudy/v1/membership.proto ask of the server; implemented in
// src/server/. Errors: a Status whose message may have a second line, the hint. Threading: every
// method may be called from several gRPC threads at once.
#pragma once

#include "base/status.h"
#include "rpc/channel_security.h"
#include "understudy/v1/membership.pb.h"

namespace understudy::rpc {

class MembershipBackend {
 public:
  virtual ~MembershipBackend() = default;

  virtual base::Result<v1::MakeTokenResponse> MakeToken(const v1::MakeTokenRequest&,
                                                        const Caller&) = 0;
  virtual base::Result<v1::SignResponse> Sign(const v1::SignRequest&, const Caller&) = 0;
  virtual base::Result<v1::ListCertificatesResponse> ListCertificates(
      const v1::ListCertificatesRequest&) = 0;
  virtual base::Result<v1::RemoveServerResponse> RemoveServer(const v1::RemoveServerRequest&,
                                                              const Caller&) = 0;
  virtual base::Result<v1::RevokeClientResponse> RevokeClient(const v1::RevokeClientRequest&,
                                                              const Caller&) = 0;
};

class JoinBackend {
 public:
  virtual ~JoinBackend() = default;
  // `peer` is the address of who asks, for messages.
  virtual base::Result<v1::JoinResponse> Join(const v1::JoinRequest&, const std::string& peer) = 0;
};

}  // namespace understudy::rpc
