// SPDX-License-Identifier: Apache-2.0
// Writers, the rehearsal of a backup session (betest), and who keeps log.
#include <fmt/format.h>

#include "cli/groups.h"
#include "cli/human.h"
#include "cli/progress_view.h"
#include "cli/requester.h"
#include "cli/text_width.h"
#include "cli/views.h"
#include "cli/writer_views.h"
#include "rpc/protocol.h"

namespace understudy::cli {
namespace {

struct Arguments {
  std::string database;
  std::string from;
  std::string type = "copy";
  std::vector<std::string> faults;
  std::optional<base::Duration> wait;
  std::optional<base::Duration> limit;
};

// --- writers ---

base::Status Writers(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::WritersRequest request;
  request.set_database(arguments.database);
  request.set_everywhere(true);
  ASSIGN_OR_RETURN(const v1::WritersResponse answer,
                   client->Writers(request, context.TimeoutOr(rpc::kCallTimeoutDefault)));
  context.output().FromMemory(answer.coordinator_silence_ms());
  Json document{{"writers", Json::array()}, {"silent", Json::array()}};
  std::string text;
  for (const v1::Writer& writer : answer.writers()) {
    document["writers"].push_back(WriterJson(writer));
    text += RenderWriter(writer) + "\n";
  }
  for (const std::string& server : answer.silent()) {
    document["silent"].push_back(server);
    text += fmt::format("Server {} does not answer (0x80042319 - VSS_E_WRITER_NOT_RESPONDING)\n",
                        Printable(server));
  }
  context.output().Document(document, text.empty() ? "The group has no copy.\n" : text);
  return {};
}

Runner DefineWriters(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  app.add_option("DB", arguments->database, "one database (default: all)")->check(DatabaseName());
  return [arguments](Context& context) { return Writers(context, *arguments); };
}

// --- betest ---

// "Freeze", "Freeze=nonretryable", "Freeze=hang", "Freeze=slow:5s".
base::Result<v1::BackupFault> ParseFault(const std::string& text) {
  v1::BackupFault fault;
  const size_t equals = text.find('=');
  fault.set_event(text.substr(0, equals));
  const std::string how = equals == std::string::npos ? "" : text.substr(equals + 1);
  if (how == "hang") {
    fault.set_kind("hang");
  } else if (how.starts_with("slow:")) {
    ASSIGN_OR_RETURN(const base::Duration delay, ParseDuration(how.substr(5)));
    fault.set_kind("slow");
    fault.set_delay_ms(delay / std::chrono::milliseconds(1));
  } else {
    fault.set_kind("fail");
    fault.set_code(how);
  }
  return fault;
}

// Prints each event as it ends, and what keeps the session waiting.
class BetestView {
 public:
  BetestView(Context& context, const std::string& database)
      : context_(context), database_(database), progress_(context.output(), context.env()) {}

  void Show(const v1::BackupSessionStatus& status) {
    const v1::WriterSession& session =
        status.ended() ? status.writer().last() : status.writer().session();
    for (; shown_ < session.steps_size(); ++shown_) {
      const v1::WriterStep& step = session.steps(shown_);
      if (step.state() == 0) break;  // being handled
      Print(fmt::format("{:<18}  {:>9}  {}\n", step.event(),
                        FormatDuration(std::chrono::microseconds(step.took_us())),
                        StatusLine(database_, step.state(), step.code())));
    }
    if (status.waiting_for() != waiting_) {
      waiting_ = status.waiting_for();
      if (!waiting_.empty()) context_.output().Note("waiting for " + waiting_);
    }
    if (status.progress().bytes_total() > 0 && !status.ready() && !status.ended()) {
      progress_.Update(status.progress());
    }
  }
  void Print(const std::string& text) {
    if (!context_.output().json()) context_.output().Text(text);
  }
  void Finish() { progress_.Finish(); }

 private:
  Context& context_;
  const std::string database_;
  ProgressView progress_;
  int shown_ = 0;
  std::string waiting_;
};

base::Status Betest(Context& context, const Arguments& arguments) {
  v1::BeginBackupRequest request;
  request.set_database(arguments.database);
  request.set_from(arguments.from);
  request.set_type(arguments.type);
  request.set_requester("betest");
  request.set_wait_ms(arguments.wait.value_or(kBackupWaitDefault) / std::chrono::milliseconds(1));
  if (arguments.limit) request.set_phase_limit_ms(*arguments.limit / std::chrono::milliseconds(1));
  for (const std::string& text : arguments.faults) {
    ASSIGN_OR_RETURN(*request.add_faults(), ParseFault(text));
  }
  Requester requester(context);
  ASSIGN_OR_RETURN(const v1::BackupSessionStatus begun, requester.Begin(request));
  BetestView view(context, arguments.database);
  view.Print(fmt::format("session {} of the copy of {} on {}\n", begun.session(),
                         arguments.database, begun.server()));
  const auto show = [&](const v1::BackupSessionStatus& status) { view.Show(status); };
  ASSIGN_OR_RETURN(v1::BackupSessionStatus status,
                   requester.Await([](const auto& s) { return s.ready() || s.ended(); }, show));
  if (!status.ended()) {
    RETURN_IF_ERROR(requester.End(true));
    ASSIGN_OR_RETURN(status, requester.Await([](const auto& s) { return s.ended(); }, show));
  }
  view.Finish();
  const v1::Writer& writer = status.writer();
  const bool failed = writer.last().has_failure();
  if (failed) view.Print(RenderFailure(writer.last().failure(), ""));
  if (!status.note().empty()) view.Print(Printable("note: " + status.note()) + "\n");
  Json document{{"session", status.session()},
                {"server", status.server()},
                {"position", status.at().seq()},
                {"writer", WriterJson(writer)},
                {"status", StatusLine(arguments.database, writer.state(), writer.last_error())}};
  context.output().Document(
      document, StatusLine(arguments.database, writer.state(), writer.last_error()) + "\n");
  if (!failed) return {};
  const std::string why = SplitHint(writer.last().failure().message()).sentence;
  return base::Unavailable(fmt::format(
      "the session failed in {}: {}\n'understudy writers {}' shows it until the next one "
      "has ended",
      writer.last().failure().phase(), why, arguments.database));
}

Runner DefineBetest(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  app.add_option("DB", arguments->database, "the database")->required()->check(DatabaseName());
  AddSources(app, arguments->from);
  app.add_option("--type", arguments->type, "full or copy")
      ->check(CLI::IsMember({"full", "copy"}))
      ->capture_default_str();
  app.add_option("--fail", arguments->faults,
                 "make an event fail: EVENT, EVENT=CODE (retryable, nonretryable, timeout, …), "
                 "EVENT=hang or EVENT=slow:5s; may be given again")
      ->type_name("FAULT");
  AddBackupWait(app, arguments->wait);
  AddDuration(app, "--limit", arguments->limit, "for each event, instead of the group's settings");
  return [arguments](Context& context) { return Betest(context, *arguments); };
}

// --- holds ---

base::Status Holds(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::HoldsRequest request;
  request.set_database(arguments.database);
  ASSIGN_OR_RETURN(const v1::HoldsResponse answer,
                   client->Holds(request, context.TimeoutOr(rpc::kCallTimeoutDefault)));
  context.output().FromMemory(answer.coordinator_silence_ms());
  Json rows = Json::array();
  for (const v1::HoldsResponse::Held& held : answer.holds()) {
    rows.push_back({{"server", held.server()},
                    {"hold", held.name()},
                    {"from", held.seq()},
                    {"to", held.last()},
                    {"reason", held.reason()}});
  }
  std::string text = RenderTable(
      rows,
      {{"server"}, {"hold"}, {"from", CellKind::kNumber}, {"to", CellKind::kNumber}, {"reason"}},
      context.output().style());
  Json document{{"database", arguments.database}};
  document["backup"] = answer.backup().empty() ? Json() : Json(answer.backup());
  document["waiting"] = Json::array();
  document["silent"] = Json::array();
  const std::string none = answer.coordinator_silence_ms() > 0
                               ? "running backups are not known without the coordinator\n"
                               : "no backup of it runs\n";
  text += answer.backup().empty() ? none : fmt::format("running: {}\n", Printable(answer.backup()));
  for (const std::string& waiting : answer.waiting()) {
    document["waiting"].push_back(waiting);
    text += fmt::format("waiting: {}\n", Printable(waiting));
  }
  for (const std::string& server : answer.silent()) {
    document["silent"].push_back(server);
    text += fmt::format("server {} does not answer; its holds are not known\n", Printable(server));
  }
  document["holds"] = std::move(rows);
  context.output().Document(document, text);
  return {};
}

Runner DefineHolds(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  app.add_option("DB", arguments->database, "the database")->required()->check(DatabaseName());
  return [arguments](Context& context) { return Holds(context, *arguments); };
}

}  // namespace

Group WriterCommands() {
  return {"",
          "",
          {{.name = "writers",
            .summary = "Show the backup writer of every copy, as vssadmin does, and why it failed",
            .example = "understudy writers mail",
            .define = DefineWriters},
           {.name = "betest",
            .summary = "Rehearse a backup session against a copy; any event can be made to fail",
            .example = "understudy betest mail --fail Freeze=timeout",
            .define = DefineBetest},
           {.name = "holds",
            .summary = "Show who keeps log of a database, and which backup's turn it is",
            .example = "understudy holds mail",
            .define = DefineHolds}}};
}

}  // namespace understudy::cli
