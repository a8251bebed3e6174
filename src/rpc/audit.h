// SPDX-License-Identifier: Apache-2.0
// Who has changed what, and who was refused: a line of diagnostics in the area "audit" for every
// call that changes something (roles.h), with its outcome, and for every call that was refused.
//
// Lines and not events: a group's events are 2000 and kept where an admin of the group can remove
// them; the lines are in the machine's own journal. What a call carries is told by its scalar
// fields, as far as kToldBytesMax go, but none that ends in "pem". Refusals, which anybody with a
// certificate can make as fast as they like, are bounded to kRefusalsMax in kRefusalsEvery; the
// next line says how many were left out. Only src/rpc/ includes this header.
// Threading: thread-safe.
#pragma once

#include <grpcpp/server_builder.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/mutex.h"
#include "base/time.h"

namespace google::protobuf {
class Message;
}

namespace understudy::rpc {

inline constexpr size_t kToldBytesMax = 300;

// "database=orders target=s2"
std::string ToldOf(const google::protobuf::Message& request);

// Tells of the calls of this server, from when it is built.
void AuditCalls(grpc::ServerBuilder& builder);

class Refusals {
 public:
  static constexpr uint64_t kRefusalsMax = 20;
  static constexpr base::Duration kRefusalsEvery = std::chrono::seconds(10);

  void Tell(const std::string& who, std::string_view path, const std::string& why,
            base::SteadyTime now) EXCLUDES_LOCK(mutex_);

 private:
  base::Mutex mutex_;
  base::SteadyTime since_ GUARDED_BY(mutex_){};
  uint64_t told_ GUARDED_BY(mutex_) = 0;
  uint64_t left_out_ GUARDED_BY(mutex_) = 0;
};

}  // namespace understudy::rpc
