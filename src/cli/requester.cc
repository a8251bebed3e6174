// SPDX-License-Identifier: Apache-2.0
#include "cli/requester.h"

#include <fmt/format.h>

#include "cli/pause.h"
#include "rpc/protocol.h"

namespace understudy::cli {

base::Result<v1::BackupSessionStatus> Requester::Begin(const v1::BeginBackupRequest& request) {
  ASSIGN_OR_RETURN(client_, context_.Connect());
  ASSIGN_OR_RETURN(const v1::BackupSessionStatus begun,
                   client_->BeginBackup(request, rpc::kCallTimeoutDefault));
  session_ = begun.session();
  server_ = begun.server();
  ASSIGN_OR_RETURN(const v1::ListServersResponse servers,
                   client_->ListServers({}, rpc::kCallTimeoutDefault));
  for (const v1::Server& server : servers.servers()) {
    if (server.name() == server_) address_ = server.address();
  }
  client_.reset();
  return begun;
}

base::Status Requester::Reach() {
  if (client_ != nullptr) return {};
  ASSIGN_OR_RETURN(client_, context_.ConnectTo(address_));
  return {};
}

// A lost connection is no lost session.
template <typename Answer>
base::Result<Answer> Requester::Ask(
    const std::function<base::Result<Answer>(rpc::AdminClient&)>& question) {
  const base::SteadyTime end = context_.env().Now() + kPatience;
  while (true) {
    const base::Status reached = Reach();
    base::Result<Answer> answer = reached.ok() ? question(*client_) : base::Result<Answer>(reached);
    const base::Code code = answer.status().code();
    if (code != base::Code::kUnavailable && code != base::Code::kTimedOut) return answer;
    client_.reset();
    if (context_.env().Now() >= end) return answer;
    Pause(kLook);
  }
}

base::Result<v1::BackupSessionStatus> Requester::Look() {
  v1::BackupStatusRequest request;
  request.set_session(session_);
  return Ask<v1::BackupSessionStatus>([&](rpc::AdminClient& client) {
    return client.BackupStatus(request, rpc::kCallTimeoutDefault);
  });
}

base::Result<v1::BackupSessionStatus> Requester::Await(
    const std::function<bool(const v1::BackupSessionStatus&)>& until, const Seen& seen) {
  while (true) {
    ASSIGN_OR_RETURN(const v1::BackupSessionStatus status, Look());
    seen(status);
    if (until(status)) return status;
    Pause(kLook);
  }
}

base::Status Requester::End(bool succeeded) {
  v1::EndBackupRequest request;
  request.set_session(session_);
  request.set_succeeded(succeeded);
  return Ask<v1::BackupSessionStatus>([&](rpc::AdminClient& client) {
           return client.EndBackup(request, rpc::kCallTimeoutDefault);
         })
      .status();
}

}  // namespace understudy::cli
