// SPDX-License-Identifier: Apache-2.0
// Finding the word that a person got wrong, and the one they may have meant.
// Threading: pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace understudy::cli {

// The name with the smallest edit distance to `typed`, if it is near enough to be a slip of the
// fingers; else empty.
std::string Nearest(std::string_view typed, const std::vector<std::string>& names);

// The first word of `arguments` that is neither an option, nor the value of a global option, nor
// one of the words of `command_path` ("understudy db"). Empty if there is none.
std::string FirstUnknownWord(const std::vector<std::string>& arguments,
                             std::string_view command_path);

}  // namespace understudy::cli
