// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <filesystem>

#include "base/ids.h"
#include "cli/groups.h"
#include "cli/human.h"
#include "cli/lost_export.h"
#include "cli/lost_views.h"
#include "cli/progress_view.h"
#include "rpc/protocol.h"

namespace understudy::cli {
namespace {

constexpr uint32_t kRecordsDefault = 20;
constexpr uint32_t kRowsDefault = 10;
constexpr const char* kHint = "'understudy lost list' shows what there is";

struct Arguments {
  std::string id;
  std::string database;
  std::string server;
  std::string output;
  uint32_t records = kRecordsDefault;
  uint32_t rows = kRowsDefault;
  bool no_compare = false;
  bool force = false;
  bool yes = false;
};

v1::LostName NameOf(const Arguments& arguments) {
  v1::LostName name;
  name.set_id(arguments.id);
  name.set_database(arguments.database);
  name.set_server(arguments.server);
  return name;
}

base::Status List(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::ListLostRequest request;
  request.set_database(arguments.database);
  ASSIGN_OR_RETURN(const auto answer,
                   client->ListLost(request, context.TimeoutOr(rpc::kCallTimeoutDefault)));
  const Json list = LostListJson(answer);
  context.output().Document(list, RenderLostList(list, context.output().style()));
  return {};
}

base::Result<v1::ShowLostResponse> AskShow(Context& context, rpc::AdminClient& client,
                                           const Arguments& arguments, const v1::LostName& name) {
  v1::ShowLostRequest request;
  *request.mutable_name() = name;
  request.set_records(arguments.records);
  request.set_rows(arguments.rows);
  request.set_no_compare(arguments.no_compare);
  return client.ShowLost(request, context.TimeoutOr(rpc::kLongCallTimeout));
}

base::Status Show(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  ASSIGN_OR_RETURN(const auto answer, AskShow(context, *client, arguments, NameOf(arguments)));
  const Json lost = LostShowJson(answer);
  context.output().Document(Json{{"lost", lost}}, RenderLostShow(lost, context.output().style()));
  return {};
}

base::Status Receive(Context& context, rpc::AdminClient& client, const Arguments& arguments,
                     LostExport& target) {
  v1::ExportLostRequest request;
  *request.mutable_name() = NameOf(arguments);
  ProgressView view(context.output(), context.env());
  base::Status failure;  // ours; the call itself then only says that it was ended
  const base::Status received =
      client.ExportLost(request, [&](const v1::ExportLostResponse& message) {
        failure = target.Take(message);
        if (message.has_chunk()) {
          view.Update({.phase = "exporting",
                       .bytes_done = target.bytes(),
                       .bytes_total = target.bundle()->database_bytes()});
        }
        return failure.ok();
      });
  RETURN_IF_ERROR(failure);
  return received;
}

base::Status Export(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  const std::string directory =
      std::filesystem::absolute(arguments.output).lexically_normal().string();
  LostExport target(context.env(), directory, arguments.force);
  RETURN_IF_ERROR(Receive(context, *client, arguments, target));
  if (!target.bundle()) return base::Internal("the server sent no description of the bundle");
  v1::LostName same = NameOf(arguments);
  same.set_database(target.bundle()->database());
  same.set_server(target.bundle()->server());
  ASSIGN_OR_RETURN(const auto answer, AskShow(context, *client, arguments, same));
  const Json lost = LostShowJson(answer);
  RETURN_IF_ERROR(target.Finish(
      {.text = RenderLostShow(lost, {}), .json = ToText(Json{{"lost", lost}}, 2) + "\n"}));
  const std::string database = target.database_path();
  Json document{{"id", target.bundle()->id()},
                {"database", target.bundle()->database()},
                {"server", target.bundle()->server()},
                {"output", database.empty() ? Json(nullptr) : Json(database)},
                {"size", target.bytes()},
                {"text", target.path(".txt")},
                {"json", target.path(".json")}};
  context.output().Document(
      Json{{"export", document}},
      database.empty()
          ? fmt::format("{} written; the bundle has no database: {}\n", target.path(".txt"),
                        target.bundle()->database_left_out())
          : fmt::format("{} written: the database of lost log {}, {}, checked; what it is stands "
                        "in {}\n",
                        database, target.bundle()->id(), FormatBytes(target.bytes()),
                        target.path(".txt")));
  return {};
}

base::Status Remove(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::RemoveLostRequest request;
  *request.mutable_name() = NameOf(arguments);
  ASSIGN_OR_RETURN(const auto answer,
                   client->RemoveLost(request, context.TimeoutOr(rpc::kLongCallTimeout)));
  const v1::LostBundle& removed = answer.removed();
  context.output().Document(
      Json{{"removed", LostJson(removed)}},
      fmt::format("lost log {} of {} on {} removed: {} records, {}\n", removed.id(),
                  removed.database(), removed.server(), FormatCount(removed.records()),
                  FormatBytes(removed.bytes())));
  return {};
}

std::shared_ptr<Arguments> Declare(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  app.add_option("ID", arguments->id, "the lost log, as 'lost list' names it")
      ->required()
      ->check(CLI::Validator(
          [](std::string& id) {
            const base::Status status = base::CheckName("lost log's id", id);
            return status.ok() ? std::string() : status.message();
          },
          ""));
  app.add_option("--db", arguments->database, "of this database, where several have that id")
      ->check(DatabaseName())
      ->type_name("DB");
  app.add_option("--on", arguments->server, "on this server, where several have that id")
      ->check(ServerName())
      ->type_name("SERVER");
  return arguments;
}

void AddHowMuch(CLI::App& app, Arguments& arguments) {
  app.add_option("--records", arguments.records, "tell at most so many lost records")
      ->capture_default_str()
      ->type_name("N");
  app.add_option("--rows", arguments.rows, "tell at most so many rows of a table and kind")
      ->capture_default_str()
      ->type_name("N");
  app.add_flag("--no-compare", arguments.no_compare, "do not compare rows");
}

Runner DefineList(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  app.add_option("DB", arguments->database, "one database (default: all)")->check(DatabaseName());
  return [arguments](Context& context) { return List(context, *arguments); };
}

Runner DefineShow(CLI::App& app) {
  auto arguments = Declare(app);
  AddHowMuch(app, *arguments);
  return [arguments](Context& context) { return Show(context, *arguments); };
}

Runner DefineExport(CLI::App& app) {
  auto arguments = Declare(app);
  app.add_option("--output", arguments->output, "the directory to write to, on this machine")
      ->required()
      ->type_name("DIR");
  app.add_flag("--force", arguments->force, "replace files that are there");
  AddHowMuch(app, *arguments);
  return [arguments](Context& context) { return Export(context, *arguments); };
}

Runner DefineRemove(CLI::App& app) {
  auto arguments = Declare(app);
  app.add_flag("--yes", arguments->yes, "yes, what is in it is not needed any more")->required();
  return [arguments](Context& context) { return Remove(context, *arguments); };
}

}  // namespace

Group LostCommands() {
  return {"lost",
          "Lost log: what a copy had and its group went on without",
          {{.name = "list",
            .summary = "List the lost log that the group's servers keep",
            .example = "understudy lost list mail",
            .define = DefineList},
           {.name = "show",
            .summary = "Show lost records, and the rows that differ from the copy of now",
            .example = "understudy lost show 20261126T014509Z-5.1742 --rows 50",
            .define = DefineShow,
            .not_found_hint = kHint},
           {.name = "export",
            .summary = "Copy the database of lost log to this machine, with a description",
            .example = "understudy lost export 20261126T014509Z-5.1742 --output /tmp/lost",
            .define = DefineExport,
            .not_found_hint = kHint,
            .exists_hint = "--force replaces the files"},
           {.name = "remove",
            .summary = "Delete lost log for good",
            .example = "understudy lost remove 20261126T014509Z-5.1742 --yes",
            .define = DefineRemove,
            .not_found_hint = kHint}}};
}

}  // namespace understudy::cli
