// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "backup/delta_restore.h"
#include "backup/executor.h"
#include "backup/repository.h"
#include "backup/restore.h"
#include "backup/wanted_backup.h"
#include "base/ids.h"
#include "cli/groups.h"
#include "cli/human.h"
#include "cli/progress_view.h"
#include "cli/repository_argument.h"
#include "cli/restore_in_place.h"
#include "cli/views.h"
#include "env/env.h"
#include "sqlite/integrity.h"

namespace understudy::cli {
namespace {

struct Arguments {
  std::string repository;
  std::string database;
  WantedPoint wanted;
  std::string output;
  std::string onto;
  bool force = false;
  bool check = false;
  bool in_place = false;
};

// A daemon's own files are its own: what it thinks of them would not be true any more.
constexpr const char* kCopyIdentity = ".copy.json";

base::Status CheckNotOfADaemon(env::Env& env, const std::string& path) {
  const std::string identity = env::JoinPath(env::DirectoryOf(path), kCopyIdentity);
  if (!env::Exists(env, identity)) return {};
  return base::InvalidArgument(
      fmt::format("{} is in the data directory of a server, whose copy it may be ({} is there); "
                  "choose another file",
                  path, identity));
}

Json DocumentOf(const Arguments& arguments, const backup::BackupDocument& backup,
                const NextBackup& next) {
  Json document;
  document["backup"] = backup.id;
  document["database"] = arguments.database;
  document["term"] = backup.position.term.value;
  document["position"] = backup.position.seq.value;
  document["committed"] = TimeJson(backup.commit_time.unix_ms);
  document["next"] = ToJson(next);
  return document;
}

// With progress, from the repository that was named.
template <typename Options, typename Outcome>
base::Result<Outcome> RunRestore(Context& context, const Arguments& arguments, Options options,
                                 NextBackup& next,
                                 base::Result<Outcome> (*restore)(env::Env&, backup::Executor&,
                                                                  const backup::Repository&,
                                                                  const Options&)) {
  ASSIGN_OR_RETURN(const std::string location, LocationHere(context, arguments.repository));
  ASSIGN_OR_RETURN(const auto repository, backup::Repository::Open(context.env(), location));
  backup::ThreadExecutor executor;
  ProgressView view(context.output(), context.env());
  backup::WantedBackup wanted{.id = arguments.wanted.backup};
  if (arguments.wanted.time.unix_ms > 0) wanted.time = arguments.wanted.time;
  if (arguments.wanted.seq > 0) wanted.seq = base::Seq(arguments.wanted.seq);
  ASSIGN_OR_RETURN(const backup::ChosenBackup chosen,
                   backup::ChooseBackup(*repository, arguments.database, wanted));
  if (chosen.next) {
    next = {chosen.next->id, chosen.next->position.seq.value, chosen.next->commit_time.unix_ms};
  }
  options.database = arguments.database;
  options.backup = chosen.document.id;
  options.progress = [&view](const base::Progress& progress) {
    view.Update(progress);
    return true;
  };
  ASSIGN_OR_RETURN(Outcome outcome, restore(context.env(), executor, *repository, options));
  view.Finish();
  return outcome;
}

base::Status RestoreOnto(Context& context, const Arguments& arguments) {
  RETURN_IF_ERROR(CheckNotOfADaemon(context.env(), arguments.onto));
  backup::DeltaOptions options;
  options.file = arguments.onto;
  NextBackup next;
  ASSIGN_OR_RETURN(const backup::DeltaResult result,
                   RunRestore(context, arguments, options, next, backup::RestoreOnto));
  if (arguments.check) RETURN_IF_ERROR(sqlite::CheckIntegrity(arguments.onto));
  Json document = DocumentOf(arguments, result.document, next);
  document["output"] = arguments.onto;
  document["size"] = result.bytes_kept + result.bytes_written;
  document["kept"] = result.bytes_kept;
  document["written"] = result.bytes_written;
  document["was_half_restored"] = result.was_half;
  document["duration_ms"] = result.duration_ms;
  document["integrity_check"] = arguments.check ? Json("ok") : Json(nullptr);
  context.output().Document(
      Json{{"restore", document}},
      fmt::format("{} is what backup {} has, position {}: {} written, {} kept, in {}, every page "
                  "checked{}\n",
                  arguments.onto, result.document.id,
                  FormatCount(result.document.position.seq.value),
                  FormatBytes(result.bytes_written), FormatBytes(result.bytes_kept),
                  FormatDuration(std::chrono::milliseconds(result.duration_ms)),
                  result.was_half ? "; an earlier restore had stopped half-way" : "") +
          ToText(next));
  return {};
}

base::Status RestoreToNew(Context& context, const Arguments& arguments) {
  if (env::Exists(context.env(), arguments.output)) {
    RETURN_IF_ERROR(CheckNotOfADaemon(context.env(), arguments.output));
  }
  backup::RestoreOptions options;
  options.output = arguments.output;
  options.force = arguments.force;
  NextBackup next;
  ASSIGN_OR_RETURN(const backup::RestoreResult result,
                   RunRestore(context, arguments, options, next, backup::Restore));
  if (arguments.check) RETURN_IF_ERROR(sqlite::CheckIntegrity(arguments.output));
  Json document = DocumentOf(arguments, result.document, next);
  document["output"] = result.output;
  document["size"] = result.bytes;
  document["duration_ms"] = result.duration_ms;
  document["bytes_per_second"] = result.bytes_per_second;
  document["integrity_check"] = arguments.check ? Json("ok") : Json(nullptr);
  context.output().Document(
      Json{{"restore", document}},
      fmt::format("{} restored from backup {}: {} at position {} in {} ({}), every page checked\n",
                  result.output, result.document.id, FormatBytes(result.bytes),
                  FormatCount(result.document.position.seq.value),
                  FormatDuration(std::chrono::milliseconds(result.duration_ms)),
                  FormatRate(static_cast<double>(result.bytes_per_second))) +
          ToText(next));
  return {};
}

Runner DefineRestore(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  app.add_option(
         "--repo", arguments->repository,
         "a repository's directory here, s3://BUCKET/PREFIX, or its name in the group; with "
         "--in-place on a server, and if not given the default there")
      ->type_name("REPO");
  app.add_option("--db", arguments->database, "the database")
      ->required()
      ->check(DatabaseName())
      ->type_name("DB");
  AddWantedPoint(app, arguments->wanted);
  CLI::Option* const output =
      app.add_option("--output", arguments->output, "the file to write")->type_name("FILE");
  app.add_option("--onto", arguments->onto,
                 "an existing file, of which only the pages that differ are written")
      ->type_name("FILE")
      ->excludes(output);
  auto in_place = std::make_shared<InPlaceArguments>();
  CLI::Option* const group = app.add_flag("--in-place", arguments->in_place,
                                          "give it to the group's active copy, with one commit; "
                                          "what is there is backed up first")
                                 ->excludes(output);
  app.add_option("--on", in_place->from,
                 "the server whose disk has the repository (default: the one that is asked)")
      ->type_name("SERVER")
      ->needs(group);
  app.add_flag("--no-copy", in_place->no_copy, "do not back up what is there first")->needs(group);
  app.add_flag("--dry-run", in_place->dry_run, "only tell what would be undone")->needs(group);
  app.add_flag("--yes", in_place->yes, "yes, the applications are to see the backup's content")
      ->needs(group);
  app.add_flag("--force", arguments->force,
               "replace the file if it exists; with --in-place, restore another database's backup");
  app.add_flag("--check", arguments->check, "run PRAGMA integrity_check on the result");
  return [arguments, in_place](Context& context) -> base::Status {
    if (arguments->in_place) {
      in_place->database = arguments->database;
      in_place->repository = arguments->repository;
      in_place->wanted = arguments->wanted;
      in_place->force = arguments->force;
      return RestoreInPlace(context, *in_place);
    }
    if (arguments->repository.empty()) {
      return base::InvalidArgument("say which repository, with --repo");
    }
    if (!arguments->onto.empty()) return RestoreOnto(context, *arguments);
    if (!arguments->output.empty()) return RestoreToNew(context, *arguments);
    return base::InvalidArgument(
        "say where to: --output FILE for a new file, --onto FILE for one that is there, --in-place "
        "for a group's active copy");
  };
}

}  // namespace

Group RestoreCommands() {
  return {
      "",
      "",
      {{.name = "restore",
        .summary = "Write the database of a backup to a file (needs no server), or into a group",
        .example = "understudy restore --repo /srv/backups --db mail --output /tmp/mail.db\n"
                   "understudy restore --repo /srv/backups --db mail --onto /tmp/mail.db --at "
                   "2026-11-26T10:00:00Z\n"
                   "understudy restore --in-place --db mail --on s2 --dry-run",
        .define = DefineRestore,
        .not_found_hint = "--repo is a repository, --db a database in it",
        .exists_hint = "--force replaces the file"}}};
}

}  // namespace understudy::cli
