// SPDX-License-Identifier: Apache-2.0
// Requester: a backup session's other side. The session lives on a server and is no connection:
// this one asks for it again and again, and over a new connection when the old one is lost, until
// kPatience is over.
// Threading: confined to one thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "cli/command.h"

namespace understudy::cli {

class Requester {
 public:
  static constexpr base::Duration kLook = std::chrono::milliseconds(50);
  // How long a server may be unreachable before the session is given up here (the server gives it
  // up by BackupRequesterTimeoutInMsec).
  static constexpr base::Duration kPatience = std::chrono::seconds(60);

  explicit Requester(Context& context) : context_(context) {}

  base::Result<v1::BackupSessionStatus> Begin(const v1::BeginBackupRequest& request);
  // Until `until` holds; `seen` is called with every answer.
  using Seen = std::function<void(const v1::BackupSessionStatus&)>;
  base::Result<v1::BackupSessionStatus> Await(
      const std::function<bool(const v1::BackupSessionStatus&)>& until, const Seen& seen);
  base::Result<v1::BackupSessionStatus> Look();
  base::Status End(bool succeeded);

  const std::string& server() const { return server_; }

 private:
  base::Status Reach();
  template <typename Answer>
  base::Result<Answer> Ask(const std::function<base::Result<Answer>(rpc::AdminClient&)>& question);

  Context& context_;
  std::unique_ptr<rpc::AdminClient> client_;  // to the session's server
  std::string session_;
  std::string server_;
  std::string address_;
};

}  // namespace understudy::cli
