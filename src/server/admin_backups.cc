// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "backup/repository.h"
#include "backup/verify.h"
#include "rpc/protocol.h"
#include "server/admin.h"
#include "server/backup_messages.h"

namespace understudy::server {
namespace {

constexpr int64_t kWaitMsMax = 7 * 86'400'000;

base::Result<backup::BackupType> TypeToTake(const std::string& asked) {
  if (asked.empty()) return backup::BackupType::kFull;
  const auto type = backup::BackupTypeFromName(asked);
  if (type == backup::BackupType::kFull || type == backup::BackupType::kCopy ||
      type == backup::BackupType::kIncremental || type == backup::BackupType::kDifferential) {
    return *type;
  }
  return base::InvalidArgument(fmt::format(
      "\"{}\" is no type of backup; use full, copy, incremental or differential", asked));
}

base::Result<backup::BackupDocument> FindBackup(const backup::Repository& repository,
                                                const std::string& database,
                                                const std::string& id) {
  RETURN_IF_ERROR(base::CheckName("database name", database));
  if (id.empty()) return repository.NewestGood(database);
  if (!backup::IsBackupId(id)) {
    return base::InvalidArgument(fmt::format("\"{}\" is not the id of a backup", id));
  }
  return repository.Find(database, id);
}

}  // namespace

base::Status Admin::RunBackup(const v1::RunBackupRequest& request, const rpc::CallContext& call,
                              const Sender<v1::RunBackupResponse>& send) {
  ASSIGN_OR_RETURN(const std::string repository, RepositoryPath(request.repository()));
  v1::RunBackupRequest resolved = request;
  resolved.set_repository(repository);
  if (request.forwarded()) return RunBackupHere(resolved, call, send);
  ASSIGN_OR_RETURN(const ChosenSource chosen,
                   ChooseBackupSource(request.database(), request.from()));
  if (chosen.server == context_.server) return RunBackupHere(resolved, call, send);
  if (!request.here()) return ForwardBackup(chosen.server, resolved, call, send);
  v1::RunBackupResponse response;
  response.set_server(chosen.server);
  response.set_not_here(chosen.why);
  send(response);  // a client that left needs no answer
  return {};
}

base::Status Admin::RunBackupHere(const v1::RunBackupRequest& request, const rpc::CallContext& call,
                                  const Sender<v1::RunBackupResponse>& send) {
  BackupSession::Options options;
  options.database = request.database();
  options.repository = request.repository();
  options.requester = "backup run";
  ASSIGN_OR_RETURN(options.type, TypeToTake(request.type()));
  options.or_full = request.or_full();
  options.wait = std::chrono::milliseconds(std::clamp<int64_t>(request.wait_ms(), 0, kWaitMsMax));
  options.within =
      std::chrono::milliseconds(std::clamp<int64_t>(request.within_ms(), 0, kWaitMsMax));
  ASSIGN_OR_RETURN(const std::shared_ptr<BackupSession> session,
                   backups_.Begin(std::move(options)));
  BackupSession::View view;
  do {
    view = session->WaitChange(view.change, kProgressInterval);
    if (call.cancelled()) {
      return base::Cancelled("the client went away; the backup goes on");
    }
    v1::RunBackupResponse response;
    response.set_server(context_.server);
    response.set_session(session->options().id);
    if (view.prediction) *response.mutable_prediction() = ToProto(*view.prediction);
    if (!view.ended) {
      FillProgress(view.progress, response.mutable_progress());
      if (!view.waiting_for.empty()) {
        response.mutable_progress()->set_phase("waiting for " + view.waiting_for);
      }
    } else if (view.status.ok()) {
      *response.mutable_result() = ToProto(view.document, request.repository());
      response.mutable_result()->set_note(view.note);
    } else {
      return view.status;
    }
    if (!send(response)) return base::Cancelled("the client went away; the backup goes on");
  } while (!view.ended);
  return {};
}

base::Result<v1::ListBackupsResponse> Admin::ListBackups(const v1::ListBackupsRequest& request) {
  ASSIGN_OR_RETURN(const std::string path, RepositoryPath(request.repository()));
  ASSIGN_OR_RETURN(const std::unique_ptr<backup::Repository> repository,
                   backup::Repository::Open(context_.env, path));
  std::vector<std::string> databases = {request.database()};
  if (request.database().empty()) {
    ASSIGN_OR_RETURN(databases, repository->Databases());
  } else {
    RETURN_IF_ERROR(base::CheckName("database name", request.database()));
  }
  v1::ListBackupsResponse response;
  for (const std::string& database : databases) {
    ASSIGN_OR_RETURN(const backup::BackupList list, repository->List(database));
    for (const backup::BackupDocument& document : list.backups) {
      v1::Backup* to = response.add_backups();
      *to = ToProto(document, path);
      to->set_kept(list.kept.contains(document.id));
    }
    ASSIGN_OR_RETURN(const std::vector<backup::DrillRecord> drills,
                     backup::ListDrills(*repository, database));
    for (const backup::DrillRecord& drill : drills) *response.add_drills() = ToProto(drill);
    for (const backup::UnreadableDocument& unreadable : list.unreadable) {
      v1::Backup* to = response.add_backups();
      to->set_id(env::BaseNameOf(unreadable.path));
      to->set_database(database);
      to->set_state("Unreadable");
      to->set_repository(path);
    }
  }
  return response;
}

base::Result<v1::ShowBackupResponse> Admin::ShowBackup(const v1::ShowBackupRequest& request) {
  ASSIGN_OR_RETURN(const std::string path, RepositoryPath(request.repository()));
  ASSIGN_OR_RETURN(const std::unique_ptr<backup::Repository> repository,
                   backup::Repository::Open(context_.env, path));
  ASSIGN_OR_RETURN(const backup::BackupDocument document,
                   FindBackup(*repository, request.database(), request.id()));
  v1::ShowBackupResponse response;
  *response.mutable_backup() = ToProto(document, path);
  response.mutable_backup()->set_document(backup::ToJson(document));
  return response;
}

base::Status Admin::VerifyBackup(const v1::VerifyBackupRequest& request,
                                 const rpc::CallContext& call,
                                 const Sender<v1::VerifyBackupResponse>& send) {
  ASSIGN_OR_RETURN(const std::string path, RepositoryPath(request.repository()));
  ASSIGN_OR_RETURN(const std::unique_ptr<backup::Repository> repository,
                   backup::Repository::Open(context_.env, path));
  repository->SetHostLocks(HostLocks());
  ASSIGN_OR_RETURN(const backup::BackupDocument document,
                   FindBackup(*repository, request.database(), request.id()));
  backup::VerifyOptions options;
  options.progress = SendProgress<v1::VerifyBackupResponse>(context_.env, call, send);
  backup::ThreadExecutor executor;
  const backup::VerifyResult result = backup::VerifyBackup(
      context_.env, executor, *repository, request.database(), document.id, options);
  RETURN_IF_ERROR(result.status);
  v1::VerifyBackupResponse response;
  *response.mutable_result() = ToProto(result.document, path);
  send(response);  // a client that left needs no answer
  return {};
}

}  // namespace understudy::server
