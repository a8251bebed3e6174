// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "cli/groups.h"
#include "cli/human.h"
#include "cli/pause.h"
#include "cli/progress_view.h"
#include "cli/table.h"
#include "cli/text_width.h"
#include "cli/views.h"
#include "rpc/protocol.h"

namespace understudy::cli {
namespace {

struct Arguments {
  std::string database;
  std::string server;
  bool wait = false;
};

// Servers where a pass was begun, and when.
using Begun = std::map<std::string, int64_t>;

const std::vector<Column>& ScrubColumns() {
  static const std::vector<Column> kColumns = {{"server"},
                                               {"role"},
                                               {"pages", CellKind::kNumber},
                                               {"generations", CellKind::kNumber},
                                               {"found", CellKind::kNumber},
                                               {"repaired", CellKind::kNumber},
                                               {"not_repaired", CellKind::kNumber},
                                               {"read", CellKind::kBytes}};
  return kColumns;
}

struct Look {
  base::Progress progress;
  size_t ended = 0;
  std::string silent;  // a server that did not answer
  v1::DatabaseStatus status;
};

base::Result<Look> LookAt(Context& context, rpc::AdminClient& client, const std::string& database,
                          const Begun& begun) {
  v1::StatusRequest request;
  request.set_database(database);
  ASSIGN_OR_RETURN(const v1::StatusResponse answer,
                   client.Status(request, context.TimeoutOr(rpc::kCallTimeoutDefault)));
  if (answer.databases_size() != 1) return base::NotFound("there is no database " + database);
  Look look;
  look.progress.phase = "scrubbing";
  look.status = answer.databases(0);
  for (const v1::CopyStatus& copy : look.status.copies()) {
    const auto found = begun.find(copy.server());
    if (found == begun.end()) continue;
    if (!copy.answered()) look.silent = copy.server();
    const v1::ScrubStatus& scrub = copy.scrub();
    const bool ended =
        copy.answered() && scrub.last_finished_ms() > 0 && scrub.last_started_ms() >= found->second;
    const uint64_t done = ended ? scrub.last().bytes() : scrub.bytes_done();
    look.ended += ended ? 1 : 0;
    look.progress.bytes_done += done;
    look.progress.bytes_total +=
        ended ? done : std::max({done, scrub.bytes_total(), copy.database_bytes()});
  }
  return look;
}

base::Result<Look> AwaitEnd(Context& context, rpc::AdminClient& client, const std::string& database,
                            const Begun& begun) {
  constexpr std::chrono::seconds kSilenceMax{60};
  env::Env& env = context.env();
  ProgressView view(context.output(), env);
  const base::SteadyTime started = env.Now();
  base::SteadyTime heard = started;
  while (true) {
    ASSIGN_OR_RETURN(Look look, LookAt(context, client, database, begun));
    if (look.progress.bytes_total > 0) view.Update(look.progress);
    if (look.ended == begun.size()) return look;
    const base::SteadyTime now = env.Now();
    if (look.silent.empty()) heard = now;
    if (now - heard > kSilenceMax) {
      return base::Unavailable(
          fmt::format("{} does not answer; the scrub there goes on by itself", look.silent));
    }
    if (now - started > context.TimeoutOr(base::Duration::max())) {
      return base::TimedOut(fmt::format("{} of {} copies of {} are scrubbed after {}; it goes on",
                                        look.ended, begun.size(), database,
                                        FormatDuration(now - started)));
    }
    Pause(kLookAgainAfter);
  }
}

Json RowOf(const v1::CopyStatus& copy) {
  Json row = ScrubJson(copy.scrub());
  const v1::ScrubCounts& last = copy.scrub().last();
  Json out{{"server", copy.server()},
           {"role", copy.role()},
           {"pages", last.pages()},
           {"generations", last.generations()},
           {"found", last.found()},
           {"repaired", last.repaired()},
           {"not_repaired", copy.scrub().failed() + copy.scrub().waiting()},
           {"read", last.bytes()}};
  out["findings"] = row["findings"];
  out["stopped"] = row["stopped"];
  return out;
}

base::Status Tell(Context& context, const Arguments& arguments, const Look& look,
                  const Begun& begun) {
  Json rows = Json::array();
  std::string damage;
  uint64_t left = 0;
  for (const v1::CopyStatus& copy : look.status.copies()) {
    if (!begun.contains(copy.server())) continue;
    rows.push_back(RowOf(copy));
    const v1::ScrubStatus& scrub = copy.scrub();
    left += scrub.failed() + scrub.waiting() + (scrub.stopped().empty() ? 0 : 1);
    for (const v1::ScrubFinding& finding : scrub.findings()) {
      damage += fmt::format("  {}: {} is not repaired: {}\n", copy.server(), finding.what(),
                            Printable(finding.why()));
    }
    if (!scrub.stopped().empty()) {
      damage += fmt::format("  {}: stopped: {}\n", copy.server(), Printable(scrub.stopped()));
    }
  }
  context.output().Document(Json{{"database", arguments.database}, {"copies", rows}},
                            RenderTable(rows, ScrubColumns(), context.output().style()) + damage);
  if (left == 0) return {};
  return base::Unavailable(fmt::format(
      "{} damaged pages or log files of {} are not repaired\nlook at the disks of those "
      "servers (smartctl -a, dmesg) and at understudy events; a copy that is right "
      "repairs the others as soon as it can be asked",
      left, arguments.database));
}

base::Status Scrub(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::ScrubRequest request;
  request.set_database(arguments.database);
  request.set_server(arguments.server);
  ASSIGN_OR_RETURN(const v1::ScrubResponse answer,
                   client->Scrub(request, context.TimeoutOr(rpc::kLongCallTimeout)));
  Begun begun;
  Json servers = Json::array();
  std::string text;
  std::string refused;
  for (const auto& one : answer.begun()) {
    Json row{{"server", one.server()}, {"error", nullptr}};
    if (one.error().empty()) {
      begun[one.server()] = one.started_ms();
      text += fmt::format("scrubbing the copy of {} on {}\n", arguments.database, one.server());
    } else {
      row["error"] = one.error();
      refused += fmt::format("{}{}: {}", refused.empty() ? "" : "; ", one.server(), one.error());
    }
    servers.push_back(std::move(row));
  }
  if (!arguments.wait) {
    context.output().Document(Json{{"database", arguments.database}, {"begun", servers}}, text);
  } else {
    ASSIGN_OR_RETURN(const Look look, AwaitEnd(context, *client, arguments.database, begun));
    RETURN_IF_ERROR(Tell(context, arguments, look, begun));
  }
  if (refused.empty()) return {};
  return base::Unavailable("not every copy is scrubbed: " + refused);
}

Runner DefineScrub(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  app.add_option("DB", arguments->database, "the database")->required()->check(DatabaseName());
  app.add_option("SERVER", arguments->server, "only the copy on this server (default: all)")
      ->check(ServerName());
  app.add_flag("--wait", arguments->wait,
               "until everything was read; fails if something could not be repaired");
  return [arguments](Context& context) { return Scrub(context, *arguments); };
}

}  // namespace

Group ScrubCommands() {
  return {"",
          "",
          {{.name = "scrub",
            .summary = "Read every copy again now, and repair what is damaged",
            .example = "understudy scrub mail --wait\n"
                       "understudy scrub mail s2",
            .define = DefineScrub}}};
}

}  // namespace understudy::cli
