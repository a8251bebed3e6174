// SPDX-License-Identifier: Apache-2.0
// How an etcd cluster is reached. Threading: values.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/time.h"

namespace understudy::etcd {

// A server keeps its lease (at least 1 s, 6 s by default) through one of these limits, so they are
// short.
inline constexpr base::Duration kCallLimit = std::chrono::seconds(3);
inline constexpr base::Duration kAttemptLimit = std::chrono::seconds(1);
inline constexpr base::Duration kConnectLimit = std::chrono::milliseconds(700);

struct EtcdOptions {
  std::vector<std::string> endpoints;  // "host:port"
  std::string group = "default";       // keys begin with /understudy/GROUP/
  std::string user;                    // empty: no login
  std::string password;
  // PEM texts. No CA: no TLS.
  std::string ca;
  std::string certificate;  // ours, with its key, where etcd asks for one
  std::string key;
  // Or the files of an identity that is renewed now and then (tls/tls_directory.h): they are read
  // anew once a second.
  std::string identity_file;
  std::string ca_file;

  base::Duration call_limit = kCallLimit;
  base::Duration attempt_limit = kAttemptLimit;
  base::Duration connect_limit = kConnectLimit;
};

}  // namespace understudy::etcd
