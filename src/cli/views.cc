// SPDX-License-Identifier: Apache-2.0
#include "cli/views.h"

#include <fmt/format.h>

#include "base/time.h"
#include "cli/human.h"
#include "cli/text_width.h"

namespace understudy::cli {
namespace {

Json CopyJson(const v1::CopyStatus& copy) {
  Json row;
  row["server"] = copy.server();
  row["path"] = copy.path();
  row["role"] = copy.role();
  row["state"] = copy.state();
  row["mode"] = TextOrNull(copy.mode());
  row["copy_queue"] = copy.copy_queue();
  row["replay_queue"] = copy.replay_queue();
  row["queues_known"] = copy.queues_known();
  row["copied"] = copy.copied().seq();
  row["durable"] = copy.durable().seq();
  row["replayed"] = copy.replayed().seq();
  row["last_commit"] = TimeJson(copy.last_commit_ms());
  // A database is never empty: 0 says that its server could not be asked.
  row["size"] = copy.database_bytes() == 0 ? Json(nullptr) : Json(copy.database_bytes());
  row["checksum"] = TextOrNull(copy.checksum());
  row["log_size"] = copy.log_bytes();
  row["log_first"] = copy.log_first_seq();
  Json holds = Json::array();
  for (const auto& hold : copy.holds()) {
    holds.push_back(Json{{"name", hold.name()}, {"reason", hold.reason()}, {"seq", hold.seq()}});
  }
  row["holds"] = std::move(holds);
  row["seed_done"] = copy.seed_bytes_done();
  row["seed_total"] = copy.seed_bytes_total();
  row["seed_waits"] = TextOrNull(copy.seed_waits());
  row["needs_resync"] = TextOrNull(copy.needs_resync());
  row["seed_source"] = TextOrNull(copy.seed_source());
  row["seeds_given"] = Json::array();
  for (const auto& seed : copy.seeds_given()) {
    row["seeds_given"].push_back(Json{{"server", seed.server()}, {"running", seed.running()}});
  }
  row["reseeding"] = copy.reseeding();
  row["suspend_reason"] = TextOrNull(copy.suspend_reason());
  const bool lags = copy.replay_lag_ms() > 0;
  row["replay_lag_ms"] = copy.replay_lag_ms();
  row["lag_actual_ms"] = lags ? Json(copy.lag_actual_ms()) : Json(nullptr);
  row["playing_down"] = TextOrNull(copy.playing_down());
  row["play_down_to"] = copy.playing_down().empty() ? Json(nullptr) : Json(copy.play_down_to());
  if (copy.error().empty()) {
    row["error"] = nullptr;
  } else {
    row["error"] = Json{{"code", copy.error_code()},
                        {"message", copy.error()},
                        {"time", TimeJson(copy.error_time_ms())}};
  }
  row["preference"] = copy.preference();
  row["activation_suspended"] = copy.activation_suspended();
  row["refused_terms"] = copy.refused_terms();
  row["scrub"] = ScrubJson(copy.scrub());
  row["answered"] = copy.answered();
  row["observed"] = TimeJson(copy.observed_ms());
  return row;
}

std::string LagRemark(const std::string& server, const Json& copy) {
  const auto length = [](const Json& ms) {
    return FormatDuration(std::chrono::milliseconds(ms.get<int64_t>()));
  };
  std::string text =
      fmt::format("  {}: lags by {} on purpose", server, length(copy["replay_lag_ms"]));
  if (!copy["lag_actual_ms"].is_null() && copy["lag_actual_ms"] != 0) {
    text += fmt::format("; the oldest of {} commits held back came {} ago",
                        FormatCount(copy["replay_queue"].get<uint64_t>()),
                        length(copy["lag_actual_ms"]));
  }
  text += "\n";
  if (copy["playing_down"].is_null()) return text;
  return text + fmt::format("  {}: log is replayed up to {} before its time, because {}\n", server,
                            FormatCount(copy["play_down_to"].get<uint64_t>()),
                            Printable(copy["playing_down"].get<std::string>()));
}

// What the table has no column for but a person must see.
std::string Remarks(const Json& copy) {
  const std::string server = Printable(copy["server"].get<std::string>());
  std::string text;
  if (!copy["answered"].get<bool>()) {
    text += copy["observed"].is_null()
                ? fmt::format("  {}: does not answer, and has told nothing yet\n", server)
                : fmt::format("  {}: does not answer; this is what it told at {}\n", server,
                              copy["observed"].get<std::string>());
  }
  const std::string state = copy["state"].get<std::string>();
  const bool resync = state.ends_with("Resynchronizing");
  if ((resync || state == "Seeding") && copy["seed_total"] != 0) {
    const auto done = copy["seed_done"].get<uint64_t>();
    const auto total = copy["seed_total"].get<uint64_t>();
    const std::string from = copy["seed_source"].is_null()
                                 ? ""
                                 : ", from " + Printable(copy["seed_source"].get<std::string>());
    text += fmt::format("  {}: {} {} of {} ({}%){}\n", server, resync ? "resynchronised" : "seeded",
                        FormatBytes(done), FormatBytes(total),
                        done >= total ? 100 : done * 100 / total, from);
  }
  if (copy["replay_lag_ms"] != 0 && copy["role"] == "passive") {
    text += LagRemark(server, copy);
  }
  if (copy["activation_suspended"].get<bool>()) {
    text += fmt::format("  {}: never mounted without a person (activation copy … --automatic on)\n",
                        server);
  }
  if (const auto refused = copy["refused_terms"].get<uint64_t>(); refused > 0) {
    text += fmt::format("  {}: {} messages of a lower term were refused\n", server,
                        FormatCount(refused));
  }
  if (!copy["seed_waits"].is_null()) {
    text += fmt::format("  {}: waits to be {}: {}\n", server, resync ? "resynchronised" : "seeded",
                        Printable(copy["seed_waits"].get<std::string>()));
  }
  if (!copy["needs_resync"].is_null()) {
    text +=
        fmt::format("  {}: needs a resync by pages, which begins by itself when it is back: {}\n",
                    server, Printable(copy["needs_resync"].get<std::string>()));
  }
  if (!copy["suspend_reason"].is_null()) {
    text += fmt::format("  {}: suspended: {}\n", server,
                        Printable(copy["suspend_reason"].get<std::string>()));
  }
  const Json& scrub = copy["scrub"];
  for (const Json& finding : scrub["findings"]) {
    text += fmt::format("  {}: {} is damaged, {}: {}\n", server,
                        Printable(finding["what"].get<std::string>()),
                        finding["state"] == "failed" ? "not repaired" : "to be repaired",
                        finding["why"].is_null() ? std::string("it was found just now")
                                                 : Printable(finding["why"].get<std::string>()));
  }
  if (!copy["error"].is_null()) {
    const Json& error = copy["error"];
    std::string message = error["message"].get<std::string>();
    message = Printable(message.substr(0, message.find('\n')));
    text += fmt::format("  {}: {}{}\n", server, message,
                        error["time"].is_null()
                            ? std::string()
                            : fmt::format(" (at {})", error["time"].get<std::string>()));
  }
  return text;
}

std::string Holds(const Json& copy) {
  const std::string server = Printable(copy["server"].get<std::string>());
  std::string text;
  for (const Json& hold : copy["holds"]) {
    text += fmt::format("  {}: log is kept from {} on by {}: {}\n", server,
                        FormatCount(hold["seq"].get<uint64_t>()),
                        Printable(hold["name"].get<std::string>()),
                        Printable(hold["reason"].get<std::string>()));
  }
  return text;
}

}  // namespace

Json TimeJson(int64_t unix_ms) {
  return unix_ms == 0 ? Json(nullptr) : Json(base::ToRfc3339(base::WallTime{unix_ms}));
}

Json ScrubJson(const v1::ScrubStatus& scrub) {
  const auto counts = [](const v1::ScrubCounts& from) {
    return Json{{"pages", from.pages()},       {"generations", from.generations()},
                {"read", from.bytes()},        {"found", from.found()},
                {"repaired", from.repaired()}, {"not_repaired", from.failed()}};
  };
  Json row;
  row["off"] = scrub.off();
  row["rate"] = scrub.rate();
  row["every_ms"] = scrub.every_ms();
  row["pass"] = nullptr;
  if (scrub.running()) {
    row["pass"] = counts(scrub.counts());
    row["pass"]["started"] = TimeJson(scrub.started_ms());
    row["pass"]["total"] = scrub.bytes_total();
  }
  row["last"] = nullptr;
  if (scrub.last_finished_ms() != 0) {
    row["last"] = counts(scrub.last());
    row["last"]["started"] = TimeJson(scrub.last_started_ms());
    row["last"]["finished"] = TimeJson(scrub.last_finished_ms());
  }
  row["stopped"] = TextOrNull(scrub.stopped());
  row["repaired_total"] = scrub.repaired_total();
  row["waiting"] = scrub.waiting();
  row["failed"] = scrub.failed();
  row["findings"] = Json::array();
  for (const v1::ScrubFinding& finding : scrub.findings()) {
    row["findings"].push_back(Json{{"what", finding.what()},
                                   {"expected", TextOrNull(finding.expected())},
                                   {"found", TextOrNull(finding.found())},
                                   {"damage", TextOrNull(finding.damage())},
                                   {"since", TimeJson(finding.since_ms())},
                                   {"state", finding.state()},
                                   {"why", TextOrNull(finding.why())}});
  }
  return row;
}

Json ServerJson(const v1::Server& server) {
  Json row;
  row["name"] = server.name();
  row["address"] = server.address();
  row["web"] = server.web().empty() ? Json(nullptr) : Json(server.web());
  row["state"] = server.state();
  row["active_copies"] = server.active_copies();
  row["passive_copies"] = server.passive_copies();
  row["version"] = server.version();
  row["started"] = TimeJson(server.started_ms());
  row["last_seen"] = TimeJson(server.last_seen_ms());
  return row;
}

const std::vector<Column>& ServerColumns() {
  static const std::vector<Column> kColumns = {{"name"},
                                               {"address"},
                                               {"web"},
                                               {"state", CellKind::kState},
                                               {"active_copies", CellKind::kNumber},
                                               {"passive_copies", CellKind::kNumber},
                                               {"version"},
                                               {"started"},
                                               {"last_seen"}};
  return kColumns;
}

Json DatabaseJson(const v1::Database& database) {
  Json row;
  row["name"] = database.name();
  row["id"] = database.id();
  row["active"] = database.active();
  row["term"] = database.term();
  row["created"] = TimeJson(database.created_ms());
  Json servers = Json::array();
  Json copies = Json::array();
  for (const auto& copy : database.copies()) {
    if (copy.server() != database.active()) servers.push_back(copy.server());
    copies.push_back(Json{{"server", copy.server()},
                          {"path", copy.path()},
                          {"suspended", copy.suspended()},
                          {"suspend_reason", TextOrNull(copy.suspend_reason())}});
    if (copy.server() == database.active()) row["path"] = copy.path();
  }
  row["passive"] = std::move(servers);
  row["copies"] = std::move(copies);
  return row;
}

const std::vector<Column>& DatabaseColumns() {
  static const std::vector<Column> kColumns = {
      {"name"}, {"active"}, {"passive", CellKind::kList}, {"term", CellKind::kNumber},
      {"path"}, {"created"}};
  return kColumns;
}

Json StatusJson(const v1::DatabaseStatus& status) {
  Json row;
  row["name"] = status.name();
  row["id"] = status.id();
  row["term"] = status.term();
  row["position"] = status.position().seq();
  row["active"] = status.active();
  row["dial"] = status.dial();
  row["dismounted"] = status.dismounted();
  row["circular_logging"] = status.circular_logging();
  row["archive_interval_s"] = status.archive_interval_s();
  row["backed_up"] = TextOrNull(status.backed_up());
  row["copies"] = Json::array();
  for (const auto& copy : status.copies()) row["copies"].push_back(CopyJson(copy));
  return row;
}

const std::vector<Column>& CopyColumns() {
  static const std::vector<Column> kColumns = {{"server"},
                                               {"role"},
                                               {"state", CellKind::kState},
                                               {"copy_queue", CellKind::kNumber},
                                               {"replay_queue", CellKind::kNumber},
                                               {"copied", CellKind::kNumber},
                                               {"replayed", CellKind::kNumber},
                                               {"size", CellKind::kBytes},
                                               {"log_size", CellKind::kBytes},
                                               {"preference", CellKind::kNumber},
                                               {"path"}};
  return kColumns;
}

// What of its log is kept elsewhere.
std::string Backups(const Json& database) {
  const Json& backed_up = database["backed_up"];
  const auto every = database["archive_interval_s"].get<uint64_t>();
  return fmt::format(
      "  {}; {}\n",
      backed_up.is_null() ? "no backup that lets log go"
                          : fmt::format("last {}", Printable(backed_up.get<std::string>())),
      every == 0 ? std::string("not archived") : fmt::format("archived every {} s", every));
}

std::string RenderStatus(const Json& database, const StatusStyle& style) {
  std::string text =
      fmt::format("{}  term {}  position {}  active {}  dial {}{}  id {}\n",
                  Printable(database["name"].get<std::string>()), database["term"].get<uint64_t>(),
                  FormatCount(database["position"].get<uint64_t>()),
                  Printable(database["active"].get<std::string>()),
                  Printable(database["dial"].get<std::string>()),
                  database["dismounted"].get<bool>() ? "  to stay dismounted" : "",
                  Printable(database["id"].get<std::string>()));
  text += RenderTable(database["copies"], CopyColumns(), style.table);
  if (style.holds) text += Backups(database);
  for (const Json& copy : database["copies"]) {
    text += Remarks(copy);
    if (style.holds) text += Holds(copy);
  }
  return text;
}

Json BackupJson(const v1::Backup& backup) {
  Json row;
  row["id"] = backup.id();
  row["database"] = backup.database();
  row["database_id"] = backup.database_id();
  row["type"] = backup.type();
  row["base"] = TextOrNull(backup.base());
  row["server"] = backup.server();
  row["role"] = backup.role();
  row["provider"] = TextOrNull(backup.provider());
  row["state"] = backup.state();
  row["term"] = backup.position().term();
  row["position"] = backup.position().seq();
  row["started"] = TimeJson(backup.started_ms());
  row["finished"] = TimeJson(backup.finished_ms());
  row["duration_ms"] =
      backup.finished_ms() > backup.started_ms() ? backup.finished_ms() - backup.started_ms() : 0;
  row["page_size"] = backup.page_size();
  row["pages"] = backup.pages();
  row["size"] = backup.database_bytes();
  row["stored"] = backup.stored_bytes();
  row["checksum"] = TextOrNull(backup.checksum());
  row["repository"] = TextOrNull(backup.repository());
  row["verification"] = TextOrNull(backup.verification());
  row["verified"] = TimeJson(backup.verified_ms());
  row["kept"] = backup.kept();
  return row;
}

Json DrillJson(const v1::Drill& drill) {
  Json row;
  row["database"] = drill.database();
  row["backup"] = drill.backup();
  row["at"] = TimeJson(drill.at_ms());
  row["server"] = drill.server();
  row["drill"] = drill.good() ? "Good" : "Failed";
  row["duration_ms"] = drill.duration_ms();
  row["size"] = drill.bytes();
  row["message"] = TextOrNull(drill.message());
  return row;
}

const std::vector<Column>& DrillColumns() {
  static const std::vector<Column> kColumns = {{"drill", CellKind::kState},
                                               {"database"},
                                               {"backup"},
                                               {"at"},
                                               {"server"},
                                               {"duration_ms", CellKind::kDuration},
                                               {"size", CellKind::kBytes}};
  return kColumns;
}

const std::vector<Column>& BackupColumns() {
  static const std::vector<Column> kColumns = {{"id"},
                                               {"database"},
                                               {"type"},
                                               {"base"},
                                               {"state", CellKind::kState},
                                               {"server"},
                                               {"role"},
                                               {"position", CellKind::kNumber},
                                               {"started"},
                                               {"duration_ms", CellKind::kDuration},
                                               {"size", CellKind::kBytes},
                                               {"stored", CellKind::kBytes}};
  return kColumns;
}

Json EventJson(const v1::Event& event) {
  Json row;
  row["id"] = event.local() ? Json() : Json(event.id());
  row["time"] = TimeJson(event.time_ms());
  row["number"] = event.number();
  row["severity"] = event.severity();
  row["server"] = event.server();
  row["database"] = TextOrNull(event.database());
  row["message"] = event.message();
  return row;
}

Json EventJson(const cluster::Event& event) {
  Json row;
  row["id"] = event.id == 0 ? Json() : Json(event.id);
  row["time"] = TimeJson(event.time.unix_ms);
  row["number"] = static_cast<uint32_t>(event.number);
  row["severity"] = SeverityName(event.severity);
  row["server"] = event.server;
  row["database"] = TextOrNull(event.database);
  row["message"] = event.message;
  return row;
}

const std::vector<Column>& EventColumns() {
  static const std::vector<Column> kColumns = {{"time"},   {"number"},   {"severity"},
                                               {"server"}, {"database"}, {"message"}};
  return kColumns;
}

}  // namespace understudy::cli
