// SPDX-License-Identifier: Apache-2.0
// Opens the coordinator that the configuration names, embedded or etcd. Threading: pure functions.
#pragma once

#include <memory>

#include "cluster/coordinator.h"
#include "env/env.h"
#include "etcd/etcd_members.h"
#include "server/coordinator_config.h"
#include "server/group_tls.h"

namespace understudy::server {

// Reads the files that the configuration names and asks the coordinator once. kUnavailable and
// kBusy may pass; what is wrong with a file or a login names the setting.
base::Result<std::unique_ptr<cluster::Coordinator>> OpenCoordinator(env::Env& env,
                                                                    const CoordinatorConfig& config,
                                                                    const GroupTls* tls);

// Of the cluster that a managed member belongs to; null where there is none.
base::Result<std::unique_ptr<etcd::EtcdMembers>> OpenEtcdMembers(env::Env& env,
                                                                 const CoordinatorConfig& config,
                                                                 const GroupTls* tls);

}  // namespace understudy::server
