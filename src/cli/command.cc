// SPDX-License-Identifier: Apache-2.0
#include "cli/command.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "base/ids.h"
#include "cli/human.h"
#include "cli/identity_file.h"
#include "cli/lab_state.h"
#include "cluster/backup_source.h"
#include "rpc/protocol.h"

namespace understudy::cli {
namespace {

constexpr std::string_view kServerDefault = "127.0.0.1:7400";

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

CLI::Validator NameValidator(const std::string& what) {
  return CLI::Validator(
      [what](std::string& name) {
        const base::Status status = base::CheckName(what, name);
        return status.ok() ? std::string() : status.message();
      },
      "");
}

}  // namespace

CLI::Validator DatabaseName() { return NameValidator("database name"); }
CLI::Validator ServerName() { return NameValidator("server name"); }

CLI::Option* AddSources(CLI::App& app, std::string& target) {
  return app
      .add_option("--from", target,
                  "which copy is read: passive, passive:SERVER, least-loaded, active, SERVER, or a "
                  "list of these, the most wanted first (default: the group's BackupSourcePolicy)")
      ->check(CLI::Validator(
          [](const std::string& text) {
            const auto policy = cluster::ParseSourcePolicy(text);
            return policy.ok() ? std::string() : policy.status().message();
          },
          ""))
      ->type_name("LIST");
}

void AddBackupWait(CLI::App& app, std::optional<base::Duration>& wait) {
  CLI::Option* const limit =
      AddDuration(app, "--wait", wait,
                  "how long to wait in the queue while another backup of it runs (default: 1h)");
  app.add_flag_callback(
         "--no-wait", [&wait] { wait = base::Duration(0); },
         "fail at once, with the holder's name, while another backup of it runs")
      ->excludes(limit);
}

CLI::Option* AddServers(CLI::App& app, const std::string& name, std::vector<std::string>& target,
                        const std::string& description) {
  // Not a list option of CLI11's: that would swallow the arguments that follow it.
  return app
      .add_option_function<std::string>(
          name,
          [name, &target](const std::string& text) {
            for (const std::string& server : CLI::detail::split(text, ',')) {
              const base::Status status = base::CheckName("server name", server);
              if (!status.ok()) throw CLI::ValidationError(name, status.message());
              target.push_back(server);
            }
          },
          description)
      ->type_name("SERVER,...");
}

CLI::Option* AddDuration(CLI::App& app, const std::string& name,
                         std::optional<base::Duration>& target, const std::string& description) {
  return app
      .add_option_function<std::string>(
          name,
          [name, &target](const std::string& text) {
            auto parsed = ParseDuration(text);
            if (!parsed.ok()) throw CLI::ValidationError(name, parsed.status().message());
            target = *parsed;
          },
          description)
      ->type_name("DURATION");
}

CLI::Option* AddBytes(CLI::App& app, const std::string& name, std::optional<uint64_t>& target,
                      const std::string& description) {
  return app
      .add_option_function<std::string>(
          name,
          [name, &target](const std::string& text) {
            auto parsed = ParseBytes(text);
            if (!parsed.ok()) throw CLI::ValidationError(name, parsed.status().message());
            target = *parsed;
          },
          description)
      ->type_name("BYTES");
}

base::Result<std::string> ResolveServer(env::Env& env, const std::string& server,
                                        const std::string& lab_directory) {
  if (server.find(':') != std::string::npos) return server;
  if (lab_directory.empty()) {
    return base::InvalidArgument(fmt::format(
        "'{}' is not an address: HOST:PORT or unix:PATH is expected\nthe name of a server works "
        "only inside a lab, after eval \"$(understudy lab env --dir D)\"",
        server));
  }
  ASSIGN_OR_RETURN(const LabState lab, LoadLabState(env, lab_directory));
  ASSIGN_OR_RETURN(const LabServer* found, lab.Find(server));
  return found->address;
}

base::Result<rpc::ChannelSecurity> Context::Security() {
  return FindIdentity(env_, globals_.identity);
}

base::Result<std::unique_ptr<rpc::AdminClient>> Context::ConnectTo(const std::string& address) {
  ASSIGN_OR_RETURN(const rpc::ChannelSecurity security, Security());
  const base::Duration limit = rpc::kConnectTimeoutDefault;
  return rpc::AdminClient::Connect(address, std::min(TimeoutOr(limit), limit), security);
}

base::Result<std::unique_ptr<rpc::AdminClient>> Context::Connect() {
  std::string server = globals_.server;
  if (server.empty()) server = Environment("UNDERSTUDY_SERVER");
  if (server.empty()) server = kServerDefault;
  ASSIGN_OR_RETURN(const std::string address,
                   ResolveServer(env_, server, Environment("UNDERSTUDY_LAB")));
  auto client = ConnectTo(address);
  if (!client.ok()) {
    const base::Code code = client.status().code();
    not_reachable_ = code == base::Code::kUnavailable || code == base::Code::kTimedOut;
    if (not_reachable_ && client.status().message().find('\n') == std::string::npos) {
      return base::Status(
          code,
          client.status().message() +
              "\nis understudyd running there? --server or UNDERSTUDY_SERVER names another; a "
              "group with TLS wants --identity or UNDERSTUDY_IDENTITY");
    }
  }
  return client;
}

std::string HintFor(const Command& command, const base::Status& status) {
  switch (status.code()) {
    case base::Code::kNotFound: return command.not_found_hint;
    case base::Code::kAlreadyExists: return command.exists_hint;
    case base::Code::kNoSpace: return "free some space there, then try again";
    case base::Code::kUnavailable: return "'understudy server list' shows which servers are up";
    case base::Code::kTimedOut:
      return "'understudy status' shows how far every copy is; --timeout sets the limit";
    case base::Code::kBusy: return "wait until the holder is done, then try again";
    case base::Code::kDiverged:
    case base::Code::kFenced:
    case base::Code::kLogGap:
      return "'understudy status' and 'understudy events' tell what happened before";
    case base::Code::kCorruption:
      return "do not use this copy; 'understudy events' tells what was found";
    case base::Code::kInternal:
      return "this is a bug: please report it with the server's diagnostics";
    case base::Code::kIoError:
    case base::Code::kInvalidArgument:
    case base::Code::kCancelled:
    case base::Code::kOk: return "";
  }
  return "";
}

CLI::Option* AddTime(CLI::App& app, const std::string& name, base::WallTime& target,
                     const std::string& description) {
  return app
      .add_option_function<std::string>(
          name,
          [name, &target](const std::string& text) {
            auto parsed = base::FromRfc3339(text);
            if (!parsed.ok() || parsed->unix_ms <= 0) {
              throw CLI::ValidationError(
                  name,
                  fmt::format("'{}' is not a time in UTC such as 2026-11-26T10:00:00Z", text));
            }
            target = *parsed;
          },
          description)
      ->type_name("TIME");
}

}  // namespace understudy::cli
