// SPDX-License-Identifier: Apache-2.0
// ManualPage: understudy(1) in roff, from the same declarations as --help. Threading: pure
// function.
#pragma once

#include <string>

namespace understudy::cli {

std::string ManualPage();

}  // namespace understudy::cli
