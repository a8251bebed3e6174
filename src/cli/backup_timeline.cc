// SPDX-License-Identifier: Apache-2.0
#include "cli/backup_timeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "cli/human.h"
#include "cli/text_width.h"
#include "cli/views.h"
#include "cli/writer_views.h"
#include "cluster/event_catalogue.h"

namespace understudy::cli {
namespace {

using Entry = BackupTimeline::Entry;

// The result of a backup is told a moment after its session has ended.
constexpr int64_t kAfterMs = 2000;

bool Names(const v1::Event& event, const std::string& id) {
  return event.message().find(id) != std::string::npos;
}

// Events of no database that a backup can feel.
bool IsOfTheWay(uint32_t number) {
  using N = cluster::EventNumber;
  for (const N of : {N::kConnectionLost, N::kConnectionRestored, N::kServerStarted,
                     N::kServerStopped, N::kServerLost}) {
    if (number == static_cast<uint32_t>(of)) return true;
  }
  return false;
}

void FindSession(const std::string& id, const v1::WritersResponse& writers, BackupTimeline& found) {
  const auto consider = [&](const v1::Writer& writer, const v1::WriterSession& session) {
    if (id.empty() ? session.began_ms() < found.began_ms : session.id() != id) return;
    found.session_known = true;
    found.id = session.id();
    found.server = writer.server();
    found.session = session;
    found.began_ms = session.began_ms();
    found.ended_ms = session.ended_ms();
  };
  for (const v1::Writer& writer : writers.writers()) {
    if (writer.has_last()) consider(writer, writer.last());
    if (writer.has_session()) consider(writer, writer.session());
  }
}

// By what the group's events say of it; its end is the last time that it is named.
void FindInEvents(const std::string& id, const std::vector<v1::Event>& events,
                  BackupTimeline& found) {
  for (const v1::Event& event : events) {
    if (!Names(event, id)) continue;
    if (found.id.empty()) {
      found.began_ms = event.time_ms();
      found.server = event.server();
    }
    found.id = id;
    found.ended_ms = event.time_ms();
  }
}

void AddSteps(BackupTimeline& timeline) {
  for (const v1::WriterStep& step : timeline.session.steps()) {
    std::string text =
        fmt::format("{}, {:.1f} ms", step.event(), static_cast<double>(step.took_us()) / 1000);
    if (step.code() != 0) text += ": failed";
    timeline.entries.push_back({step.began_ms(), "session", timeline.server, 0,
                                step.code() != 0 ? "error" : "info", std::move(text)});
  }
}

void AddEvents(const std::string& database, const std::vector<v1::Event>& events,
               BackupTimeline& timeline) {
  for (const v1::Event& event : events) {
    const bool in_time =
        event.time_ms() >= timeline.began_ms &&
        (timeline.ended_ms == 0 || event.time_ms() <= timeline.ended_ms + kAfterMs);
    const bool ours = event.database() == database || IsOfTheWay(event.number());
    if (!Names(event, timeline.id) && !(in_time && ours)) continue;
    timeline.entries.push_back({event.time_ms(), "event", event.server(), event.number(),
                                event.severity(), Printable(event.message())});
  }
}

void AddAdvice(BackupTimeline& timeline) {
  if (timeline.session_known && timeline.session.has_failure() &&
      !timeline.session.failure().setting().empty()) {
    const std::string& setting = timeline.session.failure().setting();
    timeline.advice.push_back(setting.starts_with("--")
                                  ? fmt::format("{} changes the limit that was reached", setting)
                                  : fmt::format("`understudy config set {} MILLISECONDS` changes "
                                                "the limit that was reached",
                                                setting));
  }
  std::set<uint32_t> told;
  for (const Entry& entry : timeline.entries) {
    if (entry.number == 0 || entry.severity == "info" || !told.insert(entry.number).second)
      continue;
    const cluster::EventEntry* const known = cluster::FindEvent(entry.number);
    if (known == nullptr || known->remedy.empty()) continue;
    timeline.advice.push_back(fmt::format("{} {}: {}", entry.number, known->name, known->remedy));
  }
}

}  // namespace

base::Result<BackupTimeline> MakeBackupTimeline(const std::string& database, const std::string& id,
                                                const v1::WritersResponse& writers,
                                                const std::vector<v1::Event>& events) {
  BackupTimeline timeline;
  FindSession(id, writers, timeline);
  if (!timeline.session_known && !id.empty()) FindInEvents(id, events, timeline);
  if (timeline.id.empty()) {
    return base::NotFound(
        id.empty()
            ? fmt::format("no server remembers a backup of {}\nservers remember the last one since "
                          "they started; 'understudy backup list {}' shows what is stored",
                          database, database)
            : fmt::format("neither a server nor an event that is still kept knows backup {} of "
                          "{}\n'understudy backup list {}' shows what is stored",
                          id, database, database));
  }
  AddSteps(timeline);
  AddEvents(database, events, timeline);
  std::stable_sort(timeline.entries.begin(), timeline.entries.end(),
                   [](const Entry& a, const Entry& b) { return a.time_ms < b.time_ms; });
  AddAdvice(timeline);
  return timeline;
}

Json TimelineJson(const BackupTimeline& timeline) {
  Json json{{"id", timeline.id},
            {"server", timeline.server},
            {"began", TimeJson(timeline.began_ms)},
            {"ended", TimeJson(timeline.ended_ms)}};
  json["session"] = timeline.session_known ? SessionJson(timeline.session) : Json();
  json["timeline"] = Json::array();
  for (const Entry& entry : timeline.entries) {
    json["timeline"].push_back({{"time", TimeJson(entry.time_ms)},
                                {"source", entry.source},
                                {"server", entry.server},
                                {"number", entry.number == 0 ? Json() : Json(entry.number)},
                                {"severity", entry.severity},
                                {"text", entry.text}});
  }
  json["advice"] = timeline.advice;
  return json;
}

std::string RenderTimeline(const BackupTimeline& timeline) {
  std::string text = fmt::format("backup {} on {}\n", timeline.id, Printable(timeline.server));
  for (const Entry& entry : timeline.entries) {
    text +=
        fmt::format("{}  {}  {}  {}  {}\n", TimeJson(entry.time_ms).get<std::string>(),
                    Pad(entry.number == 0 ? "" : std::to_string(entry.number), 5, Align::kRight),
                    Pad(entry.severity, 8, Align::kLeft),
                    Pad(Printable(entry.server), 6, Align::kLeft), entry.text);
  }
  if (!timeline.session_known) {
    text +=
        "its phases are not known any more: its server has started again, or has run another "
        "backup since\n";
  } else if (timeline.session.has_failure()) {
    text += RenderFailure(timeline.session.failure(), "");
  } else {
    text += timeline.ended_ms == 0 ? "it runs\n" : "it succeeded\n";
  }
  if (!timeline.advice.empty()) text += "what to do:\n";
  for (const std::string& advice : timeline.advice) text += "  " + advice + "\n";
  return text;
}

}  // namespace understudy::cli
