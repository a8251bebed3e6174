// SPDX-License-Identifier: Apache-2.0
// EtcdMembers: who belongs to an etcd cluster, for groups whose daemons run its members.
//
// A new member is added as a learner: it gets everything and counts for nothing, so that one that
// never starts harms nobody. Promote makes learners full members once they have caught up.
// Threading: thread-safe. Limits: those of EtcdOptions. Errors: kUnavailable; kBusy while another
// member is new or was away some seconds ago (nothing was done); what etcd refuses, in its words.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/status.h"
#include "etcd/etcd_options.h"

namespace understudy::etcd {

class EtcdMembers {
 public:
  // Connects at the first call. URLs are https where `options` has TLS.
  explicit EtcdMembers(EtcdOptions options);
  ~EtcdMembers();
  EtcdMembers(const EtcdMembers&) = delete;
  EtcdMembers& operator=(const EtcdMembers&) = delete;

  // All members and the new one: name to "host:port" of its peer side. One of that name or address
  // gives way: its data are lost, or nobody would add it.
  base::Result<std::map<std::string, std::string>> Add(const std::string& name,
                                                       const std::string& peer);
  base::Result<bool> Remove(const std::string& name);  // false: there is none of that name
  base::Status Promote();

 private:
  struct State;
  const std::unique_ptr<State> state_;
};

}  // namespace understudy::etcd
