// SPDX-License-Identifier: Apache-2.0
#include "web/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <vector>

#include "base/check.h"

namespace understudy::web {
namespace {

constexpr MetricEntry kCatalogue[] = {
    {"understudy_build_info", "gauge", "version", "1, with the version of the daemon."},
    {"understudy_start_time_seconds", "gauge", "", "When the daemon was started, since 1970."},
    {"understudy_lease_seconds", "gauge", "", "How long a lease lasts (coordinator.lease)."},
    {"understudy_lease_remaining_seconds", "gauge", "",
     "How long this server may have copies mounted without hearing of the coordinator again."},
    {"understudy_coordinator_silence_seconds", "gauge", "",
     "Since the coordinator answered this server last."},
    {"understudy_round_age_seconds", "gauge", "",
     "Since the daemon's cluster thread last went round; large when it is stuck."},
    {"understudy_group_paused", "gauge", "", "1 while automatic failovers are paused."},
    {"understudy_group_failsafe", "gauge", "", "1 while failsafe mode is switched on."},
    {"understudy_server_up", "gauge", "server",
     "1 if that server of the group has a lease, as this one has read it last."},
    {"understudy_events_total", "counter", "number,severity",
     "Events of this daemon since it was started, by the numbers of docs/events.md."},
    {"understudy_database_active", "gauge", "database,server",
     "1 for the server whose copy is, or is to be, the active one."},
    {"understudy_database_term", "gauge", "database", "Term of the last mount."},
    {"understudy_database_copies", "gauge", "database", "Copies that the database is to have."},
    {"understudy_backup_last_success_timestamp_seconds", "gauge", "database,type",
     "When the newest full or incremental backup was complete and verified, since 1970."},
    {"understudy_backup_last_position_commits", "gauge", "database", "Its position."},
    {"understudy_copy_state", "gauge", "database,state", "1 for the state of the copy here."},
    {"understudy_copy_active", "gauge", "database", "1 if the copy here is the active one."},
    {"understudy_copy_writable", "gauge", "database", "1 if applications can write it here now."},
    {"understudy_copy_readable", "gauge", "database", "1 if a passive copy here can be read."},
    {"understudy_copy_suspended", "gauge", "database", "1 if the copy here is suspended."},
    {"understudy_copy_failed", "gauge", "database", "1 if the copy here cannot go on as it is."},
    {"understudy_copy_queue_commits", "gauge", "database",
     "Commits of the active copy that are not durable in this copy's log."},
    {"understudy_replay_queue_commits", "gauge", "database",
     "Commits in this copy's log that are not replayed."},
    {"understudy_copied_age_seconds", "gauge", "database",
     "This passive copy's log has at least what the active copy had so long ago."},
    {"understudy_replayed_age_seconds", "gauge", "database",
     "Readers of this passive copy see at least what the active copy had so long ago."},
    {"understudy_durable_commits_total", "counter", "database",
     "Commits that are durable in the log here: the position."},
    {"understudy_replayed_commits_total", "counter", "database",
     "Commits that readers see here; of an active copy those captured."},
    {"understudy_last_commit_timestamp_seconds", "gauge", "database",
     "When the last of them was made, since 1970."},
    {"understudy_replay_lag_seconds", "gauge", "database",
     "For how long the copy holds log back on purpose."},
    {"understudy_database_bytes", "gauge", "database", "Size of the database here."},
    {"understudy_log_bytes", "gauge", "database", "Size of the log here."},
    {"understudy_log_holds", "gauge", "database", "Who keeps log here: how many holds."},
    {"understudy_metrics_left_out_databases", "gauge", "",
     "Databases of the group that are not told of here, because there are too many."},
};

double Seconds(base::Duration time) { return std::chrono::duration<double>(time).count(); }
double Seconds(base::WallTime time) { return static_cast<double>(time.unix_ms) / 1000; }

// A label's value, or a part of it that a name cannot break out of.
std::string Escaped(std::string_view text) {
  std::string out;
  for (const char letter : text) {
    if (letter == '\\' || letter == '"') out += '\\';
    out += letter == '\n' ? std::string("\\n") : std::string(1, letter);
  }
  return out;
}

// Samples by metric, told in the catalogue's order.
class Samples {
 public:
  using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

  void Add(std::string_view name, Labels labels, double value) {
    std::string text;
    for (const auto& [key, content] : labels) {
      text += fmt::format("{}{}=\"{}\"", text.empty() ? "" : ",", key, Escaped(content));
    }
    lines_[name].push_back(text.empty() ? fmt::format("{} {}\n", name, value)
                                        : fmt::format("{}{{{}}} {}\n", name, text, value));
  }

  std::string Text() const {
    std::string text;
    size_t told = 0;
    for (const MetricEntry& entry : kCatalogue) {
      const auto found = lines_.find(entry.name);
      if (found == lines_.end()) continue;
      ++told;
      text += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", entry.name, entry.help, entry.type);
      for (const std::string& line : found->second) text += line;
    }
    CHECK(told == lines_.size());  // every metric is in the catalogue
    return text;
  }

 private:
  std::map<std::string_view, std::vector<std::string>> lines_;
};

void AddServer(const Snapshot& snapshot, Samples& samples) {
  samples.Add("understudy_build_info", {{"version", snapshot.version}}, 1);
  samples.Add("understudy_start_time_seconds", {}, Seconds(snapshot.started));
  samples.Add("understudy_lease_seconds", {}, Seconds(snapshot.lease));
  samples.Add("understudy_lease_remaining_seconds", {}, Seconds(snapshot.lease_remaining));
  if (snapshot.coordinator_silence) {
    samples.Add("understudy_coordinator_silence_seconds", {},
                Seconds(*snapshot.coordinator_silence));
  }
  samples.Add("understudy_round_age_seconds", {}, Seconds(snapshot.round_age));
  for (const EventCount& event : snapshot.events) {
    samples.Add("understudy_events_total",
                {{"number", std::to_string(event.number)}, {"severity", event.severity}},
                static_cast<double>(event.count));
  }
}

void AddDatabase(const cluster::DatabaseRecord& database, Samples& samples) {
  const std::string& name = database.name;
  samples.Add("understudy_database_active", {{"database", name}, {"server", database.active}}, 1);
  samples.Add("understudy_database_term", {{"database", name}},
              static_cast<double>(database.term.value));
  samples.Add("understudy_database_copies", {{"database", name}},
              static_cast<double>(database.copies.size()));
  if (database.backed_up.id.empty()) return;
  samples.Add("understudy_backup_last_success_timestamp_seconds",
              {{"database", name}, {"type", database.backed_up.type}},
              Seconds(database.backed_up.time));
  samples.Add("understudy_backup_last_position_commits", {{"database", name}},
              static_cast<double>(database.backed_up.at.seq.value));
}

void AddGroup(const GroupView& group, Samples& samples) {
  samples.Add("understudy_group_paused", {}, group.paused);
  samples.Add("understudy_group_failsafe", {}, group.failsafe);
  for (const cluster::ServerRecord& server : group.servers) {
    samples.Add("understudy_server_up", {{"server", server.name}}, server.alive);
  }
  std::vector<const cluster::DatabaseRecord*> databases;
  for (const cluster::DatabaseRecord& database : group.databases) databases.push_back(&database);
  std::sort(databases.begin(), databases.end(),
            [](const auto* a, const auto* b) { return a->name < b->name; });
  const size_t told = std::min(databases.size(), kMetricDatabasesMax);
  for (size_t i = 0; i < told; ++i) AddDatabase(*databases[i], samples);
  samples.Add("understudy_metrics_left_out_databases", {},
              static_cast<double>(databases.size() - told));
}

void AddCopy(const LocalCopy& copy, Samples& samples) {
  const auto add = [&](std::string_view name, double value) {
    samples.Add(name, {{"database", copy.database}}, value);
  };
  samples.Add("understudy_copy_state", {{"database", copy.database}, {"state", copy.state}}, 1);
  add("understudy_copy_active", copy.active);
  add("understudy_copy_writable", copy.writable);
  add("understudy_copy_readable", copy.readable);
  add("understudy_copy_suspended", copy.suspended);
  add("understudy_copy_failed", copy.state.find("Failed") != std::string::npos);
  if (copy.queues_known) add("understudy_copy_queue_commits", static_cast<double>(copy.copy_queue));
  add("understudy_replay_queue_commits", static_cast<double>(copy.replay_queue));
  if (copy.copied_age) add("understudy_copied_age_seconds", Seconds(*copy.copied_age));
  if (copy.replayed_age) add("understudy_replayed_age_seconds", Seconds(*copy.replayed_age));
  add("understudy_durable_commits_total", static_cast<double>(copy.durable.seq.value));
  add("understudy_replayed_commits_total", static_cast<double>(copy.replayed.seq.value));
  if (copy.last_commit.unix_ms > 0) {
    add("understudy_last_commit_timestamp_seconds", Seconds(copy.last_commit));
  }
  add("understudy_replay_lag_seconds", Seconds(copy.replay_lag));
  add("understudy_database_bytes", static_cast<double>(copy.database_bytes));
  add("understudy_log_bytes", static_cast<double>(copy.log_bytes));
  add("understudy_log_holds", static_cast<double>(copy.log_holds));
}

}  // namespace

std::span<const MetricEntry> MetricCatalogue() { return kCatalogue; }

std::string MetricsText(const Snapshot& snapshot) {
  Samples samples;
  AddServer(snapshot, samples);
  if (snapshot.group != nullptr) AddGroup(*snapshot.group, samples);
  const size_t copies = std::min(snapshot.copies.size(), kMetricDatabasesMax);
  for (size_t i = 0; i < copies; ++i) AddCopy(snapshot.copies[i], samples);
  return samples.Text();
}

}  // namespace understudy::web
