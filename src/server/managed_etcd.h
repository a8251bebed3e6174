// SPDX-License-Identifier: Apache-2.0
// ManagedEtcd: one member of an etcd cluster that this daemon runs, so that a group needs no etcd
// of its own making.
//
//   <directory>/etcd.log      what it printed; at log_bytes_max it becomes etcd.log.1
//   <directory>/data/         its data
//
// The thread "etcd-member" starts the program, reads its output, and starts it again when it ends,
// after a pause that doubles from kPauseMin to kPauseMax while it ends soon. The program dies with
// the daemon, however that ends (child_process.h). Stop asks it to end and kills it after
// stop_limit.
//
// Threading: thread-safe. Limits: above. Errors of Start: kNotFound without the program, those of
// Env. What goes wrong later is in the diagnostics.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"
#include "base/thread.h"
#include "base/time.h"
#include "env/env.h"
#include "server/child_process.h"

namespace understudy::server {

class RotatingFile;

class ManagedEtcd {
 public:
  static constexpr base::Duration kPauseMin = std::chrono::milliseconds(200);
  static constexpr base::Duration kPauseMax = std::chrono::seconds(30);
  static constexpr base::Duration kRanWell = std::chrono::minutes(1);

  struct Options {
    std::string program = "etcd";
    std::string directory;
    std::string name;
    std::string client_listen;  // "host:port"
    std::string peer_listen;
    std::map<std::string, std::string> initial_cluster;
    std::string token;  // tells this cluster from others
    bool join = false;  // the cluster exists already
    // TLS, for clients and members; empty: none. etcd reads the files at every connection.
    std::string identity_file;
    std::string ca_file;
    uint64_t log_bytes_max = 4 << 20;
    base::Duration stop_limit = std::chrono::seconds(5);
  };

  static base::Result<std::unique_ptr<ManagedEtcd>> Start(env::Env& env, const Options& options);
  ~ManagedEtcd();  // as Stop
  ManagedEtcd(const ManagedEtcd&) = delete;
  ManagedEtcd& operator=(const ManagedEtcd&) = delete;

  void Stop() EXCLUDES_LOCK(mutex_);
  pid_t pid() const EXCLUDES_LOCK(mutex_);  // 0: it does not run at this moment

 private:
  ManagedEtcd(env::Env& env, Options options, std::string program,
              std::unique_ptr<RotatingFile> log, int wake);
  void Run();
  void RunOnce();
  void Follow(ChildProcess& child);
  void SetPid(pid_t pid) EXCLUDES_LOCK(mutex_);
  bool stopping() const EXCLUDES_LOCK(mutex_);
  std::vector<std::string> Command() const;

  env::Env& env_;
  const Options options_;
  const std::string program_;  // its path
  const std::unique_ptr<RotatingFile> log_;
  const int wake_;  // an eventfd, readable once Stop was called
  base::Duration pause_ = kPauseMin;

  mutable base::Mutex mutex_;
  bool stop_ GUARDED_BY(mutex_) = false;
  pid_t pid_ GUARDED_BY(mutex_) = 0;
  base::Thread thread_;
};

}  // namespace understudy::server
