// SPDX-License-Identifier: Apache-2.0
#include "base/status.h"

namespace understudy::base {

std::string_view CodeName(Code code) {
  switch (code) {
    case Code::kOk: return "ok";
    case Code::kNotFound: return "not found";
    case Code::kAlreadyExists: return "already exists";
    case Code::kInvalidArgument: return "invalid argument";
    case Code::kIoError: return "input/output error";
    case Code::kNoSpace: return "no space";
    case Code::kCorruption: return "corruption";
    case Code::kLogGap: return "log gap";
    case Code::kDiverged: return "diverged";
    case Code::kFenced: return "fenced";
    case Code::kUnavailable: return "unavailable";
    case Code::kTimedOut: return "timed out";
    case Code::kCancelled: return "cancelled";
    case Code::kBusy: return "busy";
    case Code::kInternal: return "internal error";
  }
  return "unknown";
}

Status Status::WithContext(std::string_view context) const {
  if (ok()) return *this;
  std::string message(context);
  message += ": ";
  message += message_;
  return Status(code_, std::move(message));
}

std::string Status::ToString() const {
  if (ok()) return "ok";
  std::string text(CodeName(code_));
  text += ": ";
  text += message_;
  return text;
}

Status NotFound(std::string message) { return Status(Code::kNotFound, std::move(message)); }
Status AlreadyExists(std::string message) {
  return Status(Code::kAlreadyExists, std::move(message));
}
Status InvalidArgument(std::string message) {
  return Status(Code::kInvalidArgument, std::move(message));
}
Status IoError(std::string message) { return Status(Code::kIoError, std::move(message)); }
Status NoSpace(std::string message) { return Status(Code::kNoSpace, std::move(message)); }
Status Corruption(std::string message) { return Status(Code::kCorruption, std::move(message)); }
Status LogGap(std::string message) { return Status(Code::kLogGap, std::move(message)); }
Status Diverged(std::string message) { return Status(Code::kDiverged, std::move(message)); }
Status Fenced(std::string message) { return Status(Code::kFenced, std::move(message)); }
Status Unavailable(std::string message) { return Status(Code::kUnavailable, std::move(message)); }
Status TimedOut(std::string message) { return Status(Code::kTimedOut, std::move(message)); }
Status Cancelled(std::string message) { return Status(Code::kCancelled, std::move(message)); }
Status Busy(std::string message) { return Status(Code::kBusy, std::move(message)); }
Status Internal(std::string message) { return Status(Code::kInternal, std::move(message)); }

}  // namespace understudy::base
