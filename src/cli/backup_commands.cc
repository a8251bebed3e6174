// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <optional>
#include <utility>

#include "cli/backup_exec.h"
#include "cli/backup_timeline.h"
#include "cli/groups.h"
#include "cli/human.h"
#include "cli/progress_view.h"
#include "cli/repository_argument.h"
#include "cli/table.h"
#include "cli/text_width.h"
#include "cli/views.h"
#include "rpc/protocol.h"

namespace understudy::cli {
namespace {

// A shorter one is over before its prediction is read.
constexpr base::Duration kForetoldMin = std::chrono::seconds(10);

struct Arguments {
  std::string database;
  std::string id;
  std::string from;
  std::string repository;
  std::string type = "full";
  bool or_full = false;
  bool here = false;
  bool explain = false;
  std::optional<base::Duration> wait;
  std::optional<base::Duration> within;
};

std::string Summary(const Json& backup, std::string_view done) {
  const auto ms = backup["duration_ms"].get<int64_t>();
  const auto size = backup["size"].get<uint64_t>();
  std::string text =
      fmt::format("{} backup {} of {} {}: {} at position {}, from the {} copy on {}",
                  backup["type"].get<std::string>(), backup["id"].get<std::string>(),
                  backup["database"].get<std::string>(), done, FormatBytes(size),
                  FormatCount(backup["position"].get<uint64_t>()),
                  backup["role"].get<std::string>(), backup["server"].get<std::string>());
  if (ms > 0) {
    text += fmt::format(", {} stored in {} ({})", FormatBytes(backup["stored"].get<uint64_t>()),
                        FormatDuration(std::chrono::milliseconds(ms)),
                        FormatRate(static_cast<double>(size) * 1000 / static_cast<double>(ms)));
  }
  return text + "\n";
}

// One attempt, on one server.
struct Attempt {
  bool began = false;    // it took the work on
  std::string server;    // that was chosen
  std::string not_here;  // why that one and not the asked server; then there is no result
};

// What will take a while, before it does.
void Foretell(Context& context, const v1::BackupPrediction& prediction) {
  const base::Duration lasts = std::chrono::milliseconds(prediction.lasts_ms());
  if (lasts < kForetoldMin) return;
  const std::string free =
      prediction.bytes_free() == 0
          ? ""
          : fmt::format("; {} are free there", FormatBytes(prediction.bytes_free()));
  context.output().Note(
      fmt::format("about {} to store, which takes about {} at the speed of backup {}{}",
                  FormatBytes(prediction.bytes_to_store()), FormatDuration(lasts),
                  Printable(prediction.told_by()), free));
}

base::Result<Json> TakeBackup(Context& context, rpc::AdminClient& client,
                              const v1::RunBackupRequest& request, Attempt& attempt) {
  std::optional<Json> result;
  std::string note;
  bool foretold = false;
  ProgressView view(context.output(), context.env());
  RETURN_IF_ERROR(client.RunBackup(request, [&](const v1::RunBackupResponse& message) {
    attempt.server = message.server();
    attempt.not_here = message.not_here();
    attempt.began = true;
    if (message.has_prediction() && !std::exchange(foretold, true)) {
      Foretell(context, message.prediction());
    }
    if (message.has_progress()) view.Update(message.progress());
    if (message.has_result()) {
      result = BackupJson(message.result());
      note = message.result().note();
    }
    return true;
  }));
  view.Finish();
  if (!attempt.not_here.empty()) return Json();
  if (!result) return base::Internal("the server ended the backup without a result");
  if (!note.empty()) context.output().Note(note);
  return *result;
}

// The asked server reaches no passive copy, but we may: each server with one is asked itself.
base::Result<Json> TakeBackupElsewhere(Context& context, rpc::AdminClient& asked,
                                       const v1::RunBackupRequest& request,
                                       const base::Status& why) {
  const auto servers = asked.ListServers({}, rpc::kCallTimeoutDefault);
  if (!servers.ok()) return why;
  for (const v1::Server& server : servers->servers()) {
    if (server.passive_copies() == 0) continue;
    const auto client = context.ConnectTo(server.address());
    if (!client.ok()) continue;
    context.output().Note(
        fmt::format("{}\nasking {} itself", SplitHint(why.message()).sentence, server.name()));
    Attempt attempt;
    base::Result<Json> result = TakeBackup(context, **client, request, attempt);
    if (result.ok() || attempt.began) return result;
  }
  return why;
}

// Which copy would be read, and why not another.
base::Status ExplainSource(Context& context, rpc::AdminClient& client, const Arguments& arguments) {
  v1::ExplainBackupRequest request;
  request.set_database(arguments.database);
  request.set_from(arguments.from);
  ASSIGN_OR_RETURN(const v1::ExplainBackupResponse answer,
                   client.ExplainBackup(request, context.TimeoutOr(rpc::kLongCallTimeout)));
  context.output().FromMemory(answer.coordinator_silence_ms());
  Json rows = Json::array();
  for (const v1::BackupCandidate& candidate : answer.candidates()) {
    rows.push_back({{"server", candidate.server()},
                    {"role", candidate.role()},
                    {"state", candidate.state()},
                    {"eligible", candidate.eligible()},
                    {"item", candidate.item().empty() ? Json() : Json(candidate.item())},
                    {"verdict", candidate.verdict()}});
  }
  std::string text = fmt::format("policy {}: {}\n", answer.policy(),
                                 answer.server().empty()
                                     ? "no copy can be backed up"
                                     : fmt::format("the copy on {} is backed up", answer.server()));
  text += RenderTable(rows, {{"server"}, {"role"}, {"state"}, {"item"}, {"verdict"}},
                      context.output().style());
  context.output().Document(
      Json{{"database", answer.database()},
           {"policy", answer.policy()},
           {"server", answer.server().empty() ? Json() : Json(answer.server())},
           {"asked", answer.asked()},
           {"candidates", std::move(rows)}},
      text);
  return {};
}

// Another server's turn is no failure: the same command may be scheduled on every server.
void TellNotHere(Context& context, const Arguments& arguments, const Attempt& attempt) {
  context.output().Document(
      Json{{"backup", Json()}, {"server", attempt.server}, {"why", attempt.not_here}},
      fmt::format("nothing to do here: the copy of {} on {} is backed up, for {}\n",
                  arguments.database, attempt.server, Printable(attempt.not_here)));
}

base::Status RunBackup(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  if (arguments.explain) return ExplainSource(context, *client, arguments);
  v1::RunBackupRequest request;
  request.set_database(arguments.database);
  request.set_from(arguments.from);
  request.set_repository(AbsoluteLocation(arguments.repository));
  request.set_type(arguments.type);
  request.set_or_full(arguments.or_full);
  request.set_wait_ms(arguments.wait.value_or(kBackupWaitDefault) / std::chrono::milliseconds(1));
  request.set_here(arguments.here);
  request.set_within_ms(arguments.within.value_or(base::Duration(0)) /
                        std::chrono::milliseconds(1));
  Attempt attempt;
  base::Result<Json> result = TakeBackup(context, *client, request, attempt);
  const bool any_passive = arguments.from.empty() || arguments.from == "passive";
  if (result.status().code() == base::Code::kUnavailable && !attempt.began && any_passive &&
      !arguments.here) {
    result = TakeBackupElsewhere(context, *client, request, result.status());
  }
  RETURN_IF_ERROR(result.status());
  if (!attempt.not_here.empty()) {
    TellNotHere(context, arguments, attempt);
    return {};
  }
  context.output().Document(Json{{"backup", *result}}, Summary(*result, "complete and verified"));
  return {};
}

base::Status List(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::ListBackupsRequest request;
  request.set_database(arguments.database);
  request.set_repository(AbsoluteLocation(arguments.repository));
  ASSIGN_OR_RETURN(const auto answer,
                   client->ListBackups(request, context.TimeoutOr(rpc::kLongCallTimeout)));
  Json rows = Json::array();
  for (const auto& backup : answer.backups()) rows.push_back(BackupJson(backup));
  Json drills = Json::array();
  for (const auto& drill : answer.drills()) drills.push_back(DrillJson(drill));
  std::string text = "The repository has no such backup.\n";
  if (!rows.empty()) text = RenderTable(rows, BackupColumns(), context.output().style());
  if (!drills.empty()) {
    text += "\n" + RenderTable(drills, DrillColumns(), context.output().style());
  }
  context.output().Document(Json{{"backups", std::move(rows)}, {"drills", std::move(drills)}},
                            text);
  return {};
}

base::Status Show(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::ShowBackupRequest request;
  request.set_database(arguments.database);
  request.set_repository(AbsoluteLocation(arguments.repository));
  request.set_id(arguments.id);
  ASSIGN_OR_RETURN(const auto answer,
                   client->ShowBackup(request, context.TimeoutOr(rpc::kLongCallTimeout)));
  Json backup = BackupJson(answer.backup());
  // The repository's own document, whole: what another tool would find there.
  Json document = Json::parse(answer.backup().document(), nullptr, false);
  if (!document.is_discarded() && !document.is_null()) backup["document"] = std::move(document);
  std::vector<Column> columns = BackupColumns();
  for (const char* key : {"database_id", "term", "page_size", "checksum", "repository"}) {
    columns.push_back({key});
  }
  columns.push_back({"pages", CellKind::kNumber});
  context.output().Document(Json{{"backup", backup}},
                            RenderFields(backup, columns, context.output().style()));
  return {};
}

base::Status Verify(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::VerifyBackupRequest request;
  request.set_database(arguments.database);
  request.set_repository(AbsoluteLocation(arguments.repository));
  request.set_id(arguments.id);
  std::optional<Json> result;
  ProgressView view(context.output(), context.env());
  RETURN_IF_ERROR(client->VerifyBackup(request, [&](const v1::VerifyBackupResponse& message) {
    if (message.has_progress()) view.Update(message.progress());
    if (message.has_result()) result = BackupJson(message.result());
    return true;
  }));
  view.Finish();
  if (!result) return base::Internal("the server ended the verification without a result");
  context.output().Document(
      Json{{"backup", *result}, {"verified", true}},
      fmt::format("backup {} of {} is good: every page was read back and has its checksum\n",
                  (*result)["id"].get<std::string>(), (*result)["database"].get<std::string>()));
  return {};
}

base::Status Drill(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::DrillBackupRequest request;
  request.set_database(arguments.database);
  request.set_repository(AbsoluteLocation(arguments.repository));
  request.set_id(arguments.id);
  std::optional<v1::Drill> result;
  ProgressView view(context.output(), context.env());
  RETURN_IF_ERROR(client->DrillBackup(request, [&](const v1::DrillBackupResponse& message) {
    if (message.has_progress()) view.Update(message.progress());
    if (message.has_result()) result = message.result();
    return true;
  }));
  view.Finish();
  if (!result) return base::Internal("the server ended the drill without a result");
  if (!result->good()) {
    return base::Corruption(
        fmt::format("backup {} of {} could not be restored on trial: {}\ntake a "
                    "full backup now: understudy backup run {}",
                    result->backup(), result->database(), result->message(), result->database()));
  }
  context.output().Document(
      Json{{"drill", DrillJson(*result)}},
      fmt::format("backup {} of {} can be restored: {} on {} in {}; SQLite finds it whole, and its "
                  "checksum is the backup's\n",
                  result->backup(), result->database(), FormatBytes(result->bytes()),
                  result->server(),
                  FormatDuration(std::chrono::milliseconds(result->duration_ms()))));
  return {};
}

// What happened while a backup ran, from what the servers and the group remember.
base::Status ExplainBackup(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::WritersRequest writers;
  writers.set_database(arguments.database);
  writers.set_everywhere(true);
  ASSIGN_OR_RETURN(const v1::WritersResponse answer,
                   client->Writers(writers, context.TimeoutOr(rpc::kCallTimeoutDefault)));
  std::vector<v1::Event> events;
  RETURN_IF_ERROR(client->Events(v1::EventsRequest(), [&](const v1::Event& event) {
    events.push_back(event);
    return true;
  }));
  ASSIGN_OR_RETURN(const BackupTimeline timeline,
                   MakeBackupTimeline(arguments.database, arguments.id, answer, events));
  context.output().Document(TimelineJson(timeline), RenderTimeline(timeline));
  for (const std::string& server : answer.silent()) {
    context.output().Note(fmt::format("server {} did not answer: it may know more\n", server));
  }
  return {};
}

constexpr const char* kHint = "'understudy backup list --repo REPO' shows what a repository holds";

using Action = base::Status (*)(Context&, const Arguments&);

Runner DefineRun(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  app.add_option("DB", arguments->database, "the database")->required()->check(DatabaseName());
  AddSources(app, arguments->from);
  app.add_option("--type", arguments->type,
                 "full or copy: all pages; incremental: what has changed since the newest backup "
                 "that is no copy; differential: since the newest full one")
      ->check(CLI::IsMember({"full", "copy", "incremental", "differential"}))
      ->capture_default_str()
      ->type_name("TYPE");
  app.add_flag("--or-full", arguments->or_full,
               "take a full backup if there is nothing that an incremental or differential one "
               "could be based on");
  app.add_flag("--here", arguments->here,
               "only if the server that is asked is the one that is chosen; otherwise say which "
               "is and end well, so that the same command can be scheduled on every server");
  app.add_flag("--explain,--dry-run", arguments->explain,
               "take no backup: show which copy would be read, and why not another");
  AddRepository(app, "--to", arguments->repository);
  AddBackupWait(app, arguments->wait);
  AddDuration(app, "--within", arguments->within,
              "do not begin a backup that is expected to last longer, by how fast the newest one "
              "of the database in that repository was");
  return [arguments](Context& context) { return RunBackup(context, *arguments); };
}

Runner DefineExec(CLI::App& app) {
  auto exec = std::make_shared<BackupExec>();
  auto wait = std::make_shared<std::optional<base::Duration>>();
  app.add_option("DB", exec->database, "the database")->required()->check(DatabaseName());
  AddSources(app, exec->from);
  AddBackupWait(app, *wait);
  app.add_option("COMMAND", exec->command,
                 "after --: the program and its arguments; {} is the path of the snapshot")
      ->required();
  return [exec, wait](Context& context) {
    exec->wait = wait->value_or(kBackupWaitDefault);
    return RunBackupExec(context, *exec);
  };
}

Runner DefineList(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  app.add_option("DB", arguments->database, "one database (default: all)")->check(DatabaseName());
  AddRepository(app, "--repo", arguments->repository);
  return [arguments](Context& context) { return List(context, *arguments); };
}

Runner DefineOne(CLI::App& app, Action action) {
  auto arguments = std::make_shared<Arguments>();
  app.add_option("DB", arguments->database, "the database")->required()->check(DatabaseName());
  app.add_option("ID", arguments->id, "the backup (default: the newest)");
  AddRepository(app, "--repo", arguments->repository);
  return [arguments, action](Context& context) { return action(context, *arguments); };
}

Runner DefineExplain(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  app.add_option("DB", arguments->database, "the database")->required()->check(DatabaseName());
  app.add_option("ID", arguments->id, "the backup (default: the newest that a server remembers)");
  return [arguments](Context& context) { return ExplainBackup(context, *arguments); };
}

}  // namespace

Group BackupCommands() {
  Group group = {
      "backup",
      "Take, list, check and prune backups",
      {{.name = "run",
        .summary = "Take a backup, from a passive copy unless told otherwise",
        .example = "understudy backup run mail --from least-loaded,active --to /srv/backups",
        .define = DefineRun},
       {.name = "exec",
        .summary = "Let another program copy a consistent snapshot as a plain SQLite file",
        .example = "understudy backup exec mail -- restic backup {}",
        .define = DefineExec},
       {.name = "list",
        .summary = "List the backups in a repository",
        .example = "understudy backup list mail --repo /srv/backups",
        .define = DefineList,
        .not_found_hint = kHint},
       {.name = "show",
        .summary = "Show everything about one backup",
        .example = "understudy backup show mail --repo /srv/backups -o json",
        .define = [](CLI::App& app) { return DefineOne(app, Show); },
        .not_found_hint = kHint},
       {.name = "verify",
        .summary = "Read a backup back and check every page of it",
        .example = "understudy backup verify mail --repo /srv/backups",
        .define = [](CLI::App& app) { return DefineOne(app, Verify); },
        .not_found_hint = kHint},
       {.name = "drill",
        .summary = "Restore a backup on trial, let SQLite check it, and record the result",
        .example = "understudy backup drill mail --repo offsite",
        .define = [](CLI::App& app) { return DefineOne(app, Drill); },
        .not_found_hint = kHint},
       {.name = "explain",
        .summary = "Tell what happened while a backup ran, and what to do if it failed",
        .example = "understudy backup explain mail",
        .define = DefineExplain}}};
  for (Command& command : PruneCommands()) group.commands.push_back(std::move(command));
  return group;
}

}  // namespace understudy::cli
