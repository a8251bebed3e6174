// SPDX-License-Identifier: Apache-2.0
// top: what every copy does now: states, rates, queues, and how they went lately.
#include <fmt/format.h>

#include <deque>
#include <map>
#include <optional>
#include <utility>

#include "cli/groups.h"
#include "cli/refresh.h"
#include "cli/table.h"
#include "rpc/protocol.h"

namespace understudy::cli {
namespace {

constexpr size_t kSamplesKept = 24;

struct Arguments {
  std::string database;
  std::optional<base::Duration> every;
  uint64_t count = 0;
};

class Samples {
 public:
  Json Rows(const v1::StatusResponse& answer, base::SteadyTime now) {
    Json rows = Json::array();
    for (const v1::DatabaseStatus& database : answer.databases()) {
      for (const v1::CopyStatus& copy : database.copies()) {
        rows.push_back(RowOf(database.name(), copy, now));
      }
    }
    return rows;
  }

 private:
  struct History {
    base::SteadyTime at{};
    uint64_t position = 0;
    uint64_t log_bytes = 0;
    std::deque<uint64_t> behind;  // the newest last
  };

  Json RowOf(const std::string& database, const v1::CopyStatus& copy, base::SteadyTime now) {
    History& history = of_[{database, copy.server()}];
    const uint64_t position = copy.replayed().seq();
    const double seconds = std::chrono::duration<double>(now - history.at).count();
    const bool rated = history.at != base::SteadyTime() && seconds > 0;
    const auto rate = [&](uint64_t from, uint64_t to) {
      return rated && to >= from ? Json(static_cast<double>(to - from) / seconds) : Json();
    };
    const uint64_t behind = copy.copy_queue() + copy.replay_queue();
    history.behind.push_back(behind);
    if (history.behind.size() > kSamplesKept) history.behind.pop_front();
    Json row = {
        {"database", database},
        {"server", copy.server()},
        {"role", copy.role()},
        {"state", copy.state()},
        {"commits_per_second", rate(history.position, position)},
        {"copy_queue", copy.copy_queue()},
        {"replay_queue", copy.replay_queue()},
        {"log_size", copy.log_bytes()},
        {"position", position},
        {"behind", Json(std::vector<uint64_t>(history.behind.begin(), history.behind.end()))}};
    history.at = now;
    history.position = position;
    return row;
  }

  std::map<std::pair<std::string, std::string>, History> of_;
};

std::string Render(const Json& rows, const TableStyle& style) {
  Json shown = rows;
  for (Json& row : shown) {
    const Json rate = row["commits_per_second"];
    row["commits_per_second"] =
        rate.is_null() ? Json() : Json(fmt::format("{:.1f}", rate.get<double>()));
    row["behind"] = Sparkline(row["behind"].get<std::vector<uint64_t>>());
  }
  return RenderTable(shown,
                     {{"database"},
                      {"server"},
                      {"role"},
                      {"state", CellKind::kState},
                      {"commits_per_second", CellKind::kNumber},
                      {"copy_queue", CellKind::kNumber},
                      {"replay_queue", CellKind::kNumber},
                      {"log_size", CellKind::kBytes},
                      {"position", CellKind::kNumber},
                      {"behind"}},
                     style);
}

base::Status Top(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  Samples samples;
  RefreshOptions options{.count = arguments.count};
  options.every = arguments.every.value_or(options.every);
  v1::StatusRequest request;
  request.set_database(arguments.database);
  return Refresh(context, options, [&]() -> base::Status {
    ASSIGN_OR_RETURN(const v1::StatusResponse answer,
                     client->Status(request, context.TimeoutOr(rpc::kCallTimeoutDefault)));
    const Json rows = samples.Rows(answer, context.env().Now());
    if (context.output().json()) {
      context.output().Line(
          Json{{"time", base::ToRfc3339(context.env().WallNow())}, {"copies", rows}}, "");
      return {};
    }
    const std::string head =
        fmt::format("{}  {} copies\n", base::ToRfc3339(context.env().WallNow()), rows.size());
    context.output().Text(head + Render(rows, context.output().style()));
    return {};
  });
}

Runner DefineTop(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  app.add_option("DB", arguments->database, "one database (default: all)")->check(DatabaseName());
  AddRefresh(app, "--every", arguments->every, arguments->count);
  return [arguments](Context& context) { return Top(context, *arguments); };
}

}  // namespace

Group TopCommands() {
  return {"",
          "",
          {{.name = "top",
            .summary = "Watch states, rates and queues of all copies",
            .example = "understudy top --every 1s",
            .define = DefineTop}}};
}

}  // namespace understudy::cli
