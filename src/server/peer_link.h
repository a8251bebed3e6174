// SPDX-License-Identifier: Apache-2.0
// PeerLink: the connection from this server, which has passive copies, to the server that has their
// active ones.
//
// Its thread "link-<peer>" connects (peer_connection.h), hands messages to the copies and runs
// their copying and seeding. One for each peer, for all databases. Threading: thread-safe. Add and
// Remove only change a list; the thread does the rest. Remove returns when the thread has let the
// copy go (PassiveCopy::Shut was called).
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/thread.h"
#include "rpc/ship_connection.h"
#include "server/context.h"
#include "server/passive_copy.h"
#include "server/peer_connection.h"

namespace understudy::server {

class PeerLink {
 public:
  PeerLink(const ServerContext& context, const std::string& peer);
  ~PeerLink();  // shuts all copies and joins
  // The first half of destruction, which may wait for a connection attempt; ended() tells.
  void BeginStop() EXCLUDES_LOCK(mutex_);
  bool ended() const { return ended_; }
  PeerLink(const PeerLink&) = delete;
  PeerLink& operator=(const PeerLink&) = delete;

  const std::shared_ptr<rpc::Signal>& signal() const { return signal_; }
  void Add(std::shared_ptr<PassiveCopy> copy) EXCLUDES_LOCK(mutex_);
  void Remove(const std::shared_ptr<PassiveCopy>& copy) EXCLUDES_LOCK(mutex_);
  // The peer was heard of by other means (it announced itself anew): do not wait for the next
  // attempt.
  void RetryNow() EXCLUDES_LOCK(mutex_);

 private:
  using Copies = std::map<base::DatabaseId, std::shared_ptr<PassiveCopy>>;

  void Run();
  void ApplyChanges(base::SteadyTime now);
  void Connect(base::SteadyTime now);
  bool Receive(base::SteadyTime now);
  void Lost(const std::string& cause, base::SteadyTime now);
  bool stopping() const EXCLUDES_LOCK(mutex_);

  const ServerContext context_;
  const std::string peer_;
  const std::shared_ptr<rpc::Signal> signal_ = std::make_shared<rpc::Signal>();

  // Used by the link's thread only.
  Copies copies_;
  PeerConnection link_;
  bool was_lost_ = false;

  std::atomic<bool> ended_ = false;
  mutable base::Mutex mutex_;
  base::CondVar changed_;
  bool stop_ GUARDED_BY(mutex_) = false;
  bool retry_now_ GUARDED_BY(mutex_) = false;
  std::vector<std::shared_ptr<PassiveCopy>> to_add_ GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<PassiveCopy>> to_remove_ GUARDED_BY(mutex_);

  base::Thread thread_;
};

}  // namespace understudy::server
