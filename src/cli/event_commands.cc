// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "cli/groups.h"
#include "cli/text_width.h"
#include "cli/views.h"

namespace understudy::cli {
namespace {

constexpr uint32_t kShownDefault = 100;

struct Arguments {
  bool follow = false;
  std::string database;
  uint32_t limit = kShownDefault;
  uint64_t after = 0;
};

// One line, with columns that line up for the usual lengths: following cannot know the widest.
std::string EventLine(const Json& event) {
  const auto text = [&](const char* key) { return RenderCell(event, {key, CellKind::kText}); };
  return fmt::format("{}  {}  {}  {}  {}  {}", text("time"), Pad(text("number"), 5, Align::kRight),
                     Pad(text("severity"), 8, Align::kLeft), Pad(text("server"), 6, Align::kLeft),
                     Pad(text("database"), 8, Align::kLeft), text("message"));
}

base::Status Events(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::EventsRequest request;
  request.set_follow(arguments.follow);
  request.set_database(arguments.database);
  request.set_limit(arguments.limit);
  request.set_after_id(arguments.after);
  Json rows = Json::array();
  const base::Status status = client->Events(request, [&](const v1::Event& event) {
    const Json row = EventJson(event);
    if (!arguments.follow) {
      rows.push_back(row);
      return true;
    }
    context.output().Line(row, EventLine(row));
    return !context.output().broken();  // a reader that went away ends the following
  });
  if (context.output().broken()) return {};
  RETURN_IF_ERROR(status);
  if (!arguments.follow) {
    context.output().Rows("events", rows, EventColumns(), "No events are kept.");
  }
  return {};
}

Runner DefineEvents(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  app.add_flag("--follow", arguments->follow, "go on with new events until interrupted");
  app.add_option("--db", arguments->database, "events of one database only")
      ->check(DatabaseName())
      ->type_name("DB");
  app.add_option("--limit", arguments->limit,
                 "at most so many past events; 0 for all that are kept")
      ->capture_default_str()
      ->type_name("N");
  app.add_option("--after", arguments->after, "only events with a higher id")->type_name("ID");
  return [arguments](Context& context) { return Events(context, *arguments); };
}

}  // namespace

Group EventCommands() {
  return {"",
          "",
          {{.name = "events",
            .summary = "Show what has happened in the group, and with --follow what happens next",
            .example = "understudy events --follow\n"
                       "understudy events --db mail -o json",
            .define = DefineEvents}}};
}

}  // namespace understudy::cli
