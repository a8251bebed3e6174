// SPDX-License-Identifier: Apache-2.0
#include "cli/wanted_point.h"

#include <fmt/format.h>

#include "cli/human.h"
#include "cli/views.h"

namespace understudy::cli {

void AddWantedPoint(CLI::App& app, WantedPoint& wanted) {
  CLI::Option* const backup =
      app.add_option("--backup", wanted.backup, "the backup (default: the newest good one)")
          ->type_name("ID");
  CLI::Option* const at =
      AddTime(app, "--at", wanted.time,
              "the newest good backup with nothing that was committed after this time")
          ->excludes(backup);
  app.add_option("--position", wanted.seq, "the newest good backup that is not after this position")
      ->type_name("N")
      ->check(CLI::PositiveNumber)
      ->excludes(backup)
      ->excludes(at);
}

Json ToJson(const NextBackup& next) {
  if (next.id.empty()) return Json();
  return {{"backup", next.id}, {"position", next.seq}, {"committed", TimeJson(next.commit_ms)}};
}

std::string ToText(const NextBackup& next) {
  if (next.id.empty()) return "";
  return fmt::format("the next backup, {}, is at position {}, with commits until {}\n", next.id,
                     FormatCount(next.seq), base::ToRfc3339(base::WallTime{next.commit_ms}));
}

}  // namespace understudy::cli
