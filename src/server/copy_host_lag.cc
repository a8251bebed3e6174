// SPDX-License-Identifier: Apache-2.0
// The copies' thread: whether a database has so few copies without a lag that its lagged ones are
// to be played down.
#include <fmt/format.h>

#include <algorithm>

#include "cluster/activation.h"
#include "server/copy_host.h"
#include "server/group_view.h"

namespace understudy::server {
namespace {

constexpr base::Duration kCopiesLookInterval = std::chrono::seconds(5);

bool IsGood(const std::string& state) {
  return state == "Mounted" || state == "Healthy" || state == "SeedingSource" ||
         state == "DisconnectedAndHealthy";
}

uint64_t GoodCopies(const GroupView& group, const cluster::DatabaseRecord& record) {
  return static_cast<uint64_t>(
      std::count_if(record.copies.begin(), record.copies.end(), [&](const auto& copy) {
        const cluster::CopyStatusRecord* const status = group.StatusOf(record, copy.server);
        const bool lags = copy.replay_lag > base::Duration(0) && copy.server != record.active;
        return !lags && status != nullptr && IsGood(status->state) && group.IsAlive(copy.server);
      }));
}

}  // namespace

void CopyHost::LookAtCopies(base::SteadyTime now) {
  if (now < next_copies_look_) return;
  next_copies_look_ = now + kCopiesLookInterval;
  const Config::Lag lag = context_.settings.Get().lag;
  std::vector<std::pair<const cluster::DatabaseRecord*, std::shared_ptr<PassiveCopy>>> lagged;
  for (const cluster::DatabaseRecord& record : records_) {
    const cluster::CopyRecord* const mine = record.FindCopy(context_.server);
    if (mine == nullptr || mine->replay_lag <= base::Duration(0)) continue;
    if (auto copy = FindPassive(record.name)) lagged.emplace_back(&record, std::move(copy));
  }
  if (lagged.empty()) return;
  base::Result<GroupView> group = GroupView();
  if (lag.playdown_copies_min > 0) group = ReadGroup(context_);
  if (!group.ok()) return;  // what was known stands
  for (const auto& [record, copy] : lagged) {
    const uint64_t good = GoodCopies(*group, *record);
    if (lag.playdown_copies_min == 0 || good >= lag.playdown_copies_min) {
      few_since_.erase(record->name);
      copy->SetFewCopies("");
      continue;
    }
    const auto since = few_since_.emplace(record->name, now).first->second;
    if (now - since < lag.playdown_copies_after) continue;
    copy->SetFewCopies(fmt::format(
        "only {} copies without a lag are healthy, for {} or longer; lag.playdown_copies_min is {}",
        good, cluster::LagText(lag.playdown_copies_after), lag.playdown_copies_min));
  }
}

}  // namespace understudy::server
