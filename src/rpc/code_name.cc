// SPDX-License-Identifier: Apache-2.0
#include "rpc/code_name.h"

#include <array>

namespace understudy::rpc {
namespace {

using base::Code;

constexpr std::array kCodes = {
    Code::kOk,        Code::kNotFound, Code::kAlreadyExists, Code::kInvalidArgument,
    Code::kIoError,   Code::kNoSpace,  Code::kCorruption,    Code::kLogGap,
    Code::kDiverged,  Code::kFenced,   Code::kUnavailable,   Code::kTimedOut,
    Code::kCancelled, Code::kBusy,     Code::kInternal,
};

}  // namespace

base::Code CodeFromName(std::string_view name) {
  for (const Code code : kCodes) {
    if (base::CodeName(code) == name) return code;
  }
  return Code::kInternal;
}

}  // namespace understudy::rpc
