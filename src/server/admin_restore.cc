// SPDX-License-Identifier: Apache-2.0
// Restore in place: the active copy gets the content of a backup, with one commit, which goes to
// the passive copies as any other does (docs/design/0014-restore.md).
//
//   asked server --> active copy's server --> server whose disk has the repository (`fetch`)
//
// The backup's chain is read, checked and made a file there; the file is sent, with a checksum, and
// read back; only then the active copy is touched. Files: restore_turns.h.
#include <fmt/format.h>

#include "backup/restore.h"
#include "backup/wanted_backup.h"
#include "rpc/received_file.h"
#include "server/admin.h"
#include "server/backup_messages.h"
#include "server/disk_room.h"
#include "server/lost_view.h"

namespace understudy::server {
namespace {

uint64_t BytesOf(const v1::Backup& backup) { return uint64_t{backup.page_size()} * backup.pages(); }

// Nothing was changed yet, wherever it is asked.
base::Status CheckRoomFor(env::Env& env, const std::string& path, const v1::Backup& backup,
                          const char* what) {
  const std::string directory = env::DirectoryOf(path);
  return CheckRoom(env, directory, BytesOf(backup), fmt::format("{} {}", what, directory))
      .WithContext("nothing was changed");
}

backup::WantedBackup WantedBy(const v1::RestoreInPlaceRequest& request) {
  backup::WantedBackup wanted;
  wanted.id = request.backup();
  if (request.at_ms() > 0) wanted.time = base::WallTime{request.at_ms()};
  if (request.seq() > 0) wanted.seq = base::Seq(request.seq());
  return wanted;
}

}  // namespace

base::Status Admin::RestoreInPlace(const v1::RestoreInPlaceRequest& request,
                                   const rpc::CallContext& call,
                                   const Sender<v1::RestoreInPlaceResponse>& send) {
  ASSIGN_OR_RETURN(const cluster::DatabaseRecord record,
                   context_.registry.FindDatabase(request.database()));
  if (request.fetch()) return SendRestored(request, record, call, send);
  v1::RestoreInPlaceRequest resolved = request;
  if (request.from().empty()) resolved.set_from(context_.server);
  RETURN_IF_ERROR(context_.registry.FindServer(resolved.from()).status());
  if (record.active == context_.server) return RestoreHere(resolved, record, call, send);
  if (request.forwarded()) {
    return base::Unavailable(fmt::format("the active copy of {} has just moved to {}: try again",
                                         record.name, record.active));
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<rpc::AdminClient> client, Dial(record.active));
  resolved.set_forwarded(true);
  return client->RestoreInPlace(
      resolved, [&](const v1::RestoreInPlaceResponse& response) { return send(response); });
}

base::Status Admin::RestoreHere(const v1::RestoreInPlaceRequest& request,
                                const cluster::DatabaseRecord& record, const rpc::CallContext& call,
                                const Sender<v1::RestoreInPlaceResponse>& send) {
  const std::shared_ptr<ActiveCopy> copy = host_.FindActive(record.id);
  if (copy == nullptr || !copy->IsMountedNow()) {
    return base::Unavailable(
        fmt::format("the active copy of {} on {} is not mounted", record.name, context_.server));
  }
  ASSIGN_OR_RETURN(const RestoreTurns::Turn turn,
                   restores_.Take(context_.env, host_.data_dir(), record.name));
  v1::Backup backup;
  const auto relay = [&](const v1::RestoreInPlaceResponse& response) {
    if (!response.has_plan()) return send(response);
    backup = response.plan().backup();
    v1::RestoreInPlaceResponse completed = response;
    v1::RestorePlan* const plan = completed.mutable_plan();
    plan->set_active(context_.server);
    *plan->mutable_now() = copy->Status().copied();
    return send(completed);
  };
  RETURN_IF_ERROR(request.from() == context_.server
                      ? MakeRestored(request, record, turn.path(), call, relay)
                      : FetchRestored(request, turn.path(), call, relay));
  if (request.dry_run()) return {};
  RETURN_IF_ERROR(CheckRoomFor(context_.env, copy->path(), backup,
                               "its content goes through the active copy's WAL in"));
  if (call.cancelled()) return base::Cancelled("the client went away; nothing was replaced");
  NewContent content;
  content.path = turn.path();
  content.position = base::Seq(backup.position().seq());
  content.kept_to = std::max(base::Seq(request.kept_to()), content.position);
  content.what = fmt::format("that of backup {} ({}.{})", backup.id(), backup.position().term(),
                             backup.position().seq());
  content.kept_in = "a backup";
  v1::RestoreInPlaceResponse response;
  ASSIGN_OR_RETURN(*response.mutable_replaced(), ReplaceFrom(*copy, content));
  send(response);  // a client that left needs no answer
  return {};
}

// The file comes from the server whose disk has the repository.
base::Status Admin::FetchRestored(const v1::RestoreInPlaceRequest& request, const std::string& path,
                                  const rpc::CallContext& call,
                                  const Sender<v1::RestoreInPlaceResponse>& send) {
  ASSIGN_OR_RETURN(const std::unique_ptr<rpc::AdminClient> client, Dial(request.from()));
  v1::RestoreInPlaceRequest fetch = request;
  fetch.set_fetch(true);
  rpc::ReceivedFile file(context_.env, path, /*force=*/true);
  base::Status failure;
  const base::Status received =
      client->RestoreInPlace(fetch, [&](const v1::RestoreInPlaceResponse& message) {
        if (message.has_plan() && !request.dry_run()) {
          failure =
              CheckRoom(context_.env, env::DirectoryOf(path), BytesOf(message.plan().backup()),
                        "fetching the database of the backup");
        }
        if (message.has_chunk()) failure = file.Take(message.chunk());
        if (message.has_end()) failure = file.End(message.end());
        const bool ours = message.has_chunk() || message.has_end();
        return failure.ok() && !call.cancelled() && (ours || send(message));
      });
  RETURN_IF_ERROR(failure);
  RETURN_IF_ERROR(received);
  return request.dry_run() ? base::Status() : file.Finish();
}

base::Status Admin::MakeRestored(const v1::RestoreInPlaceRequest& request,
                                 const cluster::DatabaseRecord& record, const std::string& path,
                                 const rpc::CallContext& call,
                                 const Sender<v1::RestoreInPlaceResponse>& send) {
  ASSIGN_OR_RETURN(const std::string where, RepositoryPath(request.repository()));
  ASSIGN_OR_RETURN(const std::unique_ptr<backup::Repository> repository,
                   backup::Repository::Open(context_.env, where));
  ASSIGN_OR_RETURN(const backup::ChosenBackup chosen,
                   backup::ChooseBackup(*repository, record.name, WantedBy(request)));
  const backup::BackupDocument& document = chosen.document;
  if (document.database != record.id && !request.force()) {
    return base::InvalidArgument(fmt::format(
        "backup {} is one of another database that was called {}: its id is {}, not {}\n--force "
        "restores it all the same",
        document.id, record.name, document.database.ToHex(), record.id.ToHex()));
  }
  v1::RestoreInPlaceResponse response;
  *response.mutable_plan()->mutable_backup() = ToProto(document, where);
  response.mutable_plan()->set_from(context_.server);
  if (chosen.next) *response.mutable_plan()->mutable_next() = ToProto(*chosen.next, where);
  if (!send(response)) return base::Cancelled("the client went away");
  if (request.dry_run()) return {};
  RETURN_IF_ERROR(CheckRoomFor(context_.env, path, response.plan().backup(),
                               "the database of the backup is made in"));
  backup::RestoreOptions options{
      .database = record.name, .backup = document.id, .output = path, .force = true};
  options.progress = SendProgress<v1::RestoreInPlaceResponse>(context_.env, call, send);
  backup::ThreadExecutor executor;
  return backup::Restore(context_.env, executor, *repository, options).status();
}

base::Status Admin::SendRestored(const v1::RestoreInPlaceRequest& request,
                                 const cluster::DatabaseRecord& record,
                                 const rpc::CallContext& call,
                                 const Sender<v1::RestoreInPlaceResponse>& send) {
  ASSIGN_OR_RETURN(const RestoreTurns::Turn turn,
                   restores_.Take(context_.env, host_.data_dir(), record.name));
  RETURN_IF_ERROR(MakeRestored(request, record, turn.path(), call, send));
  if (request.dry_run()) return {};
  ASSIGN_OR_RETURN(const env::FileStat about, context_.env.Stat(turn.path()));
  v1::RestoreInPlaceResponse response;
  const auto send_chunk = [&](v1::ExportLostChunk&& chunk) {
    *response.mutable_chunk() = std::move(chunk);
    return !call.cancelled() && send(response);
  };
  ASSIGN_OR_RETURN(*response.mutable_end(),
                   SendFile(context_.env, turn.path(), about.size, send_chunk));
  return send(response) ? base::Status() : base::Cancelled("the client went away");
}

}  // namespace understudy::server
