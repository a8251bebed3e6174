// SPDX-License-Identifier: Apache-2.0
// How many terminal columns a text takes, so that tables line up for names that are not ASCII.
//
// Knows UTF-8, combining marks (0 columns) and the wide East Asian and emoji blocks (2 columns);
// invalid bytes count as one column each. Control characters (which could move the cursor or change
// colours when a name contains them) are replaced by Printable().
// Threading: pure functions.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace understudy::cli {

size_t DisplayWidth(std::string_view text);

// `text` with control characters and invalid UTF-8 replaced by '?'.
std::string Printable(std::string_view text);

enum class Align { kLeft, kRight };
// `text` filled with spaces to `width` columns; longer texts stay as they are.
std::string Pad(std::string_view text, size_t width, Align align);

}  // namespace understudy::cli
