// SPDX-License-Identifier: Apache-2.0
// The dashboard: the files of src/web/dashboard/, which the build puts into the program. Only what
// is listed there is served, by its name; nothing is read from a disk.
// Threading: constants and pure functions.
#pragma once

#include <span>
#include <string_view>

namespace understudy::web {

struct DashboardFile {
  std::string_view name;  // "main.js"
  std::string_view content;
};
extern const std::span<const DashboardFile> kDashboardFiles;

// The page runs its own scripts only, asks this server only, and is in no other page's frame.
inline constexpr const char* kContentSecurityPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

// Null when there is none of that name.
const DashboardFile* FindDashboardFile(std::string_view name);
// "text/javascript"; by the end of its name.
const char* DashboardFileType(std::string_view name);

}  // namespace understudy::web
