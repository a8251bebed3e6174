// SPDX-License-Identifier: Apache-2.0
// What the files of the lab's commands share.
// Threading: pure functions.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/table.h"

namespace understudy::cli {

// --dir D.
void AddLabDirectory(CLI::App& app, std::string& directory);
// What was typed, made absolute, or UNDERSTUDY_LAB.
base::Result<std::string> LabDirectory(const std::string& typed);

std::vector<Command> LabLinkCommands();  // cut, heal, slow, half-open
const std::vector<Column>& LabLinkColumns();

}  // namespace understudy::cli
