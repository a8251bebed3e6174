// SPDX-License-Identifier: Apache-2.0
// What is looked at in the end: rows, equal copies, and the order of the terms.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "cluster/registry.h"
#include "server/lost_log.h"
#include "sqlite/connection.h"
#include "sqlite/snapshot_reader.h"
#include "tests/sim/sim_group.h"
#include "tests/sim/term_order.h"

namespace understudy::sim {

using base::Result;

std::vector<int64_t> SimGroup::RowsOf(Machine& machine, const std::string& database) {
  return RowsOf(machine, PathOf(database), database + " on " + machine.name);
}

template <typename Body>
void SimGroup::RunBeside(Machine& machine, const Body& body) {
  bool done = false;
  scheduler_.StartIn(machine.application, [&] {
    body();
    done = true;
    scheduler_.Wake(&done, true);
  });
  while (!done) scheduler_.WaitFor(&done, std::chrono::seconds(1));
}

std::vector<int64_t> SimGroup::RowsOf(Machine& machine, const std::string& path,
                                      const std::string& what) {
  std::vector<int64_t> rows;
  RunBeside(machine, [&] {
    auto connection = sqlite::Connection::Open(path, {.read_only = true});
    if (!connection.ok()) return Violation(what + " cannot be opened");
    auto statement = (*connection)->Prepare("SELECT id FROM t ORDER BY id");
    while (statement.ok()) {
      const auto row = statement->Step();
      if (!row.ok() || !*row) break;
      rows.push_back(statement->Int(0));
    }
    const auto check = (*connection)->QueryText("PRAGMA integrity_check");
    if (!check.ok() || *check != "ok") Violation(what + " is not sound");
  });
  return rows;
}

// Of every page as a reader sees it, without the read-only mark.
std::vector<uint64_t> SimGroup::PageHashesOf(Machine& machine, const std::string& database) {
  std::vector<uint64_t> hashes;
  RunBeside(machine, [&] {
    const auto reader = sqlite::SnapshotReader::Open(PathOf(database));
    if (!reader.ok()) return Violation(database + ": " + reader.status().ToString());
    base::Bytes page((*reader)->page_size());
    for (uint32_t number = 1; number <= (*reader)->pages(); ++number) {
      const base::Status read = (*reader)->ReadPages(base::PageNo(number), 1, page);
      if (!read.ok()) return Violation(database + ": " + read.ToString());
      if (number == 1) page[18] = page[19] = 2;
      hashes.push_back(
          std::hash<std::string_view>()({reinterpret_cast<const char*>(page.data()), page.size()}));
    }
  });
  return hashes;
}

size_t SimGroup::CountEvents(cluster::EventNumber number) {
  const std::string named = fmt::format("\"number\":{},", static_cast<int>(number));
  size_t count = 0;
  for (const cluster::KeyValue& pair : store_.List("events/"))
    count += pair.value.find(named) != std::string::npos ? 1 : 0;
  return count;
}

// Rows that are in the databases of lost log's bundles.
std::set<int64_t> SimGroup::RowsKept(const std::string& database) {
  std::set<int64_t> kept;
  for (const auto& machine : machines_) {
    const auto bundles = server::ListLost(*machine->files, "/data");
    if (!bundles.ok())
      Violation("lost log of " + machine->name + ": " + bundles.status().ToString());
    if (!bundles.ok()) continue;
    for (const server::LostBundle& bundle : *bundles) {
      if (bundle.manifest.database != database || bundle.manifest.database_bytes == 0) continue;
      const std::vector<int64_t> rows =
          RowsOf(*machine, env::JoinPath(bundle.directory, server::kLostDatabase),
                 "lost log of " + database + " on " + machine->name);
      kept.insert(rows.begin(), rows.end());
    }
  }
  return kept;
}

// Copies are equal, and what applications were told fits what is there.
void SimGroup::CheckDatabase(const std::string& database) {
  Machine& home = *machines_.front();
  History& history = histories_[database];
  history.last = RowsOf(home, database);
  const std::vector<uint64_t> pages = PageHashesOf(home, database);
  for (const auto& machine : machines_) {
    if (RowsOf(*machine, database) != history.last || PageHashesOf(*machine, database) != pages)
      Violation(
          fmt::format("{} on {} differs from that on {}", database, machine->name, home.name));
  }
  if (tainted_.contains(database)) return;  // its disk has changed what was acknowledged
  const cluster::MountDial dial = *cluster::MountDialFromName(options_.dial);
  const bool lossless = dial == cluster::MountDial::kLossless;
  if (!lossless) {
    history.kept = RowsKept(database);
    // Beside a dead or frozen daemon an application may go on with what is the active copy no more.
    for (Read& read : history.reads) {
      if (IsExcepted(read.server, read.begin, read.end)) read.fresh = false;
    }
  }
  int told = 0;
  for (const Anomaly& anomaly : FindAnomalies(
           history, {lossless, kLease + cluster::BoundsOf(dial).silence_max + kFenceGrace})) {
    const auto add = history.adds.find(anomaly.row);
    // Its loss is bounded by when its daemon was dead, not by the dial.
    if (anomaly.kind == Anomaly::Kind::kBeyondDial && add != history.adds.end() && !lossless &&
        IsExcepted(add->second.server, add->second.begin, add->second.end))
      continue;
    if (++told <= 3) Violation(database + " " + anomaly.text);
  }
}

// The registry keeps the newest terms only: it is looked at after every fault.
void SimGroup::NoteTerms() {
  for (const std::string& database : options_.databases) {
    const std::string key = cluster::Registry::kDatabasesPrefix + database;
    const Result<cluster::KeyValue> pair = store_.Get(key);
    if (!pair.ok()) continue;
    const auto record = cluster::DatabaseFromJson(key, pair->value);
    if (!record.ok()) return Violation(record.status().ToString());
    for (const cluster::TermStart& start : record->history)
      terms_[database][start.term.value] = start.server;
  }
  NoteFlips();
}

size_t SimGroup::ActiveOf(const std::string& database) {
  const std::string key = cluster::Registry::kDatabasesPrefix + database;
  const Result<cluster::KeyValue> pair = store_.Get(key);
  CHECK(pair.ok());
  const auto record = cluster::DatabaseFromJson(key, pair->value);
  CHECK(record.ok());
  size_t server = 0;
  while (machines_[server]->name != record->active) ++server;
  return server;
}

// While its daemon is dead or frozen, and until it is fenced, a copy may be written (guarantee 3).
bool SimGroup::IsExcepted(const std::string& server, base::SteadyTime begin,
                          base::SteadyTime end) const {
  return std::any_of(downs_.begin(), downs_.end(), [&](const Down& down) {
    return down.server == server && begin <= down.end && end >= down.begin;
  });
}

void SimGroup::CheckOrderOfTerms(const std::string& database) {
  std::vector<TimedCommit> commits;
  for (const auto& [row, add] : histories_[database].adds) {
    if (add.told == AddEnd::kAcknowledged && !IsExcepted(add.server, add.begin, add.end))
      commits.push_back({add.server, add.begin, add.end});
  }
  const std::vector<TimedCommit> wrong = FindOutOfOrder(terms_[database], commits);
  if (wrong.empty()) return;
  const auto at = wrong[0].end.time_since_epoch() - std::chrono::hours(1);
  Violation(fmt::format("two copies of {} were writable: {} commits, the first on {} at {:.4f}",
                        database, wrong.size(), wrong[0].server,
                        std::chrono::duration<double>(at).count()));
}

void SimGroup::Check() {
  NoteTerms();
  for (const std::string& database : options_.databases) {
    CheckDatabase(database);
    CheckOrderOfTerms(database);
    if (tainted_.contains(database)) continue;
    for (const auto& machine : machines_) CheckBackups(*machine, database);
  }
  CheckLeaks();
}

}  // namespace understudy::sim
