// SPDX-License-Identifier: Apache-2.0
#include "base/ids.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/hex.h"

namespace understudy::base {
namespace {

bool IsNameByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

}  // namespace

std::string ToString(Position position) {
  return fmt::format("{}.{}", position.term.value, position.seq.value);
}

std::string ToString(Generation generation) { return fmt::format("{:016x}", generation.value); }

std::string DatabaseId::ToHex() const { return HexEncode(bytes); }

Result<DatabaseId> DatabaseId::FromHex(std::string_view hex) {
  DatabaseId id;
  if (hex.size() != 2 * id.bytes.size() || !HexDecode(hex, id.bytes)) {
    return InvalidArgument(
        fmt::format("'{}' is not a database id: 32 hexadecimal digits are expected", hex));
  }
  return id;
}

Status CheckName(std::string_view what, std::string_view name) {
  const bool good = !name.empty() && name.size() <= kNameBytesMax && name.front() != '.' &&
                    name.front() != '-' && std::all_of(name.begin(), name.end(), IsNameByte);
  if (good) return Status();
  return InvalidArgument(
      fmt::format("'{}' cannot be a {}: use 1 to {} letters, digits, '.', '_' or '-', starting "
                  "with a letter, digit or '_'",
                  name, what, kNameBytesMax));
}

}  // namespace understudy::base
