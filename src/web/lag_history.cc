// SPDX-License-Identifier: Apache-2.0
#include "web/lag_history.h"

#include <algorithm>

namespace understudy::web {
namespace {

uint32_t Bounded(uint64_t value) {
  return static_cast<uint32_t>(std::min<uint64_t>(value, UINT32_MAX - 1));
}

uint64_t Behind(base::Seq ahead, base::Seq here) {
  return ahead.value > here.value ? ahead.value - here.value : 0;
}

// What is not known is no better than what is.
void Worse(uint32_t& to, uint32_t value, uint32_t unknown) {
  if (value == unknown) return;
  to = to == unknown ? value : std::max(to, value);
}

}  // namespace

void LagHistory::Note(const Snapshot& snapshot, base::Duration now) {
  const int64_t step = now / kStep;
  base::MutexLock lock(mutex_);
  step_ = step;
  until_ = snapshot.now;
  for (const LocalCopy& copy : snapshot.copies) {
    if (copy.active) continue;
    Sample sample;
    if (copy.queues_known) sample.copy_queue = Bounded(copy.copy_queue);
    sample.replay_queue = Bounded(copy.replay_queue);
    if (copy.replayed_age) {
      const auto age = *copy.replayed_age / std::chrono::milliseconds(1);
      sample.age_ms = Bounded(static_cast<uint64_t>(std::max<int64_t>(age, 0)));
    }
    Add({copy.database, snapshot.server}, sample, step);
  }
  if (snapshot.group != nullptr) AddPublished(snapshot, step);
  std::erase_if(series_, [&](const auto& each) {
    return step - each.second.step >= static_cast<int64_t>(kStepsMax);
  });
}

void LagHistory::AddPublished(const Snapshot& snapshot, int64_t step) {
  const GroupView& group = *snapshot.group;
  std::map<std::string, std::string> active;  // server by database
  for (const cluster::DatabaseRecord& record : group.databases) active[record.name] = record.active;
  std::map<std::string, bool> alive;
  for (const cluster::ServerRecord& server : group.servers) alive[server.name] = server.alive;
  for (const cluster::CopyStatusRecord& status : group.statuses) {
    const auto found = active.find(status.database);
    if (found == active.end() || found->second == status.server) continue;
    if (status.server == snapshot.server || !alive[status.server]) continue;
    Sample sample;
    sample.copy_queue = Bounded(status.copy_queue);
    sample.replay_queue = Bounded(Behind(status.durable.seq, status.replayed.seq));
    Add({status.database, status.server}, sample, step);
  }
}

void LagHistory::Add(const Key& key, const Sample& sample, int64_t step) {
  auto found = series_.find(key);
  if (found == series_.end()) {
    if (series_.size() >= kCopiesMax) return;
    found = series_.emplace(key, Series{step - 1, {}}).first;
  }
  Series& series = found->second;
  while (series.step < step) {
    series.samples.emplace_back();
    if (series.samples.size() > kStepsMax) series.samples.pop_front();
    ++series.step;
  }
  Sample& last = series.samples.back();
  Worse(last.copy_queue, sample.copy_queue, kUnknown);
  Worse(last.replay_queue, sample.replay_queue, kUnknown);
  Worse(last.age_ms, sample.age_ms, kUnknown);
}

Json LagHistory::Of(const std::string& database) const {
  base::MutexLock lock(mutex_);
  Json json{{"database", database}, {"step_s", kStep / std::chrono::seconds(1)}};
  json["until"] = until_.unix_ms == 0 ? Json(nullptr) : Json(base::ToRfc3339(until_));
  json["copies"] = Json::array();
  const auto known = [](uint32_t value) { return value == kUnknown ? Json(nullptr) : Json(value); };
  for (auto each = series_.lower_bound({database, ""});
       each != series_.end() && each->first.first == database; ++each) {
    Json row{{"server", each->first.second}};
    for (const char* const field : {"copy_queue", "replay_queue", "age_ms"}) {
      row[field] = Json::array();
    }
    for (const Sample& sample : each->second.samples) {
      row["copy_queue"].push_back(known(sample.copy_queue));
      row["replay_queue"].push_back(known(sample.replay_queue));
      row["age_ms"].push_back(known(sample.age_ms));
    }
    for (int64_t step = each->second.step; step < step_; ++step) {
      for (const char* const field : {"copy_queue", "replay_queue", "age_ms"}) {
        row[field].push_back(nullptr);
      }
    }
    json["copies"].push_back(std::move(row));
  }
  return json;
}

}  // namespace understudy::web
