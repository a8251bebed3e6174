// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "cli/groups.h"
#include "cli/text_width.h"
#include "cli/views.h"
#include "cluster/event_catalogue.h"
#include "cluster/event_ring.h"

namespace understudy::cli {
namespace {

constexpr uint32_t kShownDefault = 100;

struct Arguments {
  bool follow = false;
  std::string database;
  uint32_t limit = kShownDefault;
  uint64_t after = 0;
  std::vector<uint32_t> numbers;
  bool explain = false;
  bool local = false;
  std::string from;  // a data directory
};

// One line, with columns that line up for the usual lengths: following cannot know the widest.
std::string EventLine(const Json& event) {
  const auto text = [&](const char* key) { return RenderCell(event, {key, CellKind::kText}); };
  return fmt::format("{}  {}  {}  {}  {}  {}", text("time"), Pad(text("number"), 5, Align::kRight),
                     Pad(text("severity"), 8, Align::kLeft), Pad(text("server"), 6, Align::kLeft),
                     Pad(text("database"), 8, Align::kLeft), text("message"));
}

Json EntryJson(const cluster::EventEntry& entry) {
  return {{"number", static_cast<uint32_t>(entry.number)},
          {"name", entry.name},
          {"meaning", entry.meaning},
          {"cause", entry.cause},
          {"remedy", entry.remedy}};
}

// What events mean: all of them as a table, or those asked for in full. Asks no server.
base::Status Explain(Context& context, const Arguments& arguments) {
  if (arguments.numbers.empty()) {
    Json rows = Json::array();
    for (const auto& entry : cluster::EventCatalogue()) rows.push_back(EntryJson(entry));
    context.output().Rows("events", rows, {{"number"}, {"name"}, {"meaning"}}, "");
    return {};
  }
  for (const uint32_t number : arguments.numbers) {
    const cluster::EventEntry* const entry = cluster::FindEvent(number);
    if (entry == nullptr) {
      return base::NotFound(fmt::format(
          "there is no event {}\n'understudy events --explain' shows all there are", number));
    }
    const std::string_view remedy = entry->remedy.empty() ? "Nothing to do." : entry->remedy;
    context.output().Line(EntryJson(*entry),
                          fmt::format("{}  {}\n  meaning  {}\n  cause    {}\n  remedy   {}", number,
                                      entry->name, entry->meaning, entry->cause, remedy));
  }
  return {};
}

bool IsAskedFor(const Arguments& arguments, const cluster::Event& event) {
  const auto& numbers = arguments.numbers;
  return (arguments.database.empty() || event.database == arguments.database) &&
         (numbers.empty() || std::find(numbers.begin(), numbers.end(),
                                       static_cast<uint32_t>(event.number)) != numbers.end());
}

// A server's own events from its files: nothing needs to run.
base::Status EventsFrom(Context& context, const Arguments& arguments) {
  if (!context.env().Stat(cluster::EventRingPath(arguments.from)).ok()) {
    return base::NotFound(
        fmt::format("{} has no events of a server\nname the data directory of one "
                    "(server.data_dir of its configuration)",
                    arguments.from));
  }
  ASSIGN_OR_RETURN(std::vector<cluster::Event> events,
                   cluster::ReadEventRing(context.env(), arguments.from));
  std::erase_if(events, [&](const auto& event) { return !IsAskedFor(arguments, event); });
  const size_t limit = arguments.limit > 0 ? arguments.limit : events.size();
  Json rows = Json::array();
  for (size_t i = events.size() - std::min(events.size(), limit); i < events.size(); ++i) {
    rows.push_back(EventJson(events[i]));
  }
  context.output().Rows("events", rows, EventColumns(), "No events are kept there.");
  return {};
}

base::Status Events(Context& context, const Arguments& arguments) {
  if (arguments.explain) return Explain(context, arguments);
  if (!arguments.from.empty()) return EventsFrom(context, arguments);
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::EventsRequest request;
  request.set_follow(arguments.follow);
  request.set_local(arguments.local);
  request.set_database(arguments.database);
  request.set_limit(arguments.limit);
  request.set_after_id(arguments.after);
  for (const uint32_t number : arguments.numbers) request.add_numbers(number);
  Json rows = Json::array();
  bool cut_off = false;
  const base::Status status = client->Events(request, [&](const v1::Event& event) {
    cut_off = cut_off || (event.local() && !arguments.local);
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
  if (cut_off) {
    context.output().Note("the coordinator does not answer: these are the server's own events\n");
  }
  if (!arguments.follow) {
    context.output().Rows("events", rows, EventColumns(), "No events are kept.");
  }
  return {};
}

Runner DefineEvents(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  CLI::Option* const follow =
      app.add_flag("--follow", arguments->follow, "go on with new events until interrupted");
  CLI::Option* const local =
      app.add_flag("--local", arguments->local,
                   "only those of the server that is asked, from its own disk (also told when it "
                   "does not reach the coordinator)")
          ->excludes(follow);
  app.add_option("--from", arguments->from,
                 "a server's own events from its data directory; asks no server")
      ->excludes(follow)
      ->excludes(local)
      ->type_name("DIR");
  app.add_option("--db", arguments->database, "events of one database only")
      ->check(DatabaseName())
      ->type_name("DB");
  app.add_option("--limit", arguments->limit,
                 "at most so many past events; 0 for all that are kept")
      ->capture_default_str()
      ->type_name("N");
  app.add_option("--after", arguments->after, "only events that came after this one")
      ->type_name("ID");
  app.add_option("--id", arguments->numbers, "only events with these numbers, such as 2153")
      ->delimiter(',')
      ->type_name("N");
  app.add_flag("--explain", arguments->explain,
               "say what events mean, what leads to them and what to do; asks no server");
  return [arguments](Context& context) { return Events(context, *arguments); };
}

}  // namespace

Group EventCommands() {
  return {"",
          "",
          {{.name = "events",
            .summary = "Show what has happened in the group, and with --follow what happens next",
            .example = "understudy events --follow\n"
                       "understudy events --db mail -o json\n"
                       "understudy events --from /var/lib/understudy --limit 20\n"
                       "understudy events --id 2153 --explain",
            .define = DefineEvents}}};
}

}  // namespace understudy::cli
