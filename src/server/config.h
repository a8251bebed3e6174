// SPDX-License-Identifier: Apache-2.0
// Config: what understudyd reads from its TOML file; every key is described in
// docs/reference/config.md.
//
// An unknown key, a wrong type and a value out of range are refused with file, line, key and, for
// an unknown key, the nearest known one. Sizes are bytes or "256MiB"; times are "500ms", "2s",
// "5m". Threading: values and pure functions.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/diag.h"
#include "base/status.h"
#include "base/time.h"
#include "env/env.h"
#include "server/coordinator_config.h"

namespace understudy::server {

inline constexpr uint64_t kConfigBytesMax = 1 << 20;

// What keeps the pages from changing that a backup reads (design/0038).
enum class ProviderChoice { kAuto, kSnapshotRead, kReflink };

struct Config {
  std::string path;  // of the file it was read from

  struct Server {
    std::string name;
    std::string data_dir;
    std::string listen;     // "127.0.0.1:7400"
    std::string advertise;  // where others reach it; default: listen
  } server;

  CoordinatorConfig coordinator;

  std::map<std::string, std::string>
      peers;  // server name -> address, instead of the advertised one

  struct Log {
    uint64_t generation_bytes = 1 << 20;
    uint64_t keep_bytes = 256 << 20;
  } log;

  struct Ship {
    uint64_t window_bytes = 8 << 20;
    base::Duration heartbeat = std::chrono::seconds(2);
    base::Duration silence_max = std::chrono::seconds(10);
    base::Duration retry_max = std::chrono::seconds(15);
  } ship;

  struct Backup {
    std::string repository;  // default of the commands; may be empty
    ProviderChoice provider = ProviderChoice::kAuto;
  } backup;

  // The HTTP server for load balancers (docs/routing.md).
  struct Web {
    std::string listen;     // "127.0.0.1:7480"; empty: there is none
    std::string advertise;  // where others reach it; default: listen
  } web;

  // Programs that are run when a copy is mounted or dismounted (server/hooks.h). Each is a path and
  // its arguments; empty: there is none.
  struct Hooks {
    std::vector<std::string> pre_mount;
    std::vector<std::string> post_mount;
    std::vector<std::string> pre_dismount;
    std::vector<std::string> post_dismount;
    base::Duration timeout = std::chrono::seconds(10);
  } hooks;
  // Lagged copies (docs/design/0008-lagged-copies.md).
  struct Lag {
    // Held log is replayed before its time while less than this is free of the log's disk.
    uint64_t playdown_free_percent = 10;
    uint64_t playdown_free_bytes = 0;
    // … and when fewer copies without a lag than this are healthy for so long. 0: never.
    uint64_t playdown_copies_min = 0;
    base::Duration playdown_copies_after = std::chrono::hours(24);
  } lag;

  // TLS between the members of the group (docs/design/0007-joining.md).
  struct Tls {
    bool off = false;         // plaintext, whatever the addresses
    std::string directory;    // of server.pem and the others; default: .tls in server.data_dir
    std::string join_listen;  // for servers that join; default: server.listen's host, the next port
    base::Duration lifetime = std::chrono::hours(24 * 90);  // of certificates that are made here

    bool operator==(const Tls&) const = default;
  } tls;

  // Reading everything again to find damage (scrub/scrubber.h).
  struct Scrub {
    uint64_t rate = 8 << 20;  // bytes a second, of all copies together; 0: off
    base::Duration every = std::chrono::hours(24);  // 0: only when asked
  } scrub;
  // Of seeds and resyncs, for those that this server gives and for those that it takes.
  struct Seed {
    uint64_t bandwidth = 0;  // bytes a second; 0: no limit
    uint32_t parallel = 4;
  } seed;
  struct Lost {
    uint64_t database_bytes_max = 1 << 30;
  } lost;

  struct Diag {
    base::DiagLevel level = base::DiagLevel::kInfo;
  } diag;
};

base::Result<Config> ReadConfig(env::Env& env, const std::string& path);
// `path` is for messages.
base::Result<Config> ParseConfig(std::string_view text, const std::string& path);

// "256MiB" -> 268435456, "5s" -> 5 s; kInvalidArgument says what is allowed.
base::Result<uint64_t> ParseSize(std::string_view text);
base::Result<base::Duration> ParseDuration(std::string_view text);

}  // namespace understudy::server
