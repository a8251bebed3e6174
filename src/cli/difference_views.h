// SPDX-License-Identifier: Apache-2.0
// Tables whose rows differ between two databases, one of which a copy has, as commands print them
// (`lost show`, `recovery diff`). Threading: pure functions.
#pragma once

#include <string>
#include <string_view>

#include "cli/json.h"
#include "understudy/v1/admin.pb.h"

namespace understudy::cli {

Json TableJson(const v1::TableDifference& table);
// Of an array of these. `other`: what the one that is not the copy is called.
std::string RenderTables(const Json& tables, std::string_view other);

}  // namespace understudy::cli
