// SPDX-License-Identifier: Apache-2.0
// Which copy is the active one: switchover and failover.
#include <fmt/format.h>

#include "base/ids.h"
#include "cli/groups.h"
#include "cli/human.h"
#include "rpc/protocol.h"

namespace understudy::cli {
namespace {

struct Arguments {
  std::string database;
  std::string target;
  bool accept_data_loss = false;
  bool dry_run = false;
  bool force = false;
};

void AddDatabase(CLI::App& app, Arguments& arguments) {
  app.add_option("DB", arguments.database, "the database")->required()->check(DatabaseName());
}

// --- switchover ---

base::Status Switchover(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::SwitchoverRequest request;
  request.set_database(arguments.database);
  request.set_target(arguments.target);
  request.set_force(arguments.force);
  if (context.globals().timeout) {
    request.set_timeout_ms(
        std::max<int64_t>(1, *context.globals().timeout / std::chrono::milliseconds(1)));
  }
  ASSIGN_OR_RETURN(const v1::SwitchoverResponse answer, client->Switchover(request));
  const double without_ms = static_cast<double>(answer.without_writes_us()) / 1000;
  context.output().Document(
      Json{{"database", arguments.database},
           {"from", answer.from()},
           {"to", answer.to()},
           {"position", answer.at().seq()},
           {"term", answer.term()},
           {"without_writes_ms", without_ms}},
      fmt::format("{} moved from {} to {} at position {}, term {}: {:.0f} ms without a writable "
                  "copy\napplications reconnect, to the copy on {}\n",
                  arguments.database, answer.from(), answer.to(), FormatCount(answer.at().seq()),
                  answer.term(), without_ms, answer.to()));
  return {};
}

Runner DefineSwitchover(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  AddDatabase(app, *arguments);
  app.add_option("--to", arguments->target, "the server to move it to (default: the best copy)")
      ->check(ServerName());
  app.add_flag("--force", arguments->force, "although a backup of it runs, which goes on");
  return [arguments](Context& context) { return Switchover(context, *arguments); };
}

// --- failover ---

Json CandidateJson(const v1::FailoverCandidate& candidate) {
  Json row{
      {"server", candidate.server()},         {"eligible", candidate.eligible() ? "yes" : "no"},
      {"durable", candidate.durable().seq()}, {"term", candidate.durable().term()},
      {"missing", candidate.missing()},       {"preference", candidate.preference()},
      {"verdict", candidate.verdict()}};
  row["replay_lag_ms"] = candidate.replay_lag_ms();
  row["silence_ms"] = candidate.silence_ms() < 0 ? Json() : Json(candidate.silence_ms());
  return row;
}

base::Status Failover(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::FailoverRequest request;
  request.set_database(arguments.database);
  request.set_target(arguments.target);
  request.set_accept_data_loss(arguments.accept_data_loss);
  request.set_dry_run(arguments.dry_run);
  ASSIGN_OR_RETURN(const v1::FailoverResponse answer, client->Failover(request));
  Json rows = Json::array();
  for (const v1::FailoverCandidate& candidate : answer.candidates()) {
    rows.push_back(CandidateJson(candidate));
  }
  std::string text =
      fmt::format("{}: active on {}, whose server {}; dial {}; known up to {}\n", answer.database(),
                  answer.active(), answer.active_alive() ? "is alive" : "has no lease",
                  answer.dial(), FormatCount(answer.known_end().seq()));
  text += RenderTable(rows,
                      {{"server"},
                       {"eligible"},
                       {"durable", CellKind::kNumber},
                       {"missing", CellKind::kNumber},
                       {"silence_ms", CellKind::kDuration},
                       {"preference", CellKind::kNumber},
                       {"verdict"}},
                      context.output().style());
  if (answer.done()) {
    text += fmt::format("{} was mounted on {}\n", answer.database(), answer.target());
  } else if (answer.target().empty()) {
    text += "no copy would be mounted\n";
  } else {
    text += fmt::format("the copy on {} would be mounted\n", answer.target());
  }
  if (!answer.need().empty()) text += "without a person: " + answer.need() + "\n";
  Json document{{"database", answer.database()},
                {"active", answer.active()},
                {"active_alive", answer.active_alive()},
                {"dial", answer.dial()},
                {"known_end", answer.known_end().seq()},
                {"target", answer.target()},
                {"done", answer.done()},
                {"need", answer.need()}};
  document["candidates"] = std::move(rows);
  context.output().Document(document, text);
  return {};
}

Runner DefineFailover(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  AddDatabase(app, *arguments);
  app.add_option("--to", arguments->target, "take this server's copy, whatever its state")
      ->check(ServerName());
  app.add_flag("--accept-data-loss", arguments->accept_data_loss,
               "whatever the dial says; what is lost is kept when the old server returns");
  app.add_flag("--dry-run", arguments->dry_run, "only tell what would be done");
  return [arguments](Context& context) { return Failover(context, *arguments); };
}

Runner DefineExplain(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  AddDatabase(app, *arguments);
  arguments->dry_run = true;
  return [arguments](Context& context) { return Failover(context, *arguments); };
}

}  // namespace

Group SwitchoverCommands() {
  return {"",
          "",
          {{.name = "switchover",
            .summary = "Move the active copy of a database to another server, without loss",
            .example = "understudy switchover mail --to s2",
            .define = DefineSwitchover}}};
}

Group FailoverCommands() {
  return {"failover",
          "Which copy takes over when the active one's server is gone",
          {{.name = "explain",
            .summary = "Tell for every copy whether it would be mounted, and why",
            .example = "understudy failover explain mail",
            .define = DefineExplain},
           {.name = "run",
            .summary = "Mount another copy of a database whose active copy's server is gone",
            .example = "understudy failover run mail --accept-data-loss",
            .define = DefineFailover}}};
}

}  // namespace understudy::cli
