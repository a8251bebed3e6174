// SPDX-License-Identifier: Apache-2.0
// ToYaml: a document of the command as YAML (1.2), the same that `-o json` prints. Strings that
// could be taken for anything else are quoted as in JSON, which YAML contains. Threading: pure
// function.
#pragma once

#include <string>

#include "cli/json.h"

namespace understudy::cli {

std::string ToYaml(const Json& document);  // ends with a new line

}  // namespace understudy::cli
