// SPDX-License-Identifier: Apache-2.0
// Backups during the faults, and what is looked at in the end: each that is listed verifies, is
// restored, is sound, and holds what was there at one moment: no row of it without all that were
// acknowledged before that row was begun.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "backup/executor.h"
#include "backup/repository.h"
#include "backup/restore.h"
#include "backup/verify.h"
#include "sqlite/connection.h"
#include "tests/sim/sim_group.h"

namespace understudy::sim {

namespace {

constexpr const char* kRepository = "/backups";
constexpr const char* kRestored = "/db/restored.db";

}  // namespace

// Of the copy on that machine, into its own files; it may be refused, cut off or fail.
void SimGroup::BackUp(Machine& machine, const std::string& database, bool increment) {
  const SimInternet::Host* const host = internet_.Find(machine.name);
  if (host == nullptr) return;
  v1::RunBackupRequest request;
  request.set_database(database);
  request.set_from(machine.name);
  request.set_repository(kRepository);
  request.set_type(increment ? "incremental" : "full");
  request.set_or_full(true);
  std::vector<std::string>& reported = reported_[{machine.name, database}];
  scheduler_.StartIn(host->process, [request, &reported, admin = host->admin] {
    admin
        ->RunBackup(request, {"sim", [] { return false; }},
                    [&reported](const v1::RunBackupResponse& told) {
                      if (told.has_result()) reported.push_back(told.result().id());
                      return true;
                    })
        .IgnoreError();
  });
}

void SimGroup::CheckBackups(Machine& machine, const std::string& database) {
  machine.files->Disarm();
  env::Env& env = *machine.files;
  const std::vector<std::string>& reported = reported_[{machine.name, database}];
  result_.backups += reported.size();
  const auto repository = backup::Repository::Open(env, kRepository);
  const base::Result<backup::BackupList> list =
      repository.ok() ? (*repository)->List(database) : repository.status();
  if (!list.ok()) {  // nothing was ever stored there
    if (!reported.empty()) Violation("backups are gone: " + list.status().ToString());
    return;
  }
  for (const std::string& id : reported) {
    if (std::none_of(list->backups.begin(), list->backups.end(),
                     [&](const auto& document) { return document.id == id; }))
      Violation(fmt::format("backup {} of {} was reported good and is gone", id, database));
  }
  backup::InlineExecutor executor;
  for (const backup::BackupDocument& document : list->backups) {
    const std::string what = fmt::format("backup {} of {}", document.id, database);
    const auto verified =
        backup::VerifyBackup(env, executor, **repository, database, document.id, {});
    if (!verified.status.ok()) Violation(what + ": " + verified.status.ToString());
    const auto restored = backup::Restore(
        env, executor, **repository,
        {.database = database, .backup = document.id, .output = kRestored, .force = true});
    if (!restored.ok()) {
      Violation(what + " is not restored: " + restored.status().ToString());
      continue;
    }
    CheckMoment(what, database, RowsOf(machine, kRestored, what));
    env.Remove(kRestored).IgnoreError();
    ++result_.restored;
  }
}

void SimGroup::CheckMoment(const std::string& what, const std::string& database,
                           const std::vector<int64_t>& rows) {
  const std::set<int64_t> there(rows.begin(), rows.end());
  const std::map<int64_t, Add>& all = histories_[database].adds;
  base::SteadyTime newest{};
  for (const int64_t row : rows) {
    const auto found = all.find(row);
    if (found != all.end() && found->second.told == AddEnd::kAcknowledged)
      newest = std::max(newest, found->second.begin);
  }
  for (const auto& [row, by] : all) {
    if (by.told != AddEnd::kAcknowledged || by.end >= newest || there.contains(row)) continue;
    if (histories_[database].kept.contains(row)) continue;  // the dial allowed to lose it
    return Violation(fmt::format("{} has later rows, but not row {}", what, row));
  }
}

}  // namespace understudy::sim
