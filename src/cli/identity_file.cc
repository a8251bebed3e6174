// SPDX-License-Identifier: Apache-2.0
#include "cli/identity_file.h"

#include <fmt/format.h>

#include <cstdlib>

namespace understudy::cli {
namespace {

// Empty: none, which an empty UNDERSTUDY_IDENTITY says too.
std::string PathOf(env::Env& env, const std::string& typed) {
  if (!typed.empty()) return typed;
  if (const char* const named = std::getenv("UNDERSTUDY_IDENTITY"); named != nullptr) return named;
  const char* const home = std::getenv("HOME");
  if (home == nullptr || *home == '\0') return "";
  const std::string usual = env::JoinPath(home, ".understudy/identity.pem");
  return env::Exists(env, usual) ? usual : "";
}

}  // namespace

base::Result<rpc::ChannelSecurity> FindIdentity(env::Env& env, const std::string& typed) {
  const std::string path = PathOf(env, typed);
  if (path.empty()) return rpc::ChannelSecurity();
  base::Result<tls::Identity> identity = tls::ReadIdentity(env, path);
  if (!identity.ok()) {
    return base::InvalidArgument(fmt::format(
        "the identity cannot be used: {}\n--identity or UNDERSTUDY_IDENTITY names another file",
        identity.status().message()));
  }
  if (env.WallNow() >= identity->certificate.ends) {
    return base::InvalidArgument(fmt::format(
        "the certificate of {} in {} ended at {}\nask for a new one: understudy client certificate",
        identity->certificate.Holder(), path, base::ToRfc3339(identity->certificate.ends)));
  }
  rpc::ChannelSecurity security;
  security.identity = std::make_shared<const tls::Identity>(std::move(identity).value());
  return security;
}

}  // namespace understudy::cli
