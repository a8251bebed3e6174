// SPDX-License-Identifier: Apache-2.0
// Lagged copies: commands of the group "copy".
#include <fmt/format.h>

#include <filesystem>

#include "base/ids.h"
#include "base/time.h"
#include "cli/groups.h"
#include "cli/human.h"
#include "cli/pause.h"
#include "cli/progress_view.h"
#include "cli/views.h"
#include "rpc/protocol.h"
#include "rpc/received_file.h"

namespace understudy::cli {
namespace {

struct Arguments {
  std::string database;
  std::string server;
  base::Duration lag{};
  uint64_t seq = 0;
  base::WallTime time;
  std::string output;
  bool wait = false;
  bool dry_run = false;
  bool force = false;
  bool into_active = false;
  bool yes = false;
};

std::shared_ptr<Arguments> Declare(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  app.add_option("DB", arguments->database, "the database")->required()->check(DatabaseName());
  app.add_option("SERVER", arguments->server, "the server of the copy")
      ->required()
      ->check(ServerName());
  return arguments;
}

// --- lag ---

base::Status SetLag(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::SetCopyRequest request;
  request.set_database(arguments.database);
  request.set_server(arguments.server);
  request.set_replay_lag_ms(arguments.lag / std::chrono::milliseconds(1));
  ASSIGN_OR_RETURN(const v1::SetCopyResponse answer,
                   client->SetCopy(request, context.TimeoutOr(rpc::kCallTimeoutDefault)));
  context.output().Document(
      Json{{"database", arguments.database},
           {"server", arguments.server},
           {"replay_lag_ms", answer.replay_lag_ms()}},
      answer.replay_lag_ms() == 0
          ? fmt::format("the copy of {} on {} holds no log back\n", arguments.database,
                        arguments.server)
          : fmt::format("the copy of {} on {} replays log once it has been there for {}\n",
                        arguments.database, arguments.server,
                        FormatDuration(std::chrono::milliseconds(answer.replay_lag_ms()))));
  return {};
}

Runner DefineLag(CLI::App& app) {
  auto arguments = Declare(app);
  app.add_option_function<std::string>(
         "LAG",
         [arguments](const std::string& text) {
           const auto parsed = ParseDuration(text);
           if (!parsed.ok()) throw CLI::ValidationError("LAG", parsed.status().message());
           arguments->lag = *parsed;
         },
         "how long log is held back, such as 2h, at most 14d; 0: not at all")
      ->required();
  return [arguments](Context& context) { return SetLag(context, *arguments); };
}

// --- play-down ---

base::Status AwaitReplay(Context& context, rpc::AdminClient& client, const Arguments& arguments,
                         uint64_t seq) {
  const base::Duration limit = context.TimeoutOr(base::Duration::max());
  const base::SteadyTime started = context.env().Now();
  v1::StatusRequest request;
  request.set_database(arguments.database);
  uint64_t at = 0;
  while (true) {
    ASSIGN_OR_RETURN(const auto status, client.Status(request, rpc::kCallTimeoutDefault));
    for (const auto& database : status.databases()) {
      for (const auto& copy : database.copies()) {
        if (copy.server() == arguments.server) at = copy.replayed().seq();
      }
    }
    if (at >= seq) return {};
    if (context.env().Now() - started > limit) {
      return base::TimedOut(
          fmt::format("the copy of {} on {} is at {}, not at {}; the play-down "
                      "goes on by itself",
                      arguments.database, arguments.server, at, seq));
    }
    Pause(kLookAgainAfter);
  }
}

base::Status PlayDown(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::PlayDownCopyRequest request;
  request.set_database(arguments.database);
  request.set_server(arguments.server);
  request.set_to_seq(arguments.seq);
  request.set_to_time_ms(arguments.time.unix_ms);
  ASSIGN_OR_RETURN(const v1::PlayDownCopyResponse answer, client->PlayDownCopy(request));
  if (arguments.wait) {
    RETURN_IF_ERROR(AwaitReplay(context, *client, arguments, answer.to()));
  }
  context.output().Document(
      Json{{"database", arguments.database},
           {"server", arguments.server},
           {"from", answer.from().seq()},
           {"to", answer.to()},
           {"done", arguments.wait}},
      fmt::format("the copy of {} on {} {} log from {} to {} before its time\n", arguments.database,
                  arguments.server, arguments.wait ? "replayed" : "replays",
                  FormatCount(answer.from().seq()), FormatCount(answer.to())));
  return {};
}

Runner DefinePlayDown(CLI::App& app) {
  auto arguments = Declare(app);
  CLI::Option* const seq = app.add_option("--to-seq", arguments->seq,
                                          "up to this position (default: all that is there now)")
                               ->type_name("N");
  AddTime(app, "--to-time", arguments->time, "up to what was committed until this time")
      ->excludes(seq);
  app.add_flag("--wait", arguments->wait, "return once it is replayed");
  return [arguments](Context& context) { return PlayDown(context, *arguments); };
}

// --- activation at a point in time ---

Json PointJson(const Arguments& arguments, const v1::CopyPoint& point) {
  return Json{{"database", arguments.database},
              {"server", point.server()},
              {"term", point.at().term()},
              {"position", point.at().seq()},
              {"committed", TimeJson(point.commit_ms())},
              {"earliest", point.earliest().seq()},
              {"earliest_committed", TimeJson(point.earliest_commit_ms())},
              {"last", point.last().seq()},
              {"last_committed", TimeJson(point.last_commit_ms())},
              {"commits_after", point.commits_after()},
              {"records_after", point.records_after()},
              {"first_after", TimeJson(point.first_after_ms())},
              {"log_bytes_after", point.bytes_after()},
              {"size", point.database_bytes()},
              {"checksum", point.checksum()}};
}

std::string Time(int64_t unix_ms) { return base::ToRfc3339(base::WallTime{unix_ms}); }

std::string PointText(const Arguments& arguments, const v1::CopyPoint& point) {
  std::string text = fmt::format(
      "{} on {}: the point is {}, committed {}\nthe copy can give {} ({}) to {} ({})\n",
      arguments.database, point.server(), FormatCount(point.at().seq()), Time(point.commit_ms()),
      FormatCount(point.earliest().seq()), Time(point.earliest_commit_ms()),
      FormatCount(point.last().seq()), Time(point.last_commit_ms()));
  if (point.commits_after() == 0) return text + "the point leaves nothing out\n";
  return text + fmt::format("the point leaves out {} commits in {} records, {} to {}\n",
                            FormatCount(point.commits_after()), FormatCount(point.records_after()),
                            Time(point.first_after_ms()), Time(point.last_commit_ms()));
}

v1::ActivateCopyRequest ActivateRequest(const Arguments& arguments) {
  v1::ActivateCopyRequest request;
  request.set_database(arguments.database);
  request.set_server(arguments.server);
  request.set_seq(arguments.seq);
  request.set_at_ms(arguments.time.unix_ms);
  request.set_dry_run(arguments.dry_run);
  request.set_into_active(arguments.into_active);
  return request;
}

base::Status Extract(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  std::string output;  // std::filesystem throws for an empty one
  if (!arguments.dry_run) {
    output = std::filesystem::absolute(arguments.output).lexically_normal().string();
  }
  rpc::ReceivedFile target(context.env(), output, arguments.force);
  if (!arguments.dry_run) RETURN_IF_ERROR(target.CheckPlace());
  ProgressView view(context.output(), context.env());
  v1::CopyPoint point;
  base::Status failure;  // ours; the call itself then only says that it was ended
  const auto take = [&](const v1::ActivateCopyResponse& message) {
    if (message.has_point()) point = message.point();
    if (message.has_progress()) view.Update(message.progress());
    if (message.has_chunk()) {
      failure = target.Take(message.chunk());
      view.Update({.phase = "receiving",
                   .bytes_done = target.bytes(),
                   .bytes_total = point.database_bytes()});
    }
    if (message.has_end()) failure = target.End(message.end());
    return failure.ok();
  };
  const base::Status received = client->ActivateCopy(ActivateRequest(arguments), take);
  RETURN_IF_ERROR(failure);
  RETURN_IF_ERROR(received);
  view.Finish();
  Json document = PointJson(arguments, point);
  std::string text = PointText(arguments, point);
  if (!arguments.dry_run) {
    RETURN_IF_ERROR(target.Finish());
    document["output"] = output;
    text += fmt::format("{} written: {}, every page checked; the copy was not changed\n", output,
                        FormatBytes(target.bytes()));
  }
  context.output().Document(Json{{"point", document}}, text);
  return {};
}

base::Status IntoActive(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  ProgressView view(context.output(), context.env());
  v1::CopyPoint point;
  v1::LostBundle saved;
  v1::ReplacedContent replaced;
  RETURN_IF_ERROR(client->ActivateCopy(ActivateRequest(arguments),
                                       [&](const v1::ActivateCopyResponse& message) {
                                         if (message.has_progress())
                                           view.Update(message.progress());
                                         if (message.has_point()) point = message.point();
                                         if (message.has_saved()) saved = message.saved();
                                         if (message.has_replaced()) replaced = message.replaced();
                                         return true;
                                       }));
  view.Finish();
  Json document = PointJson(arguments, point);
  std::string text = PointText(arguments, point);
  if (!arguments.dry_run) {
    document["replaced_by"] = replaced.at().seq();
    document["commits_meanwhile"] = replaced.meanwhile();
    document["lost"] = saved.id().empty() ? Json(nullptr) : Json(saved.id());
    text += fmt::format("the active copy has that content again, since commit {}\n",
                        FormatCount(replaced.at().seq()));
    if (!saved.id().empty()) {
      text += fmt::format("what that undoes is kept: understudy lost show {}\n", saved.id());
    }
    if (replaced.meanwhile() > 0) {
      text += fmt::format(
          "{} commits were made meanwhile and are undone too; while it holds them, the lagged copy "
          "gives them: --seq {}\n",
          FormatCount(replaced.meanwhile()), replaced.at().seq() - 1);
    }
  }
  context.output().Document(Json{{"point", document}}, text);
  return {};
}

Runner DefineActivate(CLI::App& app) {
  auto arguments = Declare(app);
  CLI::Option* const seq = app.add_option("--seq", arguments->seq, "the position")
                               ->type_name("N")
                               ->check(CLI::PositiveNumber);
  CLI::Option* const at =
      AddTime(app, "--at", arguments->time, "what was committed until this time")->excludes(seq);
  CLI::Option* const output =
      app.add_option("--output", arguments->output, "the file to write, on this machine")
          ->type_name("FILE");
  CLI::Option* const into =
      app.add_flag(
             "--into-active", arguments->into_active,
             "make it the active copy's content, with one commit; what that undoes is kept as "
             "lost log")
          ->excludes(output);
  app.add_flag("--yes", arguments->yes, "yes, the applications are to see the old content")
      ->needs(into);
  app.add_flag("--dry-run", arguments->dry_run, "only tell what the point is and leaves out");
  app.add_flag("--force", arguments->force, "replace the file if it exists");
  return [arguments, seq, at, output](Context& context) -> base::Status {
    if (seq->count() + at->count() == 0) {
      return base::InvalidArgument("say which point is meant, with --at TIME or --seq N");
    }
    if (output->count() == 0 && !arguments->dry_run && !arguments->into_active) {
      return base::InvalidArgument(
          "say where to, with --output FILE or --into-active, or use --dry-run");
    }
    if (!arguments->into_active) return Extract(context, *arguments);
    if (!arguments->yes && !arguments->dry_run) {
      return base::InvalidArgument(
          "this changes what applications see; --dry-run tells what it undoes\nstop them, then say "
          "--yes");
    }
    return IntoActive(context, *arguments);
  };
}

}  // namespace

std::vector<Command> LagCommands() {
  return {{.name = "lag",
           .summary = "Set how long a passive copy holds log back before it replays it",
           .example = "understudy copy lag mail s3 2h",
           .define = DefineLag},
          {.name = "playdown",
           .summary = "Replay what a lagged copy holds back, now",
           .example = "understudy copy playdown mail s3 --to-time 2026-11-26T10:00:00Z --wait",
           .define = DefinePlayDown},
          {.name = "activate",
           .summary = "Write the database as it was at a point that a lagged copy still holds",
           .example = "understudy copy activate mail s3 --at 2026-11-26T10:00:00Z --dry-run\n"
                      "understudy copy activate mail s3 --at 2026-11-26T10:00:00Z --output "
                      "/tmp/mail.db",
           .define = DefineActivate,
           .exists_hint = "--force replaces the file"}};
}

}  // namespace understudy::cli
