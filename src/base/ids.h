// SPDX-License-Identifier: Apache-2.0
// Distinct types for the numbers and names that must not be mixed up, and Position.
//
// Words: docs/glossary.md. Seq counts commits of a database, without gaps, for ever; Term goes up
// at every mount; Generation numbers log files and is printed in hex. Threading: values.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace understudy::base {

// A number with a name of its own. `value` is public: arithmetic on ids is spelled out where it
// happens.
template <typename Tag, typename Number>
struct StrongNumber {
  Number value = 0;

  constexpr StrongNumber() = default;
  constexpr explicit StrongNumber(Number v) : value(v) {}
  constexpr auto operator<=>(const StrongNumber&) const = default;
  constexpr StrongNumber Next() const { return StrongNumber(value + 1); }
};

using Term = StrongNumber<struct TermTag, uint64_t>;
using Seq = StrongNumber<struct SeqTag, uint64_t>;
using Generation = StrongNumber<struct GenerationTag, uint64_t>;
using PageNo = StrongNumber<struct PageNoTag, uint32_t>;  // 1 is the first page

// A point in a database's log: everything up to and including commit `seq`, made in `term`.
struct Position {
  Term term;
  Seq seq;

  constexpr auto operator<=>(const Position&) const = default;
};

std::string ToString(Position position);      // "3.1742": term 3, seq 1742
std::string ToString(Generation generation);  // "000000000000001f"

// Names a database for ever, whatever its name or path become. Random, made when it joins the
// group.
struct DatabaseId {
  std::array<uint8_t, 16> bytes{};

  constexpr auto operator<=>(const DatabaseId&) const = default;
  std::string ToHex() const;  // 32 lower-case digits
  static Result<DatabaseId> FromHex(std::string_view hex);
};

// A database's or server's name: 1 to kNameBytesMax of [a-z A-Z 0-9 . _ -], not starting with '.'
// or '-'. `what` goes into the message ("database name", "server name").
inline constexpr size_t kNameBytesMax = 64;
Status CheckName(std::string_view what, std::string_view name);

}  // namespace understudy::base

template <typename Tag, typename Number>
struct std::hash<understudy::base::StrongNumber<Tag, Number>> {
  size_t operator()(const understudy::base::StrongNumber<Tag, Number>& id) const noexcept {
    return std::hash<Number>()(id.value);
  }
};
