// SPDX-License-Identifier: Apache-2.0
#include "cluster/coordinator_limits.h"

#include <fmt/format.h>

#include <set>
#include <string_view>

namespace understudy::cluster {

base::Status CheckKey(const std::string& key) {
  if (!key.empty() && key.size() <= kKeyBytesMax) return {};
  return base::InvalidArgument(
      fmt::format("a coordinator key has {} bytes, allowed are 1 to {}", key.size(), kKeyBytesMax));
}

base::Status CheckTxn(const std::vector<Compare>& compares,
                      const std::vector<Operation>& operations) {
  if (compares.size() + operations.size() > kTxnOperationsMax) {
    return base::InvalidArgument(
        fmt::format("a coordinator transaction has {} parts, allowed are {}",
                    compares.size() + operations.size(), kTxnOperationsMax));
  }
  size_t bytes = 0;
  for (const Compare& compare : compares) {
    RETURN_IF_ERROR(CheckKey(compare.key));
    bytes += compare.key.size();
  }
  std::set<std::string_view> changed;
  for (const Operation& operation : operations) {
    RETURN_IF_ERROR(CheckKey(operation.key));
    if (!changed.insert(operation.key).second) {
      return base::InvalidArgument(
          fmt::format("a coordinator transaction changes {} twice", operation.key));
    }
    const size_t value_bytes = operation.value ? operation.value->size() : 0;
    if (value_bytes > kValueBytesMax) {
      return base::InvalidArgument(fmt::format("the value of {} has {} bytes, allowed are {}",
                                               operation.key, value_bytes, kValueBytesMax));
    }
    bytes += operation.key.size() + value_bytes;
  }
  if (bytes > kTxnBytesMax) {
    return base::InvalidArgument(
        fmt::format("a coordinator transaction has {} bytes, allowed are {}", bytes, kTxnBytesMax));
  }
  return {};
}

std::string PrefixEnd(std::string prefix) {
  while (!prefix.empty() && static_cast<unsigned char>(prefix.back()) == 0xff) prefix.pop_back();
  if (!prefix.empty()) prefix.back() = static_cast<char>(prefix.back() + 1);
  return prefix;
}

}  // namespace understudy::cluster
