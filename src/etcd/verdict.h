// SPDX-License-Identifier: Apache-2.0
// What etcd's answer to a call means: may the call be sent again, and what does the caller hear.
//
// The difference that matters is between "not carried out" and "nobody knows": a compare-and-set
// that was perhaps carried out must not be sent again. Whatever is not known to be harmless is
// kUnknown. Threading: pure functions.
#pragma once

#include <grpcpp/support/status.h>

#include <string>
#include <string_view>

#include "base/status.h"

namespace understudy::etcd {

enum class Verdict {
  kRefused,     // etcd looked at it and changed nothing; asking again gives the same answer
  kNotDone,     // certainly not carried out; this endpoint or another may do it later
  kLoginEnded,  // not carried out: the token is no longer good, or there was none
  kUnknown,     // nothing is known about whether it was carried out
};

// REQUIRES: !answer.ok().
Verdict Judge(const grpc::Status& answer);

// The status of a refused call. `what` is "lease 7" or "write", `user` the one we log in as.
base::Status Refusal(const grpc::Status& answer, std::string_view what, std::string_view endpoint,
                     std::string_view user);

// "UNAVAILABLE: connection refused", for the end of a message.
std::string Describe(const grpc::Status& answer);

}  // namespace understudy::etcd
