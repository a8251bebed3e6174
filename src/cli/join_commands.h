// SPDX-License-Identifier: Apache-2.0
// The commands of `server` that need the files of a new member, defined in join_commands.cc.
// Threading: confined to the main thread.
#pragma once

#include "cli/command.h"
#include "cli/server_file.h"

namespace understudy::cli {

// --config, --server-name, --data-dir, --listen, --etcd-client, --etcd-peer.
void AddServerOptions(CLI::App& app, ServerOptions& options);

std::vector<Command> JoinCommands();  // token, join, remove

}  // namespace understudy::cli
