// SPDX-License-Identifier: Apache-2.0
#include "cli/lost_views.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "cli/difference_views.h"
#include "cli/human.h"
#include "cli/text_width.h"
#include "cli/views.h"

namespace understudy::cli {
namespace {

std::string TextOf(const Json& value) {
  return value.is_string() ? Printable(value.get<std::string>()) : std::string();
}

Json PositionJson(const v1::Position& position) {
  return Json{{"term", position.term()}, {"seq", position.seq()}};
}

const std::vector<Column>& RecordColumns() {
  static const std::vector<Column> kColumns = {
      {"term", CellKind::kNumber},  {"first", CellKind::kNumber},
      {"last", CellKind::kNumber},  {"committed"},
      {"pages", CellKind::kNumber}, {"size", CellKind::kBytes}};
  return kColumns;
}

std::string RenderDifferences(const Json& lost) {
  const std::string where =
      fmt::format("the copy of {} on {}", TextOf(lost["database"]), TextOf(lost["server"]));
  if (!lost["not_compared"].is_null()) {
    return fmt::format("\nThe rows were not compared with {}: {}\n", where,
                       TextOf(lost["not_compared"]));
  }
  if (lost["differences"].is_null()) return {};
  std::string text = fmt::format("\nRows of the bundle's database against {}, at {}.{}. {}\n",
                                 where, lost["compared_at"]["term"].get<uint64_t>(),
                                 lost["compared_at"]["seq"].get<uint64_t>(), kLostNote);
  if (lost["differences"].empty()) text += "No row differs.\n";
  return text + RenderTables(lost["differences"], "bundle");
}

}  // namespace

Json LostJson(const v1::LostBundle& bundle) {
  Json row;
  row["id"] = bundle.id();
  row["database"] = bundle.database();
  row["server"] = bundle.server();
  row["directory"] = bundle.directory();
  row["damaged"] = TextOrNull(bundle.damaged());
  row["created"] = TimeJson(bundle.created_ms());
  row["reason"] = TextOrNull(bundle.reason());
  row["records"] = bundle.records();
  row["commits"] = bundle.records() == 0 ? 0 : bundle.last().seq() - bundle.first().seq() + 1;
  row["after"] = PositionJson(bundle.after());
  row["first"] = bundle.first().seq();
  row["first_term"] = bundle.first().term();
  row["last"] = bundle.last().seq();
  row["last_term"] = bundle.last().term();
  row["first_commit"] = TimeJson(bundle.first_commit_ms());
  row["last_commit"] = TimeJson(bundle.last_commit_ms());
  row["pages"] = bundle.pages();
  row["page_size"] = bundle.page_size();
  row["missing"] = bundle.missing();
  row["newer_term"] = bundle.newer_term() == 0 ? Json(nullptr) : Json(bundle.newer_term());
  row["newer_server"] = TextOrNull(bundle.newer_server());
  row["size"] = bundle.bytes();
  row["log_size"] = bundle.log_bytes();
  row["database_size"] =
      bundle.database_bytes() == 0 ? Json(nullptr) : Json(bundle.database_bytes());
  row["database_left_out"] = TextOrNull(bundle.database_left_out());
  row["database_id"] = TextOrNull(bundle.database_id());
  return row;
}

const std::vector<Column>& LostColumns() {
  static const std::vector<Column> kColumns = {{"id"},
                                               {"database"},
                                               {"server"},
                                               {"commits", CellKind::kNumber},
                                               {"first", CellKind::kNumber},
                                               {"last", CellKind::kNumber},
                                               {"last_commit"},
                                               {"size", CellKind::kBytes},
                                               {"database_size", CellKind::kBytes}};
  return kColumns;
}

Json LostListJson(const v1::ListLostResponse& answer) {
  Json list{{"bundles", Json::array()}, {"silent", Json::array()}, {"left_out", answer.left_out()}};
  for (const v1::LostBundle& bundle : answer.bundles()) list["bundles"].push_back(LostJson(bundle));
  for (const v1::SilentServer& server : answer.silent()) {
    list["silent"].push_back(Json{{"server", server.server()}, {"why", server.why()}});
  }
  return list;
}

std::string RenderLostList(const Json& list, const TableStyle& style) {
  std::string text = list["bundles"].empty() ? "No lost log is kept.\n"
                                             : RenderTable(list["bundles"], LostColumns(), style);
  for (const Json& bundle : list["bundles"]) {
    if (bundle["damaged"].is_null()) continue;
    text += fmt::format("  {}: damaged: {}\n", TextOf(bundle["id"]), TextOf(bundle["damaged"]));
  }
  if (list["left_out"] != 0) {
    text += fmt::format("  {} more are left out; name a database\n",
                        FormatCount(list["left_out"].get<uint64_t>()));
  }
  for (const Json& server : list["silent"]) {
    text += fmt::format("  {}: does not answer, so it may have more: {}\n",
                        TextOf(server["server"]), TextOf(server["why"]));
  }
  return text;
}

Json LostShowJson(const v1::ShowLostResponse& answer) {
  Json lost = LostJson(answer.bundle());
  Json manifest = Json::parse(answer.manifest(), nullptr, false);
  lost["manifest"] = manifest.is_discarded() ? Json(nullptr) : std::move(manifest);
  lost["log_damage"] = TextOrNull(answer.log_damage());
  lost["lost_records"] = Json::array();
  for (const v1::LostRecord& record : answer.records()) {
    lost["lost_records"].push_back(Json{{"term", record.last().term()},
                                        {"first", record.first().seq()},
                                        {"last", record.last().seq()},
                                        {"committed", TimeJson(record.commit_ms())},
                                        {"pages", record.pages()},
                                        {"size", record.bytes()}});
  }
  lost["differences"] = nullptr;
  lost["compared_at"] = nullptr;
  lost["not_compared"] = TextOrNull(answer.not_compared());
  lost["note"] = nullptr;
  if (!answer.compared()) return lost;
  lost["differences"] = Json::array();
  for (const auto& table : answer.tables()) lost["differences"].push_back(TableJson(table));
  lost["compared_at"] = PositionJson(answer.copy_at());
  lost["note"] = std::string(kLostNote);
  return lost;
}

std::string RenderLostShow(const Json& lost, const TableStyle& style) {
  std::vector<Column> columns = {{"id"},
                                 {"database"},
                                 {"server"},
                                 {"created"},
                                 {"reason"},
                                 {"commits", CellKind::kNumber},
                                 {"first", CellKind::kNumber},
                                 {"last", CellKind::kNumber},
                                 {"last_term", CellKind::kNumber},
                                 {"first_commit"},
                                 {"last_commit"},
                                 {"pages", CellKind::kNumber},
                                 {"newer_term", CellKind::kNumber},
                                 {"newer_server"},
                                 {"size", CellKind::kBytes},
                                 {"database_size", CellKind::kBytes},
                                 {"directory"}};
  for (const char* key : {"database_left_out", "damaged", "log_damage"}) {
    if (!lost[key].is_null()) columns.push_back({key});
  }
  std::string text = RenderFields(lost, columns, style);
  if (lost["missing"].get<bool>()) {
    text += "The oldest lost records had been truncated before they could be kept.\n";
  }
  const Json& records = lost["lost_records"];
  if (!records.empty()) {
    text += fmt::format("\nLost records ({} of {}):\n", FormatCount(records.size()),
                        FormatCount(lost["records"].get<uint64_t>()));
    text += RenderTable(records, RecordColumns(), style);
  }
  return text + RenderDifferences(lost);
}

}  // namespace understudy::cli
