// SPDX-License-Identifier: Apache-2.0
// Recovery databases: made from a backup beside the live database, compared with it, removed
// (docs/design/0036-recovery-databases.md).
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "backup/restore.h"
#include "backup/wanted_backup.h"
#include "base/first_line.h"
#include "base/mutex.h"
#include "server/admin.h"
#include "server/ask_peers.h"
#include "server/backup_messages.h"
#include "server/disk_room.h"
#include "server/lost_view.h"
#include "server/recoveries.h"

namespace understudy::server {
namespace {

using cluster::EventNumber;
using cluster::Severity;

constexpr uint32_t kRowsMax = 1000;
constexpr base::Duration kDiffLimit = std::chrono::seconds(40);

v1::Recovery ToProto(const Recovery& recovery, const std::string& server,
                     const std::string& data_dir) {
  v1::Recovery to;
  to.set_name(recovery.name);
  to.set_server(server);
  to.set_database(recovery.database);
  to.set_database_id(recovery.database_id.ToHex());
  to.set_backup(recovery.backup);
  to.mutable_position()->set_term(recovery.position.term.value);
  to.mutable_position()->set_seq(recovery.position.seq.value);
  to.set_commit_ms(recovery.commit_time.unix_ms);
  to.set_path(RecoveryPath(data_dir, recovery.name));
  to.set_bytes(recovery.bytes);
  to.set_created_ms(recovery.created.unix_ms);
  return to;
}

backup::WantedBackup WantedBy(const v1::CreateRecoveryRequest& request) {
  backup::WantedBackup wanted{.id = request.backup()};
  if (request.at_ms() > 0) wanted.time = base::WallTime{request.at_ms()};
  if (request.seq() > 0) wanted.seq = base::Seq(request.seq());
  return wanted;
}

}  // namespace

base::Status Admin::CreateRecovery(const v1::CreateRecoveryRequest& request,
                                   const rpc::CallContext& call,
                                   const Sender<v1::CreateRecoveryResponse>& send) {
  if (!request.server().empty() && request.server() != context_.server && !request.forwarded()) {
    RETURN_IF_ERROR(context_.registry.FindServer(request.server()).status());
    ASSIGN_OR_RETURN(const std::unique_ptr<rpc::AdminClient> client, Dial(request.server()));
    v1::CreateRecoveryRequest forward = request;
    forward.set_forwarded(true);
    return client->CreateRecovery(
        forward, [&](const v1::CreateRecoveryResponse& response) { return send(response); });
  }
  v1::CreateRecoveryResponse response;
  ASSIGN_OR_RETURN(*response.mutable_result(),
                   CreateRecoveryHere(request, SendProgress<v1::CreateRecoveryResponse>(
                                                   context_.env, call, send)));
  send(response);  // a client that left needs no answer
  return {};
}

base::Result<v1::Recovery> Admin::CreateRecoveryHere(const v1::CreateRecoveryRequest& request,
                                                     const base::ProgressSink& progress) {
  RETURN_IF_ERROR(base::CheckName("database name", request.database()));
  ASSIGN_OR_RETURN(const std::string location, RepositoryPath(request.repository()));
  ASSIGN_OR_RETURN(const auto repository, backup::Repository::Open(context_.env, location));
  ASSIGN_OR_RETURN(const backup::ChosenBackup chosen,
                   backup::ChooseBackup(*repository, request.database(), WantedBy(request)));
  const backup::BackupDocument& document = chosen.document;
  const std::string name = request.name().empty() ? request.database() : request.name();
  // One at a time of a name; its own scratch file is not used.
  ASSIGN_OR_RETURN(const RestoreTurns::Turn turn,
                   restores_.Take(context_.env, host_.data_dir(), "recovery-" + name));
  RETURN_IF_ERROR(PrepareRecovery(context_.env, host_.data_dir(), name));
  Recovery recovery{.name = name,
                    .database = request.database(),
                    .database_id = document.database,
                    .backup = document.id,
                    .position = document.position,
                    .commit_time = document.commit_time,
                    .created = context_.env.WallNow(),
                    .bytes = uint64_t{document.page_size} * document.pages};
  const std::string path = RecoveryPath(host_.data_dir(), name);
  base::Status made = CheckRoom(context_.env, env::DirectoryOf(path), recovery.bytes,
                                "the recovery database is made in " + env::DirectoryOf(path));
  if (made.ok()) {
    backup::ThreadExecutor executor;
    made = backup::Restore(context_.env, executor, *repository,
                           {.database = request.database(),
                            .backup = document.id,
                            .output = path,
                            .progress = progress})
               .status();
  }
  if (made.ok()) made = FinishRecovery(context_.env, host_.data_dir(), recovery);
  if (!made.ok()) {
    // What cannot be removed now is removed when the daemon starts.
    server::RemoveRecovery(context_.env, host_.data_dir(), name).IgnoreError();
    return made;
  }
  context_.events.Add(EventNumber::kRecoveryCreated, Severity::kInfo, request.database(),
                      fmt::format("recovery database {} on {} has what {} was at {}: backup {}",
                                  name, context_.server, request.database(),
                                  base::ToString(document.position), document.id));
  return ToProto(recovery, context_.server, host_.data_dir());
}

base::Result<v1::ListRecoveriesResponse> Admin::ListRecoveries(
    const v1::ListRecoveriesRequest& request) {
  v1::ListRecoveriesResponse response;
  ASSIGN_OR_RETURN(const std::vector<Recovery> here,
                   server::ListRecoveries(context_.env, host_.data_dir()));
  for (const Recovery& recovery : here) {
    *response.add_recoveries() = ToProto(recovery, context_.server, host_.data_dir());
  }
  if (request.local()) return response;
  ASSIGN_OR_RETURN(const std::vector<cluster::ServerRecord> servers,
                   KnownGroup(context_, cache_).Servers());
  std::set<std::string> others;
  for (const cluster::ServerRecord& server : servers) {
    if (server.name != context_.server) others.insert(server.name);
  }
  v1::ListRecoveriesRequest ask;
  ask.set_local(true);
  base::Mutex mutex;  // guards `response`
  AskPeers(others, [&](const std::string& server) {
    const auto client = Dial(server);
    base::Result<v1::ListRecoveriesResponse> answer =
        client.status().ok() ? (*client)->ListRecoveries(ask, kPeerAnswerLimit)
                             : base::Result<v1::ListRecoveriesResponse>(client.status());
    base::MutexLock lock(mutex);
    if (answer.ok()) {
      response.mutable_recoveries()->MergeFrom(answer->recoveries());
      return;
    }
    v1::SilentServer* const silent = response.add_silent();
    silent->set_server(server);
    silent->set_why(base::FirstLine(answer.status().message()));
  });
  return response;
}

base::Result<v1::Recovery> Admin::FindRecovery(const std::string& name, const std::string& server) {
  ASSIGN_OR_RETURN(const v1::ListRecoveriesResponse all, ListRecoveries({}));
  std::vector<std::string> known;
  const v1::Recovery* found = nullptr;
  for (const v1::Recovery& recovery : all.recoveries()) {
    known.push_back(fmt::format("{} on {}", recovery.name(), recovery.server()));
    if (recovery.name() != name || (!server.empty() && recovery.server() != server)) continue;
    if (found != nullptr) {
      return base::InvalidArgument(
          fmt::format("{} and {} have a recovery database {}\nsay which is meant with --on",
                      found->server(), recovery.server(), name));
    }
    found = &recovery;
  }
  if (found != nullptr) return *found;
  std::string silent;
  for (const v1::SilentServer& each : all.silent()) {
    silent += fmt::format("; {} does not answer and may have it", each.server());
  }
  return base::NotFound(fmt::format(
      "there is no recovery database {}{}\n{}", name, silent,
      known.empty() ? "there is none" : fmt::format("known are {}", fmt::join(known, ", "))));
}

base::Result<v1::DiffRecoveryResponse> Admin::DiffRecovery(const v1::DiffRecoveryRequest& request) {
  ASSIGN_OR_RETURN(const v1::Recovery recovery, FindRecovery(request.name(), request.server()));
  if (recovery.server() != context_.server) {
    ASSIGN_OR_RETURN(const std::unique_ptr<rpc::AdminClient> client, Dial(recovery.server()));
    v1::DiffRecoveryRequest forward = request;
    forward.set_server(recovery.server());
    return client->DiffRecovery(forward, kDiffLimit);
  }
  ASSIGN_OR_RETURN(const base::DatabaseId id, base::DatabaseId::FromHex(recovery.database_id()));
  v1::DiffRecoveryResponse response;
  *response.mutable_recovery() = recovery;
  ASSIGN_OR_RETURN(
      const std::vector<sqlite::TableDifference> tables,
      CompareWithCopyOf(recovery.database(), id, recovery.path(),
                        std::min(request.rows(), kRowsMax), *response.mutable_copy_at()));
  FillDifferences(tables, *response.mutable_tables());
  return response;
}

base::Result<v1::RemoveRecoveryResponse> Admin::RemoveRecovery(
    const v1::RemoveRecoveryRequest& request) {
  ASSIGN_OR_RETURN(const v1::Recovery recovery, FindRecovery(request.name(), request.server()));
  if (recovery.server() != context_.server) {
    ASSIGN_OR_RETURN(const std::unique_ptr<rpc::AdminClient> client, Dial(recovery.server()));
    v1::RemoveRecoveryRequest forward = request;
    forward.set_server(recovery.server());
    return client->RemoveRecovery(forward);
  }
  ASSIGN_OR_RETURN(const RestoreTurns::Turn turn,
                   restores_.Take(context_.env, host_.data_dir(), "recovery-" + recovery.name()));
  RETURN_IF_ERROR(server::RemoveRecovery(context_.env, host_.data_dir(), recovery.name()));
  context_.events.Add(
      EventNumber::kRecoveryRemoved, Severity::kInfo, recovery.database(),
      fmt::format("recovery database {} on {} is removed", recovery.name(), context_.server));
  v1::RemoveRecoveryResponse response;
  *response.mutable_removed() = recovery;
  return response;
}

}  // namespace understudy::server
