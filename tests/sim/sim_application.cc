// SPDX-License-Identifier: Apache-2.0
// The applications: stock SQLite on every machine, which tries to write and reads every copy there,
// and remembers what it was told (history.h).
#include <fmt/format.h>

#include <utility>

#include "tests/sim/sim_group.h"

namespace understudy::sim {

namespace {

constexpr size_t kNewest = 40;  // rows that a read sees
constexpr int kReadOneIn = 3;   // attempts to write reads, too

}  // namespace

void SimGroup::RunApplication(Machine& machine) {
  while (true) {
    scheduler_.Sleep(Between(5, 20 * static_cast<int>(machines_.size())));  // all of them: alike
    if (!writing_) continue;
    for (const std::string& database : options_.databases) TryToWrite(machine, database);
  }
}

void SimGroup::TryToWrite(Machine& machine, const std::string& database) {
  if (!env::Exists(*machine.files, PathOf(database))) return;
  Read read;
  read.client = fmt::format("{}/{}", machine.name, machine.boots.size());
  read.server = machine.name;
  read.begin = clock_.Now();
  auto opened =
      sqlite::Connection::Open(PathOf(database), {.busy_timeout = std::chrono::milliseconds(200)});
  if (!opened.ok()) return;
  sqlite::Connection& connection = **opened;
  if (!connection.Execute("PRAGMA synchronous=" + options_.synchronous).ok()) return;
  History& history = histories_[database];
  const int64_t row = next_row_++;
  if (!connection.Execute("BEGIN IMMEDIATE").ok()) {
    if (row % kReadOneIn == 0 && ReadNewest(connection, read))
      history.reads.push_back(std::move(read));
    return;
  }
  const bool has_read = row % kReadOneIn == 0 && ReadNewest(connection, read);
  Add& add = history.adds[row];
  add = {machine.name, read.begin, read.begin, AddEnd::kRefused};
  if (!connection.Execute(fmt::format("INSERT INTO t VALUES({}, '{}')", row, machine.name)).ok())
    return;
  add.told = AddEnd::kUnknown;
  if (!connection.Execute("COMMIT").ok()) return;
  add.end = clock_.Now();
  add.told = AddEnd::kAcknowledged;
  ++result_.acknowledged;
  if (!has_read) return;
  read.fresh = true;
  history.reads.push_back(std::move(read));
}

bool SimGroup::ReadNewest(sqlite::Connection& connection, Read& read) {
  auto statement =
      connection.Prepare(fmt::format("SELECT id FROM t ORDER BY id DESC LIMIT {}", kNewest));
  if (!statement.ok()) return false;
  while (true) {
    const auto more = statement->Step();
    if (!more.ok()) return false;
    if (!*more) break;
    read.saw.insert(statement->Int(0));
  }
  if (read.saw.size() == kNewest) read.from = *read.saw.begin();
  read.end = clock_.Now();
  ++result_.reads;
  return true;
}

}  // namespace understudy::sim
