// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <optional>

#include "base/first_line.h"
#include "base/ids.h"
#include "cli/groups.h"
#include "cli/human.h"
#include "cli/progress_view.h"
#include "cli/repository_argument.h"
#include "cli/seed_watch.h"
#include "rpc/protocol.h"

namespace understudy::cli {
namespace {

struct Arguments {
  std::string database;
  std::string server;
  std::string path;
  std::string reason;
  bool keep_files = false;
  bool no_wait = false;
  bool full = false;
  std::optional<base::Duration> lag;
  std::optional<uint64_t> bandwidth;
  std::optional<std::string> from;
  std::optional<std::string> repository;  // of the backup that gives most pages; empty: the default
};

void Report(Context& context, const Arguments& arguments, const std::string& done) {
  context.output().Document(
      Json{{"database", arguments.database}, {"server", arguments.server}, {"done", done}},
      fmt::format("copy of {} on {} {}\n", arguments.database, arguments.server, done));
}

constexpr std::string_view kActiveSource = "active";

// The registry's word for it: empty for the active copy.
std::string SourceName(const Arguments& arguments) {
  return arguments.from.value_or("") == kActiveSource ? "" : arguments.from.value_or("");
}

// What goes wrong with it costs bytes on the network and nothing else.
void Prepare(Context& context, rpc::AdminClient& client, const Arguments& arguments) {
  v1::PrepareCopyRequest request;
  request.set_database(arguments.database);
  request.set_server(arguments.server);
  request.set_path(arguments.path);
  request.set_repository(AbsoluteLocation(arguments.repository.value_or("")));
  ProgressView view(context.output(), context.env());
  const base::Status prepared =
      client.PrepareCopy(request, [&](const v1::PrepareCopyResponse& answer) {
        if (answer.has_progress()) view.Update(answer.progress());
        if (answer.has_result()) {
          context.output().Note(
              fmt::format("pages of backup {} are on {}; what differs is fetched from the group\n",
                          answer.result().id(), arguments.server));
        }
        return true;
      });
  view.Finish();
  if (prepared.ok()) return;
  context.output().Note(fmt::format("no backup could be used, so all pages are fetched: {}\n",
                                    base::FirstLine(prepared.message())));
}

base::Status Add(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  if (arguments.repository) Prepare(context, *client, arguments);
  v1::AddCopyRequest request;
  request.set_database(arguments.database);
  request.set_server(arguments.server);
  request.set_path(arguments.path);
  if (arguments.lag) {
    request.set_replay_lag_ms(*arguments.lag / std::chrono::milliseconds(1));
  }
  request.set_seed_bandwidth(arguments.bandwidth.value_or(0));
  request.set_seed_from(SourceName(arguments));
  RETURN_IF_ERROR(client->AddCopy(request, context.TimeoutOr(rpc::kCallTimeoutDefault)).status());
  if (!arguments.no_wait) {
    const base::Status seeded =
        WatchSeeds(context, *client, arguments.database, {arguments.server});
    RETURN_IF_ERROR(seeded.WithContext("the copy was added, but"));
  }
  Report(context, arguments, "added");
  return {};
}

base::Status Remove(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::RemoveCopyRequest request;
  request.set_database(arguments.database);
  request.set_server(arguments.server);
  request.set_keep_files(arguments.keep_files);
  RETURN_IF_ERROR(
      client->RemoveCopy(request, context.TimeoutOr(rpc::kCallTimeoutDefault)).status());
  Report(context, arguments, "removed");
  return {};
}

base::Status Suspend(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::SuspendCopyRequest request;
  request.set_database(arguments.database);
  request.set_server(arguments.server);
  request.set_reason(arguments.reason);
  ASSIGN_OR_RETURN(const v1::SuspendCopyResponse response,
                   client->SuspendCopy(request, context.TimeoutOr(rpc::kCallTimeoutDefault)));
  const std::string said =
      response.in_effect()
          ? fmt::format("copy of {} on {} suspended\n", arguments.database, arguments.server)
          : fmt::format(
                "copy of {} on {} will be suspended once {} reads it in the registry: it "
                "has not confirmed it yet\n",
                arguments.database, arguments.server, arguments.server);
  context.output().Document(Json{{"database", arguments.database},
                                 {"server", arguments.server},
                                 {"done", "suspended"},
                                 {"in_effect", response.in_effect()}},
                            said);
  return {};
}

base::Status Resume(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::ResumeCopyRequest request;
  request.set_database(arguments.database);
  request.set_server(arguments.server);
  RETURN_IF_ERROR(
      client->ResumeCopy(request, context.TimeoutOr(rpc::kCallTimeoutDefault)).status());
  Report(context, arguments, "resumed");
  return {};
}

base::Status Reseed(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::ReseedCopyRequest request;
  request.set_database(arguments.database);
  request.set_server(arguments.server);
  request.set_full(arguments.full);
  if (arguments.bandwidth) request.set_seed_bandwidth(*arguments.bandwidth);
  if (arguments.from) request.set_seed_from(SourceName(arguments));
  RETURN_IF_ERROR(
      client->ReseedCopy(request, context.TimeoutOr(rpc::kCallTimeoutDefault)).status());
  const std::string done = arguments.full ? "seeded anew" : "resynchronised";
  if (arguments.no_wait) {
    Report(context, arguments, "being " + done);
    return {};
  }
  const base::Status seeded = WatchSeeds(context, *client, arguments.database, {arguments.server});
  RETURN_IF_ERROR(seeded.WithContext("it was begun, but"));
  Report(context, arguments, done);
  return {};
}

base::Status Bandwidth(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::SetCopyRequest request;
  request.set_database(arguments.database);
  request.set_server(arguments.server);
  request.set_seed_bandwidth(arguments.bandwidth.value_or(0));
  RETURN_IF_ERROR(client->SetCopy(request, context.TimeoutOr(rpc::kCallTimeoutDefault)).status());
  Report(context, arguments,
         arguments.bandwidth.value_or(0) == 0
             ? "is seeded as fast as its server allows"
             : fmt::format("is seeded with {}/s at most", FormatBytes(*arguments.bandwidth)));
  return {};
}

base::Status Source(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::SetCopyRequest request;
  request.set_database(arguments.database);
  request.set_server(arguments.server);
  request.set_seed_from(SourceName(arguments));
  RETURN_IF_ERROR(client->SetCopy(request, context.TimeoutOr(rpc::kCallTimeoutDefault)).status());
  Report(context, arguments,
         SourceName(arguments).empty() ? "is seeded from the active copy"
                                       : "is seeded from " + SourceName(arguments));
  return {};
}

void DeclareFrom(CLI::App& app, const std::shared_ptr<Arguments>& arguments) {
  app.add_option("--from", arguments->from,
                 "the server whose copy gives the pages, also of later seeds, or 'active'")
      ->check(ServerName());
}

void DeclareBandwidth(CLI::App& app, const std::shared_ptr<Arguments>& arguments) {
  AddBytes(app, "--bandwidth", arguments->bandwidth,
           "fetch at most so many bytes a second, instead of what its server allows");
}

std::shared_ptr<Arguments> Declare(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  app.add_option("DB", arguments->database, "the database")->required()->check(DatabaseName());
  app.add_option("SERVER", arguments->server, "the server of the copy")
      ->required()
      ->check(ServerName());
  return arguments;
}

Runner DefineAdd(CLI::App& app) {
  auto arguments = Declare(app);
  app.add_option("--path", arguments->path,
                 "path of the copy (default: below the server's data directory)");
  DeclareFrom(app, arguments);
  DeclareBandwidth(app, arguments);
  app.add_flag("--no-wait", arguments->no_wait, "return before the copy is seeded");
  app.add_option(
         "--seed-from-repository", arguments->repository,
         "restore the newest good backup there first, and fetch only the pages that differ; "
         "without REPO: the default of that server")
      ->expected(0, 1)
      ->type_name("[REPO]");
  AddDuration(app, "--lag", arguments->lag, "log is replayed once it has been there for so long");
  return [arguments](Context& context) { return Add(context, *arguments); };
}

Runner DefineRemove(CLI::App& app) {
  auto arguments = Declare(app);
  app.add_flag("--keep-files", arguments->keep_files, "leave the copy's files");
  return [arguments](Context& context) { return Remove(context, *arguments); };
}

Runner DefineSuspend(CLI::App& app) {
  auto arguments = Declare(app);
  app.add_option("--reason", arguments->reason, "a word for others, shown by status");
  return [arguments](Context& context) { return Suspend(context, *arguments); };
}

Runner DefineResume(CLI::App& app) {
  auto arguments = Declare(app);
  return [arguments](Context& context) { return Resume(context, *arguments); };
}

Runner DefineReseed(CLI::App& app) {
  auto arguments = Declare(app);
  app.add_flag("--full", arguments->full, "fetch all pages, not only those that differ");
  DeclareFrom(app, arguments);
  DeclareBandwidth(app, arguments);
  app.add_flag("--no-wait", arguments->no_wait, "return once it has begun");
  return [arguments](Context& context) { return Reseed(context, *arguments); };
}

Runner DefineBandwidth(CLI::App& app) {
  auto arguments = Declare(app);
  AddBytes(app, "BYTES", arguments->bandwidth, "a second, such as 20MiB; 0: what its server allows")
      ->required();
  return [arguments](Context& context) { return Bandwidth(context, *arguments); };
}

Runner DefineSource(CLI::App& app) {
  auto arguments = Declare(app);
  app.add_option("FROM", arguments->from, "the server of a passive copy, or 'active'")
      ->required()
      ->check(ServerName());
  return [arguments](Context& context) { return Source(context, *arguments); };
}

}  // namespace

Group CopyCommands() {
  Group group{"copy",
              "The passive copies of a database",
              {{.name = "add",
                .summary = "Add a passive copy of a database on a server, and seed it",
                .example = "understudy copy add mail s3",
                .define = DefineAdd},
               {.name = "remove",
                .summary = "Remove a passive copy and its files",
                .example = "understudy copy remove mail s3",
                .define = DefineRemove},
               {.name = "suspend",
                .summary = "Stop copying and replaying log on one passive copy",
                .example = "understudy copy suspend mail s3 --reason 'disk is being replaced'",
                .define = DefineSuspend},
               {.name = "resume",
                .summary = "Go on copying and replaying log",
                .example = "understudy copy resume mail s3",
                .define = DefineResume},
               {.name = "reseed",
                .summary = "Fetch the pages in which a passive copy differs, or all of them",
                .example = "understudy copy reseed mail s3 --full",
                .define = DefineReseed},
               {.name = "bandwidth",
                .summary = "Limit what seeds of a passive copy fetch, also of one under way",
                .example = "understudy copy bandwidth mail s3 20MiB",
                .define = DefineBandwidth},
               {.name = "source",
                .summary = "Choose the copy whose pages seed a passive copy, also one under way",
                .example = "understudy copy source mail s3 s2",
                .define = DefineSource}}};
  for (Command& command : LagCommands()) group.commands.push_back(std::move(command));
  return group;
}

}  // namespace understudy::cli
