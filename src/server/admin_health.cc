// SPDX-License-Identifier: Apache-2.0
// Health: the checks of Test-ReplicationHealth and some more, each with a result, what was found,
// and what to do. They judge what Status and the registry tell; nothing is changed.
#include <fmt/format.h>

#include <algorithm>

#include "base/first_line.h"
#include "cluster/activation.h"
#include "cluster/membership.h"
#include "server/admin.h"
#include "server/group_tls.h"

namespace understudy::server {
namespace {

// From here on a queue is worth a look; ten times of it is a failure.
constexpr uint64_t kQueueWarning = 1'000;
// Free space of a data directory's file system, in per cent.
constexpr double kFreeWarning = 10;
constexpr double kFreeFailure = 2;

class Checks {
 public:
  explicit Checks(v1::HealthResponse& response) : response_(response) {}

  void Ok(const char* name, const std::string& about, const std::string& what) {
    Add(name, about, "OK", what, "");
  }
  void Warn(const char* name, const std::string& about, const std::string& what,
            const std::string& hint) {
    Add(name, about, "WARNING", what, hint);
  }
  void Fail(const char* name, const std::string& about, const std::string& what,
            const std::string& hint) {
    Add(name, about, "FAILED", what, hint);
  }

 private:
  void Add(const char* name, const std::string& about, const char* result, const std::string& what,
           const std::string& hint) {
    v1::HealthCheck* check = response_.add_checks();
    check->set_name(name);
    check->set_about(about);
    check->set_result(result);
    check->set_what(what);
    check->set_hint(hint);
  }

  v1::HealthResponse& response_;
};

// Without the coordinator nobody knows who has a lease: all servers are asked.
void CheckAllServers(const ServerContext& context, const GroupView& group, bool leases_known,
                     Checks& checks) {
  for (const cluster::ServerRecord& server : group.servers) {
    if (!server.alive && leases_known) {
      checks.Fail("ServerUp", server.name,
                  "has no lease: its daemon or machine is down, or it "
                  "does not reach the coordinator",
                  "start understudyd there, and look at its journal");
      continue;
    }
    if (leases_known) checks.Ok("ServerUp", server.name, "has its lease");
    v1::StatusResponse answer;
    if (server.name != context.server) {
      const auto client = DialServer(context, server.name);
      base::Status reached = client.status();
      if (client.ok()) {
        base::Result<v1::StatusResponse> local = (*client)->LocalStatus({}, kPeerAnswerLimit);
        reached = local.status();
        if (local.ok()) answer = std::move(local).value();
      }
      if (!reached.ok()) {
        checks.Fail("ServerReachable", server.name,
                    fmt::format("does not answer {}: {}", context.server, reached.message()),
                    "look at the network between them and at [peers]");
        continue;
      }
      checks.Ok("ServerReachable", server.name, "answers " + context.server);
    } else if (const auto space = context.env.FreeSpace(context.settings.Get().server.data_dir);
               space.ok()) {
      answer.set_disk_free(space->free);
      answer.set_disk_total(space->total);
    }
    if (group.maintenance.contains(server.name)) {
      checks.Warn("Maintenance", server.name, "is in maintenance: nothing is mounted there",
                  "understudy server maintenance off " + server.name);
    }
    if (answer.disk_total() == 0) continue;
    const double free =
        100.0 * static_cast<double>(answer.disk_free()) / static_cast<double>(answer.disk_total());
    const std::string what = fmt::format("{:.0f} % of the data directory's disk are free", free);
    if (free < kFreeFailure) {
      checks.Fail("DiskSpace", server.name, what,
                  "free some: log cannot be written when it is full");
    } else if (free < kFreeWarning) {
      checks.Warn("DiskSpace", server.name, what,
                  "understudy status --holds shows why log is kept");
    } else {
      checks.Ok("DiskSpace", server.name, what);
    }
  }
}

void CheckGroup(const GroupView& group, const std::string& manager, Checks& checks) {
  checks.Ok("Coordinator", "group", "answers");
  if (manager.empty()) {
    checks.Fail("ActiveManager", "group", "no server decides about failovers",
                "wait for a lease time; else look at the coordinator");
  } else if (group.group.paused) {
    checks.Warn("ActiveManager", "group", "failovers are paused", "understudy activation resume");
  } else {
    checks.Ok("ActiveManager", "group", manager + " decides");
  }
  if (!group.group.failsafe) return;
  for (const cluster::ServerRecord& server : group.servers) {
    if (server.alive) continue;
    checks.Warn("FailsafeMode", "group",
                fmt::format("would not hold: server {} cannot confirm anything", server.name),
                "start it, or remove it if it is gone for good");
    return;
  }
  checks.Ok("FailsafeMode", "group", "every server can confirm");
}

// Each server's newest certificate, and who could renew it.
base::Status CheckCertificates(const ServerContext& context, const GroupView& group,
                               Checks& checks) {
  cluster::Membership membership(context.env, context.registry.coordinator());
  ASSIGN_OR_RETURN(const std::vector<cluster::CertificateRecord> all, membership.Certificates());
  std::map<std::string, cluster::CertificateRecord> newest;
  for (const cluster::CertificateRecord& each : all) {
    if (each.kind != "server" || each.is_revoked()) continue;
    cluster::CertificateRecord& known = newest[each.name];
    if (known.ends < each.ends) known = each;
  }
  const int64_t now = context.env.WallNow().unix_ms;
  int signing = 0;
  for (const cluster::ServerRecord& server : group.servers) {
    signing += server.authority && server.alive ? 1 : 0;
    const auto found = newest.find(server.name);
    if (found == newest.end()) continue;  // down for longer than its certificate's life
    const int64_t life = found->second.ends.unix_ms - found->second.issued.unix_ms;
    const int64_t left = found->second.ends.unix_ms - now;
    const std::string what = "good until " + base::ToRfc3339(found->second.ends);
    const std::string hint = server.alive ? "understudy events tells why it was not renewed"
                                          : "start understudyd there: it renews it by itself";
    // It is renewed with a third left.
    if (left < life / 10) {
      checks.Fail("Certificate", server.name, what, hint);
    } else if (left < life / 4) {
      checks.Warn("Certificate", server.name, what, hint);
    } else {
      checks.Ok("Certificate", server.name, what);
    }
  }
  const std::string what = fmt::format("{} servers that are up have the authority's key", signing);
  if (signing == 0) {
    checks.Fail("Authority", "group", what, "no certificate can be renewed until one is back");
  } else if (signing == 1 && group.servers.size() > 1) {
    checks.Warn("Authority", "group", what,
                "let a second one have it: understudy server token --authority");
  } else {
    checks.Ok("Authority", "group", what);
  }
  return {};
}

void CheckQueue(const char* name, const std::string& about, uint64_t queue, Checks& checks) {
  const std::string what = fmt::format("{} records", queue);
  if (queue >= 10 * kQueueWarning) {
    checks.Fail(name, about, what, "look at the link and the disk of that server");
  } else if (queue >= kQueueWarning) {
    checks.Warn(name, about, what, "it should shrink; understudy status shows whether it does");
  } else {
    checks.Ok(name, about, what);
  }
}

// What a lagged copy holds back is no queue; that it has to give its lag up is worth a look.
void CheckReplay(const std::string& about, const v1::CopyStatus& copy, Checks& checks) {
  if (copy.replay_lag_ms() == 0) {
    return CheckQueue("ReplayQueue", about, copy.replay_queue(), checks);
  }
  const std::string lag = cluster::LagText(std::chrono::milliseconds(copy.replay_lag_ms()));
  if (copy.playing_down().empty()) {
    return checks.Ok("ReplayLag", about,
                     fmt::format("lags by {}: {} commits are held back", lag, copy.replay_queue()));
  }
  checks.Warn(
      "ReplayLag", about,
      fmt::format("its lag of {} is being played down, because {}", lag, copy.playing_down()),
      "the lag builds up again afterwards; understudy events tells what was replayed");
}

void CheckCopy(const std::string& database, const v1::CopyStatus& copy, Checks& checks) {
  const std::string about = database + "@" + copy.server();
  const std::string& state = copy.state();
  if (copy.role() == "active") {
    if (state == "Mounted" && copy.answered())
      return checks.Ok("DatabaseMounted", about, "Mounted");
    return checks.Fail("DatabaseMounted", about,
                       state + (copy.error().empty() ? "" : ": " + copy.error()),
                       "understudy failover explain " + database);
  }
  if (state == "Healthy" || state == "SeedingSource" || state == "PageRepair") {
    checks.Ok("CopyState", about, state);
  } else if (state.rfind("Failed", 0) == 0) {
    checks.Fail("CopyState", about, state + ": " + copy.error(),
                fmt::format("understudy copy reseed {} {}", database, copy.server()));
  } else if (state == "Suspended") {
    checks.Warn("CopyState", about, "Suspended: " + copy.suspend_reason(),
                fmt::format("understudy copy resume {} {}", database, copy.server()));
  } else {
    checks.Warn("CopyState", about, state, "understudy events tells what has happened");
  }
  if (!copy.answered()) return;
  if (copy.queues_known()) CheckQueue("CopyQueue", about, copy.copy_queue(), checks);
  CheckReplay(about, copy, checks);
}

void CheckDamage(const std::string& database, const v1::CopyStatus& copy, Checks& checks) {
  if (!copy.answered()) return;
  const std::string about = database + "@" + copy.server();
  const v1::ScrubStatus& scrub = copy.scrub();
  const std::string hint = fmt::format(
      "look at the disk of {0} (smartctl -a, dmesg), then understudy scrub {1} {0} --wait",
      copy.server(), database);
  const auto first = [&] {
    if (scrub.findings().empty()) return std::string();
    return fmt::format("; {}: {}", scrub.findings(0).what(), scrub.findings(0).why());
  };
  if (scrub.failed() > 0) {
    checks.Fail("Damage", about,
                fmt::format("{} damaged pages or log files that no copy has whole{}",
                            scrub.failed(), first()),
                hint);
  } else if (scrub.waiting() > 0) {
    checks.Warn("Damage", about,
                fmt::format("{} damaged pages or log files wait for a copy to repair them from{}",
                            scrub.waiting(), first()),
                hint);
  } else if (!scrub.stopped().empty()) {
    checks.Fail("Damage", about, "the last scrub was stopped: " + scrub.stopped(), hint);
  } else if (scrub.last().found() > 0) {
    checks.Warn("Damage", about,
                fmt::format("the last scrub found {} damaged pages or log files; all are repaired",
                            scrub.last().found()),
                hint);
  } else {
    checks.Ok(
        "Damage", about,
        scrub.last_finished_ms() == 0 ? "no scrub has ended yet" : "the last scrub found nothing");
  }
}

void CheckRedundancy(const v1::DatabaseStatus& database, Checks& checks) {
  const auto healthy = std::count_if(
      database.copies().begin(), database.copies().end(), [](const v1::CopyStatus& copy) {
        return copy.state() == "Healthy" || copy.state() == "Mounted" ||
               copy.state() == "SeedingSource" || copy.state() == "PageRepair";
      });
  const std::string what =
      fmt::format("{} of {} copies are healthy", healthy, database.copies_size());
  if (healthy >= 2) {
    checks.Ok("DatabaseRedundancy", database.name(), what);
  } else if (database.copies_size() < 2) {
    checks.Warn("DatabaseRedundancy", database.name(), what,
                "understudy copy add " + database.name() + " SERVER");
  } else {
    checks.Fail("DatabaseRedundancy", database.name(), what,
                "understudy status " + database.name());
  }
}

}  // namespace

base::Result<v1::HealthResponse> Admin::Health(const v1::HealthRequest&) {
  v1::HealthResponse response;
  Checks checks(response);
  const base::Result<GroupView> group = ReadGroup(context_);
  if (group.ok()) {
    ASSIGN_OR_RETURN(const std::string manager, context_.registry.Manager());
    CheckGroup(*group, manager, checks);
    CheckAllServers(context_, *group, /*leases_known=*/true, checks);
    if (context_.tls != nullptr) RETURN_IF_ERROR(CheckCertificates(context_, *group, checks));
  } else {
    // What is whole here still counts to who has to decide what to do now.
    checks.Fail("Coordinator", "group", base::FirstLine(group.status().message()),
                "without it nothing can be moved, and leases end");
    KnownGroup known(context_, cache_);
    GroupView view;
    ASSIGN_OR_RETURN(view.servers, known.Servers());
    ASSIGN_OR_RETURN(view.maintenance, known.Maintenance());
    CheckAllServers(context_, view, /*leases_known=*/false, checks);
  }
  ASSIGN_OR_RETURN(const v1::StatusResponse status, Status({}));
  for (const v1::DatabaseStatus& database : status.databases()) {
    for (const v1::CopyStatus& copy : database.copies()) {
      CheckCopy(database.name(), copy, checks);
      CheckDamage(database.name(), copy, checks);
    }
    CheckRedundancy(database, checks);
  }
  return response;
}

// --- maintenance ---

base::Result<v1::MaintenanceResponse> Admin::Maintenance(const v1::MaintenanceRequest& request) {
  RETURN_IF_ERROR(context_.registry.FindServer(request.server()).status());
  RETURN_IF_ERROR(context_.registry.SetMaintenance(request.server(), request.on()));
  context_.events.Add(cluster::EventNumber::kSettingChanged, cluster::Severity::kInfo, "",
                      fmt::format("server {} is {} maintenance", request.server(),
                                  request.on() ? "in" : "no longer in"));
  v1::MaintenanceResponse response;
  if (!request.on()) return response;
  ASSIGN_OR_RETURN(const std::vector<cluster::DatabaseRecord> databases,
                   context_.registry.Databases());
  for (const cluster::DatabaseRecord& database : databases) {
    if (database.active != request.server()) continue;
    v1::SwitchoverRequest move;
    move.set_database(database.name);
    move.set_reason("maintenance");
    const base::Result<v1::SwitchoverResponse> moved = Switchover(move);
    v1::MaintenanceResponse::Move* to = response.add_moves();
    to->set_database(database.name);
    if (moved.ok()) {
      to->set_to(moved->to());
    } else {
      to->set_error(moved.status().message());
    }
  }
  return response;
}

}  // namespace understudy::server
