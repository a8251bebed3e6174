// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <optional>

#include "base/ids.h"
#include "cli/groups.h"
#include "cli/human.h"
#include "cli/refresh.h"
#include "cli/views.h"
#include "rpc/protocol.h"

namespace understudy::cli {
namespace {

struct StatusArguments {
  std::string database;
  bool holds = false;
  bool watch = false;
  std::optional<base::Duration> every;
  uint64_t count = 0;
};

base::Status ShowStatus(Context& context, rpc::AdminClient& client,
                        const StatusArguments& arguments) {
  v1::StatusRequest request;
  request.set_database(arguments.database);
  ASSIGN_OR_RETURN(const auto answer,
                   client.Status(request, context.TimeoutOr(rpc::kCallTimeoutDefault)));
  context.output().FromMemory(answer.coordinator_silence_ms());
  Json rows = Json::array();
  std::string text;
  for (const auto& status : answer.databases()) {
    rows.push_back(StatusJson(status));
    const StatusStyle style{.table = context.output().style(), .holds = arguments.holds};
    text += (text.empty() ? "" : "\n") + RenderStatus(rows.back(), style);
  }
  if (rows.empty()) text = "The group has no database; 'understudy db add NAME PATH' adds one.\n";
  context.output().Document(Json{{"databases", rows}}, text);
  return {};
}

base::Status Status(Context& context, const StatusArguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  const auto show = [&] { return ShowStatus(context, *client, arguments); };
  if (!arguments.watch) return show();
  RefreshOptions options{.count = arguments.count};
  options.every = arguments.every.value_or(options.every);
  return Refresh(context, options, show);
}

Runner DefineStatus(CLI::App& app) {
  auto arguments = std::make_shared<StatusArguments>();
  app.add_option("DB", arguments->database, "one database (default: all)")->check(DatabaseName());
  app.add_flag("--holds", arguments->holds, "also say why log is kept (JSON always does)");
  CLI::Option* const watch =
      app.add_flag("--watch", arguments->watch, "show it again and again, in place on a terminal");
  AddDuration(app, "--every", arguments->every, "how long between two looks (default 2s)")
      ->needs(watch);
  app.add_option("--count", arguments->count, "end after so many (default: with the process)")
      ->type_name("N")
      ->needs(watch);
  return [arguments](Context& context) { return Status(context, *arguments); };
}

struct WaitArguments {
  std::string database;
  bool replayed = false;
  bool durable = false;
  uint64_t seq = 0;
  std::vector<std::string> servers;
};

base::Status Wait(Context& context, const WaitArguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::WaitRequest request;
  request.set_database(arguments.database);
  request.set_what(arguments.durable ? v1::WaitRequest::DURABLE : v1::WaitRequest::REPLAYED);
  request.set_seq(arguments.seq);
  const base::Duration timeout = context.TimeoutOr(rpc::kWaitTimeoutDefault);
  // 0 would mean the server's default, so the shortest wait is a millisecond.
  request.set_timeout_ms(
      std::max<int64_t>(1, std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count()));
  for (const std::string& server : arguments.servers) request.add_servers(server);
  const base::SteadyTime started = context.env().Now();
  ASSIGN_OR_RETURN(const auto answer, client->Wait(request));
  const base::Duration waited = context.env().Now() - started;
  const std::string what = arguments.durable ? "durable" : "replayed";
  Json document;
  document["name"] = arguments.database;
  document["reached"] = what;
  document["term"] = answer.reached().term();
  document["position"] = answer.reached().seq();
  document["waited_ms"] = std::chrono::duration_cast<std::chrono::milliseconds>(waited).count();
  context.output().Document(
      document,
      fmt::format("{}: position {} is {} on every copy asked for, after {}\n", arguments.database,
                  FormatCount(answer.reached().seq()), what, FormatDuration(waited)));
  return {};
}

Runner DefineWait(CLI::App& app) {
  auto arguments = std::make_shared<WaitArguments>();
  app.add_option("DB", arguments->database, "the database")->required()->check(DatabaseName());
  CLI::Option* replayed = app.add_flag("--replayed", arguments->replayed,
                                       "until readers of the copies see it (default)");
  app.add_flag("--durable", arguments->durable, "until the copies have it on disk")
      ->excludes(replayed);
  app.add_option("--seq", arguments->seq, "the position (default: all that is committed now)")
      ->type_name("N");
  AddServers(app, "--servers", arguments->servers,
             "only these copies (default: every passive one)");
  return [arguments](Context& context) { return Wait(context, *arguments); };
}

}  // namespace

Group StatusCommands() {
  return {"",
          "",
          {{.name = "status",
            .summary = "Show every copy of every database: state, queues, positions",
            .example = "understudy status mail --holds\n"
                       "understudy status -o json | jq '.databases[0].copies[].copy_queue'",
            .define = DefineStatus},
           {.name = "wait",
            .summary = "Wait until passive copies have come as far as the active is now",
            .example = "understudy wait mail --replayed --timeout 30s",
            .define = DefineWait}}};
}

}  // namespace understudy::cli
