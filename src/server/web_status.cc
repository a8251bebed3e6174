// SPDX-License-Identifier: Apache-2.0
#include "server/web_status.h"

#include <algorithm>
#include <optional>

#include "rpc/protocol.h"

namespace understudy::server {
namespace {

base::Position ToPosition(const v1::Position& position) {
  return {base::Term(position.term()), base::Seq(position.seq())};
}

// A passive copy that has been open for replay: what is there can be read, even while the active
// one cannot be heard.
bool IsReadable(const std::string& state) {
  return state == "Healthy" || state == "PageRepair" || state == "Resynchronizing" ||
         state == "DisconnectedAndHealthy" || state == "DisconnectedAndResynchronizing";
}

web::LocalCopy ToLocalCopy(const CopyHost::LocalStatus& local) {
  const v1::CopyStatus& status = local.status;
  web::LocalCopy copy;
  copy.database = local.database;
  copy.id = local.id.ToHex();
  copy.path = status.path();
  copy.active = status.role() == "active";
  copy.state = status.state();
  copy.suspended = copy.state == "Suspended" || copy.state == "FailedAndSuspended";
  copy.suspend_reason = status.suspend_reason();
  // One that an administrator suspended can be read, but it is not offered to readers.
  copy.readable = !copy.active && (IsReadable(copy.state) || copy.state == "Suspended");
  copy.error = status.error();
  copy.copied = ToPosition(status.copied());
  copy.durable = ToPosition(status.durable());
  copy.replayed = ToPosition(status.replayed());
  copy.queues_known = status.queues_known();
  copy.copy_queue = status.copy_queue();
  copy.replay_queue = status.replay_queue();
  copy.copied_age = local.ages.copied;
  copy.replayed_age = local.ages.replayed;
  copy.last_commit = {status.last_commit_ms()};
  copy.database_bytes = status.database_bytes();
  copy.log_bytes = status.log_bytes();
  copy.log_holds = static_cast<uint64_t>(status.holds_size());
  copy.replay_lag = std::chrono::milliseconds(status.replay_lag_ms());
  copy.playing_down = status.playing_down();
  return copy;
}

using Age = std::optional<base::Duration>;

Age Older(const Age& a, const Age& b) {
  if (!a || !b) return std::nullopt;  // not known
  return std::max(*a, *b);
}

// What the connection says may be late; what the active copy's server published counts too.
void AddPublished(const GroupCache& cache, web::LocalCopy& copy) {
  const GroupCache::Behind copied = cache.BehindPublished(copy.database, copy.durable.seq);
  const GroupCache::Behind replayed = cache.BehindPublished(copy.database, copy.replayed.seq);
  copy.copy_queue = std::max(copy.copy_queue, copied.commits);
  copy.copied_age = Older(copy.copied_age, copied.age);
  copy.replayed_age = Older(copy.replayed_age, replayed.age);
}

// Another copy may have become the active one since the coordinator was heard last: what this
// copy's connection says counts no longer than a lease.
void AddSilence(const web::Snapshot& snapshot, web::LocalCopy& copy) {
  const Age silence = snapshot.coordinator_silence;
  if (silence && *silence <= snapshot.lease) return;
  copy.queues_known = false;
  copy.copied_age = Older(copy.copied_age, silence);
  copy.replayed_age = Older(copy.replayed_age, silence);
}

}  // namespace

bool WebStatus::IsWritable(base::DatabaseId id) const {
  const std::shared_ptr<ActiveCopy> copy = host_.FindActive(id);
  return copy != nullptr && copy->IsMountedNow();
}

web::Snapshot WebStatus::Take() const {
  web::Snapshot snapshot;
  std::vector<base::DatabaseId> ids;
  snapshot.server = context_.server;
  snapshot.version = rpc::kVersion;
  snapshot.started = started_;
  snapshot.now = context_.env.WallNow();
  snapshot.group = cache_.Get();
  snapshot.coordinator_silence = cache_.CoordinatorSilence();
  snapshot.round_age = cache_.RoundAge();
  snapshot.lease = context_.settings.Get().coordinator.lease;
  snapshot.lease_remaining =
      std::max<base::Duration>(context_.authority.until() - context_.env.Now(), base::Duration(0));
  snapshot.events = context_.events.Counts();
  for (const CopyHost::LocalStatus& local : host_.Statuses()) {
    web::LocalCopy copy = ToLocalCopy(local);
    if (!copy.active) {
      AddPublished(cache_, copy);
      AddSilence(snapshot, copy);
    }
    snapshot.copies.push_back(std::move(copy));
    ids.push_back(local.id);
  }
  // Last, so that it is the newest that the answer knows.
  for (size_t i = 0; i < ids.size(); ++i) {
    web::LocalCopy& copy = snapshot.copies[i];
    copy.writable = copy.active && copy.state == "Mounted" && IsWritable(ids[i]);
  }
  return snapshot;
}

}  // namespace understudy::server
