// SPDX-License-Identifier: Apache-2.0
// Recovery databases: a backup's content beside the live database.
#include <fmt/format.h>

#include <optional>

#include "cli/difference_views.h"
#include "cli/groups.h"
#include "cli/human.h"
#include "cli/progress_view.h"
#include "cli/repository_argument.h"
#include "cli/table.h"
#include "cli/views.h"
#include "cli/wanted_point.h"
#include "rpc/protocol.h"

namespace understudy::cli {
namespace {

constexpr const char* kHint = "'understudy recovery list' shows what there is";
constexpr uint32_t kRowsDefault = 5;

struct Arguments {
  std::string database;
  std::string name;
  std::string server;
  std::string repository;
  WantedPoint wanted;
  uint32_t rows = kRowsDefault;
};

Json RowOf(const v1::Recovery& recovery) {
  return {{"name", recovery.name()},
          {"server", recovery.server()},
          {"database", recovery.database()},
          {"backup", recovery.backup()},
          {"term", recovery.position().term()},
          {"position", recovery.position().seq()},
          {"committed", TimeJson(recovery.commit_ms())},
          {"size", recovery.bytes()},
          {"path", recovery.path()},
          {"created", TimeJson(recovery.created_ms())}};
}

base::Status Create(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::CreateRecoveryRequest request;
  request.set_database(arguments.database);
  request.set_name(arguments.name);
  request.set_server(arguments.server);
  request.set_repository(AbsoluteLocation(arguments.repository));
  request.set_backup(arguments.wanted.backup);
  request.set_at_ms(arguments.wanted.time.unix_ms);
  request.set_seq(arguments.wanted.seq);
  std::optional<v1::Recovery> made;
  ProgressView view(context.output(), context.env());
  RETURN_IF_ERROR(client->CreateRecovery(request, [&](const v1::CreateRecoveryResponse& answer) {
    if (answer.has_progress()) view.Update(answer.progress());
    if (answer.has_result()) made = answer.result();
    return true;
  }));
  view.Finish();
  if (!made) return base::Internal("the server ended the recovery without a result");
  context.output().Document(
      Json{{"recovery", RowOf(*made)}},
      fmt::format("{0} is on {1}: what {2} was at position {3}, {4}, as a plain SQLite file\n"
                  "{5}\n"
                  "next: understudy recovery diff {0}\n",
                  made->name(), made->server(), made->database(),
                  FormatCount(made->position().seq()), FormatBytes(made->bytes()), made->path()));
  return {};
}

base::Status List(Context& context, const Arguments&) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  ASSIGN_OR_RETURN(const v1::ListRecoveriesResponse answer,
                   client->ListRecoveries({}, context.TimeoutOr(rpc::kCallTimeoutDefault)));
  Json rows = Json::array();
  for (const v1::Recovery& recovery : answer.recoveries()) rows.push_back(RowOf(recovery));
  context.output().Rows("recoveries", rows,
                        {{"name"},
                         {"server"},
                         {"database"},
                         {"position", CellKind::kNumber},
                         {"committed"},
                         {"size", CellKind::kBytes},
                         {"path"}},
                        "There is no recovery database.");
  for (const v1::SilentServer& silent : answer.silent()) {
    context.output().Note(
        fmt::format("server {} did not answer: {}\n", silent.server(), silent.why()));
  }
  return {};
}

base::Status Diff(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::DiffRecoveryRequest request;
  request.set_name(arguments.name);
  request.set_server(arguments.server);
  request.set_rows(arguments.rows);
  ASSIGN_OR_RETURN(const v1::DiffRecoveryResponse answer,
                   client->DiffRecovery(request, context.TimeoutOr(rpc::kLongCallTimeout)));
  Json tables = Json::array();
  for (const v1::TableDifference& table : answer.tables()) tables.push_back(TableJson(table));
  std::string text = fmt::format("{} against the copy of {} on {} at position {}\n",
                                 answer.recovery().name(), answer.recovery().database(),
                                 answer.recovery().server(), FormatCount(answer.copy_at().seq()));
  text += tables.empty() ? "they have the same rows\n" : RenderTables(tables, "recovery");
  context.output().Document(Json{{"recovery", RowOf(answer.recovery())},
                                 {"compared_at", answer.copy_at().seq()},
                                 {"differences", std::move(tables)}},
                            text);
  return {};
}

base::Status Remove(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::RemoveRecoveryRequest request;
  request.set_name(arguments.name);
  request.set_server(arguments.server);
  ASSIGN_OR_RETURN(const v1::RemoveRecoveryResponse answer,
                   client->RemoveRecovery(request, context.TimeoutOr(rpc::kCallTimeoutDefault)));
  context.output().Document(Json{{"removed", RowOf(answer.removed())}},
                            fmt::format("recovery database {} on {} is removed\n",
                                        answer.removed().name(), answer.removed().server()));
  return {};
}

void AddServer(CLI::App& app, Arguments& arguments, const std::string& what) {
  app.add_option("--on", arguments.server, what)->check(ServerName())->type_name("SERVER");
}

Runner DefineCreate(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  app.add_option("DB", arguments->database, "the database")->required()->check(DatabaseName());
  app.add_option("--name", arguments->name, "what it is called (default: as the database)")
      ->check(DatabaseName())
      ->type_name("NAME");
  AddServer(app, *arguments, "the server that keeps it (default: the one that is asked)");
  AddRepository(app, "--repo", arguments->repository);
  AddWantedPoint(app, arguments->wanted);
  return [arguments](Context& context) { return Create(context, *arguments); };
}

Runner DefineList(CLI::App&) {
  auto arguments = std::make_shared<Arguments>();
  return [arguments](Context& context) { return List(context, *arguments); };
}

Runner DefineDiff(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  app.add_option("NAME", arguments->name, "the recovery database")->required();
  AddServer(app, *arguments, "where it is, if several servers have one of that name");
  app.add_option("--rows", arguments->rows, "at most so many rows of each table and kind")
      ->check(CLI::Range(0U, 1000U))
      ->capture_default_str()
      ->type_name("N");
  return [arguments](Context& context) { return Diff(context, *arguments); };
}

Runner DefineRemove(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  app.add_option("NAME", arguments->name, "the recovery database")->required();
  AddServer(app, *arguments, "where it is, if several servers have one of that name");
  return [arguments](Context& context) { return Remove(context, *arguments); };
}

}  // namespace

Group RecoveryCommands() {
  return {"recovery",
          "Recovery databases: the content of a backup beside the live database",
          {{.name = "create",
            .summary = "Restore a backup beside the live database, which stays as it is",
            .example = "understudy recovery create mail --repo offsite --at 2026-11-26T10:00:00Z",
            .define = DefineCreate,
            .not_found_hint = "'understudy backup list' shows the backups"},
           {.name = "list",
            .summary = "List the recovery databases of all servers",
            .example = "understudy recovery list",
            .define = DefineList},
           {.name = "diff",
            .summary = "Show which rows differ between a recovery database and the live copy there",
            .example = "understudy recovery diff mail --rows 20",
            .define = DefineDiff,
            .not_found_hint = kHint},
           {.name = "remove",
            .summary = "Delete a recovery database",
            .example = "understudy recovery remove mail",
            .define = DefineRemove,
            .not_found_hint = kHint}}};
}

}  // namespace understudy::cli
