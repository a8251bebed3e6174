// SPDX-License-Identifier: Apache-2.0
// What a person sets for a database, a copy or the group, and Active Manager goes by.
#include <fmt/format.h>

#include "server/admin.h"

namespace understudy::server {

using cluster::CopyRecord;
using cluster::DatabaseRecord;
using cluster::EventNumber;
using cluster::Severity;

base::Result<v1::SetDatabaseResponse> Admin::SetDatabase(const v1::SetDatabaseRequest& request) {
  std::optional<cluster::MountDial> dial;
  if (!request.dial().empty()) {
    dial = cluster::MountDialFromName(request.dial());
    if (!dial) {
      return base::InvalidArgument(
          fmt::format("the dial {} is not one of lossless, good, best", request.dial()));
    }
  }
  const auto edit = [&](DatabaseRecord& record) -> base::Status {
    if (dial) record.dial = *dial;
    if (request.has_dismounted()) record.dismounted = request.dismounted();
    return {};
  };
  ASSIGN_OR_RETURN(const DatabaseRecord record,
                   context_.registry.UpdateDatabase(request.database(), edit));
  watch_->Nudge();
  context_.events.Add(EventNumber::kSettingChanged, Severity::kInfo, record.name,
                      fmt::format("{}: dial {}{}", record.name, cluster::MountDialName(record.dial),
                                  record.dismounted ? ", to stay dismounted" : ""));
  v1::SetDatabaseResponse response;
  response.set_dial(std::string(cluster::MountDialName(record.dial)));
  response.set_dismounted(record.dismounted);
  return response;
}

base::Result<v1::SetCopyResponse> Admin::SetCopy(const v1::SetCopyRequest& request) {
  const auto edit = [&](DatabaseRecord& record) -> base::Status {
    CopyRecord* const copy = record.FindCopy(request.server());
    if (copy == nullptr) {
      return base::NotFound(fmt::format("{} has no copy on {}", record.name, request.server()));
    }
    if (request.has_preference()) copy->preference = request.preference();
    if (request.has_activation_suspended()) {
      copy->activation_suspended = request.activation_suspended();
    }
    if (request.has_seed_bandwidth()) copy->seed_bandwidth = request.seed_bandwidth();
    return {};
  };
  ASSIGN_OR_RETURN(const DatabaseRecord record,
                   context_.registry.UpdateDatabase(request.database(), edit));
  watch_->Nudge();
  const CopyRecord& copy = *record.FindCopy(request.server());
  context_.events.Add(EventNumber::kSettingChanged, Severity::kInfo, record.name,
                      fmt::format("copy of {} on {}: activation preference {}, activation {}",
                                  record.name, copy.server, copy.preference,
                                  copy.activation_suspended ? "suspended" : "allowed") +
                          (copy.seed_bandwidth == 0
                               ? std::string()
                               : fmt::format(", seeds at {} bytes a second", copy.seed_bandwidth)));
  v1::SetCopyResponse response;
  response.set_preference(copy.preference);
  response.set_activation_suspended(copy.activation_suspended);
  response.set_seed_bandwidth(copy.seed_bandwidth);
  return response;
}

base::Result<v1::SetGroupResponse> Admin::SetGroup(const v1::SetGroupRequest& request) {
  ASSIGN_OR_RETURN(cluster::GroupRecord group, context_.registry.Group());
  if (request.has_paused() && request.paused() != group.paused) {
    ASSIGN_OR_RETURN(group, context_.registry.SetPaused(request.paused()));
    context_.events.Add(EventNumber::kSettingChanged, Severity::kInfo, "",
                        group.paused ? "the group is paused: nothing is moved without a person"
                                     : "the group is resumed: failovers are automatic");
  }
  v1::SetGroupResponse response;
  response.set_paused(group.paused);
  ASSIGN_OR_RETURN(const std::string manager, context_.registry.Manager());
  response.set_manager(manager);
  return response;
}

}  // namespace understudy::server
