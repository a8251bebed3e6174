// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "backup/executor.h"
#include "backup/repository.h"
#include "backup/restore.h"
#include "base/ids.h"
#include "cli/groups.h"
#include "cli/human.h"
#include "cli/progress_view.h"

namespace understudy::cli {
namespace {

struct Arguments {
  std::string repository;
  std::string database;
  std::string backup;
  std::string output;
  bool force = false;
};

base::Status Restore(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto repository,
                   backup::Repository::Open(context.env(), arguments.repository));
  backup::ThreadExecutor executor;
  ProgressView view(context.output(), context.env());
  backup::RestoreOptions options;
  options.database = arguments.database;
  options.backup = arguments.backup;
  options.output = arguments.output;
  options.force = arguments.force;
  options.progress = [&view](const base::Progress& progress) {
    view.Update(progress);
    return true;
  };
  ASSIGN_OR_RETURN(const backup::RestoreResult result,
                   backup::Restore(context.env(), executor, *repository, options));
  view.Finish();
  Json document;
  document["backup"] = result.document.id;
  document["database"] = arguments.database;
  document["term"] = result.document.position.term.value;
  document["position"] = result.document.position.seq.value;
  document["output"] = result.output;
  document["size"] = result.bytes;
  document["duration_ms"] = result.duration_ms;
  document["bytes_per_second"] = result.bytes_per_second;
  context.output().Document(
      Json{{"restore", document}},
      fmt::format("{} restored from backup {}: {} at position {} in {} ({}), every page checked\n",
                  result.output, result.document.id, FormatBytes(result.bytes),
                  FormatCount(result.document.position.seq.value),
                  FormatDuration(std::chrono::milliseconds(result.duration_ms)),
                  FormatRate(static_cast<double>(result.bytes_per_second))));
  return {};
}

Runner DefineRestore(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  app.add_option("--repo", arguments->repository, "the repository's directory")
      ->required()
      ->type_name("REPO");
  app.add_option("--db", arguments->database, "the database")
      ->required()
      ->check(DatabaseName())
      ->type_name("DB");
  app.add_option("--backup", arguments->backup, "the backup (default: the newest good one)")
      ->type_name("ID");
  app.add_option("--output", arguments->output, "the file to write")->required()->type_name("FILE");
  app.add_flag("--force", arguments->force, "replace the file if it exists");
  return [arguments](Context& context) { return Restore(context, *arguments); };
}

}  // namespace

Group RestoreCommands() {
  return {"",
          "",
          {{.name = "restore",
            .summary = "Write the database of a backup to a file; needs no server",
            .example = "understudy restore --repo /srv/backups --db mail --output /tmp/mail.db",
            .define = DefineRestore,
            .not_found_hint = "--repo is a repository's directory, --db a database in it",
            .exists_hint = "--force replaces the file"}}};
}

}  // namespace understudy::cli
