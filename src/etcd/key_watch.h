// SPDX-License-Identifier: Apache-2.0
// KeyWatch: follows all changes below a prefix with one watch of etcd's, so that ChangesSince is
// answered from memory.
//
//   off --ChangesSince--> opening --created--> up --stream ended--> opening (from where it was)
//                                                --compacted-----> opening (after a hole)
//
// The thread "etcd-watch" (started by the first ChangesSince) opens the stream, reads it into a
// ChangeBuffer and calls the wakeup. It moves on when its endpoint is left by other calls, or does
// not answer pings. After a hole, that is a compaction while no watch ran, whoever asks from before
// it gets complete = false. An etcd that was restored from a backup counts its revisions from
// further back: restart the servers then.
//
// Threading: thread-safe; ChangesSince is for one poller.
// Limits: kUpLimit for a watch to come up; ChangeBuffer's. Errors: kUnavailable when it does not.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "base/mutex.h"
#include "etcd/change_buffer.h"
#include "etcd/etcd_client.h"

namespace understudy::etcd {

class KeyWatch {
 public:
  static constexpr base::Duration kUpLimit = std::chrono::seconds(1);
  static constexpr base::Duration kRetryPause = std::chrono::milliseconds(100);

  // Changes are told without `prefix`. `client` must outlive this.
  KeyWatch(EtcdClient& client, std::string prefix);
  ~KeyWatch();
  KeyWatch(const KeyWatch&) = delete;
  KeyWatch& operator=(const KeyWatch&) = delete;

  base::Result<cluster::Changes> ChangesSince(cluster::Revision revision) EXCLUDES_LOCK(mutex_);
  void SetWakeup(std::function<void()> wakeup) EXCLUDES_LOCK(mutex_);

 private:
  using Stream = grpc::ClientReaderWriter<etcdserverpb::WatchRequest, etcdserverpb::WatchResponse>;

  void Run();
  base::Status WatchOnce() EXCLUDES_LOCK(mutex_);
  // Nothing when the watch goes on.
  base::Status Take(const etcdserverpb::WatchResponse& response) EXCLUDES_LOCK(mutex_);
  void EndpointLeft(size_t number) EXCLUDES_LOCK(mutex_);
  void GiveUpOpening() EXCLUDES_LOCK(mutex_);
  void Wake() EXCLUDES_LOCK(mutex_);

  EtcdClient& client_;
  const std::string prefix_;

  base::Mutex mutex_;
  base::CondVar changed_;  // up_ or stop_ changed
  ChangeBuffer buffer_ GUARDED_BY(mutex_);
  bool stop_ GUARDED_BY(mutex_) = false;
  bool up_ GUARDED_BY(mutex_) = false;
  std::string error_ GUARDED_BY(mutex_);  // why it is not up
  // The stream under way, for TryCancel; the thread alone uses it otherwise.
  std::shared_ptr<grpc::ClientContext> context_ GUARDED_BY(mutex_);
  size_t endpoint_ GUARDED_BY(mutex_) = 0;
  std::function<void()> wakeup_ GUARDED_BY(mutex_);
  std::thread thread_ GUARDED_BY(mutex_);
};

}  // namespace understudy::etcd
