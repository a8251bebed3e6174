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

}  // namespace understudy::server
