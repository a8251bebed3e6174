// SPDX-License-Identifier: Apache-2.0
// The shape of the command tree: groups ("db") of commands ("add"), each with a summary, an example
// that --help shows, and a function that declares its options and returns what runs.
//
// One file per group (db_commands.cc, …) offers `Group XCommands()`; command_tree.cc lists them.
// What can be judged without asking anybody (a name with a slash, a duration that is none) is
// judged while parsing, by the validators below, and ends with exit code 2; whatever a runner
// returns ends with 1, or with 3 if the server could not be reached. Threading: confined to the
// main thread.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "cli/output.h"
#include "env/env.h"
#include "rpc/admin_client.h"

namespace understudy::cli {

// Options that every command takes.
struct Globals {
  std::string server;    // as typed: an address, or a server's name in a lab
  std::string identity;  // file; empty: what identity_file.h says
  Format format = Format::kTable;
  std::optional<base::Duration> timeout;  // unset: each command has its own default
};

// What a runner works with.
class Context {
 public:
  // All must outlive the context.
  Context(const Globals& globals, Output& output, env::Env& env)
      : globals_(globals), output_(output), env_(env) {}

  const Globals& globals() const { return globals_; }
  Output& output() { return output_; }
  env::Env& env() { return env_; }

  // Says Hello to the server that --server, UNDERSTUDY_SERVER or the default names. A failure here
  // (and only here) makes the exit code 3.
  base::Result<std::unique_ptr<rpc::AdminClient>> Connect();
  // The same to a server of the group that another one named.
  base::Result<std::unique_ptr<rpc::AdminClient>> ConnectTo(const std::string& address);
  // How Connect and ConnectTo prove who asks.
  base::Result<rpc::ChannelSecurity> Security();
  bool not_reachable() const { return not_reachable_; }

  // --timeout, or `fallback`.
  base::Duration TimeoutOr(base::Duration fallback) const {
    return globals_.timeout.value_or(fallback);
  }

 private:
  const Globals& globals_;
  Output& output_;
  env::Env& env_;
  bool not_reachable_ = false;
};

// The address for `server`, which is an address already, or the name of a server of the lab in
// `lab_directory` (what UNDERSTUDY_LAB says; may be empty).
base::Result<std::string> ResolveServer(env::Env& env, const std::string& server,
                                        const std::string& lab_directory);

using Runner = std::function<base::Status(Context&)>;
// Adds options to `app` and returns what runs when the command is chosen.
using Define = Runner (*)(CLI::App& app);

struct Command {
  std::string name;
  std::string summary;  // one line, a verb first
  std::string example;  // whole lines, without indentation
  Define define = nullptr;
  bool hidden = false;  // not in --help or the reference
  // Hints of this command for failures that carry none of their own.
  std::string not_found_hint =
      "'understudy db list' and 'understudy server list' show what there is";
  std::string exists_hint = "choose another name, or remove the existing one first";
};

struct Group {
  std::string name;  // empty: its commands stand at the top
  std::string summary;
  std::vector<Command> commands;
};

// The whole tree, in the order of --help.
std::vector<Group> AllGroups();

// Validators for CLI::Option::check and transform.
CLI::Validator DatabaseName();
CLI::Validator ServerName();
// --from of a backup: a list of sources (cluster/backup_source.h).
CLI::Option* AddSources(CLI::App& app, std::string& target);
// --wait and --no-wait of a backup, for the turn among the backups of a database.
inline constexpr base::Duration kBackupWaitDefault = std::chrono::hours(1);
void AddBackupWait(CLI::App& app, std::optional<base::Duration>& wait);
// "--copies s2,s3": names of servers, separated by commas.
CLI::Option* AddServers(CLI::App& app, const std::string& name, std::vector<std::string>& target,
                        const std::string& description);
// Parses a duration or size into `target`; the option's text must satisfy it.
// A time in UTC such as 2026-11-26T10:00:00Z.
CLI::Option* AddTime(CLI::App& app, const std::string& name, base::WallTime& target,
                     const std::string& description);
CLI::Option* AddDuration(CLI::App& app, const std::string& name,
                         std::optional<base::Duration>& target, const std::string& description);
CLI::Option* AddBytes(CLI::App& app, const std::string& name, std::optional<uint64_t>& target,
                      const std::string& description);

// What a person can do about a failure of `command` when the message does not say it.
std::string HintFor(const Command& command, const base::Status& status);

}  // namespace understudy::cli
