// SPDX-License-Identifier: Apache-2.0
#include "server/context.h"

#include "base/diag.h"

namespace understudy::server {
namespace {

base::DiagLevel LevelOf(cluster::Severity severity) {
  switch (severity) {
    case cluster::Severity::kInfo: return base::DiagLevel::kInfo;
    case cluster::Severity::kWarning: return base::DiagLevel::kWarning;
    case cluster::Severity::kError: return base::DiagLevel::kError;
  }
  return base::DiagLevel::kError;
}

}  // namespace

void EventLog::Add(cluster::EventNumber number, cluster::Severity severity,
                   const std::string& database, const std::string& message) {
  base::Diag(LevelOf(severity), "event", message,
             {{"number", static_cast<uint32_t>(number)}, {"database", database}});
  {
    base::MutexLock lock(mutex_);
    ++counts_[{number, severity}];
  }
  cluster::Event event;
  event.time = env_.WallNow();
  event.number = number;
  event.severity = severity;
  event.server = server_;
  event.database = database;
  event.message = message;
  if (!queue_.TryPush(std::move(event))) {
    base::Diag(base::DiagLevel::kWarning, "event", "the queue of events is full, one is dropped");
  }
  changed_->Notify();
}

std::vector<web::EventCount> EventLog::Counts() const {
  base::MutexLock lock(mutex_);
  std::vector<web::EventCount> counts;
  for (const auto& [of, count] : counts_) {
    counts.push_back(
        {static_cast<uint32_t>(of.first), std::string(cluster::SeverityName(of.second)), count});
  }
  return counts;
}

}  // namespace understudy::server
