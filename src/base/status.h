// SPDX-License-Identifier: Apache-2.0
// Status and Result<T>: how every function in this tree reports failure.
//
// Purpose: a failure is a value that the caller must look at. The code is what a caller can act on;
// the message is what a person reads: what happened to what, why, which limit or setting, what to
// do next. Context is added on the way up ("replay of orders: page 17: checksum mismatch").
// Threading: values; thread-compatible.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/check.h"

namespace understudy::base {

enum class Code {
  kOk,
  kNotFound,         // the named thing does not exist
  kAlreadyExists,    // the named thing exists and may not be replaced
  kInvalidArgument,  // the request can never succeed as it is
  kIoError,          // the operating system refused an operation on a file
  kNoSpace,          // a disk or quota is full
  kCorruption,       // bytes were read that cannot be what was written
  kLogGap,           // the log lacks records that are needed next
  kDiverged,         // same position, different content
  kFenced,           // the term is lower than one already seen
  kUnavailable,      // a peer or file is away; trying again later may help
  kTimedOut,         // a limit of time ran out
  kCancelled,        // somebody asked to stop
  kBusy,             // somebody else holds what is needed; the message names the holder
  kInternal,         // a bug of ours
};

// The code's name as printed in messages and JSON, such as "log gap".
std::string_view CodeName(Code code);

class [[nodiscard]] Status {
 public:
  Status() = default;  // ok
  Status(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == Code::kOk; }
  Code code() const { return code_; }
  const std::string& message() const { return message_; }

  // The same failure with "context: " before its message; ok stays ok.
  Status WithContext(std::string_view context) const;

  // "corruption: page 17: checksum mismatch", or "ok".
  std::string ToString() const;

  // For the few places where a failure is known not to matter; the caller says why in a comment.
  void IgnoreError() const {}

 private:
  Code code_ = Code::kOk;
  std::string message_;
};

// Short makers, so that a return statement reads as a sentence.
Status NotFound(std::string message);
Status AlreadyExists(std::string message);
Status InvalidArgument(std::string message);
Status IoError(std::string message);
Status NoSpace(std::string message);
Status Corruption(std::string message);
Status LogGap(std::string message);
Status Diverged(std::string message);
Status Fenced(std::string message);
Status Unavailable(std::string message);
Status TimedOut(std::string message);
Status Cancelled(std::string message);
Status Busy(std::string message);
Status Internal(std::string message);

// A value, or the Status that says why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value)
      : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT(google-explicit-constructor)
  Result(Status status)
      : state_(std::in_place_index<1>, std::move(status)) {  // NOLINT(google-explicit-constructor)
    CHECK(!std::get<1>(state_).ok());
  }

  bool ok() const { return state_.index() == 0; }
  Status status() const { return ok() ? Status() : std::get<1>(state_); }

  // REQUIRES: ok().
  T& value() & {
    CHECK(ok());
    return std::get<0>(state_);
  }
  const T& value() const& {
    CHECK(ok());
    return std::get<0>(state_);
  }
  T&& value() && {
    CHECK(ok());
    return std::get<0>(std::move(state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  std::variant<T, Status> state_;
};

}  // namespace understudy::base

#define US_CONCAT_INNER(a, b) a##b
#define US_CONCAT(a, b) US_CONCAT_INNER(a, b)

// Returns from the enclosing function with the failure, if there is one.
#define RETURN_IF_ERROR(expression)                                             \
  do {                                                                          \
    if (::understudy::base::Status us_status = (expression); !us_status.ok()) { \
      return us_status;                                                         \
    }                                                                           \
  } while (false)

// ASSIGN_OR_RETURN(auto file, env.Open(path)); declares or assigns from a Result, or returns its
// failure.
#define ASSIGN_OR_RETURN(target, expression) \
  ASSIGN_OR_RETURN_INNER(US_CONCAT(us_result_, __LINE__), target, expression)
#define ASSIGN_OR_RETURN_INNER(result, target, expression) \
  auto result = (expression);                              \
  if (!result.ok()) {                                      \
    return result.status();                                \
  }                                                        \
  target = std::move(result).value()
