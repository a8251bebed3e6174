// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>

#include "cli/forwarder_control.h"
#include "cli/groups.h"
#include "cli/human.h"
#include "cli/identity_file.h"
#include "cli/lab.h"
#include "cli/lab_commands.h"
#include "cli/lab_forwarder_process.h"
#include "cli/lab_process.h"
#include "cli/lab_tls.h"
#include "cli/pause.h"

namespace understudy::cli {
namespace {

constexpr std::chrono::seconds kReadyLimitDefault{20};
constexpr std::chrono::seconds kGroupLimit{10};

struct UpArguments {
  std::string directory;
  int servers = 3;
  std::string coordinator;
  std::string daemon;
  std::optional<base::Duration> lease;
  bool tls = false;
  std::optional<base::Duration> certificate_lifetime;
};

std::string OwnPath() { return std::filesystem::read_symlink("/proc/self/exe").string(); }

// Ready servers may not have seen each other yet; the lab is up when the first one has seen all.
base::Status WaitForGroup(Context& context, const LabState& lab) {
  const base::SteadyTime deadline = context.env().Now() + kGroupLimit;
  rpc::ChannelSecurity security;
  if (lab.tls) {
    ASSIGN_OR_RETURN(security, FindIdentity(context.env(), LabIdentityPath(lab.directory)));
  }
  ASSIGN_OR_RETURN(auto client, rpc::AdminClient::Connect(lab.servers.front().address,
                                                          rpc::kConnectTimeoutDefault, security));
  while (true) {
    ASSIGN_OR_RETURN(const auto answer, client->ListServers({}));
    size_t up = 0;
    for (const auto& server : answer.servers()) up += server.state() == "Up" ? 1 : 0;
    if (up >= lab.servers.size()) return {};
    if (context.env().Now() >= deadline) {
      return base::TimedOut(fmt::format(
          "the lab runs, but {} sees only {} of {} servers up after {}", lab.servers.front().name,
          up, lab.servers.size(), FormatDuration(kGroupLimit)));
    }
    understudy::cli::Pause(kLookAgainAfter);
  }
}

std::string CoordinatorName(const LabState& lab) { return lab.etcd ? "etcd" : "embedded"; }

Json ServersJson(const LabState& lab) {
  Json rows = Json::array();
  for (const LabServer& server : lab.servers) {
    const ProcessState state = StateOf(server.process);
    Json row;
    row["server"] = server.name;
    row["state"] = std::string(Name(state));
    row["pid"] = state == ProcessState::kGone ? Json(nullptr) : Json(server.process.pid);
    row["address"] = server.address;
    row["web"] = server.web;
    row["directory"] = lab.ServerDirectory(server.name);
    rows.push_back(std::move(row));
  }
  return rows;
}

const std::vector<Column>& LabServerColumns() {
  static const std::vector<Column> kColumns = {
      {"server"}, {"state", CellKind::kState}, {"pid"}, {"address"}, {"web"}, {"directory"}};
  return kColumns;
}

base::Status Up(Context& context, const UpArguments& arguments) {
  ASSIGN_OR_RETURN(const std::string directory, LabDirectory(arguments.directory));
  LabUpOptions options;
  options.directory = directory;
  options.servers = arguments.servers;
  if (!arguments.coordinator.empty()) options.etcd = arguments.coordinator == "etcd";
  options.lease = arguments.lease;
  if (arguments.tls) options.tls = true;
  options.certificate_lifetime = arguments.certificate_lifetime;
  options.command = OwnPath();
  options.daemon = arguments.daemon.empty()
                       ? env::JoinPath(env::DirectoryOf(options.command), "understudyd")
                       : std::filesystem::absolute(arguments.daemon).string();
  options.ready_limit = context.TimeoutOr(kReadyLimitDefault);
  ASSIGN_OR_RETURN(const Lab lab, Lab::Up(context.env(), options));
  RETURN_IF_ERROR(WaitForGroup(context, lab.state()));
  const Json rows = ServersJson(lab.state());
  Json document;
  document["directory"] = lab.state().directory;
  document["coordinator"] = CoordinatorName(lab.state());
  document["servers"] = rows;
  context.output().Document(document,
                            RenderTable(rows, LabServerColumns(), context.output().style()));
  context.output().Note(
      fmt::format("next: eval \"$(understudy lab env --dir {})\"", lab.state().directory));
  return {};
}

Runner DefineUp(CLI::App& app) {
  auto arguments = std::make_shared<UpArguments>();
  AddLabDirectory(app, arguments->directory);
  app.add_option("--servers", arguments->servers, "how many servers: s1, s2, …")
      ->check(CLI::Range(1, kLabServersMax))
      ->capture_default_str()
      ->type_name("N");
  app.add_option("--coordinator", arguments->coordinator,
                 "embedded or etcd (default: what the directory has, else embedded)")
      ->check(CLI::IsMember({"embedded", "etcd"}))
      ->type_name("KIND");
  AddDuration(app, "--lease", arguments->lease,
              "how long a server counts as alive without a sign of life (default 6s)");
  app.add_flag("--tls", arguments->tls, "mutual TLS between the servers, and for commands");
  AddDuration(app, "--certificate-lifetime", arguments->certificate_lifetime,
              "of the servers' certificates (default 90d)");
  app.add_option("--daemon", arguments->daemon, "understudyd to run (default: beside this command)")
      ->type_name("PATH");
  return [arguments](Context& context) { return Up(context, *arguments); };
}

std::string ShellQuoted(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

base::Status Env(Context& context, const std::string& typed) {
  ASSIGN_OR_RETURN(const std::string directory, LabDirectory(typed));
  ASSIGN_OR_RETURN(const LabState lab, LoadLabState(context.env(), directory));
  Json document;
  document["UNDERSTUDY_LAB"] = lab.directory;
  document["UNDERSTUDY_SERVER"] = lab.servers.empty() ? "" : lab.servers.front().address;
  const std::string web = lab.servers.empty() ? "" : lab.servers.front().web;
  document["UNDERSTUDY_WEB"] = web.empty() ? "" : "http://" + web;
  document["UNDERSTUDY_IDENTITY"] = lab.tls ? LabIdentityPath(lab.directory) : "";
  std::string text;
  for (const auto& [name, value] : document.items()) {
    text += fmt::format("export {}={}\n", name, ShellQuoted(value.get<std::string>()));
  }
  context.output().Document(document, text);
  return {};
}

base::Status Status(Context& context, const std::string& typed) {
  ASSIGN_OR_RETURN(const std::string directory, LabDirectory(typed));
  ASSIGN_OR_RETURN(const LabState lab, LoadLabState(context.env(), directory));
  Json document;
  document["directory"] = lab.directory;
  document["coordinator"] = CoordinatorName(lab);
  document["forwarder"] = std::string(Name(StateOf(lab.forwarder)));
  document["servers"] = ServersJson(lab);
  const auto answer = AskForwarder(lab.directory, "status");
  document["links"] = answer.ok() ? Json::parse(*answer, nullptr, false) : Json::array();
  const TableStyle style = context.output().style();
  std::string text = RenderTable(document["servers"], LabServerColumns(), style);
  if (answer.ok()) {
    text += "\n" + RenderTable(document["links"], LabLinkColumns(), style);
  } else {
    text += "\nThe forwarder is dead: the servers cannot reach each other.\n";
  }
  context.output().Document(document, text);
  return {};
}

base::Status Down(Context& context, const std::string& typed) {
  ASSIGN_OR_RETURN(const std::string directory, LabDirectory(typed));
  ASSIGN_OR_RETURN(Lab lab, Lab::Open(context.env(), directory));
  const std::string path = lab.state().directory;
  RETURN_IF_ERROR(lab.Down());
  context.output().Document(Json{{"directory", path}, {"done", "down"}},
                            fmt::format("the lab is down; its files stay in {}\n", path));
  return {};
}

using DirectoryAction = base::Status (*)(Context&, const std::string&);

template <DirectoryAction action>
Runner DefineDirectoryAction(CLI::App& app) {
  auto directory = std::make_shared<std::string>();
  AddLabDirectory(app, *directory);
  return [directory](Context& context) { return action(context, *directory); };
}

struct ServerVerb {
  base::Status (*run)(Lab&, const std::string&, base::Duration ready_limit);
  const char* done;
};

template <int verb>
Runner DefineServerVerb(CLI::App& app) {
  static const ServerVerb kVerbs[] = {
      {[](Lab& lab, const std::string& s, base::Duration) { return lab.Stop(s); }, "stopped"},
      {[](Lab& lab, const std::string& s, base::Duration limit) { return lab.Start(s, limit); },
       "started"},
      {[](Lab& lab, const std::string& s, base::Duration) { return lab.Kill(s); }, "killed"},
      {[](Lab& lab, const std::string& s, base::Duration) { return lab.Pause(s); }, "paused"},
      {[](Lab& lab, const std::string& s, base::Duration) { return lab.Resume(s); }, "resumed"}};
  auto directory = std::make_shared<std::string>();
  auto server = std::make_shared<std::string>();
  app.add_option("SERVER", *server, "the server")->required()->check(ServerName());
  AddLabDirectory(app, *directory);
  return [directory, server](Context& context) -> base::Status {
    ASSIGN_OR_RETURN(const std::string path, LabDirectory(*directory));
    ASSIGN_OR_RETURN(Lab lab, Lab::Open(context.env(), path));
    RETURN_IF_ERROR(kVerbs[verb].run(lab, *server, context.TimeoutOr(kReadyLimitDefault)));
    context.output().Document(Json{{"server", *server}, {"done", kVerbs[verb].done}},
                              fmt::format("server {} {}\n", *server, kVerbs[verb].done));
    return {};
  };
}

Runner DefineForwarder(CLI::App& app) {
  auto directory = std::make_shared<std::string>();
  AddLabDirectory(app, *directory);
  return [directory](Context& context) -> base::Status {
    ASSIGN_OR_RETURN(const std::string path, LabDirectory(*directory));
    return RunForwarderProcess(context.env(), path);
  };
}

}  // namespace

void AddLabDirectory(CLI::App& app, std::string& directory) {
  app.add_option("--dir", directory, "the lab's directory (default: UNDERSTUDY_LAB)")
      ->type_name("D");
}

base::Result<std::string> LabDirectory(const std::string& typed) {
  if (!typed.empty()) return std::filesystem::absolute(typed).lexically_normal().string();
  const char* directory = std::getenv("UNDERSTUDY_LAB");
  if (directory != nullptr && *directory != '\0') return std::string(directory);
  return base::InvalidArgument("no lab was named\n--dir D or UNDERSTUDY_LAB names one");
}

Group LabCommands() {
  Group group{"lab", "A group of servers on this machine, for trying things out", {}};
  group.commands = {{.name = "up",
                     .summary = "Start servers s1, s2, … and the forwarder that joins them",
                     .example = "understudy lab up --dir /tmp/lab --servers 3",
                     .define = DefineUp},
                    {.name = "env",
                     .summary = "Print the exports that point other commands at this lab",
                     .example = "eval \"$(understudy lab env --dir /tmp/lab)\"",
                     .define = DefineDirectoryAction<Env>},
                    {.name = "status",
                     .summary = "Show the lab's processes and links",
                     .example = "understudy lab status",
                     .define = DefineDirectoryAction<Status>},
                    {.name = "stop",
                     .summary = "Stop a server in order (SIGTERM)",
                     .example = "understudy lab stop s2",
                     .define = DefineServerVerb<0>},
                    {.name = "start",
                     .summary = "Start a server that was stopped or killed",
                     .example = "understudy lab start s2",
                     .define = DefineServerVerb<1>},
                    {.name = "kill",
                     .summary = "Kill a server at once (SIGKILL), as a crash would",
                     .example = "understudy lab kill s2",
                     .define = DefineServerVerb<2>},
                    {.name = "pause",
                     .summary = "Freeze a server (SIGSTOP), as a stalled machine would be",
                     .example = "understudy lab pause s2",
                     .define = DefineServerVerb<3>},
                    {.name = "resume",
                     .summary = "Let a frozen server go on",
                     .example = "understudy lab resume s2",
                     .define = DefineServerVerb<4>}};
  for (Command& command : LabLinkCommands()) group.commands.push_back(std::move(command));
  group.commands.push_back({.name = "down",
                            .summary = "End the lab's servers and forwarder; its files stay",
                            .example = "understudy lab down --dir /tmp/lab",
                            .define = DefineDirectoryAction<Down>});
  for (Command& command : group.commands) {
    command.not_found_hint = "'understudy lab status' shows the lab's servers";
    command.exists_hint = "'understudy lab status' shows what runs";
  }
  return group;
}

Group LabForwarderCommands() {
  return {"",
          "",
          {{.name = "lab-forwarder",
            .summary = "The forwarder process of a lab; 'lab up' starts it",
            .example = "understudy lab up --dir /tmp/lab",
            .define = DefineForwarder,
            .hidden = true}}};
}

}  // namespace understudy::cli
