// SPDX-License-Identifier: Apache-2.0
#include "cluster/records.h"

#include <fmt/format.h>

#include <algorithm>

#include "cluster/record_fields.h"

namespace understudy::cluster {
const CopyRecord* DatabaseRecord::FindCopy(std::string_view server) const {
  const auto found = std::find_if(copies.begin(), copies.end(),
                                  [&](const CopyRecord& copy) { return copy.server == server; });
  return found == copies.end() ? nullptr : &*found;
}
base::Seq DatabaseRecord::BackedUpTo() const {
  base::Seq to = backed_up.at.seq;
  for (const TermStart& start : history) {
    if (start.term > backed_up.at.term) to = std::min(to, start.after.seq);
  }
  return to;
}

CopyRecord* DatabaseRecord::FindCopy(std::string_view server) {
  return const_cast<CopyRecord*>(std::as_const(*this).FindCopy(server));
}

std::string_view SeverityName(Severity severity) {
  switch (severity) {
    case Severity::kInfo: return "info";
    case Severity::kWarning: return "warning";
    case Severity::kError: return "error";
  }
  return "error";
}

std::string_view MountDialName(MountDial dial) {
  switch (dial) {
    case MountDial::kLossless: return "lossless";
    case MountDial::kGood: return "good";
    case MountDial::kBest: return "best";
  }
  return "lossless";
}

std::optional<MountDial> MountDialFromName(std::string_view name) {
  for (const MountDial dial : {MountDial::kLossless, MountDial::kGood, MountDial::kBest}) {
    if (name == MountDialName(dial)) return dial;
  }
  return std::nullopt;
}

DialBounds BoundsOf(MountDial dial) {
  using std::chrono::seconds;
  switch (dial) {
    case MountDial::kLossless: return {};
    case MountDial::kGood: return {1'000, seconds(15)};
    case MountDial::kBest: return {100'000, seconds(600)};
  }
  return {};
}

std::string ToJson(const ServerRecord& record) {
  return DumpRecord({{"name", record.name},
                     {"address", record.address},
                     {"web", record.web},
                     {"version", record.version},
                     {"identity", record.identity},
                     {"authority", record.authority},
                     {"started", base::ToRfc3339(record.started)}});
}

std::string ToJson(const DatabaseRecord& record) {
  Json copies = Json::array();
  for (const CopyRecord& copy : record.copies) {
    copies.push_back({{"server", copy.server},
                      {"path", copy.path},
                      {"suspended", copy.suspended},
                      {"suspend_reason", copy.suspend_reason},
                      {"incarnation", copy.incarnation},
                      {"preference", copy.preference},
                      {"activation_suspended", copy.activation_suspended},
                      {"replay_lag_ms", copy.replay_lag / std::chrono::milliseconds(1)},
                      {"seed_bandwidth", copy.seed_bandwidth},
                      {"seed_from", copy.seed_from}});
  }
  Json history = Json::array();
  for (const TermStart& start : record.history) {
    history.push_back({{"term", start.term.value},
                       {"after", ToObject(start.after)},
                       {"server", start.server},
                       {"time", base::ToRfc3339(start.time)},
                       {"reason", start.reason}});
  }
  return DumpRecord({{"name", record.name},
                     {"id", record.id.ToHex()},
                     {"file", record.file},
                     {"active", record.active},
                     {"term", record.term.value},
                     {"created", base::ToRfc3339(record.created)},
                     {"copies", std::move(copies)},
                     {"dial", MountDialName(record.dial)},
                     {"dismounted", record.dismounted},
                     {"move_reason", record.move_reason},
                     {"history", std::move(history)},
                     {"circular_logging", record.circular_logging},
                     {"archive_interval_s",
                      static_cast<uint64_t>(record.archive_interval / std::chrono::seconds(1))},
                     {"backed_up",
                      {{"id", record.backed_up.id},
                       {"type", record.backed_up.type},
                       {"at", ToObject(record.backed_up.at)},
                       {"time", base::ToRfc3339(record.backed_up.time)}}}});
}

std::string ToJson(const GroupRecord& record) {
  return DumpRecord({{"paused", record.paused},
                     {"failsafe", record.failsafe},
                     {"rebalance_every_s",
                      static_cast<uint64_t>(record.rebalance_every / std::chrono::seconds(1))}});
}

std::string ToJson(const CopyStatusRecord& record) {
  return DumpRecord({{"database", record.database},
                     {"server", record.server},
                     {"incarnation", record.incarnation},
                     {"path", record.path},
                     {"state", record.state},
                     {"error", record.error},
                     {"copied", ToObject(record.copied)},
                     {"durable", ToObject(record.durable)},
                     {"replayed", ToObject(record.replayed)},
                     {"copy_queue", record.copy_queue},
                     {"observed", base::ToRfc3339(record.observed)}});
}

std::string ToJson(const Event& event) {
  return DumpRecord({{"id", event.id},
                     {"time", base::ToRfc3339(event.time)},
                     {"number", static_cast<uint64_t>(event.number)},
                     {"severity", SeverityName(event.severity)},
                     {"server", event.server},
                     {"database", event.database},
                     {"message", event.message}});
}

base::Result<ServerRecord> ServerFromJson(std::string_view key, const std::string& text) {
  ASSIGN_OR_RETURN(const Json json, ParseRecord(key, text));
  RecordFields fields(key, json);
  ServerRecord record;
  fields.Get("name", record.name);
  fields.Get("address", record.address);
  fields.Get("web", record.web);
  fields.Get("version", record.version);
  fields.Get("identity", record.identity);
  fields.Get("authority", record.authority);
  fields.Get("started", record.started);
  RETURN_IF_ERROR(fields.status());
  return record;
}

static base::Result<TermStart> TermStartFromJson(std::string_view key, const Json& json) {
  RecordFields fields(key, json);
  TermStart start;
  fields.Get("term", start.term.value);
  fields.Get("after", start.after);
  fields.Get("server", start.server);
  fields.Get("time", start.time);
  fields.Get("reason", start.reason);
  RETURN_IF_ERROR(fields.status());
  return start;
}

base::Result<DatabaseRecord> DatabaseFromJson(std::string_view key, const std::string& text) {
  ASSIGN_OR_RETURN(const Json json, ParseRecord(key, text));
  RecordFields fields(key, json);
  DatabaseRecord record;
  fields.Get("name", record.name);
  fields.Get("id", record.id);
  fields.Get("file", record.file);
  fields.Get("active", record.active);
  fields.Get("term", record.term.value);
  fields.Get("created", record.created);
  if (const Json* copies = fields.Array("copies"); copies != nullptr) {
    fields.Require(copies->size() <= kCopiesMax, "has too many copies");
    for (const Json& item : *copies) {
      RecordFields copy_fields(key, item);
      CopyRecord copy;
      copy_fields.Get("server", copy.server);
      copy_fields.Get("path", copy.path);
      copy_fields.Get("suspended", copy.suspended);
      copy_fields.Get("suspend_reason", copy.suspend_reason);
      copy_fields.Get("incarnation", copy.incarnation);
      copy_fields.Get("preference", copy.preference);
      copy_fields.Get("activation_suspended", copy.activation_suspended);
      uint64_t replay_lag_ms = 0;
      copy_fields.Get("replay_lag_ms", replay_lag_ms);
      constexpr uint64_t kLagMsMax = kReplayLagMax / std::chrono::milliseconds(1);
      copy.replay_lag = std::chrono::milliseconds(std::min(replay_lag_ms, kLagMsMax));
      copy_fields.Get("seed_bandwidth", copy.seed_bandwidth);
      copy_fields.Get("seed_from", copy.seed_from);
      RETURN_IF_ERROR(copy_fields.status());
      record.copies.push_back(std::move(copy));
    }
  }
  std::string dial(MountDialName(record.dial));
  fields.Get("dial", dial);
  const std::optional<MountDial> known_dial = MountDialFromName(dial);
  fields.Require(known_dial.has_value(), "dial is not one of lossless, good, best");
  record.dial = known_dial.value_or(MountDial::kLossless);
  fields.Get("dismounted", record.dismounted);
  fields.Get("move_reason", record.move_reason);
  if (const Json* history = fields.Array("history"); history != nullptr) {
    fields.Require(history->size() <= kHistoryMax, "has too long a history");
    for (const Json& item : *history) {
      ASSIGN_OR_RETURN(record.history.emplace_back(), TermStartFromJson(key, item));
    }
  }
  fields.Get("circular_logging", record.circular_logging);
  uint64_t archive_interval_s = 0;
  fields.Get("archive_interval_s", archive_interval_s);
  constexpr uint64_t kArchiveMax = kArchiveIntervalMax / std::chrono::seconds(1);
  record.archive_interval = std::chrono::seconds(std::min(archive_interval_s, kArchiveMax));
  if (const Json* backed_up = fields.Object("backed_up"); backed_up != nullptr) {
    RecordFields inner(key, *backed_up);
    inner.Get("id", record.backed_up.id);
    inner.Get("type", record.backed_up.type);
    inner.Get("at", record.backed_up.at);
    inner.Get("time", record.backed_up.time);
    RETURN_IF_ERROR(inner.status());
  }
  fields.Require(!record.name.empty() && !record.active.empty(), "lacks a name or active server");
  RETURN_IF_ERROR(fields.status());
  return record;
}

base::Result<GroupRecord> GroupFromJson(std::string_view key, const std::string& text) {
  ASSIGN_OR_RETURN(const Json json, ParseRecord(key, text));
  RecordFields fields(key, json);
  GroupRecord record;
  uint64_t rebalance_every_s = 0;
  fields.Get("paused", record.paused);
  fields.Get("failsafe", record.failsafe);
  fields.Get("rebalance_every_s", rebalance_every_s);
  record.rebalance_every =
      std::chrono::seconds(std::min<uint64_t>(rebalance_every_s, kRebalanceEveryMax.count()));
  RETURN_IF_ERROR(fields.status());
  return record;
}

base::Result<CopyStatusRecord> CopyStatusFromJson(std::string_view key, const std::string& text) {
  ASSIGN_OR_RETURN(const Json json, ParseRecord(key, text));
  RecordFields fields(key, json);
  CopyStatusRecord record;
  fields.Get("database", record.database);
  fields.Get("server", record.server);
  fields.Get("incarnation", record.incarnation);
  fields.Get("path", record.path);
  fields.Get("state", record.state);
  fields.Get("error", record.error);
  fields.Get("copied", record.copied);
  fields.Get("durable", record.durable);
  fields.Get("replayed", record.replayed);
  fields.Get("copy_queue", record.copy_queue);
  fields.Get("observed", record.observed);
  RETURN_IF_ERROR(fields.status());
  return record;
}

base::Result<Event> EventFromJson(std::string_view key, const std::string& text) {
  ASSIGN_OR_RETURN(const Json json, ParseRecord(key, text));
  RecordFields fields(key, json);
  Event event;
  uint64_t number = 0;
  std::string severity;
  fields.Get("id", event.id);
  fields.Get("time", event.time);
  fields.Get("number", number);
  fields.Get("severity", severity);
  fields.Get("server", event.server);
  fields.Get("database", event.database);
  fields.Get("message", event.message);
  RETURN_IF_ERROR(fields.status());
  event.number = static_cast<EventNumber>(number);
  event.severity = severity == "info"      ? Severity::kInfo
                   : severity == "warning" ? Severity::kWarning
                                           : Severity::kError;
  return event;
}

// Not within a character of UTF-8.
void Shorten(Event& event) {
  std::string& message = event.message;
  if (message.size() <= kEventMessageBytesMax) return;
  size_t end = kEventMessageBytesMax;
  while (end > 0 && (static_cast<uint8_t>(message[end]) & 0xc0) == 0x80) --end;
  message.resize(end);
  message += " …";
}

}  // namespace understudy::cluster
