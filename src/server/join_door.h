// SPDX-License-Identifier: Apache-2.0
// JoinDoor: opens the join listener while this server waits for somebody with a token, and closes
// it after the last of them was used or has expired.
//
// Threading: Open is thread-safe; RunOnce is confined to the thread "tls".
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/mutex.h"
#include "rpc/join_listener.h"
#include "server/context.h"

namespace understudy::server {

class JoinDoor {
 public:
  // `backend` is borrowed. REQUIRES: context.tls with the authority's key.
  JoinDoor(const ServerContext& context, rpc::JoinBackend& backend)
      : context_(context), backend_(backend) {}

  // Where it listens now, as others reach it.
  base::Result<std::string> Open() EXCLUDES_LOCK(mutex_);
  // Opens it for tokens of before a restart; closes it when there are none.
  base::Status RunOnce() EXCLUDES_LOCK(mutex_);
  // Nobody is served any more when it returns.
  void Close() EXCLUDES_LOCK(mutex_);

 private:
  void CloseUnlessOpened(std::optional<uint64_t> since) EXCLUDES_LOCK(mutex_);

  const ServerContext context_;
  rpc::JoinBackend& backend_;
  bool looked_ = false;  // at the tokens of before the start
  base::Mutex mutex_;
  uint64_t openings_ GUARDED_BY(mutex_) = 0;
  std::unique_ptr<rpc::JoinListener> listener_ GUARDED_BY(mutex_);
};

}  // namespace understudy::server
