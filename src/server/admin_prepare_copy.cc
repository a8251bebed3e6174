// SPDX-License-Identifier: Apache-2.0
// A new copy whose pages come from a backup: it is restored to where the copy is going to be, and
// marked as half of a resync. When the copy is added it goes on from there, as after a crash in the
// middle of one: every page is compared with the active copy's, and what differs is fetched
// (docs/design/0016-sources-of-seeds.md).
#include <fmt/format.h>

#include "backup/executor.h"
#include "backup/restore.h"
#include "server/admin.h"
#include "server/backup_messages.h"
#include "server/disk_room.h"
#include "server/reseed_mark.h"

namespace understudy::server {

base::Status Admin::PrepareCopy(const v1::PrepareCopyRequest& request, const rpc::CallContext& call,
                                const Sender<v1::PrepareCopyResponse>& send) {
  if (request.server() != context_.server && !request.forwarded()) {
    RETURN_IF_ERROR(context_.registry.FindServer(request.server()).status());
    ASSIGN_OR_RETURN(const std::unique_ptr<rpc::AdminClient> client, Dial(request.server()));
    v1::PrepareCopyRequest forward = request;
    forward.set_forwarded(true);
    return client->PrepareCopy(
        forward, [&](const v1::PrepareCopyResponse& response) { return send(response); });
  }
  v1::PrepareCopyResponse response;
  ASSIGN_OR_RETURN(
      *response.mutable_result(),
      PrepareCopyHere(request, SendProgress<v1::PrepareCopyResponse>(context_.env, call, send)));
  send(response);  // a client that left needs no answer
  return {};
}

base::Result<v1::Backup> Admin::PrepareCopyHere(const v1::PrepareCopyRequest& request,
                                                const base::ProgressSink& progress) {
  ASSIGN_OR_RETURN(const cluster::DatabaseRecord record,
                   context_.registry.FindDatabase(request.database()));
  if (record.FindCopy(context_.server) != nullptr) {
    return base::AlreadyExists(
        fmt::format("{} has a copy on {} already", record.name, context_.server));
  }
  ASSIGN_OR_RETURN(const std::string location, RepositoryPath(request.repository()));
  ASSIGN_OR_RETURN(const auto repository, backup::Repository::Open(context_.env, location));
  ASSIGN_OR_RETURN(const backup::BackupDocument newest, repository->NewestGood(record.name));
  if (newest.database != record.id) {
    return base::InvalidArgument(
        fmt::format("the backups of {} in {} are of another database of that name", record.name,
                    repository->name()));
  }
  const std::string path = request.path().empty()
                               ? CopyHost::DefaultPath(host_.data_dir(), record.name, record.file)
                               : request.path();
  ASSIGN_OR_RETURN(const RestoreTurns::Turn turn,
                   restores_.Take(context_.env, host_.data_dir(), record.name));
  RETURN_IF_ERROR(ClaimCopyDirectory(context_.env, host_.data_dir(), record.name, record.id));
  RETURN_IF_ERROR(context_.env.MakeDirectories(env::DirectoryOf(path)));
  RETURN_IF_ERROR(CheckRoom(context_.env, env::DirectoryOf(path),
                            uint64_t{newest.page_size} * newest.pages,
                            "the copy is made in " + env::DirectoryOf(path)));
  // First: a database of ours without the mark would be somebody else's. The mark without a
  // database says that all pages are to be fetched.
  ReseedMark mark;
  mark.stage = ReseedMark::Stage::kSeed;
  mark.why = fmt::format("its pages are those of backup {}", newest.id);
  RETURN_IF_ERROR(
      SaveReseedMark(context_.env, PathsOf(host_.data_dir(), record.name).directory, mark));
  backup::ThreadExecutor executor;
  RETURN_IF_ERROR(
      backup::Restore(
          context_.env, executor, *repository,
          {.database = record.name, .backup = newest.id, .output = path, .progress = progress})
          .status());
  return ToProto(newest, repository->name());
}

}  // namespace understudy::server
