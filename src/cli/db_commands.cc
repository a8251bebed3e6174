// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <optional>

#include "base/ids.h"
#include "cli/groups.h"
#include "cli/human.h"
#include "cli/seed_watch.h"
#include "cli/views.h"
#include "rpc/protocol.h"

namespace understudy::cli {
namespace {

struct AddArguments {
  std::string name;
  std::string path;
  std::vector<std::string> copies;
  std::string copy_path;
  bool set_wal = false;
  bool no_wait = false;
};

base::Status Add(Context& context, const AddArguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::AddDatabaseRequest request;
  request.set_name(arguments.name);
  // The server has its own working directory; what was typed is meant from ours.
  request.set_path(std::filesystem::absolute(arguments.path).lexically_normal().string());
  request.set_set_wal(arguments.set_wal);
  request.set_copy_path(arguments.copy_path);
  for (const std::string& copy : arguments.copies) request.add_copies(copy);
  ASSIGN_OR_RETURN(const auto answer,
                   client->AddDatabase(request, context.TimeoutOr(rpc::kLongCallTimeout)));
  if (!arguments.no_wait && !arguments.copies.empty()) {
    const base::Status seeded = WatchSeeds(context, *client, arguments.name, arguments.copies);
    RETURN_IF_ERROR(seeded.WithContext(fmt::format("database {} was added, but", arguments.name)));
  }
  Json document;
  document["name"] = arguments.name;
  document["id"] = answer.id();
  document["active"] = client->hello().server();
  document["term"] = answer.position().term();
  document["position"] = answer.position().seq();
  document["passive"] = arguments.copies;
  std::string text =
      fmt::format("database {} added: active on {}", arguments.name, client->hello().server());
  if (!arguments.copies.empty()) {
    text += fmt::format(", passive on {}", fmt::join(arguments.copies, ", "));
    text += arguments.no_wait ? " (being seeded)" : "";
  }
  context.output().Document(document, text + "\n");
  return {};
}

Runner DefineAdd(CLI::App& app) {
  auto arguments = std::make_shared<AddArguments>();
  app.add_option("NAME", arguments->name, "the database's name in the group")
      ->required()
      ->check(DatabaseName());
  app.add_option("PATH", arguments->path, "the SQLite file, on the server that is asked")
      ->required();
  AddServers(app, "--copies", arguments->copies, "servers that get a passive copy");
  app.add_option("--copy-path", arguments->copy_path,
                 "path of every passive copy (default: below the server's data directory)")
      ->type_name("PATH");
  app.add_flag("--set-wal", arguments->set_wal, "set journal_mode=WAL if it is another");
  app.add_flag("--no-wait", arguments->no_wait, "return before the copies are seeded");
  return [arguments](Context& context) { return Add(context, *arguments); };
}

base::Status List(Context& context) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  ASSIGN_OR_RETURN(const auto answer,
                   client->ListDatabases({}, context.TimeoutOr(rpc::kCallTimeoutDefault)));
  context.output().FromMemory(answer.coordinator_silence_ms());
  Json rows = Json::array();
  for (const auto& database : answer.databases()) rows.push_back(DatabaseJson(database));
  context.output().Rows("databases", rows, DatabaseColumns(),
                        "The group has no database; 'understudy db add NAME PATH' adds one.");
  return {};
}

struct RemoveArguments {
  std::string name;
  bool keep_files = false;
};

base::Status Remove(Context& context, const RemoveArguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::RemoveDatabaseRequest request;
  request.set_name(arguments.name);
  request.set_keep_files(arguments.keep_files);
  RETURN_IF_ERROR(
      client->RemoveDatabase(request, context.TimeoutOr(rpc::kCallTimeoutDefault)).status());
  context.output().Document(
      Json{{"name", arguments.name}, {"removed", true}},
      fmt::format("database {} removed from the group; the active copy's file stays\n",
                  arguments.name));
  return {};
}

Runner DefineRemove(CLI::App& app) {
  auto arguments = std::make_shared<RemoveArguments>();
  app.add_option("NAME", arguments->name, "the database")->required()->check(DatabaseName());
  app.add_flag("--keep-files", arguments->keep_files, "leave the passive copies' files as well");
  return [arguments](Context& context) { return Remove(context, *arguments); };
}

struct SetArguments {
  std::string name;
  std::string circular;
  std::optional<base::Duration> archive;
};

base::Status Set(Context& context, const SetArguments& arguments) {
  if (arguments.circular.empty() && !arguments.archive) {
    return base::InvalidArgument("say what to set: --circular-logging or --archive-interval");
  }
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::SetDatabaseRequest request;
  request.set_database(arguments.name);
  if (!arguments.circular.empty()) request.set_circular_logging(arguments.circular == "on");
  if (arguments.archive) {
    // Part of a second is more than never.
    request.set_archive_interval_s(
        static_cast<uint64_t>(std::chrono::ceil<std::chrono::seconds>(*arguments.archive).count()));
  }
  ASSIGN_OR_RETURN(const v1::SetDatabaseResponse answer,
                   client->SetDatabase(request, context.TimeoutOr(rpc::kCallTimeoutDefault)));
  const char* const how = answer.circular_logging()
                              ? "on: log goes when it is old or backed up, and nobody holds it"
                              : "off: log is kept until a full or incremental backup has it";
  const uint64_t every_s = answer.archive_interval_s();
  const std::string archived =
      every_s == 0 ? "never" : "every " + FormatDuration(std::chrono::seconds(every_s));
  context.output().Document(
      Json{{"database", arguments.name},
           {"circular_logging", answer.circular_logging()},
           {"archive_interval_s", every_s}},
      fmt::format("{}: circular logging {}; archived {}\n", arguments.name, how, archived));
  return {};
}

Runner DefineSet(CLI::App& app) {
  auto arguments = std::make_shared<SetArguments>();
  app.add_option("DB", arguments->name, "the database")->required()->check(DatabaseName());
  app.add_option("--circular-logging", arguments->circular,
                 "off: log is kept until a full or incremental backup has it")
      ->check(CLI::IsMember({"on", "off"}));
  AddDuration(app, "--archive-interval", arguments->archive,
              "how often what has changed is archived in the server's repository (1s to 24h, 0s: "
              "never), for `restore --at` and `--position`");
  return [arguments](Context& context) { return Set(context, *arguments); };
}

}  // namespace

Group DatabaseCommands() {
  return {
      "db",
      "The databases of the group",
      {{.name = "add",
        .summary = "Add a database: its file becomes the active copy, the others are seeded",
        .example = "understudy --server 10.0.0.1:7400 db add mail /srv/mail.db --copies s2,s3",
        .define = DefineAdd},
       {.name = "list",
        .summary = "List the group's databases and where their copies are",
        .example = "understudy db list -o json",
        .define = [](CLI::App&) -> Runner { return List; }},
       {.name = "remove",
        .summary = "Take a database out of the group; its active copy's file stays as it is",
        .example = "understudy db remove mail",
        .define = DefineRemove},
       {.name = "set",
        .summary = "Say how often it is archived, and whether log is kept until it is backed up",
        .example = "understudy db set mail --archive-interval 10s",
        .define = DefineSet}}};
}

}  // namespace understudy::cli
