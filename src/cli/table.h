// SPDX-License-Identifier: Apache-2.0
// Tables for people, rendered from the same JSON rows that `-o json` prints, so that the names and
// values of both can never drift apart.
//
// A column names a key of the row objects; its header is that key in capitals ("copy_queue" becomes
// "COPY QUEUE", "duration_ms" becomes "DURATION"). A key that is absent or null prints "-".
// Threading: pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/json.h"

namespace understudy::cli {

enum class CellKind {
  kText,
  kNumber,    // right-aligned, digits grouped
  kBytes,     // "1.5 MiB"
  kRate,      // "1.5 MiB/s"
  kDuration,  // the value is milliseconds (a number)
  kState,     // coloured: good, passing and bad states
  kList,      // an array of texts, joined by commas
};

struct Column {
  std::string key;
  CellKind kind = CellKind::kText;
};

struct TableStyle {
  bool colour = false;
};

// `rows` is an array of objects. Ends with a newline. With no rows, only the header is returned.
std::string RenderTable(const Json& rows, const std::vector<Column>& columns,
                        const TableStyle& style);

// One object as "key  value" lines, in the order of `columns`.
std::string RenderFields(const Json& object, const std::vector<Column>& columns,
                         const TableStyle& style);

// The text of one cell, without colour.
std::string RenderCell(const Json& object, const Column& column);

}  // namespace understudy::cli
