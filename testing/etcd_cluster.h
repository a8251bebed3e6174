// SPDX-License-Identifier: Apache-2.0
// EtcdCluster: real etcd processes on loopback, one for each member, with a temporary data
// directory. They end with this object, or with the test's process if that dies.
//
// A member that is started listens when Start returns; whether the cluster has a leader by then is
// for the client to find out. Ports are the kernel's; a member that finds its own taken is started
// again with others as long as the cluster is new. Failures here end the test (CHECK), a missing
// etcd included: tools/install-deps brings it.
//
// Threading: confined to the test's thread. Limit: kListenLimit for a member to listen.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "testing/temp_dir.h"

namespace understudy::test {

class EtcdCluster {
 public:
  static constexpr std::chrono::seconds kListenLimit{30};

  struct Options {
    int members = 1;
    std::vector<std::string> arguments;  // added to every member's command line
    std::string client_scheme = "http";
  };
  EtcdCluster() : EtcdCluster(Options()) {}
  explicit EtcdCluster(Options options);
  ~EtcdCluster();
  EtcdCluster(const EtcdCluster&) = delete;
  EtcdCluster& operator=(const EtcdCluster&) = delete;

  const std::string& endpoint(size_t member) const { return members_[member].client; }
  std::vector<std::string> endpoints() const;

  void Kill(size_t member);                // SIGKILL, and waits
  void Signal(size_t member, int signal);  // SIGSTOP, SIGCONT
  void Start(size_t member);               // one that was killed, with its data

 private:
  struct Member {
    std::string name;
    std::string client;  // "127.0.0.1:PORT"
    std::string peer;
    pid_t pid = 0;
  };

  void ChoosePorts();
  bool TryStart(Member& member);  // false: it ended before it listened
  std::vector<std::string> Command(const Member& member) const;
  std::string OutputOf(const Member& member) const;

  TempDir directory_;
  Options options_;
  std::vector<Member> members_;
};

}  // namespace understudy::test
