// SPDX-License-Identifier: Apache-2.0
// The groups of commands, one function per file of the same name (server_commands.cc, …).
// Threading: pure functions.
#pragma once

#include "cli/command.h"

namespace understudy::cli {

Group GroupCommands();
Group ServerCommands();
Group ClientCommands();
Group HealthCommands();  // in server_commands.cc
Group DatabaseCommands();
Group StatusCommands();  // status, wait
Group CopyCommands();
std::vector<Command> LagCommands();  // of the group "copy": lag_commands.cc
Group SwitchoverCommands();          // with the next: move_commands.cc
Group FailoverCommands();
Group ActivationCommands();
Group LostCommands();
Group ScrubCommands();
Group BackupCommands();
std::vector<Command> PruneCommands();  // of the group "backup": prune_commands.cc
Group RepositoryCommands();
Group ScheduleCommands();
Group WriterCommands();  // writers, betest, holds
Group SettingsCommands();
Group RestoreCommands();
Group DiagnoseCommands();
Group RecoveryCommands();
Group EventCommands();
Group LogCommands();
Group LabCommands();
Group LabForwarderCommands();  // hidden: a process, not a command for people
Group VersionCommands();
Group ReferenceCommands();
Group TopCommands();
Group CompletionCommands();
Group SupportCommands();

}  // namespace understudy::cli
