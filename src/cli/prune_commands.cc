// SPDX-License-Identifier: Apache-2.0
// backup prune and backup keep: on a directory or bucket as this machine sees it, without any
// server; or, of a repository of the group, by the server that is asked.
#include <fmt/format.h>

#include "backup/prune.h"
#include "cli/groups.h"
#include "cli/human.h"
#include "cli/repository_argument.h"
#include "cli/table.h"
#include "cli/views.h"
#include "rpc/protocol.h"

namespace understudy::cli {
namespace {

constexpr uint32_t kKeepMax = 100'000;

struct Arguments {
  std::string repository;
  std::string database;
  std::string id;
  std::string mark = "on";
  backup::PruneOptions options;
};

Json RowOf(const backup::PruneDecision& decision) {
  const backup::BackupDocument& document = decision.document;
  return {{"id", document.id},
          {"type", std::string(backup::BackupTypeName(document.type))},
          {"completed", base::ToRfc3339(document.completed)},
          {"stored", document.bytes_stored},
          {"kept", decision.keep},
          {"fate", decision.keep ? "stays" : "goes"},
          {"why", decision.why}};
}

Json RowOf(const v1::PruneBackupsResponse::Decision& decision) {
  const v1::Backup& backup = decision.backup();
  return {{"id", backup.id()},
          {"type", backup.type()},
          {"completed", TimeJson(backup.finished_ms())},
          {"stored", backup.stored_bytes()},
          {"kept", decision.keep()},
          {"fate", decision.keep() ? "stays" : "goes"},
          {"why", decision.why()}};
}

base::Result<Json> PruneHere(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const std::string location, LocationHere(context, arguments.repository));
  ASSIGN_OR_RETURN(const auto repository, backup::Repository::Open(context.env(), location));
  ASSIGN_OR_RETURN(const std::vector<backup::PruneDecision> plan,
                   backup::Prune(*repository, arguments.database, arguments.options));
  Json rows = Json::array();
  for (const backup::PruneDecision& decision : plan) rows.push_back(RowOf(decision));
  return rows;
}

base::Result<Json> PruneByServer(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::PruneBackupsRequest request;
  request.set_repository(arguments.repository);
  request.set_database(arguments.database);
  request.set_keep_full(arguments.options.rules.keep_full);
  request.set_keep_days(arguments.options.rules.keep_days);
  request.set_dry_run(arguments.options.dry_run);
  ASSIGN_OR_RETURN(const v1::PruneBackupsResponse answer,
                   client->PruneBackups(request, context.TimeoutOr(rpc::kLongCallTimeout)));
  Json rows = Json::array();
  for (const auto& decision : answer.decisions()) rows.push_back(RowOf(decision));
  return rows;
}

base::Status RunPrune(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(Json rows, NeedsServer(arguments.repository) ? PruneByServer(context, arguments)
                                                                : PruneHere(context, arguments));
  const auto removed =
      std::count_if(rows.begin(), rows.end(), [](const Json& row) { return !row["kept"]; });
  const std::string text =
      RenderTable(rows, {{"id"}, {"completed"}, {"stored", CellKind::kBytes}, {"fate"}, {"why"}},
                  context.output().style()) +
      fmt::format("{} of {} backups of {} {}\n", removed, rows.size(), arguments.database,
                  arguments.options.dry_run ? "would go" : "removed");
  context.output().Document(Json{{"database", arguments.database},
                                 {"dry_run", arguments.options.dry_run},
                                 {"removed", removed},
                                 {"backups", std::move(rows)}},
                            text);
  return {};
}

base::Status KeepHere(Context& context, const Arguments& arguments, bool keep) {
  ASSIGN_OR_RETURN(const std::string location, LocationHere(context, arguments.repository));
  ASSIGN_OR_RETURN(const auto repository, backup::Repository::Open(context.env(), location));
  return repository->SetKeep(arguments.database, arguments.id, keep);
}

base::Status KeepByServer(Context& context, const Arguments& arguments, bool keep) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::KeepBackupRequest request;
  request.set_repository(arguments.repository);
  request.set_database(arguments.database);
  request.set_id(arguments.id);
  request.set_keep(keep);
  return client->KeepBackup(request, context.TimeoutOr(rpc::kLongCallTimeout)).status();
}

base::Status RunKeep(Context& context, const Arguments& arguments) {
  if (!backup::IsBackupId(arguments.id)) {
    return base::InvalidArgument(fmt::format("\"{}\" is not the id of a backup", arguments.id));
  }
  const bool keep = arguments.mark == "on";
  RETURN_IF_ERROR(NeedsServer(arguments.repository) ? KeepByServer(context, arguments, keep)
                                                    : KeepHere(context, arguments, keep));
  context.output().Document(
      Json{{"database", arguments.database}, {"backup", arguments.id}, {"keep", keep}},
      fmt::format("backup {} of {} {}\n", arguments.id, arguments.database,
                  keep ? "is kept, with what it is based on, until the mark is taken away"
                       : "has no keep mark"));
  return {};
}

void AddRepository(CLI::App& app, Arguments& arguments) {
  app.add_option("--repo", arguments.repository,
                 "a directory here or s3://BUCKET/PREFIX, for which no server is needed; or a "
                 "repository's name in the group (default: as in backup run)")
      ->type_name("REPO");
}

Runner DefinePrune(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  app.add_option("DB", arguments->database, "the database")->required()->check(DatabaseName());
  AddRepository(app, *arguments);
  app.add_option("--keep-full", arguments->options.rules.keep_full,
                 "the newest N good full backups stay, with all that is based on them")
      ->check(CLI::Range(uint32_t{1}, kKeepMax))
      ->type_name("N");
  app.add_option("--keep-days", arguments->options.rules.keep_days,
                 "what was completed less than D days before the newest backup stays")
      ->check(CLI::Range(uint32_t{1}, kKeepMax))
      ->type_name("D");
  app.add_flag("--dry-run", arguments->options.dry_run,
               "remove nothing: show what would go and what would stay, and why");
  return [arguments](Context& context) { return RunPrune(context, *arguments); };
}

Runner DefineKeep(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  app.add_option("DB", arguments->database, "the database")->required()->check(DatabaseName());
  app.add_option("ID", arguments->id, "the backup")->required();
  app.add_option("MARK", arguments->mark, "on: it is never pruned; off: the rules decide")
      ->check(CLI::IsMember({"on", "off"}))
      ->capture_default_str()
      ->type_name("on|off");
  AddRepository(app, *arguments);
  return [arguments](Context& context) { return RunKeep(context, *arguments); };
}

constexpr const char* kHint = "--repo is a repository, DB a database in it";

}  // namespace

std::vector<Command> PruneCommands() {
  return {
      {.name = "prune",
       .summary = "Remove old backups from a repository",
       .example = "understudy backup prune mail --repo offsite --dry-run\n"
                  "understudy backup prune mail --repo /srv/backups --keep-full 4 --keep-days 30",
       .define = DefinePrune,
       .not_found_hint = kHint},
      {.name = "keep",
       .summary = "Mark a backup that is never to be pruned",
       .example = "understudy backup keep mail 20261122T184500Z-full-3f09ac on --repo "
                  "/srv/backups",
       .define = DefineKeep,
       .not_found_hint = kHint}};
}

}  // namespace understudy::cli
