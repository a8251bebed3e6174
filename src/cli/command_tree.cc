// SPDX-License-Identifier: Apache-2.0
#include "cli/groups.h"

namespace understudy::cli {

std::vector<Group> AllGroups() {
  return {GroupCommands(),      ServerCommands(),       ClientCommands(),     HealthCommands(),
          DatabaseCommands(),   StatusCommands(),       TopCommands(),        CopyCommands(),
          SwitchoverCommands(), FailoverCommands(),     ActivationCommands(), ScrubCommands(),
          LostCommands(),       BackupCommands(),       RepositoryCommands(), ScheduleCommands(),
          WriterCommands(),     SettingsCommands(),     RestoreCommands(),    RecoveryCommands(),
          DiagnoseCommands(),   EventCommands(),        SupportCommands(),    LogCommands(),
          LabCommands(),        LabForwarderCommands(), VersionCommands(),    CompletionCommands(),
          ReferenceCommands()};
}

}  // namespace understudy::cli
