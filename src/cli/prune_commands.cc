// SPDX-License-Identifier: Apache-2.0
// backup prune and backup keep: on the repository's directory, without any server.
#include <fmt/format.h>

#include "backup/prune.h"
#include "cli/groups.h"
#include "cli/human.h"
#include "cli/table.h"

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

base::Status RunPrune(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto repository,
                   backup::Repository::Open(context.env(), arguments.repository));
  ASSIGN_OR_RETURN(const std::vector<backup::PruneDecision> plan,
                   backup::Prune(*repository, arguments.database, arguments.options));
  Json rows = Json::array();
  size_t removed = 0;
  for (const backup::PruneDecision& decision : plan) {
    rows.push_back(RowOf(decision));
    if (!decision.keep) ++removed;
  }
  const std::string text =
      RenderTable(rows, {{"id"}, {"completed"}, {"stored", CellKind::kBytes}, {"fate"}, {"why"}},
                  context.output().style()) +
      fmt::format("{} of {} backups of {} {}\n", removed, plan.size(), arguments.database,
                  arguments.options.dry_run ? "would go" : "removed");
  context.output().Document(Json{{"database", arguments.database},
                                 {"dry_run", arguments.options.dry_run},
                                 {"removed", removed},
                                 {"backups", std::move(rows)}},
                            text);
  return {};
}

base::Status RunKeep(Context& context, const Arguments& arguments) {
  if (!backup::IsBackupId(arguments.id)) {
    return base::InvalidArgument(fmt::format("\"{}\" is not the id of a backup", arguments.id));
  }
  ASSIGN_OR_RETURN(const auto repository,
                   backup::Repository::Open(context.env(), arguments.repository));
  const bool keep = arguments.mark == "on";
  RETURN_IF_ERROR(repository->SetKeep(arguments.database, arguments.id, keep));
  context.output().Document(
      Json{{"database", arguments.database}, {"backup", arguments.id}, {"keep", keep}},
      fmt::format("backup {} of {} {}\n", arguments.id, arguments.database,
                  keep ? "is kept, with what it is based on, until the mark is taken away"
                       : "has no keep mark"));
  return {};
}

void AddRepository(CLI::App& app, Arguments& arguments) {
  app.add_option("--repo", arguments.repository, "the repository's directory on this machine")
      ->required()
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

constexpr const char* kHint =
    "--repo is a repository's directory on this machine, DB a database in it";

}  // namespace

std::vector<Command> PruneCommands() {
  return {
      {.name = "prune",
       .summary = "Remove old backups from a repository (needs no server)",
       .example = "understudy backup prune mail --repo /srv/backups --keep-full 4 --dry-run\n"
                  "understudy backup prune mail --repo /srv/backups --keep-full 4 --keep-days 30",
       .define = DefinePrune,
       .not_found_hint = kHint},
      {.name = "keep",
       .summary = "Mark a backup that is never to be pruned (needs no server)",
       .example = "understudy backup keep mail 20261122T184500Z-full-3f09ac on --repo "
                  "/srv/backups",
       .define = DefineKeep,
       .not_found_hint = kHint}};
}

}  // namespace understudy::cli
