// SPDX-License-Identifier: Apache-2.0
#include "server/server.h"

#include <fmt/format.h>

#include <utility>

#include "rpc/protocol.h"
#include "sqlite/connection.h"

namespace understudy::server {
namespace {

using cluster::EventNumber;
using cluster::Severity;

v1::HelloResponse HelloOf(const cluster::ServerRecord& self, const std::string& sqlite_version) {
  v1::HelloResponse hello;
  hello.set_protocol_version(rpc::kAdminProtocolVersion);
  hello.set_server(self.name);
  hello.set_version(self.version);
  hello.set_sqlite_version(sqlite_version);
  hello.set_started_ms(self.started.unix_ms);
  return hello;
}

}  // namespace

base::Result<std::unique_ptr<Server>> Server::Make(env::Env& env, Settings& settings,
                                                   cluster::Coordinator& coordinator,
                                                   rpc::Dialer& dialer, Options options) {
  ASSIGN_OR_RETURN(const auto memory, sqlite::Connection::Open(":memory:", {.vfs = ""}));
  ASSIGN_OR_RETURN(const std::string version, memory->QueryText("SELECT sqlite_version()"));
  return std::make_unique<Server>(env, settings, coordinator, dialer, std::move(options), version);
}

Server::Server(env::Env& env, Settings& settings, cluster::Coordinator& coordinator,
               rpc::Dialer& dialer, Options options, const std::string& sqlite_version)
    : env_(env),
      settings_(settings),
      options_(std::move(options)),
      self_(options_.self),
      registry_(env, coordinator),
      events_(env, self_.name, cluster_signal_),
      authority_(env, settings.Get().coordinator.lease),
      promises_(env),
      seeds_(settings.Get().seed.bandwidth, settings.Get().seed.parallel),
      local_events_(env, options_.data_dir),
      context_{env,         settings,    registry_,     events_, authority_,
               promises_,   self_.name,  options_.tls,  &seeds_, dialer,
               &addresses_, &log_rules_, &local_events_},
      host_(context_, options_.data_dir),
      cache_(env),
      backups_(context_, host_, cache_),
      admin_(context_, host_, cache_, backups_, HelloOf(self_, sqlite_version)),
      ships_(
          context_, [this](base::DatabaseId id) { return host_.FindActive(id); },
          [this](base::DatabaseId id) { return host_.FindPassive(id); }),
      watch_(context_, host_, cache_, cluster_signal_),
      scrub_(context_, host_),
      members_(context_, std::move(options_.etcd)),
      web_status_(context_, host_, cache_) {
  admin_.SetWatch(watch_);
  admin_.SetScrub(scrub_);
}

base::Status Server::Announce(const std::string& address, const std::string& web,
                              const std::function<void()>& before_copies) {
  self_.address = address;
  self_.web = web;
  return watch_.Start(self_, before_copies);
}

// What was promised before a restart is not known any more: none are given until all have ended.
void Server::RestFromPromises() {
  const auto group = cache_.Get();
  if (group == nullptr || !group->failsafe) return;
  promises_.RestUntil(env_.Now() + settings_.Get().coordinator.lease);
}

void Server::Start() {
  RestFromPromises();
  backups_.Resume();
  failover_.emplace(context_, host_, watch_);
  failsafe_.emplace(context_, host_, cache_);
  rebalance_.emplace(context_, admin_);
  archive_.emplace(context_, ArchiveWatch::Parts{host_, cache_, admin_, backups_});
  schedule_.emplace(context_,
                    ScheduleWatch::Parts{cache_, admin_, backups_, cluster::InstanceOf(self_)});
  if (options_.tls != nullptr) keeper_.emplace(context_, members_, options_.removed);
  events_.Add(EventNumber::kServerStarted, Severity::kInfo, "",
              fmt::format("server {} started, version {}, at {}", self_.name, self_.version,
                          self_.address));
}

void Server::Reloaded() {
  const Config config = settings_.Get();
  seeds_.SetLimits(config.seed.bandwidth, config.seed.parallel);
  host_.RetryLinks();
}

void Server::Stop(const std::function<void()>& close_doors) {
  if (keeper_) keeper_->Stop();
  rebalance_->Stop();
  archive_->Stop();
  schedule_->Stop();
  failover_->Stop();
  failsafe_->Stop();
  scrub_.Stop();
  backups_.Stop();
  host_.DismountAll(kShipGrace);
  close_doors();
  host_.Stop();
  events_.Add(EventNumber::kServerStopped, Severity::kInfo, "",
              fmt::format("server {} stopped", self_.name));
  watch_.Stop();
}

}  // namespace understudy::server
