// SPDX-License-Identifier: Apache-2.0
// A backup that another server takes: followed over any connection that will do, and taken from
// another copy when that server is gone.
#include <fmt/format.h>

#include "base/mutex.h"
#include "server/admin.h"

namespace understudy::server {
namespace {

constexpr base::Duration kLookAgain = std::chrono::milliseconds(300);
// A server that has no lease, or is not reached, for so long is given up.
constexpr base::Duration kMoveAfter = std::chrono::seconds(20);

void Pause(base::Duration length) {
  base::Mutex mutex;
  base::CondVar nobody_signals;
  base::MutexLock lock(mutex);
  nobody_signals.WaitFor(mutex, length);
}

}  // namespace

base::Status Admin::ForwardBackup(const std::string& server, const v1::RunBackupRequest& request,
                                  const rpc::CallContext& call,
                                  const Sender<v1::RunBackupResponse>& send) {
  ASSIGN_OR_RETURN(const std::unique_ptr<rpc::AdminClient> client, Dial(server));
  v1::RunBackupRequest forward = request;
  forward.set_forwarded(true);
  std::string session;
  const base::Status status =
      client->RunBackup(forward, [&](const v1::RunBackupResponse& response) {
        if (!response.session().empty()) session = response.session();
        return send(response);
      });
  if (status.code() != base::Code::kUnavailable || session.empty()) return status;
  // A session that failed says so by itself; this may be the connection only.
  base::Status followed = FollowBackup(server, session, request, call, send);
  if (followed.code() != base::Code::kFenced) return followed;
  if (!MayMoveBackup(request.from())) return base::Unavailable(followed.message());
  ASSIGN_OR_RETURN(const std::string other, ChooseBackupServer(request.database(), request.from()));
  context_.events.Add(cluster::EventNumber::kBackupStarted, cluster::Severity::kWarning,
                      request.database(),
                      fmt::format("backup {} of {} is taken anew from the copy on {}: {}", session,
                                  request.database(), other, followed.message()));
  if (other == context_.server) return RunBackupHere(request, call, send);
  return ForwardBackup(other, request, call, send);
}

// kFenced: the server is gone, and its backup with it.
base::Status Admin::FollowBackup(const std::string& server, const std::string& session,
                                 const v1::RunBackupRequest& request, const rpc::CallContext& call,
                                 const Sender<v1::RunBackupResponse>& send) {
  base::SteadyTime heard = context_.env.Now();
  while (!call.cancelled()) {
    v1::BackupStatusRequest look;
    look.set_session(session);
    const auto client = Dial(server);
    base::Result<v1::BackupSessionStatus> status = base::Unavailable("");
    if (client.ok()) status = (*client)->BackupStatus(look, kPeerAnswerLimit);
    if (status.ok()) {
      heard = context_.env.Now();
      if (status->ended()) return FinishFollowed(**client, *status, request, send);
      v1::RunBackupResponse response;
      response.set_server(server);
      response.set_session(session);
      *response.mutable_progress() = status->progress();
      if (!send(response)) break;
    }
    const base::Result<cluster::ServerRecord> record =
        KnownGroup(context_, cache_).FindServer(server);
    const bool alive = !record.ok() || record->alive;  // without the coordinator nobody knows
    const base::Duration silence = context_.env.Now() - heard;
    const base::Duration patience = alive ? kMoveAfter : context_.settings.Get().coordinator.lease;
    if (silence > patience) {
      return base::Fenced(fmt::format("server {}, which took it, {} for {} s", server,
                                      alive ? "does not answer" : "has no lease any more",
                                      silence / std::chrono::seconds(1)));
    }
    Pause(kLookAgain);
  }
  return base::Cancelled("the client went away; the backup goes on");
}

base::Status Admin::FinishFollowed(rpc::AdminClient& client, const v1::BackupSessionStatus& status,
                                   const v1::RunBackupRequest& request,
                                   const Sender<v1::RunBackupResponse>& send) {
  const v1::WriterSession& session = status.writer().last();
  if (session.has_failure()) {
    return base::Unavailable(fmt::format("the backup failed in {}: {}", session.failure().phase(),
                                         session.failure().message()));
  }
  v1::ShowBackupRequest show;
  show.set_database(request.database());
  show.set_repository(request.repository());
  show.set_id(status.session());
  ASSIGN_OR_RETURN(const v1::ShowBackupResponse shown, client.ShowBackup(show));
  v1::RunBackupResponse response;
  response.set_server(status.server());
  response.set_session(status.session());
  *response.mutable_result() = shown.backup();
  response.mutable_result()->clear_document();
  send(response);  // a client that left needs no answer
  return {};
}

}  // namespace understudy::server
