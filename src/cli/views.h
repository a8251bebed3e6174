// SPDX-License-Identifier: Apache-2.0
// The server's answers as the JSON rows that commands print (and tables are rendered from): names,
// units and forms are fixed here and in docs/reference/cli.md, and nowhere else.
//
// Positions are sequence numbers; the term stands beside them. Times are RFC 3339 or null, sizes
// bytes, durations milliseconds.
// Threading: pure functions.
#pragma once

#include <cstdint>
#include <vector>

#include "cli/json.h"
#include "cli/table.h"
#include "cluster/records.h"
#include "understudy/v1/admin.pb.h"

namespace understudy::cli {

Json TimeJson(int64_t unix_ms);  // null for 0: it has not happened

Json ServerJson(const v1::Server& server);
Json DatabaseJson(const v1::Database& database);
Json StatusJson(const v1::DatabaseStatus& status);
Json ScrubJson(const v1::ScrubStatus& scrub);
Json BackupJson(const v1::Backup& backup);
Json DrillJson(const v1::Drill& drill);
Json EventJson(const v1::Event& event);
Json EventJson(const cluster::Event& event);  // of a server's own

const std::vector<Column>& ServerColumns();
const std::vector<Column>& DatabaseColumns();
const std::vector<Column>& CopyColumns();
const std::vector<Column>& BackupColumns();
const std::vector<Column>& DrillColumns();
const std::vector<Column>& EventColumns();

struct StatusStyle {
  TableStyle table;
  bool holds = false;  // also why log is kept
};
// A database of `status` for people: its line, its copies' table, and a line for whatever needs
// attention (errors, seeds under way).
std::string RenderStatus(const Json& database, const StatusStyle& style);

}  // namespace understudy::cli
