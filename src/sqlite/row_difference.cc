// SPDX-License-Identifier: Apache-2.0
#include "sqlite/row_difference.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sqlite3.h>

#include <algorithm>

#include "sqlite/connection.h"
#include "sqlite/wal_file.h"

namespace understudy::sqlite {
namespace {

constexpr int kStepsBetweenLooks = 10000;
constexpr auto kBusyTimeout = std::chrono::seconds(2);

struct Deadline {
  env::Env& env;
  base::SteadyTime end;
  bool passed() const { return env.Now() >= end; }
};

int Expired(void* context) { return static_cast<const Deadline*>(context)->passed() ? 1 : 0; }

std::string Quoted(const std::string& name) {
  std::string out = "\"";
  for (const char c : name) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

struct TableShape {
  std::vector<std::string> columns;
  std::vector<std::string> key;  // quoted
  bool operator==(const TableShape&) const = default;
};

base::Result<TableShape> ShapeOf(Connection& db, const std::string& schema,
                                 const std::string& table) {
  ASSIGN_OR_RETURN(Statement info,
                   db.Prepare(fmt::format(
                       "SELECT name, pk FROM pragma_table_info(?1, '{}') ORDER BY cid", schema)));
  info.Bind(1, table);
  TableShape shape;
  while (true) {
    ASSIGN_OR_RETURN(const bool row, info.Step());
    if (!row) break;
    shape.columns.push_back(info.Text(0));
    if (info.Int(1) > 0) shape.key.push_back(Quoted(info.Text(0)));
  }
  if (!shape.key.empty() || shape.columns.empty()) return shape;
  for (const char* name : {"rowid", "_rowid_", "oid"}) {
    const bool taken = std::any_of(shape.columns.begin(), shape.columns.end(), [&](const auto& c) {
      return sqlite3_stricmp(c.c_str(), name) == 0;
    });
    if (taken) continue;
    shape.key = {name};
    break;
  }
  return shape;
}

// Compares one table that both databases have in the same shape.
class TableComparison {
 public:
  TableComparison(Connection& db, const TableShape& shape, TableDifference& difference)
      : db_(db), shape_(shape), difference_(difference) {
    const std::string table = Quoted(difference.table);
    first_ = "main." + table;
    second_ = "other." + table;
    std::vector<std::string> keys;
    for (const std::string& key : shape.key) keys.push_back(fmt::format("a.{0} IS b.{0}", key));
    std::vector<std::string> values;
    for (const std::string& column : shape.columns) {
      values.push_back(fmt::format("a.{0} IS b.{0} COLLATE BINARY", Quoted(column)));
    }
    same_key_ = fmt::format("{}", fmt::join(keys, " AND "));
    same_values_ = fmt::format("{}", fmt::join(values, " AND "));
  }

  base::Status Run(uint32_t rows_max, size_t& bytes_left) {
    using Kind = RowDifference::Kind;
    const std::string only_first = Missing(first_, second_);
    const std::string only_second = Missing(second_, first_);
    const std::string changed = fmt::format("FROM {} AS a JOIN {} AS b ON {} WHERE NOT ({})",
                                            first_, second_, same_key_, same_values_);
    ASSIGN_OR_RETURN(difference_.only_first, Count(only_first));
    ASSIGN_OR_RETURN(difference_.only_second, Count(only_second));
    ASSIGN_OR_RETURN(difference_.changed, Count(changed));
    RETURN_IF_ERROR(Read(only_first, Kind::kOnlyFirst, rows_max, bytes_left));
    RETURN_IF_ERROR(Read(only_second, Kind::kOnlySecond, rows_max, bytes_left));
    return Read(changed, Kind::kChanged, rows_max, bytes_left);
  }

 private:
  std::string Missing(const std::string& from, const std::string& in) const {
    return fmt::format("FROM {} AS a WHERE NOT EXISTS (SELECT 1 FROM {} AS b WHERE {})", from, in,
                       same_key_);
  }
  base::Result<uint64_t> Count(const std::string& rows) {
    ASSIGN_OR_RETURN(const int64_t count, db_.QueryInt("SELECT count(*) " + rows));
    return static_cast<uint64_t>(count);
  }
  // Long values are cut before they are quoted, so that no literal of a huge one is made.
  void AddLiterals(const char* alias, std::vector<std::string>& to) const {
    for (const std::string& column : shape_.columns) {
      const std::string value = fmt::format("{}.{}", alias, Quoted(column));
      to.push_back(fmt::format(
          "CASE WHEN typeof({0}) IN ('text', 'blob') AND length({0}) > {1} THEN quote(substr({0}, "
          "1, {1})) || '…' ELSE quote({0}) END",
          value, kDifferenceValueBytesMax));
    }
  }
  base::Status Read(const std::string& from, RowDifference::Kind kind, uint32_t rows_max,
                    size_t& bytes_left) {
    const size_t columns = shape_.columns.size();
    std::vector<std::string> literals;
    AddLiterals("a", literals);
    if (kind == RowDifference::Kind::kChanged) AddLiterals("b", literals);
    ASSIGN_OR_RETURN(Statement rows,
                     db_.Prepare(fmt::format("SELECT {} {} LIMIT {}", fmt::join(literals, ", "),
                                             from, rows_max)));
    while (true) {
      ASSIGN_OR_RETURN(const bool row, rows.Step());
      if (!row) return {};
      RowDifference found;
      found.kind = kind;
      size_t bytes = 0;
      for (size_t i = 0; i < literals.size(); ++i) {
        std::string value = rows.Text(static_cast<int>(i));
        bytes += value.size();
        const bool of_second = kind == RowDifference::Kind::kOnlySecond || i >= columns;
        (of_second ? found.second : found.first).push_back(std::move(value));
      }
      if (bytes > bytes_left) return {};
      bytes_left -= bytes;
      difference_.rows.push_back(std::move(found));
    }
  }

  Connection& db_;
  const TableShape& shape_;
  TableDifference& difference_;
  std::string first_;
  std::string second_;
  std::string same_key_;
  std::string same_values_;
};

base::Status Compare(Connection& db, uint32_t rows_max, size_t& bytes_left,
                     TableDifference& difference) {
  ASSIGN_OR_RETURN(const TableShape first, ShapeOf(db, "main", difference.table));
  ASSIGN_OR_RETURN(const TableShape second, ShapeOf(db, "other", difference.table));
  difference.columns = first.columns.empty() ? second.columns : first.columns;
  if (first.columns.empty()) {
    difference.not_compared = "only the second database has this table";
  } else if (second.columns.empty()) {
    difference.not_compared = "only the first database has this table";
  } else if (first != second) {
    difference.not_compared = "its columns are others in the second database";
  } else if (first.key.empty()) {
    difference.not_compared = "its rows have nothing to be matched by";
  }
  if (!difference.not_compared.empty()) return {};
  return TableComparison(db, first, difference).Run(rows_max, bytes_left);
}

base::Result<std::vector<std::string>> TablesOf(Connection& db) {
  ASSIGN_OR_RETURN(
      Statement names,
      db.Prepare(fmt::format("SELECT name FROM (SELECT name, sql FROM main.sqlite_schema WHERE "
                             "type = 'table' UNION SELECT name, sql FROM other.sqlite_schema WHERE "
                             "type = 'table') WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND sql "
                             "NOT LIKE 'CREATE VIRTUAL %' GROUP BY name ORDER BY name LIMIT {}",
                             kDifferenceTablesMax)));
  std::vector<std::string> tables;
  while (true) {
    ASSIGN_OR_RETURN(const bool row, names.Step());
    if (!row) return tables;
    tables.push_back(names.Text(0));
  }
}

}  // namespace

base::Result<std::vector<TableDifference>> CompareRows(env::Env& env,
                                                       const DifferenceOptions& options) {
  Deadline deadline{env, env.Now() + options.limit};  // outlives the connection
  ASSIGN_OR_RETURN(const std::unique_ptr<Connection> db,
                   Connection::Open(options.first, {.busy_timeout = kBusyTimeout}));
  KeepWalAtClose(*db);  // of both
  RETURN_IF_ERROR(db->Execute("PRAGMA query_only=ON; PRAGMA trusted_schema=OFF"));
  ASSIGN_OR_RETURN(Statement attach, db->Prepare("ATTACH ?1 AS other"));
  RETURN_IF_ERROR(attach.Bind(1, options.second).Run());
  sqlite3_progress_handler(db->handle(), kStepsBetweenLooks, Expired, &deadline);
  RETURN_IF_ERROR(db->Execute("BEGIN"));
  ASSIGN_OR_RETURN(const std::vector<std::string> tables, TablesOf(*db));
  std::vector<TableDifference> differences;
  size_t bytes_left = kDifferenceBytesMax;
  for (const std::string& table : tables) {
    TableDifference difference;
    difference.table = table;
    const base::Status compared = deadline.passed()
                                      ? base::TimedOut("the time for comparing was over")
                                      : Compare(*db, options.rows_max, bytes_left, difference);
    if (!compared.ok()) {
      // What was counted until then is not the whole.
      difference = TableDifference();
      difference.table = table;
      difference.not_compared =
          deadline.passed() ? "the time for comparing was over" : compared.message();
    }
    const bool equal = difference.not_compared.empty() && difference.only_first == 0 &&
                       difference.only_second == 0 && difference.changed == 0;
    if (!equal) differences.push_back(std::move(difference));
  }
  return differences;
}

}  // namespace understudy::sqlite
