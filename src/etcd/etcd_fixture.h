// SPDX-License-Identifier: Apache-2.0
// What the tests against real etcd processes share: clients of a cluster that is ready, and waiting
// for a condition. Threading: confined to the test's thread.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/mutex.h"
#include "etcd/etcd_coordinator.h"
#include "testing/etcd_cluster.h"

namespace understudy::etcd {

inline constexpr std::chrono::seconds kTestLimit{30};
inline constexpr std::chrono::milliseconds kTestPause{20};

// The pause between two looks at a condition.
inline void LetPass(base::Duration time) {
  base::Mutex mutex;
  base::CondVar nothing;
  base::MutexLock lock(mutex);
  nothing.WaitFor(mutex, time);
}

inline bool Until(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + kTestLimit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= end) return false;
    LetPass(kTestPause);
  }
  return true;
}

inline EtcdOptions OptionsOf(const test::EtcdCluster& cluster) {
  EtcdOptions options;
  options.endpoints = cluster.endpoints();
  options.group = "test";
  return options;
}

// Waits until the cluster has a leader, too.
inline std::unique_ptr<EtcdCoordinator> OpenReady(const EtcdOptions& options) {
  std::unique_ptr<EtcdCoordinator> coordinator;
  std::string why;
  const bool ready = Until([&] {
    auto opened = EtcdCoordinator::Open(options);
    why = opened.status().ToString();
    if (opened.ok()) coordinator = std::move(opened).value();
    return opened.ok();
  });
  EXPECT_TRUE(ready) << why;
  CHECK(ready);
  return coordinator;
}

inline base::Result<cluster::TxnResult> Put(cluster::Coordinator& coordinator,
                                            const std::string& key, const std::string& value) {
  return coordinator.Txn({}, {cluster::Operation::Put(key, value)});
}

inline std::string ValueOf(cluster::Coordinator& coordinator, const std::string& key) {
  const auto pair = coordinator.Get(key);
  return pair.ok() ? pair->value : "(" + pair.status().ToString() + ")";
}

}  // namespace understudy::etcd
