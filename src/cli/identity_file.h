// SPDX-License-Identifier: Apache-2.0
// The file that a command proves with who asks, in a group with TLS: --identity, else
// UNDERSTUDY_IDENTITY, else ~/.understudy/identity.pem where there is one, else none: plaintext.
//
// Threading: pure functions over Env and the environment. Errors: kInvalidArgument for a file that
// is no identity, or one that has ended.
#pragma once

#include <string>

#include "base/status.h"
#include "env/env.h"
#include "rpc/channel_security.h"

namespace understudy::cli {

base::Result<rpc::ChannelSecurity> FindIdentity(env::Env& env, const std::string& typed);

}  // namespace understudy::cli
