// SPDX-License-Identifier: Apache-2.0
#include "etcd/verdict.h"

#include <fmt/format.h>

namespace understudy::etcd {
namespace {

// etcd tells some of its errors apart by their text alone; these texts are part of its API.
constexpr std::string_view kNoLeader = "etcdserver: no leader";
constexpr std::string_view kNoUser = "etcdserver: user name is empty";
constexpr std::string_view kOldUsers = "etcdserver: revision of auth store is old";
constexpr std::string_view kNoSpace = "etcdserver: mvcc: database space exceeded";
constexpr std::string_view kTooMany = "etcdserver: too many requests";
constexpr std::string_view kLoginFailed = "etcdserver: authentication failed";

bool Says(const grpc::Status& answer, std::string_view text) {
  return answer.error_message().find(text) != std::string::npos;
}

std::string_view Name(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::INVALID_ARGUMENT: return "invalid argument";
    case grpc::StatusCode::NOT_FOUND: return "not found";
    case grpc::StatusCode::FAILED_PRECONDITION: return "failed precondition";
    case grpc::StatusCode::OUT_OF_RANGE: return "out of range";
    case grpc::StatusCode::PERMISSION_DENIED: return "permission denied";
    case grpc::StatusCode::UNAUTHENTICATED: return "unauthenticated";
    case grpc::StatusCode::UNIMPLEMENTED: return "unimplemented";
    case grpc::StatusCode::RESOURCE_EXHAUSTED: return "resource exhausted";
    case grpc::StatusCode::DEADLINE_EXCEEDED: return "no answer in time";
    case grpc::StatusCode::UNAVAILABLE: return "unavailable";
    case grpc::StatusCode::CANCELLED: return "cancelled";
    case grpc::StatusCode::DATA_LOSS: return "data loss";
    default: return "failed";
  }
}

}  // namespace

Verdict Judge(const grpc::Status& answer) {
  switch (answer.error_code()) {
    case grpc::StatusCode::UNAUTHENTICATED: return Verdict::kLoginEnded;
    case grpc::StatusCode::INVALID_ARGUMENT:
      return Says(answer, kNoUser) || Says(answer, kOldUsers) ? Verdict::kLoginEnded
                                                              : Verdict::kRefused;
    case grpc::StatusCode::NOT_FOUND:
    case grpc::StatusCode::PERMISSION_DENIED:
    case grpc::StatusCode::FAILED_PRECONDITION:
    case grpc::StatusCode::OUT_OF_RANGE:
    case grpc::StatusCode::UNIMPLEMENTED:
    case grpc::StatusCode::DATA_LOSS: return Verdict::kRefused;
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      if (Says(answer, kNoSpace)) return Verdict::kRefused;
      // Without etcd's text it is an answer that is too large for us: the call was carried out.
      return Says(answer, kTooMany) ? Verdict::kNotDone : Verdict::kUnknown;
    case grpc::StatusCode::UNAVAILABLE:
      return Says(answer, kNoLeader) ? Verdict::kNotDone : Verdict::kUnknown;
    default: return Verdict::kUnknown;
  }
}

base::Status Refusal(const grpc::Status& answer, std::string_view what, std::string_view endpoint,
                     std::string_view user) {
  const std::string said = fmt::format("etcd at {}: {}: {}", endpoint, what, Describe(answer));
  switch (answer.error_code()) {
    case grpc::StatusCode::NOT_FOUND: return base::NotFound(said);
    case grpc::StatusCode::DATA_LOSS: return base::Corruption(said);
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return base::NoSpace(said + "\ncompact and defragment etcd, then disarm its alarm");
    case grpc::StatusCode::PERMISSION_DENIED:
      return base::InvalidArgument(
          said + "\ngrant the user of coordinator.user readwrite on the group's prefix");
    case grpc::StatusCode::UNAUTHENTICATED:
      return base::InvalidArgument(said + "\ncheck coordinator.user and coordinator.password_file");
    case grpc::StatusCode::INVALID_ARGUMENT:
      if (Says(answer, kLoginFailed)) {
        return base::InvalidArgument(fmt::format(
            "{}\ncheck coordinator.user (\"{}\") and coordinator.password_file", said, user));
      }
      if (Says(answer, kNoUser)) {
        return base::InvalidArgument(
            said + "\nthis etcd wants a login: set coordinator.user and coordinator.password_file");
      }
      return base::InvalidArgument(said);
    default: return base::InvalidArgument(said);
  }
}

std::string Describe(const grpc::Status& answer) {
  if (answer.error_message().empty()) return std::string(Name(answer.error_code()));
  return fmt::format("{} ({})", Name(answer.error_code()), answer.error_message());
}

}  // namespace understudy::etcd
