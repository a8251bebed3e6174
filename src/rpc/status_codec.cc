// SPDX-License-Identifier: Apache-2.0
#include "rpc/status_codec.h"

#include <fmt/format.h>

#include "rpc/code_name.h"
#include "understudy/v1/admin.pb.h"

namespace understudy::rpc {
namespace {

using base::Code;

grpc::StatusCode GrpcCode(Code code) {
  switch (code) {
    case Code::kOk: return grpc::StatusCode::OK;
    case Code::kNotFound: return grpc::StatusCode::NOT_FOUND;
    case Code::kAlreadyExists: return grpc::StatusCode::ALREADY_EXISTS;
    case Code::kInvalidArgument: return grpc::StatusCode::INVALID_ARGUMENT;
    case Code::kIoError: return grpc::StatusCode::UNKNOWN;
    case Code::kNoSpace: return grpc::StatusCode::RESOURCE_EXHAUSTED;
    case Code::kCorruption: return grpc::StatusCode::DATA_LOSS;
    case Code::kLogGap: return grpc::StatusCode::OUT_OF_RANGE;
    case Code::kDiverged:
    case Code::kFenced: return grpc::StatusCode::FAILED_PRECONDITION;
    case Code::kUnavailable: return grpc::StatusCode::UNAVAILABLE;
    case Code::kTimedOut: return grpc::StatusCode::DEADLINE_EXCEEDED;
    case Code::kCancelled: return grpc::StatusCode::CANCELLED;
    case Code::kBusy: return grpc::StatusCode::ABORTED;
    case Code::kInternal: return grpc::StatusCode::INTERNAL;
  }
  return grpc::StatusCode::INTERNAL;
}

// For a failure that has no detail: gRPC itself made it.
base::Status FromGrpcItself(const grpc::Status& status, const std::string& peer) {
  const std::string& why = status.error_message();
  // gRPC's enumeration has values we never see; all but these are a bug on one of the two sides.
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
    return base::Unavailable(fmt::format("{} is not reachable: {}", peer, why));
  }
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) {
    return base::TimedOut(fmt::format("{} did not answer in time", peer));
  }
  if (status.error_code() == grpc::StatusCode::CANCELLED) {
    return base::Cancelled(fmt::format("the call to {} was cancelled", peer));
  }
  if (status.error_code() == grpc::StatusCode::FAILED_PRECONDITION) {
    // From a check of certificates, whose refusals carry no detail (tls_credentials.cc).
    return base::Fenced(fmt::format("{} refused the call: {}", peer, why));
  }
  if (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED) {
    return base::Busy(fmt::format("{} refused the call: {}", peer, why));
  }
  if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED) {
    return base::InvalidArgument(
        fmt::format("{} does not know this command: its version is older", peer));
  }
  return base::Internal(fmt::format("{} answered: {}", peer, why));
}

}  // namespace

grpc::Status ToGrpc(const base::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const std::string& text = status.message();
  const size_t line_end = text.find('\n');
  v1::ErrorDetail detail;
  detail.set_code(std::string(base::CodeName(status.code())));
  detail.set_message(text.substr(0, line_end));
  if (line_end != std::string::npos) detail.set_hint(text.substr(line_end + 1));
  return {GrpcCode(status.code()), detail.message(), detail.SerializeAsString()};
}

base::Status FromGrpc(const grpc::Status& status, const std::string& peer) {
  if (status.ok()) return {};
  v1::ErrorDetail detail;
  if (status.error_details().empty() || !detail.ParseFromString(status.error_details())) {
    return FromGrpcItself(status, peer);
  }
  std::string text = detail.message();
  if (!detail.hint().empty()) text += "\n" + detail.hint();
  Code code = CodeFromName(detail.code());
  if (code == Code::kOk) code = Code::kInternal;  // a failure that calls itself ok
  return {code, std::move(text)};
}

}  // namespace understudy::rpc
