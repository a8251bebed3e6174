// SPDX-License-Identifier: Apache-2.0
// A bundle of lost log as the JSON rows that commands print, and for people
// (docs/reference/cli.md). Names, units and forms as in views.h. Threading: pure functions.
#pragma once

#include <string>
#include <vector>

#include "cli/json.h"
#include "cli/table.h"
#include "understudy/v1/admin.pb.h"

namespace understudy::cli {

// What every comparison has to be read with.
inline constexpr std::string_view kLostNote =
    "The copy has gone on since it was resynchronised: a difference is what was lost, or what was "
    "committed afterwards.";

Json LostJson(const v1::LostBundle& bundle);
const std::vector<Column>& LostColumns();

// {"bundles": […], "silent": […], "left_out": n}
Json LostListJson(const v1::ListLostResponse& answer);
std::string RenderLostList(const Json& list, const TableStyle& style);

// One bundle with all that the server told of it; the same for `lost show` and in an export.
Json LostShowJson(const v1::ShowLostResponse& answer);
std::string RenderLostShow(const Json& lost, const TableStyle& style);

}  // namespace understudy::cli
