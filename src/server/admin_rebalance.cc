// SPDX-License-Identifier: Apache-2.0
// Active copies go where their activation preference says; what is promised to servers that do not
// reach the coordinator.
#include <fmt/format.h>

#include "cluster/rebalance.h"
#include "server/admin.h"
#include "server/failsafe.h"

namespace understudy::server {

using cluster::DatabaseRecord;

base::Result<v1::RebalanceResponse> Admin::Rebalance(const v1::RebalanceRequest& request) {
  return MoveToPreferred(request.database(), request.dry_run(), /*by_person=*/true);
}

// One after the other, each judged just before it is moved.
base::Result<v1::RebalanceResponse> Admin::MoveToPreferred(const std::string& only, bool dry_run,
                                                           bool by_person) {
  if (!only.empty()) RETURN_IF_ERROR(context_.registry.FindDatabase(only).status());
  ASSIGN_OR_RETURN(const std::vector<DatabaseRecord> databases, context_.registry.Databases());
  v1::RebalanceResponse response;
  for (const DatabaseRecord& database : databases) {
    if (!only.empty() && database.name != only) continue;
    if (const auto preferred = cluster::PreferredServer(database);
        preferred.empty() || preferred == database.active) {
      continue;
    }
    ASSIGN_OR_RETURN(const GroupView group, ReadGroup(context_));
    cluster::DatabaseView view = ViewOf(group, database);
    AskServers(context_, host_, {&view});
    const std::optional<cluster::PreferenceMove> move =
        cluster::JudgePreference(view, context_.env.WallNow(), by_person);
    if (!move) continue;
    v1::RebalanceResponse::Move* const to = response.add_moves();
    to->set_database(move->database);
    to->set_from(move->from);
    to->set_to(move->to);
    to->set_verdict(move->verdict);
    if (!move->allowed || dry_run) continue;
    v1::SwitchoverRequest switchover;
    switchover.set_database(move->database);
    switchover.set_target(move->to);
    switchover.set_reason("preference");
    const base::Result<v1::SwitchoverResponse> moved = Switchover(switchover);
    to->set_done(moved.ok());
    to->set_failed(!moved.ok());
    if (!moved.ok()) to->set_verdict(moved.status().message());
  }
  return response;
}

base::Result<v1::ConfirmResponse> Admin::Confirm(const v1::ConfirmRequest& request) {
  return AnswerConfirm(context_, host_, watch_->cache(), request);
}

}  // namespace understudy::server
