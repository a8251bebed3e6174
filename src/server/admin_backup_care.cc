// SPDX-License-Identifier: Apache-2.0
// What is done to stored backups: pruning, keep marks, restore drills.
#include <fmt/format.h>

#include "backup/executor.h"
#include "backup/repository.h"
#include "cluster/backup_plans.h"
#include "server/admin.h"
#include "server/backup_messages.h"
#include "server/disk_room.h"

namespace understudy::server {
namespace {

using cluster::EventNumber;
using cluster::Severity;

// Those of the repository that has this location; none: 0 and 0.
backup::PruneRules RulesOf(const cluster::PlansView& plans, const std::string& location) {
  for (const cluster::RepositoryRecord& record : plans.repositories) {
    if (record.FullLocation() != location) continue;
    return {.keep_full = record.keep_full, .keep_days = record.keep_days};
  }
  return {};
}

std::string Words(const backup::PruneRules& rules) {
  if (rules.keep_days == 0) return fmt::format("the newest {} full ones stay", rules.keep_full);
  if (rules.keep_full == 0) return fmt::format("those of {} days stay", rules.keep_days);
  return fmt::format("the newest {} full ones and those of {} days stay", rules.keep_full,
                     rules.keep_days);
}

void TellDrill(const ServerContext& context, const backup::DrillRecord& drill) {
  if (drill.good) {
    context.events.Add(
        EventNumber::kDrillGood, Severity::kInfo, drill.database,
        fmt::format("backup {} of {} was restored on trial on {} in {} ms: SQLite finds it whole",
                    drill.backup, drill.database, drill.server, drill.duration_ms));
    return;
  }
  context.events.Add(EventNumber::kDrillFailed, Severity::kError, drill.database,
                     fmt::format("backup {} of {} could not be restored on trial on {}: {}",
                                 drill.backup, drill.database, drill.server, drill.message));
}

}  // namespace

base::Result<std::vector<backup::PruneDecision>> Admin::Prune(const std::string& repository,
                                                              const std::string& database,
                                                              const backup::PruneOptions& options) {
  RETURN_IF_ERROR(base::CheckName("database name", database));
  ASSIGN_OR_RETURN(const std::string location, RepositoryPath(repository));
  backup::PruneOptions with_rules = options;
  backup::PruneRules& rules = with_rules.rules;
  if (rules.keep_full == 0 && rules.keep_days == 0) {
    ASSIGN_OR_RETURN(const cluster::PlansView plans, KnownGroup(context_, cache_).Plans());
    rules = RulesOf(plans, location);
    if (rules.keep_full == 0 && rules.keep_days == 0) {
      return base::InvalidArgument(
          "nothing says what is to stay\ngive --keep-full or --keep-days, or set them for the "
          "repository: understudy repository set NAME --keep-days 30");
    }
  }
  ASSIGN_OR_RETURN(const auto opened, backup::Repository::Open(context_.env, location));
  opened->SetHostLocks(HostLocks());
  ASSIGN_OR_RETURN(std::vector<backup::PruneDecision> plan,
                   backup::Prune(*opened, database, with_rules));
  const auto gone = std::count_if(plan.begin(), plan.end(), [](const auto& d) { return !d.keep; });
  if (!options.dry_run && gone > 0) {
    context_.events.Add(EventNumber::kBackupsPruned, Severity::kInfo, database,
                        fmt::format("{} of {} backups of {} were removed from {}: {}", gone,
                                    plan.size(), database, opened->name(), Words(rules)));
  }
  return plan;
}

base::Result<v1::PruneBackupsResponse> Admin::PruneBackups(const v1::PruneBackupsRequest& request) {
  const backup::PruneOptions options{
      .rules = {.keep_full = request.keep_full(), .keep_days = request.keep_days()},
      .dry_run = request.dry_run()};
  ASSIGN_OR_RETURN(const std::vector<backup::PruneDecision> plan,
                   Prune(request.repository(), request.database(), options));
  v1::PruneBackupsResponse response;
  for (const backup::PruneDecision& decision : plan) {
    v1::PruneBackupsResponse::Decision* const to = response.add_decisions();
    *to->mutable_backup() = ToProto(decision.document, request.repository());
    to->set_keep(decision.keep);
    to->set_why(decision.why);
  }
  return response;
}

base::Result<v1::KeepBackupResponse> Admin::KeepBackup(const v1::KeepBackupRequest& request) {
  RETURN_IF_ERROR(base::CheckName("database name", request.database()));
  if (!backup::IsBackupId(request.id())) {
    return base::InvalidArgument(fmt::format("\"{}\" is not the id of a backup", request.id()));
  }
  ASSIGN_OR_RETURN(const std::string location, RepositoryPath(request.repository()));
  ASSIGN_OR_RETURN(const auto repository, backup::Repository::Open(context_.env, location));
  repository->SetHostLocks(HostLocks());
  RETURN_IF_ERROR(repository->SetKeep(request.database(), request.id(), request.keep()));
  return v1::KeepBackupResponse();
}

base::Result<backup::DrillRecord> Admin::Drill(const std::string& repository,
                                               const std::string& database, const std::string& id,
                                               const base::ProgressSink& progress) {
  RETURN_IF_ERROR(base::CheckName("database name", database));
  ASSIGN_OR_RETURN(const std::string location, RepositoryPath(repository));
  ASSIGN_OR_RETURN(const auto opened, backup::Repository::Open(context_.env, location));
  backup::DrillOptions options{.database = database, .backup = id, .server = context_.server};
  options.progress = progress;
  base::Result<backup::BackupDocument> document =
      id.empty() ? opened->NewestGood(database) : opened->Find(database, id);
  RETURN_IF_ERROR(document.status());
  ASSIGN_OR_RETURN(const RestoreTurns::Turn turn,
                   restores_.Take(context_.env, host_.data_dir(), database));
  options.backup = document->id;
  options.scratch = turn.path();
  const std::string directory = env::DirectoryOf(turn.path());
  RETURN_IF_ERROR(CheckRoom(context_.env, directory,
                            uint64_t{document->page_size} * document->pages,
                            "the backup is restored on trial in " + directory));
  backup::ThreadExecutor executor;
  ASSIGN_OR_RETURN(backup::DrillRecord record,
                   backup::Drill(context_.env, executor, *opened, options));
  TellDrill(context_, record);
  return record;
}

base::Status Admin::DrillBackup(const v1::DrillBackupRequest& request, const rpc::CallContext& call,
                                const Sender<v1::DrillBackupResponse>& send) {
  ASSIGN_OR_RETURN(const backup::DrillRecord record,
                   Drill(request.repository(), request.database(), request.id(),
                         SendProgress<v1::DrillBackupResponse>(context_.env, call, send)));
  v1::DrillBackupResponse response;
  *response.mutable_result() = ToProto(record);
  send(response);  // a client that left needs no answer
  return {};
}

}  // namespace understudy::server
