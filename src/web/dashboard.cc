// SPDX-License-Identifier: Apache-2.0
#include "web/dashboard.h"

#include <algorithm>

namespace understudy::web {

const DashboardFile* FindDashboardFile(std::string_view name) {
  const auto found = std::find_if(kDashboardFiles.begin(), kDashboardFiles.end(),
                                  [&](const DashboardFile& file) { return file.name == name; });
  return found == kDashboardFiles.end() ? nullptr : &*found;
}

const char* DashboardFileType(std::string_view name) {
  if (name.ends_with(".html")) return "text/html; charset=utf-8";
  if (name.ends_with(".js")) return "text/javascript; charset=utf-8";
  if (name.ends_with(".css")) return "text/css; charset=utf-8";
  if (name.ends_with(".svg")) return "image/svg+xml";
  return "application/octet-stream";
}

}  // namespace understudy::web
