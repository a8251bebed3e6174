// SPDX-License-Identifier: Apache-2.0
// gRPC's credentials for ChannelSecurity and ServerSecurity, and for the two ends of a join.
//
// They are made with gRPC's TlsCredentials, whose certificate provider follows the files and whose
// verifier sees the certificate before a byte is sent. Only src/rpc/ includes this header.
// Threading: pure functions.
#pragma once

#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/channel_arguments.h>

#include <memory>
#include <string>

#include "base/role.h"
#include "rpc/channel_security.h"
#include "tls/join_token.h"

namespace understudy::rpc {

// Also sets in `arguments` what goes with it.
std::shared_ptr<grpc::ChannelCredentials> ChannelCredentials(const ChannelSecurity& security,
                                                             grpc::ChannelArguments& arguments);

// Plaintext where there is no security. Else: no connection without a certificate of the group,
// and no call that its holder may not make.
std::shared_ptr<grpc::ServerCredentials> ServerCredentials(
    const std::optional<ServerSecurity>& security);
Caller CallerOf(const grpc::ServerContextBase& context);
// All rights where there is no TLS.
base::Result<base::Role> RoleOf(const grpc::ServerContext& context);

// A joining server has no certificate. It demands that the listener shows one that was signed by
// the authority with the token's fingerprint.
std::shared_ptr<grpc::ChannelCredentials> JoinChannelCredentials(env::Env& env,
                                                                 const tls::JoinToken& token,
                                                                 grpc::ChannelArguments& arguments);
std::shared_ptr<grpc::ServerCredentials> JoinServerCredentials(const tls::TlsDirectory& directory);

}  // namespace understudy::rpc
