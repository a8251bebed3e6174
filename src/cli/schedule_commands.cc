// SPDX-License-Identifier: Apache-2.0
// The group's schedules: what is done to its backups, and when.
#include <fmt/format.h>

#include <optional>

#include "cli/groups.h"
#include "cli/repository_argument.h"
#include "cli/table.h"
#include "cli/views.h"
#include "cluster/calendar.h"
#include "rpc/protocol.h"

namespace understudy::cli {
namespace {

constexpr const char* kHint = "'understudy schedule list' shows the group's";
constexpr int kTimesShown = 5;

struct Arguments {
  std::string name;
  std::string chore;
  std::string when;
  std::vector<std::string> databases;
  std::string database;
  std::string repository;
  std::string from;
  std::optional<base::Duration> jitter;
};

Json RowOf(const v1::Schedule& schedule) {
  Json databases = Json::array();
  for (const std::string& name : schedule.databases()) databases.push_back(name);
  return {{"name", schedule.name()},
          {"does", schedule.chore()},
          {"when", schedule.when()},
          {"databases", databases.empty() ? Json() : std::move(databases)},
          {"repository", TextOrNull(schedule.repository())},
          {"from", TextOrNull(schedule.from())},
          {"jitter_ms", schedule.jitter_ms()},
          {"paused", schedule.paused()},
          {"created", TimeJson(schedule.created_ms())}};
}

Json RowOf(const v1::ScheduledRun& run) {
  return {{"schedule", run.schedule()},           {"database", run.database()},
          {"last", TextOrNull(run.state())},      {"begun", TimeJson(run.begun_ms())},
          {"ended", TimeJson(run.ended_ms())},    {"server", TextOrNull(run.server())},
          {"attempts", run.attempts()},           {"result", TextOrNull(run.result())},
          {"message", TextOrNull(run.message())}, {"next", TimeJson(run.next_ms())}};
}

void Show(Context& context, const v1::ListSchedulesResponse& answer) {
  Json schedules = Json::array();
  Json runs = Json::array();
  for (const v1::Schedule& schedule : answer.schedules()) schedules.push_back(RowOf(schedule));
  for (const v1::ScheduledRun& run : answer.runs()) runs.push_back(RowOf(run));
  std::string text;
  if (schedules.empty()) {
    text =
        "The group has no schedule. Add one: understudy schedule add nightly incremental 02:00\n";
  } else {
    // For people the same as in --when and --databases.
    Json shown = schedules;
    for (Json& row : shown) {
      if (row["databases"].is_null()) row["databases"] = Json::array({"(all)"});
      row["state"] = row["paused"].get<bool>() ? "paused" : "on";
      if (row["jitter_ms"] == 0) row["jitter_ms"] = nullptr;
    }
    text = RenderTable(shown,
                       {{"name"},
                        {"does"},
                        {"when"},
                        {"databases", CellKind::kList},
                        {"repository"},
                        {"jitter_ms", CellKind::kDuration},
                        {"state"}},
                       context.output().style()) +
           "\n" +
           RenderTable(
               runs,
               {{"schedule"}, {"database"}, {"last"}, {"begun"}, {"server"}, {"result"}, {"next"}},
               context.output().style());
    for (const Json& run : runs) {
      if (run["message"].is_null()) continue;
      text += fmt::format("\n{} of {}: {}\n", run["schedule"].get<std::string>(),
                          run["database"].get<std::string>(), run["message"].get<std::string>());
    }
  }
  context.output().FromMemory(answer.coordinator_silence_ms());
  context.output().Document(Json{{"schedules", std::move(schedules)}, {"runs", std::move(runs)}},
                            text);
}

base::Status Add(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::AddScheduleRequest request;
  v1::Schedule& schedule = *request.mutable_schedule();
  schedule.set_name(arguments.name);
  schedule.set_chore(arguments.chore);
  schedule.set_when(arguments.when);
  for (const std::string& database : arguments.databases) schedule.add_databases(database);
  schedule.set_repository(AbsoluteLocation(arguments.repository));
  schedule.set_from(arguments.from);
  schedule.set_jitter_ms(arguments.jitter.value_or(base::Duration(0)) /
                         std::chrono::milliseconds(1));
  ASSIGN_OR_RETURN(const v1::ListSchedulesResponse answer,
                   client->AddSchedule(request, context.TimeoutOr(rpc::kCallTimeoutDefault)));
  Show(context, answer);
  return {};
}

base::Status Change(Context& context, const v1::SetScheduleRequest& request) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  ASSIGN_OR_RETURN(const v1::ListSchedulesResponse answer,
                   client->SetSchedule(request, context.TimeoutOr(rpc::kCallTimeoutDefault)));
  Show(context, answer);
  return {};
}

base::Status Set(Context& context, const Arguments& arguments) {
  v1::SetScheduleRequest request;
  request.set_name(arguments.name);
  if (!arguments.when.empty()) request.set_when(arguments.when);
  if (!arguments.repository.empty()) request.set_repository(AbsoluteLocation(arguments.repository));
  if (!arguments.from.empty()) request.set_from(arguments.from);
  if (arguments.jitter) request.set_jitter_ms(*arguments.jitter / std::chrono::milliseconds(1));
  return Change(context, request);
}

base::Status SetPaused(Context& context, const Arguments& arguments, bool paused) {
  v1::SetScheduleRequest request;
  request.set_name(arguments.name);
  request.set_paused(paused);
  return Change(context, request);
}

base::Status List(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::ListSchedulesRequest request;
  request.set_name(arguments.name);
  ASSIGN_OR_RETURN(const v1::ListSchedulesResponse answer,
                   client->ListSchedules(request, context.TimeoutOr(rpc::kCallTimeoutDefault)));
  Show(context, answer);
  return {};
}

base::Status Run(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::RunScheduleRequest request;
  request.set_name(arguments.name);
  request.set_database(arguments.database);
  ASSIGN_OR_RETURN(const v1::ListSchedulesResponse answer,
                   client->RunSchedule(request, context.TimeoutOr(rpc::kCallTimeoutDefault)));
  Show(context, answer);
  return {};
}

base::Status Remove(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::RemoveScheduleRequest request;
  request.set_name(arguments.name);
  RETURN_IF_ERROR(
      client->RemoveSchedule(request, context.TimeoutOr(rpc::kCallTimeoutDefault)).status());
  context.output().Document(Json{{"removed", arguments.name}},
                            fmt::format("schedule {} is removed\n", arguments.name));
  return {};
}

// Without any server.
base::Status TellTimes(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const cluster::Calendar calendar, cluster::Calendar::Parse(arguments.when));
  Json times = Json::array();
  std::string text;
  base::WallTime time = context.env().WallNow();
  for (int i = 0; i < kTimesShown; ++i) {
    const std::optional<base::WallTime> next = calendar.Next(time);
    if (!next) break;
    times.push_back(TimeJson(next->unix_ms));
    text += base::ToRfc3339(*next) + "\n";
    time = *next;
  }
  if (times.empty()) {
    text = fmt::format("never, in the next {} years\n", cluster::Calendar::kYearsMax);
  }
  context.output().Document(Json{{"when", arguments.when}, {"times", std::move(times)}}, text);
  return {};
}

CLI::Option* AddName(CLI::App& app, Arguments& arguments) {
  return app.add_option("NAME", arguments.name, "its name in the group")->check(ServerName());
}

constexpr const char* kWhen =
    "when, in UTC: daily, \"Mon..Fri 22:00\", \"*-*-01 03:30\", \"*:0/15\" (as in systemd's "
    "timers)";

void AddOptions(CLI::App& app, Arguments& arguments) {
  AddRepository(app, "--repo", arguments.repository);
  AddSources(app, arguments.from);
  AddDuration(app, "--jitter", arguments.jitter,
              "begin up to so much later, each database at another moment");
}

Runner DefineAdd(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  AddName(app, *arguments)->required();
  app.add_option("WHAT", arguments->chore,
                 "full, copy, incremental, differential: a backup of that type; verify: read the "
                 "newest one back; drill: restore it on trial; prune: remove old ones by the "
                 "repository's rules")
      ->required()
      ->check(CLI::IsMember(
          {"full", "copy", "incremental", "differential", "verify", "drill", "prune"}));
  app.add_option("WHEN", arguments->when, kWhen)->required();
  app.add_option("--db", arguments->databases,
                 "only these databases (default: all, also those that come later)")
      ->delimiter(',')
      ->check(DatabaseName())
      ->type_name("DB,…");
  AddOptions(app, *arguments);
  return [arguments](Context& context) { return Add(context, *arguments); };
}

Runner DefineSet(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  AddName(app, *arguments)->required();
  app.add_option("--when", arguments->when, kWhen)->type_name("WHEN");
  AddOptions(app, *arguments);
  return [arguments](Context& context) { return Set(context, *arguments); };
}

Runner DefineList(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  AddName(app, *arguments);
  return [arguments](Context& context) { return List(context, *arguments); };
}

Runner DefineRun(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  AddName(app, *arguments)->required();
  app.add_option("DB", arguments->database, "one database (default: all that it covers)")
      ->check(DatabaseName());
  return [arguments](Context& context) { return Run(context, *arguments); };
}

template <bool kPaused>
Runner DefinePaused(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  AddName(app, *arguments)->required();
  return [arguments](Context& context) { return SetPaused(context, *arguments, kPaused); };
}

Runner DefineRemove(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  AddName(app, *arguments)->required();
  return [arguments](Context& context) { return Remove(context, *arguments); };
}

Runner DefineTimes(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  app.add_option("WHEN", arguments->when, kWhen)->required();
  return [arguments](Context& context) { return TellTimes(context, *arguments); };
}

}  // namespace

Group ScheduleCommands() {
  return {
      "schedule",
      "When backups are taken, checked, restored on trial and pruned, by the servers themselves",
      {{.name = "add",
        .summary = "Let the servers do something to backups at certain times",
        .example = "understudy schedule add nightly incremental 'Mon..Sat 02:00' --repo offsite "
                   "--jitter 30m",
        .define = DefineAdd},
       {.name = "list",
        .summary = "List the schedules, how their last runs went, and when the next are",
        .example = "understudy schedule list",
        .define = DefineList,
        .not_found_hint = kHint},
       {.name = "set",
        .summary = "Change a schedule",
        .example = "understudy schedule set nightly --when 03:00",
        .define = DefineSet,
        .not_found_hint = kHint},
       {.name = "run",
        .summary = "Do now what a schedule does",
        .example = "understudy schedule run nightly mail",
        .define = DefineRun,
        .not_found_hint = kHint},
       {.name = "pause",
        .summary = "Do nothing of a schedule until it is resumed",
        .example = "understudy schedule pause nightly",
        .define = DefinePaused<true>,
        .not_found_hint = kHint},
       {.name = "resume",
        .summary = "Go on with a schedule; what was due meanwhile is not made up for",
        .example = "understudy schedule resume nightly",
        .define = DefinePaused<false>,
        .not_found_hint = kHint},
       {.name = "remove",
        .summary = "Remove a schedule",
        .example = "understudy schedule remove nightly",
        .define = DefineRemove,
        .not_found_hint = kHint},
       {.name = "times",
        .summary = "Show the next times of a calendar expression (needs no server)",
        .example = "understudy schedule times '*:0/15'",
        .define = DefineTimes}}};
}

}  // namespace understudy::cli
