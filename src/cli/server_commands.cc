// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "cli/groups.h"
#include "cli/join_commands.h"
#include "cli/views.h"
#include "rpc/protocol.h"

namespace understudy::cli {
namespace {

base::Status List(Context& context) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  ASSIGN_OR_RETURN(const auto answer,
                   client->ListServers({}, context.TimeoutOr(rpc::kCallTimeoutDefault)));
  context.output().FromMemory(answer.coordinator_silence_ms());
  Json rows = Json::array();
  for (const auto& server : answer.servers()) rows.push_back(ServerJson(server));
  context.output().Rows("servers", rows, ServerColumns(), "The group has no server.");
  return {};
}

struct MaintenanceArguments {
  std::string mode;
  std::string server;
};

base::Status Maintenance(Context& context, const MaintenanceArguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::MaintenanceRequest request;
  request.set_server(arguments.server);
  request.set_on(arguments.mode == "on");
  ASSIGN_OR_RETURN(const v1::MaintenanceResponse answer, client->Maintenance(request));
  Json moves = Json::array();
  std::string text =
      fmt::format("{} is {} maintenance\n", arguments.server, request.on() ? "in" : "no longer in");
  int left = 0;
  for (const auto& move : answer.moves()) {
    moves.push_back(
        Json{{"database", move.database()}, {"to", move.to()}, {"error", move.error()}});
    text += move.error().empty()
                ? fmt::format("{} was moved to {}\n", move.database(), move.to())
                : fmt::format("{} was not moved: {}\n", move.database(), move.error());
    if (!move.error().empty()) ++left;
  }
  context.output().Document(
      Json{{"server", arguments.server}, {"maintenance", request.on()}, {"moves", moves}}, text);
  if (left == 0) return {};
  return base::Unavailable(
      fmt::format("{} databases are still mounted on {}", left, arguments.server));
}

Runner DefineMaintenance(CLI::App& app) {
  auto arguments = std::make_shared<MaintenanceArguments>();
  app.add_option("MODE", arguments->mode, "on or off")
      ->required()
      ->check(CLI::IsMember({"on", "off"}));
  app.add_option("SERVER", arguments->server, "the server")->required()->check(ServerName());
  return [arguments](Context& context) { return Maintenance(context, *arguments); };
}

const std::vector<Column>& HealthColumns() {
  static const std::vector<Column> kColumns = {
      {"result", CellKind::kState}, {"check"}, {"about"}, {"what"}, {"hint"}};
  return kColumns;
}

struct HealthArguments {
  bool all = false;
};

base::Status Health(Context& context, const HealthArguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  ASSIGN_OR_RETURN(const v1::HealthResponse answer,
                   client->Health({}, context.TimeoutOr(rpc::kLongCallTimeout)));
  Json rows = Json::array();
  Json shown = Json::array();
  int failed = 0;
  int warned = 0;
  for (const auto& check : answer.checks()) {
    rows.push_back(Json{{"result", check.result()},
                        {"check", check.name()},
                        {"about", check.about()},
                        {"what", check.what()},
                        {"hint", check.hint().empty() ? Json() : Json(check.hint())}});
    if (arguments.all || check.result() != "OK") shown.push_back(rows.back());
    failed += check.result() == "FAILED" ? 1 : 0;
    warned += check.result() == "WARNING" ? 1 : 0;
  }
  std::string text;
  if (!shown.empty()) text = RenderTable(shown, HealthColumns(), context.output().style());
  text += fmt::format("{} checks: {} failed, {} warnings\n", rows.size(), failed, warned);
  context.output().Document(Json{{"checks", rows}, {"failed", failed}, {"warnings", warned}}, text);
  if (failed == 0) return {};
  return base::Unavailable(fmt::format("{} checks failed", failed));
}

Runner DefineHealth(CLI::App& app) {
  auto arguments = std::make_shared<HealthArguments>();
  app.add_flag("--all", arguments->all, "also the checks that are OK (JSON always has them)");
  return [arguments](Context& context) { return Health(context, *arguments); };
}

}  // namespace

Group HealthCommands() {
  return {"",
          "",
          {{.name = "health",
            .summary = "Check servers, databases and copies; fails if one check fails",
            .example = "understudy health",
            .define = DefineHealth}}};
}

Group ServerCommands() {
  Group group{"server",
              "The servers of the group",
              {{.name = "list",
                .summary = "List the group's servers and whether they are up",
                .example = "understudy server list",
                .define = [](CLI::App&) -> Runner { return List; }}}};
  for (Command& command : JoinCommands()) group.commands.push_back(std::move(command));
  group.commands.push_back({.name = "maintenance",
                            .summary = "Take a server out of service: move its active copies away",
                            .example = "understudy server maintenance on s1",
                            .define = DefineMaintenance});
  return group;
}

}  // namespace understudy::cli
