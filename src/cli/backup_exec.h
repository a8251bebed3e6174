// SPDX-License-Identifier: Apache-2.0
// `understudy backup exec DB -- COMMAND`: gives any backup program the path of a consistent, plain
// SQLite file, and completes or aborts the session by the program's exit code.
//
// The file's path stands where the command says {}, and in UNDERSTUDY_SNAPSHOT. The file lies on
// the server whose copy is read, so the command runs there. While it runs the session is kept
// alive. Threading: confined to the main thread.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"

namespace understudy::cli {

struct BackupExec {
  std::string database;
  std::string from;
  base::Duration wait{};
  std::vector<std::string> command;
};

base::Status RunBackupExec(Context& context, const BackupExec& exec);

// Every {} of the command replaced. Pure.
std::vector<std::string> WithPath(const std::vector<std::string>& command, const std::string& path);

}  // namespace understudy::cli
