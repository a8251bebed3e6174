// SPDX-License-Identifier: Apache-2.0
// What Active Manager goes by: settings of databases, copies and the group; moves to preferred
// copies.
#include <fmt/format.h>

#include "cli/groups.h"
#include "cli/human.h"
#include "rpc/protocol.h"

namespace understudy::cli {
namespace {

struct Arguments {
  std::string database;
  std::string server;
  std::string dial;
  std::string activation;
  std::string every;
  std::optional<uint64_t> preference;
  bool dry_run = false;
};

void AddDatabase(CLI::App& app, Arguments& arguments) {
  app.add_option("DB", arguments.database, "the database")->required()->check(DatabaseName());
}

// --- settings ---

base::Status SetDatabase(Context& context, const Arguments& arguments,
                         std::optional<bool> dismounted) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::SetDatabaseRequest request;
  request.set_database(arguments.database);
  request.set_dial(arguments.dial);
  if (dismounted) request.set_dismounted(*dismounted);
  ASSIGN_OR_RETURN(const v1::SetDatabaseResponse answer,
                   client->SetDatabase(request, context.TimeoutOr(rpc::kCallTimeoutDefault)));
  context.output().Document(
      Json{{"database", arguments.database},
           {"dial", answer.dial()},
           {"dismounted", answer.dismounted()}},
      fmt::format("{}: dial {}, {}\n", arguments.database, answer.dial(),
                  answer.dismounted() ? "to be dismounted" : "to be mounted"));
  return {};
}

Runner DefineDial(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  AddDatabase(app, *arguments);
  app.add_option("DIAL", arguments->dial, "lossless, good or best")
      ->required()
      ->check(CLI::IsMember({"lossless", "good", "best"}));
  return [arguments](Context& context) { return SetDatabase(context, *arguments, std::nullopt); };
}

Runner DefineMount(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  AddDatabase(app, *arguments);
  return [arguments](Context& context) { return SetDatabase(context, *arguments, false); };
}

Runner DefineDismount(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  AddDatabase(app, *arguments);
  return [arguments](Context& context) { return SetDatabase(context, *arguments, true); };
}

base::Status SetCopy(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::SetCopyRequest request;
  request.set_database(arguments.database);
  request.set_server(arguments.server);
  if (arguments.preference) request.set_preference(*arguments.preference);
  if (!arguments.activation.empty()) {
    request.set_activation_suspended(arguments.activation == "off");
  }
  ASSIGN_OR_RETURN(const v1::SetCopyResponse answer,
                   client->SetCopy(request, context.TimeoutOr(rpc::kCallTimeoutDefault)));
  context.output().Document(
      Json{{"database", arguments.database},
           {"server", arguments.server},
           {"preference", answer.preference()},
           {"activation_suspended", answer.activation_suspended()}},
      fmt::format("copy of {} on {}: activation preference {}, automatic activation {}\n",
                  arguments.database, arguments.server, answer.preference(),
                  answer.activation_suspended() ? "suspended" : "allowed"));
  return {};
}

Runner DefineActivation(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  AddDatabase(app, *arguments);
  app.add_option("SERVER", arguments->server, "the server of the copy")
      ->required()
      ->check(ServerName());
  app.add_option("--preference", arguments->preference,
                 "among equally good copies the lowest number is mounted; 0: none");
  app.add_option("--automatic", arguments->activation, "on, or off: only a person activates it")
      ->check(CLI::IsMember({"on", "off"}));
  return [arguments](Context& context) { return SetCopy(context, *arguments); };
}

base::Status SetGroup(Context& context, const v1::SetGroupRequest& request) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  ASSIGN_OR_RETURN(const v1::SetGroupResponse answer,
                   client->SetGroup(request, context.TimeoutOr(rpc::kCallTimeoutDefault)));
  const uint64_t every_s = answer.rebalance_every_s();
  context.output().Document(
      Json{{"paused", answer.paused()},
           {"manager", answer.manager()},
           {"failsafe", answer.failsafe()},
           {"rebalance_every_s", every_s}},
      fmt::format("failovers {}; {} decides\nfailsafe mode is {}; databases are moved to their "
                  "preferred copies {}\n",
                  answer.paused() ? "are paused" : "are automatic",
                  answer.manager().empty() ? "nobody" : answer.manager(),
                  answer.failsafe() ? "on" : "off",
                  every_s == 0 ? "by a person only"
                               : "every " + FormatDuration(std::chrono::seconds(every_s))));
  return {};
}

Runner DefinePause(CLI::App&) {
  return [](Context& context) {
    v1::SetGroupRequest request;
    request.set_paused(true);
    return SetGroup(context, request);
  };
}
Runner DefineResume(CLI::App&) {
  return [](Context& context) {
    v1::SetGroupRequest request;
    request.set_paused(false);
    return SetGroup(context, request);
  };
}
Runner DefineFailsafe(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  app.add_option("MODE", arguments->activation, "on or off")
      ->required()
      ->check(CLI::IsMember({"on", "off"}));
  return [arguments](Context& context) {
    v1::SetGroupRequest request;
    request.set_failsafe(arguments->activation == "on");
    return SetGroup(context, request);
  };
}
Runner DefineGroupStatus(CLI::App&) {
  return [](Context& context) { return SetGroup(context, {}); };
}

// --- rebalance ---

base::Status Rebalance(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::RebalanceRequest request;
  request.set_database(arguments.database);
  request.set_dry_run(arguments.dry_run);
  ASSIGN_OR_RETURN(const v1::RebalanceResponse answer,
                   client->Rebalance(request, context.TimeoutOr(rpc::kLongCallTimeout)));
  Json rows = Json::array();
  bool failed = false;
  for (const v1::RebalanceResponse::Move& move : answer.moves()) {
    failed = failed || move.failed();
    rows.push_back({{"database", move.database()},
                    {"from", move.from()},
                    {"to", move.to()},
                    {"moved", move.done() ? "yes" : "no"},
                    {"verdict", move.verdict()}});
  }
  std::string text = "every database is active where its activation preference says\n";
  if (!rows.empty()) {
    text = RenderTable(rows, {{"database"}, {"from"}, {"to"}, {"moved"}, {"verdict"}},
                       context.output().style());
  }
  Json document;
  document["moves"] = std::move(rows);
  context.output().Document(document, text);
  return failed ? base::Unavailable("not every database could be moved; the table says why")
                : base::Status();
}

base::Status Rebalancing(Context& context, const Arguments& arguments) {
  if (arguments.every.empty()) return Rebalance(context, arguments);
  v1::SetGroupRequest request;
  request.set_rebalance_every_s(0);
  if (arguments.every != "never") {
    ASSIGN_OR_RETURN(const base::Duration every, ParseDuration(arguments.every));
    request.set_rebalance_every_s(static_cast<uint64_t>(every / std::chrono::seconds(1)));
  }
  return SetGroup(context, request);
}

Runner DefineRebalance(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  app.add_option("DB", arguments->database, "only this database")->check(DatabaseName());
  app.add_flag("--dry-run", arguments->dry_run, "only tell what would be done");
  app.add_option("--every", arguments->every,
                 "from now on the group does it by itself so often (1h), or never; nothing is "
                 "moved at once");
  return [arguments](Context& context) { return Rebalancing(context, *arguments); };
}

}  // namespace

Group ActivationCommands() {
  return {"activation",
          "What Active Manager goes by",
          {{.name = "dial",
            .summary = "Set how much an automatic failover of a database may lose",
            .example = "understudy activation dial mail lossless",
            .define = DefineDial},
           {.name = "copy",
            .summary = "Set a copy's activation preference, or keep it from being activated",
            .example = "understudy activation copy mail s3 --automatic off",
            .define = DefineActivation},
           {.name = "mount",
            .summary = "Mount a database that was dismounted",
            .example = "understudy activation mount mail",
            .define = DefineMount},
           {.name = "dismount",
            .summary = "Keep a database dismounted: nobody can write it until it is mounted again",
            .example = "understudy activation dismount mail",
            .define = DefineDismount},
           {.name = "pause",
            .summary = "Stop automatic failovers in the whole group",
            .example = "understudy activation pause",
            .define = DefinePause},
           {.name = "resume",
            .summary = "Allow automatic failovers again",
            .example = "understudy activation resume",
            .define = DefineResume},
           {.name = "rebalance",
            .summary = "Move active copies to where their activation preference says",
            .example = "understudy activation rebalance --dry-run",
            .define = DefineRebalance},
           {.name = "failsafe",
            .summary = "Let active copies stay mounted without the coordinator while every server "
                       "confirms it",
            .example = "understudy activation failsafe on",
            .define = DefineFailsafe},
           {.name = "status",
            .summary = "Tell whether failovers are automatic, and which server decides",
            .example = "understudy activation status",
            .define = DefineGroupStatus}}};
}

}  // namespace understudy::cli
