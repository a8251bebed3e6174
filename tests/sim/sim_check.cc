// SPDX-License-Identifier: Apache-2.0
// What is looked at in the end: rows, equal copies, and the order of the terms.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "cluster/registry.h"
#include "sqlite/connection.h"
#include "tests/sim/sim_group.h"
#include "tests/sim/term_order.h"

namespace understudy::sim {

using base::Result;

std::vector<int64_t> SimGroup::RowsOf(Machine& machine, const std::string& database) {
  return RowsOf(machine, PathOf(database), database + " on " + machine.name);
}

std::vector<int64_t> SimGroup::RowsOf(Machine& machine, const std::string& path,
                                      const std::string& what) {
  std::vector<int64_t> rows;
  bool done = false;
  scheduler_.StartIn(machine.application, [&] {
    auto connection = sqlite::Connection::Open(path, {.read_only = true});
    if (connection.ok()) {
      auto statement = (*connection)->Prepare("SELECT id FROM t ORDER BY id");
      while (statement.ok()) {
        const auto row = statement->Step();
        if (!row.ok() || !*row) break;
        rows.push_back(statement->Int(0));
      }
      const auto check = (*connection)->QueryText("PRAGMA integrity_check");
      if (!check.ok() || *check != "ok") Violation(what + " is not sound");
    } else {
      Violation(what + " cannot be opened");
    }
    done = true;
    scheduler_.Wake(&done, true);
  });
  while (!done) scheduler_.WaitFor(&done, std::chrono::seconds(1));
  return rows;
}

// All of it that the application wrote.
std::string SimGroup::TextOf(Machine& machine, const std::string& database) {
  std::string text;
  bool done = false;
  scheduler_.StartIn(machine.application, [&] {
    auto connection = sqlite::Connection::Open(PathOf(database), {.read_only = true});
    if (connection.ok()) {
      const auto found =
          (*connection)
              ->QueryText("SELECT group_concat(id || at) FROM (SELECT id, at FROM t ORDER BY id)");
      text = found.ok() ? *found : found.status().ToString();
    }
    done = true;
    scheduler_.Wake(&done, true);
  });
  while (!done) scheduler_.WaitFor(&done, std::chrono::seconds(1));
  return text;
}

size_t SimGroup::CountEvents(cluster::EventNumber number) {
  const std::string named = fmt::format("\"number\":{},", static_cast<int>(number));
  size_t count = 0;
  for (const cluster::KeyValue& pair : store_.List("events/"))
    count += pair.value.find(named) != std::string::npos ? 1 : 0;
  return count;
}

// That there is a bundle of lost log, not that the row is in it.
bool SimGroup::IsKept(const std::string& server, const std::string& database) {
  for (const auto& machine : machines_) {
    if (machine->name != server) continue;
    const auto bundles = machine->files->List("/data/" + database + "/lost");
    return bundles.ok() && !bundles->empty();
  }
  return false;
}

// Every acknowledged row is there, on every copy, or kept where the dial allows that; and copies
// are equal.
void SimGroup::CheckDatabase(const std::string& database) {
  const std::vector<int64_t> first = RowsOf(*machines_.front(), database);
  const std::string text = TextOf(*machines_.front(), database);
  for (const auto& machine : machines_) {
    if (RowsOf(*machine, database) != first || TextOf(*machine, database) != text)
      Violation(fmt::format("{} on {} differs from that on {}", database, machine->name,
                            machines_.front()->name));
  }
  const std::set<int64_t> there(first.begin(), first.end());
  int told = 0;
  for (const auto& [row, by] : acknowledged_[database]) {
    if (there.contains(row) || ++told > 3) continue;
    if (options_.dial != "lossless" && IsKept(by.server, database)) continue;
    const auto at =
        std::chrono::duration<double>(by.end.time_since_epoch() - std::chrono::hours(1));
    Violation(fmt::format("row {} of {}, acknowledged on {} at {:.4f}, is gone", row, database,
                          by.server, at.count()));
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
bool SimGroup::IsExcepted(const Acknowledged& row) const {
  return std::any_of(downs_.begin(), downs_.end(), [&](const Down& down) {
    return down.server == row.server && row.begin <= down.end && row.end >= down.begin;
  });
}

void SimGroup::CheckOrderOfTerms(const std::string& database) {
  std::vector<TimedCommit> commits;
  for (const auto& [row, by] : acknowledged_[database]) {
    if (!IsExcepted(by)) commits.push_back({by.server, by.begin, by.end});
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
    for (const auto& machine : machines_) CheckBackups(*machine, database);
  }
}

}  // namespace understudy::sim
