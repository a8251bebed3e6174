// SPDX-License-Identifier: Apache-2.0
#include "server/cluster_watch.h"

#include <fmt/format.h>

#include "base/diag.h"
#include "base/thread.h"
#include "base/thread_name.h"
#include "cluster/membership.h"
#include "server/group_tls.h"
#include "server/local_events.h"
#include "server/log_rules.h"

namespace understudy::server {
namespace {

using cluster::Registry;

constexpr base::Duration kPollInterval = std::chrono::milliseconds(100);
constexpr base::Duration kPublishInterval = std::chrono::seconds(1);
constexpr size_t kUnwrittenMax = 1024;
constexpr base::Duration kAnnounceInterval = std::chrono::seconds(2);

bool HasPrefix(const std::string& text, std::string_view prefix) {
  return text.compare(0, prefix.size(), prefix) == 0;
}

base::Position ToPosition(const v1::Position& position) {
  return {base::Term(position.term()), base::Seq(position.seq())};
}

}  // namespace

ClusterWatch::ClusterWatch(const ServerContext& context, CopyHost& host, GroupCache& cache,
                           std::shared_ptr<rpc::Signal> signal)
    : context_(context), host_(host), cache_(cache), signal_(std::move(signal)), keeper_(context) {}

ClusterWatch::~ClusterWatch() { Stop(); }

base::Status ClusterWatch::Start(cluster::ServerRecord self,
                                 const std::function<void()>& before_copies) {
  context_.registry.coordinator().SetWakeup([signal = signal_] { signal->Notify(); });
  self_ = std::move(self);
  RETURN_IF_ERROR(keeper_.Start(self_));
  next_announce_ = context_.env.Now() + kAnnounceInterval;
  RETURN_IF_ERROR(Poll(before_copies));
  thread_ = base::Thread([this] { Run(); });
  return {};
}

void ClusterWatch::Stop() {
  {
    base::MutexLock lock(mutex_);
    if (stop_) return;
    stop_ = true;
  }
  signal_->Notify();
  if (thread_.joinable()) thread_.Join();
  TakeEvents();
  while (WriteEvents()) {  // all of them; they are bounded
  }
  keeper_.Stop(/*end_lease=*/unwritten_.empty());  // else the coordinator is away
  events_.Notify();
}

bool ClusterWatch::stopping() const {
  base::MutexLock lock(mutex_);
  return stop_;
}

void ClusterWatch::Run() {
  base::NameThisThread("cluster");
  while (!stopping()) {
    const uint64_t seen = signal_->count();
    cache_.BeginRound();
    const base::SteadyTime now = context_.env.Now();
    TakeEvents();
    const base::Status status = Poll();
    Report(status);
    if (status.ok()) {
      Announce(now);
      const bool more = WriteEvents();
      PublishStatus(now);
      if (more) continue;
    }
    signal_->WaitFor(seen, kPollInterval);
  }
}

void ClusterWatch::Report(const base::Status& status) {
  if (status.message() == last_error_) return;
  last_error_ = status.message();
  if (status.ok()) {
    base::Diag(base::DiagLevel::kInfo, "cluster", "the coordinator answers again");
  } else {
    base::Diag(base::DiagLevel::kError, "cluster", "the coordinator does not answer",
               {{"why", status.ToString()}});
  }
}

base::Status ClusterWatch::Poll(const std::function<void()>& before_copies) {
  if (context_.tls != nullptr && context_.tls->was_removed()) {
    return base::Fenced("this server was removed from the group");
  }
  const cluster::LeaseId lease = keeper_.lease();
  cluster::Coordinator& coordinator = context_.registry.coordinator();
  bool databases = !seen_;
  bool servers = false;
  bool group = false;
  bool certificates = !seen_;
  if (seen_) {
    ASSIGN_OR_RETURN(const cluster::Changes changes, coordinator.ChangesSince(*seen_));
    databases = certificates = !changes.complete;
    if (!changes.complete) cache_.NoteAll();
    for (const cluster::Change& change : changes.changes) {
      cache_.Note(change.key);
      databases = databases || HasPrefix(change.key, Registry::kDatabasesPrefix);
      servers = servers || HasPrefix(change.key, Registry::kServersPrefix);
      group = group || HasPrefix(change.key, Registry::kAlivePrefix) ||
              change.key == Registry::kGroupKey || change.key == Registry::kManagerKey;
      certificates =
          certificates || HasPrefix(change.key, cluster::Membership::kCertificatesPrefix);
      if (HasPrefix(change.key, Registry::kEventsPrefix)) events_.Notify();
    }
    seen_ = changes.revision;
  } else {
    ASSIGN_OR_RETURN(seen_, coordinator.CurrentRevision());
  }
  if (databases) {
    base::Result<std::vector<cluster::DatabaseRecord>> records = context_.registry.Databases();
    if (!records.ok()) {
      seen_.reset();  // read it all again
      return records.status();
    }
    if (before_copies) before_copies();
    keeper_.Read(lease);  // before copies are mounted by it: they look at the authority
    cache_.SetDatabases(*records);
    host_.Update(std::move(records).value());
  }
  if (certificates && context_.tls != nullptr) {
    const base::Status read = context_.tls->ReadCertificates(context_.env, coordinator);
    if (!read.ok()) {
      seen_.reset();
      return read;
    }
  }
  if (servers) host_.RetryLinks();
  if (databases || servers || group) group_.Notify();
  keeper_.Read(lease);  // no database has changed
  RETURN_IF_ERROR(cache_.Refresh(context_.registry));
  refreshed_.Notify();
  if (context_.addresses != nullptr) {
    for (const cluster::ServerRecord& server : cache_.Get()->servers) {
      context_.addresses->Note(server.name, server.address);
    }
  }
  if (context_.log_rules != nullptr) context_.log_rules->SetGroup(cache_.Get());
  return {};
}

// When this server was last seen. That it is alive the lease says.
void ClusterWatch::Announce(base::SteadyTime now) {
  if (now < next_announce_ || keeper_.lease() == 0) return;
  next_announce_ = now + kAnnounceInterval;
  Report(context_.registry.AnnounceServer(self_, keeper_.lease()));
}

// From the queue to this server's own disk, whether the coordinator is there or not. While it is
// away those that do not fit here stay in the queue, and are dropped when that is full.
void ClusterWatch::TakeEvents() {
  std::vector<cluster::Event> taken;
  while (unwritten_.size() + taken.size() < kUnwrittenMax) {
    std::optional<cluster::Event> event = context_.events.Take();
    if (!event) break;
    taken.push_back(std::move(*event));
  }
  if (context_.local_events != nullptr) context_.local_events->Keep(taken);
  unwritten_.insert(unwritten_.end(), taken.begin(), taken.end());
}

// Together, so that many cost no more round trips than one.
bool ClusterWatch::WriteEvents() {
  const size_t count = std::min(unwritten_.size(), cluster::kEventsPerCallMax);
  const auto end = unwritten_.begin() + static_cast<std::ptrdiff_t>(count);
  std::vector<cluster::Event> batch(unwritten_.begin(), end);
  const base::Status status = context_.registry.AddEvents(batch);
  if (!status.ok()) {
    Report(status);
    return false;  // tried again in the next round
  }
  unwritten_.erase(unwritten_.begin(), end);
  return !unwritten_.empty();
}

void ClusterWatch::PublishStatus(base::SteadyTime now) {
  if (now < next_publish_) return;
  next_publish_ = now + kPublishInterval;
  std::vector<cluster::CopyStatusRecord> records;
  std::map<std::string, std::string> all;
  for (const CopyHost::LocalStatus& local : host_.Statuses()) {
    cluster::CopyStatusRecord record;
    record.database = local.database;
    record.server = context_.server;
    record.incarnation = local.status.incarnation();
    record.path = local.status.path();
    record.state = local.status.state();
    record.error = local.status.error();
    record.copied = ToPosition(local.status.copied());
    record.durable = ToPosition(local.status.durable());
    record.replayed = ToPosition(local.status.replayed());
    record.copy_queue = local.status.copy_queue();
    const std::string text = ToJson(record);
    const auto before = published_.find(local.database);
    all[local.database] = text;
    if (before != published_.end() && before->second == text) continue;
    record.observed = context_.env.WallNow();
    records.push_back(std::move(record));
  }
  if (!records.empty()) {
    const base::Status status = context_.registry.PublishStatus(records);
    if (!status.ok()) return Report(status);
  }
  published_ = std::move(all);
}

}  // namespace understudy::server
