// SPDX-License-Identifier: Apache-2.0
// The JSON of the web server's bodies. Threading: pure functions.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "web/status_source.h"

namespace understudy::web {

using Json = nlohmann::ordered_json;

// Of the copy here; where there is none, of the database as the registry has it.
Json CopyJson(const Snapshot& snapshot, const std::string& database);
Json ServerJson(const Snapshot& snapshot);
// Servers, databases and their copies. `database`: only that one's.
Json GroupJson(const Snapshot& snapshot, const std::string& database);
Json DatabasesJson(const Snapshot& snapshot);
// All of the above in one, for the dashboard (docs/dashboard.md).
Json StateJson(const Snapshot& snapshot);
// [[term, seq after which it began, reason, time, server], …], oldest first.
Json HistoryJson(const cluster::DatabaseRecord& record);

// Text that is not UTF-8 (a path may be anything) gets replacement characters.
std::string ToText(const Json& json);

}  // namespace understudy::web
