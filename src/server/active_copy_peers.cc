// SPDX-License-Identifier: Apache-2.0
// The active copy as other threads see it: its passives' progress, what can be served, status.
#include <fmt/format.h>

#include <algorithm>

#include "server/active_copy.h"
#include "ship/log_source.h"
#include "ship/seed_source.h"

namespace understudy::server {
namespace {

// How long a copy that another mount has overtaken leaves the registry alone.
constexpr base::Duration kSupersededRest = std::chrono::seconds(5);

}  // namespace

void ActiveCopy::AddListener(const std::shared_ptr<rpc::Signal>& listener) {
  base::MutexLock lock(mutex_);
  listeners_.push_back(listener);
}

void ActiveCopy::SetWanted(bool wanted) {
  {
    base::MutexLock lock(mutex_);
    if (wanted_ == wanted) return;
    wanted_ = wanted;
  }
  Wake();
}

bool ActiveCopy::retired() const {
  base::MutexLock lock(mutex_);
  return retired_;
}

std::string ActiveCopy::WhyNotMounted() const {
  base::MutexLock lock(mutex_);
  if (stop_) return "it is being stopped";
  if (!wanted_) return "an administrator dismounted it";
  if (moved_) return "another server's copy is the active one";
  if (context_.env.Now() < relinquished_until_) return "another copy is to be mounted instead";
  return fmt::format(
      "server {} could not renew its lease in the coordinator in time (coordinator.lease)",
      context_.server);
}

base::Result<base::Position> ActiveCopy::Relinquish(base::Duration time, base::Duration limit) {
  const base::SteadyTime end = context_.env.Now() + limit;
  {
    base::MutexLock lock(mutex_);
    relinquished_until_ = context_.env.Now() + time;
  }
  Wake();
  base::MutexLock lock(mutex_);
  while (!fenced_ || state_ != State::kDismounted) {
    const base::Duration left = end - context_.env.Now();
    if (left <= base::Duration(0)) {
      return base::TimedOut(
          fmt::format("{} could not be fenced on {} in time", options_.name, context_.server));
    }
    changed_.WaitFor(mutex_, left);
  }
  return mount_.log == nullptr ? base::Position() : mount_.log->end().position;
}

void ActiveCopy::NoteHigherTerm(uint64_t number, base::Term term, const std::string& peer) {
  base::Term ours;
  {
    base::MutexLock lock(mutex_);
    if (mount_.number != number || term <= mount_.term) return;
    ours = mount_.term;
    ++refused_terms_;
    relinquished_until_ = context_.env.Now() + kSupersededRest;
  }
  context_.events.Add(
      cluster::EventNumber::kSuperseded, cluster::Severity::kError, options_.name,
      fmt::format("{} knows of a mount of {} in term {}, this one on {} is of term {}: dismounted; "
                  "it is mounted again only if the registry says so",
                  peer, options_.name, term.value, context_.server, ours.value));
  Wake();
}

bool ActiveCopy::IsMountedNow() const {
  base::MutexLock lock(mutex_);
  return state_ == State::kMounted && (peers_.empty() || context_.authority.Valid());
}

base::Status ActiveCopy::WaitMounted(base::Duration limit) {
  const base::SteadyTime end = context_.env.Now() + limit;
  base::MutexLock lock(mutex_);
  while (true) {
    switch (state_) {
      case State::kMounted: return {};
      case State::kFailed: return failure_;
      case State::kDismounting:
      case State::kDismounted: return base::Cancelled(options_.name + " is being dismounted");
      case State::kMounting: break;
    }
    const base::Duration left = end - context_.env.Now();
    if (left <= base::Duration(0)) {
      return base::TimedOut(fmt::format("{} was not mounted in time", options_.name));
    }
    changed_.WaitFor(mutex_, left);
  }
}

bool ActiveCopy::IsFinal() const {
  base::MutexLock lock(mutex_);
  return final_;
}

// A dismounted copy goes on serving its log: its passives may lack the last of it.
base::Result<Mount> ActiveCopy::mount() const {
  base::MutexLock lock(mutex_);
  if (mount_.log != nullptr && state_ != State::kMounting && state_ != State::kFailed) {
    return mount_;
  }
  return base::Unavailable(
      failure_.ok()
          ? fmt::format("the active copy of {} is not mounted yet", options_.name)
          : fmt::format("the active copy of {} has failed: {}", options_.name, failure_.message()));
}

void ActiveCopy::SetPeers(const Peers& peers) {
  base::MutexLock lock(mutex_);
  const std::shared_ptr<log::LogStore> log = mount_.log;
  for (const auto& [peer, incarnation] : peers_) {
    const auto now = peers.find(peer);
    if (now != peers.end() && now->second == incarnation) continue;
    progress_.erase(peer);
    stragglers_.erase(peer);
    if (log == nullptr) continue;
    log->ReleaseHold(ship::LogSource::HoldName(peer));
    log->ReleaseHold(ship::SeedSource::HoldName(peer));
  }
  peers_ = peers;
  changed_.NotifyAll();
}

// Once for each time that a copy falls back so far; until it is served from the log again.
void ActiveCopy::OnLetGo(const log::LogStore& log, const RetentionPlan::LetGo& one) {
  std::string straggler;
  std::string text;
  {
    base::MutexLock lock(mutex_);
    for (const auto& [peer, incarnation] : peers_) {
      const bool its_own = one.hold == ship::LogSource::HoldName(peer) ||
                           one.hold == ship::SeedSource::HoldName(peer);
      if (its_own) straggler = peer;
    }
    if (straggler.empty() || stragglers_.contains(straggler)) return;
    const std::string why =
        one.for_disk
            ? fmt::format("the log's disk has too little free space ({})", cluster::kLogDiskFreeMin)
            : fmt::format("that is more than {} allows", cluster::kStragglerBound);
    text = fmt::format("{} bytes of log after {} were kept on {}, and {}; log begins at {} now",
                       one.bytes, one.after.value, context_.server, why, log.first_seq().value);
    stragglers_[straggler] = {text, context_.env.WallNow()};
  }
  context_.events.Add(
      cluster::EventNumber::kStragglerLetGo, cluster::Severity::kWarning, options_.name,
      fmt::format("log for the copy of {} on {} is not kept any longer: {}; when it is back it is "
                  "resynchronised by pages, by itself",
                  options_.name, straggler, text));
}

std::map<std::string, ActiveCopy::Straggler> ActiveCopy::stragglers() const {
  base::MutexLock lock(mutex_);
  return stragglers_;
}

bool ActiveCopy::HasPeers() const {
  base::MutexLock lock(mutex_);
  return !peers_.empty();
}

bool ActiveCopy::HasPeer(const std::string& peer, uint64_t incarnation) const {
  base::MutexLock lock(mutex_);
  const auto found = peers_.find(peer);
  return found != peers_.end() && found->second == incarnation;
}

void ActiveCopy::SetPeerProgress(const std::string& peer, uint64_t incarnation,
                                 const PeerProgress& progress) {
  base::MutexLock lock(mutex_);
  const auto at = peers_.find(peer);
  if (at == peers_.end() || at->second != incarnation) return;
  PeerProgress& known = progress_[peer];
  known.connected = progress.connected;
  known.durable = std::max(known.durable, progress.durable);
  known.replayed = std::max(known.replayed, progress.replayed);
  const bool served = mount_.log != nullptr && progress.connected &&
                      known.durable.seq.value + 1 >= mount_.log->first_seq().value;
  if (served) stragglers_.erase(peer);
  changed_.NotifyAll();
}

std::map<std::string, PeerProgress> ActiveCopy::peer_progress() const {
  base::MutexLock lock(mutex_);
  return progress_;
}

void ActiveCopy::WaitShipped(base::SteadyTime until) {
  base::MutexLock lock(mutex_);
  if (mount_.log == nullptr) return;
  const base::Seq end = mount_.log->durable().seq;
  while (true) {
    const bool behind = std::any_of(progress_.begin(), progress_.end(), [&](const auto& peer) {
      return peer.second.connected && peer.second.durable.seq < end;
    });
    const base::Duration left = until - context_.env.Now();
    if (!behind || left <= base::Duration(0)) return;
    changed_.WaitFor(mutex_, left);
  }
}

void ActiveCopy::WaitPeerProgress(base::Duration limit) {
  base::MutexLock lock(mutex_);
  changed_.WaitFor(mutex_, limit);
}

v1::CopyStatus ActiveCopy::Status() const {
  v1::CopyStatus status;
  status.set_server(context_.server);
  status.set_incarnation(options_.incarnation);
  status.set_path(options_.path);
  status.set_role("active");
  status.set_queues_known(true);
  status.set_observed_ms(context_.env.WallNow().unix_ms);
  std::shared_ptr<log::LogStore> log;
  {
    base::MutexLock lock(mutex_);
    static constexpr const char* kNames[] = {"Mounting", "Mounted", "Failed", "Dismounting",
                                             "Dismounted"};
    status.set_state(kNames[static_cast<int>(state_)]);
    if (!failure_.ok()) {
      status.set_error_code(std::string(base::CodeName(failure_.code())));
      status.set_error(failure_.message());
      status.set_error_time_ms(failure_time_.unix_ms);
    }
    status.set_refused_terms(refused_terms_);
    log = mount_.log;
  }
  if (log == nullptr) return status;
  const log::LogEnd end = log->end();
  const base::Position durable = log->durable();
  for (v1::Position* position : {status.mutable_copied(), status.mutable_replayed()}) {
    position->set_term(end.position.term.value);
    position->set_seq(end.position.seq.value);
  }
  status.mutable_durable()->set_term(durable.term.value);
  status.mutable_durable()->set_seq(durable.seq.value);
  status.set_last_commit_ms(end.commit_time.unix_ms);
  status.set_checksum(fmt::format("{:016x}", end.checksum));
  status.set_database_bytes(uint64_t{end.pages} * end.page_size);
  for (const auto& [peer, straggler] : stragglers()) {
    v1::Straggler* const to = status.add_stragglers();
    to->set_server(peer);
    to->set_why(straggler.why);
    to->set_since_ms(straggler.since.unix_ms);
  }
  status.set_log_bytes(log->bytes());
  status.set_log_first_seq(log->first_seq().value);
  for (const log::Hold& hold : log->holds()) {
    v1::Hold* to = status.add_holds();
    to->set_name(hold.name);
    to->set_reason(hold.reason);
    to->set_seq(hold.seq.value);
  }
  return status;
}

}  // namespace understudy::server
