// SPDX-License-Identifier: Apache-2.0
// RowDifference: which rows of two databases differ, table by table, as SQLite sees them.
//
// Rows are matched by primary key, or by rowid where a table declares none (a VACUUM may have given
// such rows other rowids). Values are the same when SQLite's IS says so, by bytes. Both databases
// are read by one ordinary connection, each at one moment, so they may be written meanwhile;
// nothing is written but SQLite's temporary files. Virtual tables are left out.
// Limits: tables, rows told of each table, length of a value's text, text in all, and a time after
// which the rest is left out. Threading: pure function; blocks. Errors: those of Connection, for
// the databases as a whole; a table that cannot be compared says so itself.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "env/env.h"

namespace understudy::sqlite {

inline constexpr size_t kDifferenceTablesMax = 1000;
inline constexpr size_t kDifferenceValueBytesMax = 100;  // characters of a text, bytes of a blob
inline constexpr size_t kDifferenceBytesMax = 2 << 20;   // of all values told

struct RowDifference {
  enum class Kind { kOnlyFirst, kOnlySecond, kChanged };
  Kind kind = Kind::kOnlyFirst;
  // SQL literals in the order of the columns, cut off ("…") where they are long; empty where there
  // is no such row.
  std::vector<std::string> first;
  std::vector<std::string> second;
};

struct TableDifference {
  std::string table;
  std::vector<std::string> columns;
  uint64_t only_first = 0;   // rows that the second has not
  uint64_t only_second = 0;  // rows that the first has not
  uint64_t changed = 0;      // rows that both have, with other values
  std::vector<RowDifference> rows;
  std::string not_compared;  // why; empty when it was
};

struct DifferenceOptions {
  std::string first;  // paths
  std::string second;
  uint32_t rows_max = 10;  // of each table and kind
  base::Duration limit = std::chrono::seconds(20);
};
// Tables that differ, or could not be compared, by name.
base::Result<std::vector<TableDifference>> CompareRows(env::Env& env,
                                                       const DifferenceOptions& options);

}  // namespace understudy::sqlite
