// SPDX-License-Identifier: Apache-2.0
// What a person sets for a database, a copy or the group, and Active Manager goes by.
#include <fmt/format.h>

#include "cluster/activation.h"
#include "server/admin.h"

namespace understudy::server {
namespace {

std::string ArchivedHow(base::Duration interval) {
  if (interval == base::Duration(0)) return "never";
  return fmt::format("every {} s", interval / std::chrono::seconds(1));
}

}  // namespace

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
  const uint64_t every_s = request.archive_interval_s();
  if (every_s != 0 &&
      (every_s < uint64_t(cluster::kArchiveIntervalMin / std::chrono::seconds(1)) ||
       every_s > uint64_t(cluster::kArchiveIntervalMax / std::chrono::seconds(1)))) {
    return base::InvalidArgument(
        fmt::format("archiving every {} s: allowed are 1 to {} s, and 0 for never", every_s,
                    cluster::kArchiveIntervalMax / std::chrono::seconds(1)));
  }
  const auto edit = [&](DatabaseRecord& record) -> base::Status {
    if (dial) record.dial = *dial;
    if (request.has_dismounted()) record.dismounted = request.dismounted();
    if (request.has_circular_logging()) record.circular_logging = request.circular_logging();
    if (request.has_archive_interval_s()) record.archive_interval = std::chrono::seconds(every_s);
    return {};
  };
  ASSIGN_OR_RETURN(const DatabaseRecord record,
                   context_.registry.UpdateDatabase(request.database(), edit));
  watch_->Nudge();
  context_.events.Add(
      EventNumber::kSettingChanged, Severity::kInfo, record.name,
      fmt::format("{}: dial {}{}, circular logging {}, archived {}", record.name,
                  cluster::MountDialName(record.dial),
                  record.dismounted ? ", to stay dismounted" : "",
                  record.circular_logging ? "on" : "off", ArchivedHow(record.archive_interval)));
  v1::SetDatabaseResponse response;
  response.set_dial(std::string(cluster::MountDialName(record.dial)));
  response.set_dismounted(record.dismounted);
  response.set_circular_logging(record.circular_logging);
  response.set_archive_interval_s(
      static_cast<uint64_t>(record.archive_interval / std::chrono::seconds(1)));
  return response;
}

base::Result<base::Duration> ReplayLagFrom(int64_t milliseconds) {
  constexpr int64_t kMax = cluster::kReplayLagMax / std::chrono::milliseconds(1);
  if (milliseconds >= 0 && milliseconds <= kMax) {
    return base::Duration(std::chrono::milliseconds(milliseconds));
  }
  return base::InvalidArgument(fmt::format("a lag of {} ms is asked for, allowed are 0 to {} ({})",
                                           milliseconds, kMax,
                                           cluster::LagText(cluster::kReplayLagMax)));
}

base::Result<v1::SetCopyResponse> Admin::SetCopy(const v1::SetCopyRequest& request) {
  const auto edit = [&](DatabaseRecord& record) -> base::Status {
    CopyRecord* const copy = record.FindCopy(request.server());
    if (copy == nullptr) {
      return base::NotFound(fmt::format("{} has no copy on {}", record.name, request.server()));
    }
    if (request.has_replay_lag_ms()) {
      ASSIGN_OR_RETURN(copy->replay_lag, ReplayLagFrom(request.replay_lag_ms()));
    }
    if (request.has_preference()) copy->preference = request.preference();
    if (request.has_activation_suspended()) {
      copy->activation_suspended = request.activation_suspended();
    }
    if (request.has_seed_bandwidth()) copy->seed_bandwidth = request.seed_bandwidth();
    if (request.has_seed_from()) {
      RETURN_IF_ERROR(CheckSeedFrom(record, request.server(), request.seed_from()));
      copy->seed_from = request.seed_from();
    }
    return {};
  };
  ASSIGN_OR_RETURN(const DatabaseRecord record,
                   context_.registry.UpdateDatabase(request.database(), edit));
  watch_->Nudge();
  const CopyRecord& copy = *record.FindCopy(request.server());
  context_.events.Add(
      EventNumber::kSettingChanged, Severity::kInfo, record.name,
      fmt::format(
          "copy of {} on {}: activation preference {}, activation {}, lag {}", record.name,
          copy.server, copy.preference, copy.activation_suspended ? "suspended" : "allowed",
          copy.replay_lag > base::Duration(0) ? cluster::LagText(copy.replay_lag) : "none") +
          (copy.seed_bandwidth == 0
               ? std::string()
               : fmt::format(", seeds at {} bytes a second", copy.seed_bandwidth)) +
          (copy.seed_from.empty() ? std::string() : ", seeds from " + copy.seed_from));
  v1::SetCopyResponse response;
  response.set_preference(copy.preference);
  response.set_replay_lag_ms(copy.replay_lag / std::chrono::milliseconds(1));
  response.set_activation_suspended(copy.activation_suspended);
  response.set_seed_bandwidth(copy.seed_bandwidth);
  response.set_seed_from(copy.seed_from);
  return response;
}

base::Result<v1::SetGroupResponse> Admin::SetGroup(const v1::SetGroupRequest& request) {
  const uint64_t every_s = request.rebalance_every_s();
  if (every_s != 0 && (every_s < uint64_t(cluster::kRebalanceEveryMin.count()) ||
                       every_s > uint64_t(cluster::kRebalanceEveryMax.count()))) {
    return base::InvalidArgument(
        fmt::format("rebalancing every {} s: allowed are {} to {} s, and 0 for never", every_s,
                    cluster::kRebalanceEveryMin.count(), cluster::kRebalanceEveryMax.count()));
  }
  ASSIGN_OR_RETURN(const cluster::GroupRecord before, context_.registry.Group());
  const auto edit = [&](cluster::GroupRecord& group) {
    if (request.has_paused()) group.paused = request.paused();
    if (request.has_failsafe()) group.failsafe = request.failsafe();
    if (request.has_rebalance_every_s()) group.rebalance_every = std::chrono::seconds(every_s);
  };
  ASSIGN_OR_RETURN(const cluster::GroupRecord group, context_.registry.UpdateGroup(edit));
  if (ToJson(group) != ToJson(before)) {
    context_.events.Add(
        EventNumber::kSettingChanged, Severity::kInfo, "",
        fmt::format(
            "the group: failovers {}, failsafe mode {}, rebalanced {}",
            group.paused ? "paused" : "automatic", group.failsafe ? "on" : "off",
            group.rebalance_every.count() == 0
                ? "by a person only"
                : fmt::format("every {} s", group.rebalance_every / std::chrono::seconds(1))));
  }
  v1::SetGroupResponse response;
  response.set_paused(group.paused);
  response.set_failsafe(group.failsafe);
  response.set_rebalance_every_s(
      static_cast<uint64_t>(group.rebalance_every / std::chrono::seconds(1)));
  ASSIGN_OR_RETURN(const std::string manager, context_.registry.Manager());
  response.set_manager(manager);
  return response;
}

}  // namespace understudy::server
