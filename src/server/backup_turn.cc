// SPDX-License-Identifier: Apache-2.0
#include "server/backup_turn.h"

#include <fmt/format.h>

#include "base/first_line.h"
#include "server/group_view.h"

namespace understudy::server {
namespace {

using cluster::EventNumber;
using cluster::Severity;

}  // namespace

BackupTurn::BackupTurn(const ServerContext& context, cluster::BackupLease lease,
                       base::Duration lasts)
    : context_(context), lasts_(lasts), lease_(std::move(lease)) {}

cluster::BackupLease BackupTurn::lease() const {
  base::MutexLock lock(mutex_);
  return lease_;
}

std::string BackupTurn::note() const {
  base::MutexLock lock(mutex_);
  return note_;
}

bool BackupTurn::ended() const {
  base::MutexLock lock(mutex_);
  return ended_;
}

void BackupTurn::SetRole(const std::string& role) {
  base::MutexLock lock(mutex_);
  lease_.role = role;
}

void BackupTurn::SetProgress(const std::string& phase, const base::Progress& progress) {
  base::MutexLock lock(mutex_);
  lease_.phase = phase;
  lease_.bytes_done = progress.bytes_done;
  lease_.bytes_total = progress.bytes_total;
}

// Once when it begins to be away, once when it is back.
void BackupTurn::Note(bool BackupTurn::* told, bool away, const std::string& what) {
  std::string text;
  std::string database;
  {
    base::MutexLock lock(mutex_);
    if (this->*told == away) return;
    this->*told = away;
    text = fmt::format("{} {}", ToString(lease_), what);
    database = lease_.database;
    if (away) note_ = what;
  }
  context_.events.Add(away ? EventNumber::kBackupAlone : EventNumber::kBackupNotAlone,
                      away ? Severity::kWarning : Severity::kInfo, database, text);
}

base::Result<std::optional<std::string>> BackupTurn::Try() {
  const cluster::BackupLease wanted = lease();
  cluster::Coordinator& coordinator = context_.registry.coordinator();
  const auto attempt = [&]() -> base::Result<cluster::BackupArbiter::Turn> {
    cluster::LeaseId id = 0;
    {
      base::MutexLock lock(mutex_);
      id = coordinator_lease_;
    }
    if (id != 0 && coordinator.KeepAlive(id).code() == base::Code::kNotFound) id = 0;
    if (id == 0) {
      ASSIGN_OR_RETURN(id, coordinator.GrantLease(lasts_));
      base::MutexLock lock(mutex_);
      coordinator_lease_ = id;
    }
    return cluster::BackupArbiter(coordinator).Try(wanted, id);
  };
  const base::Result<cluster::BackupArbiter::Turn> turn = attempt();
  if (!turn.ok()) {
    if (turn.status().code() == base::Code::kBusy) return turn.status();
    Note(&BackupTurn::told_coordinator_, true,
         fmt::format("goes on without its turn: the coordinator does not answer ({})",
                     base::FirstLine(turn.status().message())));
  }
  if (!turn.ok() || turn->ours) {
    base::MutexLock lock(mutex_);
    ours_ = turn.ok();
    waits_ = false;
    return std::optional<std::string>();
  }
  if (turn->holder) return std::optional(ToString(*turn->holder));
  return std::optional(fmt::format("{} others that have waited longer", turn->before_us));
}

base::Result<v1::AnnounceBackupResponse> BackupTurn::Announce(const std::string& active, bool ended,
                                                              bool succeeded,
                                                              base::Duration limit) {
  v1::AnnounceBackupRequest request;
  request.set_lease(ToJson(lease()));
  request.set_lasts_ms(lasts_ / std::chrono::milliseconds(1));
  request.set_ended(ended);
  request.set_succeeded(succeeded);
  {
    base::MutexLock lock(mutex_);
    request.set_has_turn(ours_);
  }
  ASSIGN_OR_RETURN(const auto client, DialServer(context_, active));
  return client->AnnounceBackup(request, limit);
}

base::Status BackupTurn::AskLogRange(const std::string& active, base::Duration limit) {
  ASSIGN_OR_RETURN(const v1::AnnounceBackupResponse range, Announce(active, false, false, limit));
  if (!range.active()) {
    return base::Unavailable(fmt::format("the active copy is not mounted on {}", active));
  }
  if (!range.other().empty()) return base::Busy(range.other());
  base::MutexLock lock(mutex_);
  active_ = active;
  lease_.first = {base::Term(range.first().term()), base::Seq(range.first().seq())};
  lease_.last = {base::Term(range.last().term()), base::Seq(range.last().seq())};
  return {};
}

base::Status BackupTurn::RenewTurn() {
  cluster::LeaseId id = 0;
  bool ours = false;
  {
    base::MutexLock lock(mutex_);
    id = coordinator_lease_;
    ours = ours_;
    lease_.renewed = context_.env.WallNow();
  }
  cluster::BackupArbiter arbiter(context_.registry.coordinator());
  const base::Status renewed =
      ours ? arbiter.Renew(lease(), id) : base::NotFound("it was never had");
  if (renewed.code() != base::Code::kNotFound) return renewed;
  // Lost while nobody could be told, or never had: taken (again) if it is free.
  ASSIGN_OR_RETURN(const std::optional<std::string> holder, Try());
  if (holder) return base::Busy(*holder + " has the turn now; both go on");
  return {};
}

void BackupTurn::RenewIfDue() {
  std::string active;
  {
    base::MutexLock lock(mutex_);
    const base::SteadyTime now = context_.env.Now();
    if (ended_ || waits_ || now < next_renewal_) return;
    next_renewal_ = now + lasts_ / 3;
    active = active_;
  }
  const base::Status turn = RenewTurn();
  Note(&BackupTurn::told_coordinator_, !turn.ok(),
       turn.ok() ? "has its turn in the coordinator again"
                 : fmt::format("goes on without its turn: {}", base::FirstLine(turn.message())));
  if (active.empty() || ended()) return;
  const base::Status told = Announce(active, false, false, kPeerAnswerLimit).status();
  Note(&BackupTurn::told_active_, !told.ok(),
       told.ok() ? fmt::format("is known to {} again", active)
                 : fmt::format("goes on although {}, with the active copy, cannot be told: {}",
                               active, base::FirstLine(told.message())));
}

void BackupTurn::End(bool succeeded) {
  std::string active;
  cluster::LeaseId id = 0;
  {
    base::MutexLock lock(mutex_);
    if (ended_) return;
    ended_ = true;
    active = active_;
    id = coordinator_lease_;
  }
  // Best effort: both forget it by themselves.
  cluster::Coordinator& coordinator = context_.registry.coordinator();
  if (id != 0) {
    cluster::BackupArbiter(coordinator).End(lease()).IgnoreError();
    coordinator.RevokeLease(id).IgnoreError();
  }
  if (!active.empty()) Announce(active, true, succeeded, kPeerAnswerLimit).status().IgnoreError();
}

}  // namespace understudy::server
