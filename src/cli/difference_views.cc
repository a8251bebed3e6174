// SPDX-License-Identifier: Apache-2.0
#include "cli/difference_views.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

#include "cli/human.h"
#include "cli/text_width.h"

namespace understudy::cli {
namespace {

std::string TextOf(const Json& value) {
  return value.is_string() ? Printable(value.get<std::string>()) : std::string();
}

// {"id": "7", "word": "'lost'"}; null when there is no such row.
Json ValuesJson(const google::protobuf::RepeatedPtrField<std::string>& columns,
                const google::protobuf::RepeatedPtrField<std::string>& values) {
  if (values.empty()) return nullptr;
  Json row = Json::object();
  for (int i = 0; i < std::min(columns.size(), values.size()); ++i) row[columns[i]] = values[i];
  return row;
}

std::string RenderRow(const Json& row, std::string_view other) {
  const bool in_bundle = !row["bundle"].is_null();
  const Json& values = in_bundle ? row["bundle"] : row["copy"];
  std::vector<std::string> fields;
  for (const auto& [column, value] : values.items()) {
    const std::string literal = TextOf(value);
    if (row["kind"] != "changed") {
      fields.push_back(fmt::format("{}={}", Printable(column), literal));
      continue;
    }
    const Json now = row["copy"].is_object() ? row["copy"].value(column, Json("")) : Json("");
    fields.push_back(
        now == value ? fmt::format("{}={}", Printable(column), literal)
                     : fmt::format("{}={} (copy: {})", Printable(column), literal, TextOf(now)));
  }
  const std::string kind = TextOf(row["kind"]);
  return fmt::format("  {:<14}  {}\n",
                     kind == "only in bundle" ? fmt::format("only in {}", other) : kind,
                     fmt::join(fields, ", "));
}

}  // namespace

Json TableJson(const v1::TableDifference& table) {
  Json row;
  row["table"] = table.table();
  row["only_in_bundle"] = table.only_in_bundle();
  row["only_in_copy"] = table.only_in_copy();
  row["changed"] = table.changed();
  row["not_compared"] = TextOrNull(table.not_compared());
  row["rows"] = Json::array();
  for (const v1::RowDifference& difference : table.rows()) {
    row["rows"].push_back(Json{{"kind", difference.kind()},
                               {"bundle", ValuesJson(table.columns(), difference.bundle())},
                               {"copy", ValuesJson(table.columns(), difference.copy())}});
  }
  return row;
}

std::string RenderTables(const Json& tables, std::string_view other) {
  std::string text;
  for (const Json& table : tables) {
    const std::string name = TextOf(table["table"]);
    if (!table["not_compared"].is_null()) {
      text += fmt::format("table {}: not compared: {}\n", name, TextOf(table["not_compared"]));
      continue;
    }
    text += fmt::format("table {}: {} rows only in the {}, {} only in the copy, {} changed\n", name,
                        FormatCount(table["only_in_bundle"].get<uint64_t>()), other,
                        FormatCount(table["only_in_copy"].get<uint64_t>()),
                        FormatCount(table["changed"].get<uint64_t>()));
    for (const Json& row : table["rows"]) text += RenderRow(row, other);
  }
  return text;
}

}  // namespace understudy::cli
