// SPDX-License-Identifier: Apache-2.0
// understudyd: the daemon. Exit codes: 0 stopped as asked, 1 failed, 2 wrong usage or
// configuration.
#include <cstdio>
#include <string>
#include <string_view>

#include "env/env.h"
#include "rpc/protocol.h"
#include "server/config.h"
#include "server/daemon.h"
#include "server/fence.h"
#include "server/supervisor.h"

namespace {

constexpr int kDone = 0;
constexpr int kFailed = 1;
constexpr int kUsage = 2;

constexpr const char* kHelp =
    "understudyd --config FILE [--check | --fence | --supervise]\n"
    "\n"
    "  --config FILE  the configuration (docs/reference/config.md)\n"
    "  --check        read the configuration, say what is wrong with it, and end\n"
    "  --fence        for after a crash: mark databases that were left mounted and have other\n"
    "                 copies read-only, unless a daemon is running, and end\n"
    "  --supervise    run the daemon as a child, and start it again when it crashes\n"
    "  --version      print the version\n"
    "\n"
    "Example: understudyd --config /etc/understudy/s1.toml\n";

int Fail(int code, const std::string& message) {
  std::fprintf(stderr, "understudyd: %s\n", message.c_str());
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  std::string config;
  bool check = false;
  bool fence = false;
  bool supervise = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--help" || argument == "-h") {
      std::fputs(kHelp, stdout);
      return kDone;
    }
    if (argument == "--version") {
      std::printf("understudyd %s\n", std::string(understudy::rpc::kVersion).c_str());
      return kDone;
    }
    if (argument == "--check") {
      check = true;
    } else if (argument == "--fence") {
      fence = true;
    } else if (argument == "--supervise") {
      supervise = true;
    } else if (argument == "--config" && i + 1 < argc) {
      config = argv[++i];
    } else {
      return Fail(kUsage, "unexpected argument " + std::string(argument) + "\n" + kHelp);
    }
  }
  if (config.empty()) return Fail(kUsage, std::string("--config FILE is needed\n") + kHelp);

  understudy::env::Env& env = understudy::env::PosixEnv();
  const auto read = understudy::server::ReadConfig(env, config);
  if (!read.ok()) return Fail(kUsage, read.status().message());
  if (check) {
    std::printf("%s is fine\n", config.c_str());
    return kDone;
  }
  if (supervise) return understudy::server::RunSupervised(env, config);
  const understudy::base::Status status = fence ? understudy::server::RunFence(env, config)
                                                : understudy::server::RunDaemon(env, config);
  return status.ok() ? kDone : Fail(kFailed, status.message());
}
