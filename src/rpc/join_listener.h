// SPDX-License-Identifier: Apache-2.0
// JoinListener: the port where servers that have no certificate yet ask to be let in.
//
// It is apart from the port of everything else, which accepts nobody without a certificate: here
// only the Join service exists. The peer sees our certificate, we see a token. Its requests are
// small and few (kJoinMessageBytesMax, kJoinThreadsMax). Threading: thread-safe.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "rpc/membership_backend.h"
#include "tls/tls_directory.h"

namespace understudy::rpc {

inline constexpr int kJoinMessageBytesMax = 64 << 10;
inline constexpr int kJoinThreadsMax = 8;

class JoinListener {
 public:
  // `backend` is borrowed and must outlive this. kUnavailable when the address cannot be bound.
  static base::Result<std::unique_ptr<JoinListener>> Start(const std::string& listen,
                                                           const tls::TlsDirectory& directory,
                                                           JoinBackend& backend);
  ~JoinListener();  // ends what runs
  JoinListener(const JoinListener&) = delete;
  JoinListener& operator=(const JoinListener&) = delete;

  int port() const;

 private:
  struct State;
  explicit JoinListener(std::unique_ptr<State> state);
  const std::unique_ptr<State> state_;
};

}  // namespace understudy::rpc
