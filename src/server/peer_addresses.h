// SPDX-License-Identifier: Apache-2.0
// PeerAddresses: where other servers are, as the cluster thread read it last: nobody waits for the
// coordinator to connect to another server. Threading: thread-safe.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/mutex.h"

namespace understudy::server {

class PeerAddresses {
 public:
  void Note(const std::string& server, const std::string& address) EXCLUDES_LOCK(mutex_) {
    base::MutexLock lock(mutex_);
    addresses_[server] = address;
  }
  std::optional<std::string> Find(const std::string& server) const EXCLUDES_LOCK(mutex_) {
    base::MutexLock lock(mutex_);
    const auto found = addresses_.find(server);
    return found == addresses_.end() ? std::nullopt : std::optional(found->second);
  }

 private:
  mutable base::Mutex mutex_;
  std::map<std::string, std::string> addresses_ GUARDED_BY(mutex_);  // one for each server heard of
};

}  // namespace understudy::server
