// SPDX-License-Identifier: Apache-2.0
#include "server/daemon.h"

#include <fmt/format.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): sigwaitinfo is POSIX
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>

#include "base/diag.h"
#include "rpc/protocol.h"
#include "rpc/rpc_server.h"
#include "server/coordinator_factory.h"
#include "server/diag_sink.h"
#include "server/group_tls.h"
#include "server/managed_etcd.h"
#include "server/server.h"
#include "server/start_fence.h"
#include "server/wall_clock.h"
#include "web/http_server.h"

namespace understudy::server {
namespace {

// Running calls get this long at a stop.
constexpr base::Duration kStopGrace = std::chrono::milliseconds(500);

// How long a start tries to reach the coordinator, and how often.
constexpr base::Duration kStartPatience = std::chrono::seconds(60);
constexpr base::Duration kStartRetry = std::chrono::milliseconds(50);

// How often the main thread looks at the wall clock and says that it is alive.
constexpr base::Duration kLook = std::chrono::seconds(1);

sigset_t DaemonSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, number);
  return signals;
}

// For all threads that start later.
void BlockSignals() {
  const sigset_t signals = DaemonSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  // A peer that goes away is an error of a write, not the end of the process.
  struct sigaction ignore{};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &ignore, nullptr);
}

// As after a crash, in the same process: what waits for a time of the wall clock waits no more.
[[noreturn]] void BeginAnew(const std::string& config_path, base::Duration set_back) {
  base::Diag(base::DiagLevel::kWarning, "server",
             "the wall clock was set back; the daemon begins anew, because connections to other "
             "servers wait by that clock",
             {{"by_ms", set_back / std::chrono::milliseconds(1)}});
  execl("/proc/self/exe", "understudyd", "--config", config_path.c_str(), nullptr);
  base::Diag(base::DiagLevel::kError, "server", "it could not", {{"why", std::strerror(errno)}});
  _exit(1);
}

// kLook, or half of what systemd's WatchdogSec= allows.
timespec LookEvery() {
  uint64_t watchdog_us = 0;
  base::Duration look = kLook;
  if (sd_watchdog_enabled(0, &watchdog_us) > 0) {
    look = std::min<base::Duration>(look, std::chrono::microseconds(watchdog_us / 2));
  }
  return {look / std::chrono::seconds(1), (look % std::chrono::seconds(1)).count()};
}

int WaitForSignal(env::Env& env, const std::string& config_path) {
  const sigset_t signals = DaemonSignals();
  const timespec look = LookEvery();
  WallClock clock;
  while (true) {
    sd_notify(0, "WATCHDOG=1");
    const int number = sigtimedwait(&signals, nullptr, &look);
    if (number > 0) return number;
    const base::Duration set_back = clock.Observe(env.Now(), env.WallNow());
    if (set_back > WallClock::kStepBackMax) BeginAnew(config_path, set_back);
  }
}

// False: a signal that ends the daemon came.
bool PauseForSignal(base::Duration pause) {
  const sigset_t signals = DaemonSignals();
  const timespec limit{pause / std::chrono::seconds(1), (pause % std::chrono::seconds(1)).count()};
  const int number = sigtimedwait(&signals, nullptr, &limit);
  return number != SIGTERM && number != SIGINT;
}

// At the start the coordinator may be busy or away for a while: another daemon is held up in it, or
// the whole group starts after a power cut.
base::Status RetryAtStart(env::Env& env, const std::function<base::Status()>& attempt) {
  const base::SteadyTime end = env.Now() + kStartPatience;
  for (bool told = false;; told = true) {
    sd_notify(0, "WATCHDOG=1");  // a daemon that began anew is watched from its first moment
    base::Status status = attempt();
    const base::Code code = status.code();
    const bool passing = code == base::Code::kBusy || code == base::Code::kUnavailable ||
                         code == base::Code::kTimedOut;
    if (!passing || env.Now() >= end) return status;
    if (!told) {
      base::Diag(base::DiagLevel::kWarning, "cluster", "the coordinator does not answer, trying on",
                 {{"why", status.ToString()}});
    }
    if (!PauseForSignal(kStartRetry)) return base::Cancelled("stopped while it was starting");
  }
}

// Nothing where the configuration wants none.
base::Result<std::unique_ptr<ManagedEtcd>> StartMember(env::Env& env, const Config& config,
                                                       const GroupTls* tls) {
  if (!config.coordinator.runs_member()) return std::unique_ptr<ManagedEtcd>();
  const CoordinatorConfig::Managed& managed = config.coordinator.managed;
  ManagedEtcd::Options options;
  options.directory = env::JoinPath(config.server.data_dir, ".etcd");
  options.name = managed.name;
  options.client_listen = managed.client_listen;
  options.peer_listen = managed.peer_listen;
  options.initial_cluster = managed.initial_cluster;
  options.token = "understudy-" + config.coordinator.group;
  options.join = managed.join;
  if (managed.tls) {
    if (tls == nullptr) {
      return base::InvalidArgument(
          "coordinator.managed.tls needs a certificate of the group, and there is none in " +
          config.tls.directory);
    }
    options.identity_file = tls->directory().identity();
    options.ca_file = tls->directory().ca();
  }
  return ManagedEtcd::Start(env, options);
}

// Names the keys that need a restart.
void WarnOfFixedKeys(const Config& now, const Config& next) {
  const std::pair<const char*, bool> keys[] = {
      {"server.name", now.server.name != next.server.name},
      {"server.data_dir", now.server.data_dir != next.server.data_dir},
      {"server.listen", now.server.listen != next.server.listen},
      {"server.advertise", now.server.advertise != next.server.advertise},
      {"coordinator", now.coordinator != next.coordinator},
      {"tls", now.tls != next.tls},
      {"web.listen", now.web.listen != next.web.listen},
      {"web.advertise", now.web.advertise != next.web.advertise},
      {"log.generation_bytes", now.log.generation_bytes != next.log.generation_bytes},
      {"ship.window_bytes", now.ship.window_bytes != next.ship.window_bytes},
      {"ship.heartbeat", now.ship.heartbeat != next.ship.heartbeat},
      {"ship.silence_max", now.ship.silence_max != next.ship.silence_max},
      {"ship.retry_max", now.ship.retry_max != next.ship.retry_max}};
  for (const auto& [key, changed] : keys) {
    if (!changed) continue;
    base::Diag(base::DiagLevel::kWarning, "server", "this key takes effect at the next start",
               {{"key", key}});
  }
}

void Reload(env::Env& env, Settings& settings, const std::string& path) {
  const Config now = settings.Get();
  base::Result<Config> next = ReadConfig(env, path);
  if (!next.ok()) {
    base::Diag(base::DiagLevel::kError, "server", "the configuration was not reloaded",
               {{"why", next.status().ToString()}});
    return;
  }
  WarnOfFixedKeys(now, *next);
  Config merged = now;
  merged.peers = next->peers;
  merged.log.keep_bytes = next->log.keep_bytes;
  merged.backup = next->backup;
  merged.hooks = next->hooks;
  merged.lost = next->lost;
  merged.lag = next->lag;
  merged.scrub = next->scrub;
  merged.seed = next->seed;
  merged.diag = next->diag;
  base::SetDiagLevel(merged.diag.level);
  settings.Replace(std::move(merged));
  base::Diag(base::DiagLevel::kInfo, "server", "reloaded the configuration", {{"file", path}});
}

void ReloadIdentity(env::Env& env, GroupTls& tls) {
  const base::Status status = tls.Reload(env);
  if (status.ok()) return;
  base::Diag(base::DiagLevel::kError, "tls", "the identity was not reloaded",
             {{"why", status.ToString()}});
}

// Also fills in the revocations.
base::Status CheckStillMember(env::Env& env, GroupTls& tls, cluster::Coordinator& coordinator) {
  RETURN_IF_ERROR(tls.ReadCertificates(env, coordinator));
  if (!tls.was_removed()) return {};
  return base::Fenced(
      "this server was removed from the group: its certificate was revoked\nto come back it joins "
      "again, with a token of a member: understudy server join");
}

// "host:0" with the port that was taken.
std::string WithPort(const std::string& address, int port) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || address.substr(colon) != ":0") return address;
  return fmt::format("{}:{}", address.substr(0, colon), port);
}

// Null where none is configured.
base::Result<std::unique_ptr<web::HttpServer>> StartWeb(const Config::Web& config,
                                                        const web::StatusSource& source,
                                                        web::Gate& gate) {
  if (config.listen.empty()) return std::unique_ptr<web::HttpServer>();
  (void)gate.Open();  // says itself what is wrong; databases do not wait for that
  return web::HttpServer::Start(config.listen, source, &gate);
}

void EndThisProcess() { kill(getpid(), SIGTERM); }

cluster::ServerRecord RecordOfSelf(env::Env& env, const Config& config, const std::string& identity,
                                   const GroupTls* tls) {
  cluster::ServerRecord self;
  self.name = config.server.name;
  self.version = rpc::kVersion;
  self.identity = identity;
  self.started = env.WallNow();
  self.authority = tls != nullptr && tls->authority().has_value();
  return self;
}

rpc::RpcServer::Options ListenOptions(const Config& config, const GroupTls* tls, Members& members) {
  rpc::RpcServer::Options options;
  options.listen = config.server.listen;
  options.server_name = config.server.name;
  options.membership = &members;
  if (tls != nullptr) {
    options.security.emplace(rpc::ServerSecurity{tls->directory(), tls->revocations()});
  }
  return options;
}

// Until SIGTERM or SIGINT; SIGHUP reads the configuration anew.
void ServeUntilStopped(env::Env& env, Settings& settings, const std::string& config_path,
                       GroupTls* tls, Server& server) {
  sd_notify(0, "READY=1");
  int number = 0;
  while ((number = WaitForSignal(env, config_path)) == SIGHUP) {
    sd_notify(0, "RELOADING=1");
    Reload(env, settings, config_path);
    if (tls != nullptr) ReloadIdentity(env, *tls);
    server.Reloaded();
    sd_notify(0, "READY=1");
  }
  sd_notify(0, "STOPPING=1");
  base::Diag(base::DiagLevel::kInfo, "server", "stopping",
             {{"signal", number == SIGTERM ? "SIGTERM" : "SIGINT"}});
}

base::Status RunUntilStopped(env::Env& env, Settings& settings, const std::string& config_path) {
  const Config config = settings.Get();
  ASSIGN_OR_RETURN(const DataDirectory directory, OpenDataDirectory(env, config.server.data_dir));
  ASSIGN_OR_RETURN(const std::unique_ptr<GroupTls> tls, GroupTls::Open(env, config));
  ASSIGN_OR_RETURN(const std::unique_ptr<ManagedEtcd> member, StartMember(env, config, tls.get()));
  std::unique_ptr<cluster::Coordinator> coordinator;
  StartFence fence(env, directory.path, config.coordinator.lease);
  RETURN_IF_ERROR(RetryAtStart(env, [&]() -> base::Status {
    ASSIGN_OR_RETURN(coordinator, OpenCoordinator(env, config.coordinator, tls.get()));
    // Before the first call is answered.
    return tls == nullptr ? base::Status() : CheckStillMember(env, *tls, *coordinator);
  }));
  ASSIGN_OR_RETURN(auto etcd, OpenEtcdMembers(env, config.coordinator, tls.get()));
  ASSIGN_OR_RETURN(const std::unique_ptr<Server> server,
                   Server::Make(env, settings, *coordinator, rpc::GrpcDialer(),
                                {.data_dir = directory.path,
                                 .self = RecordOfSelf(env, config, directory.identity, tls.get()),
                                 .tls = tls.get(),
                                 .etcd = std::move(etcd),
                                 .removed = EndThisProcess}));
  ASSIGN_OR_RETURN(const std::unique_ptr<rpc::RpcServer> rpc_server,
                   rpc::RpcServer::Start(ListenOptions(config, tls.get(), server->members()),
                                         server->admin(), server->ships()));
  web::Gate gate(env, env::JoinPath(config.server.data_dir, ".web_tokens"));
  ASSIGN_OR_RETURN(const std::unique_ptr<web::HttpServer> web,
                   StartWeb(config.web, server->web_status(), gate));
  const std::string address = WithPort(config.server.advertise, rpc_server->port());
  const std::string web_address = web == nullptr ? "" : WithPort(config.web.advertise, web->port());
  RETURN_IF_ERROR(RetryAtStart(
      env, [&] { return server->Announce(address, web_address, [&] { fence.Stop(); }); }));
  server->Start();
  ServeUntilStopped(env, settings, config_path, tls.get(), *server);
  if (web != nullptr) web->Stop();  // first, so that nobody is sent here any more
  server->Stop([&] { rpc_server->Shutdown(kStopGrace); });
  return {};
}

}  // namespace

base::Status RunDaemon(env::Env& env, const std::string& config_path) {
  BlockSignals();
  ASSIGN_OR_RETURN(const Config config, ReadConfig(env, config_path));
  InstallDiagSink(config.diag.level);
  Settings settings(config);
  const base::Status status = RunUntilStopped(env, settings, config_path);
  if (!status.ok()) {
    base::Diag(base::DiagLevel::kError, "server", "cannot run", {{"why", status.ToString()}});
  }
  return status;
}

}  // namespace understudy::server
