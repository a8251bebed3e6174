// SPDX-License-Identifier: Apache-2.0
// What may be left over once everything has healed and is at rest: one lease a server, holds of
// copies that are there, files that are in the book, and no more open files, threads and
// connections than a server needs.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "server/lost_log.h"
#include "tests/sim/sim_group.h"

namespace understudy::sim {

namespace {

// Of a server: measured at rest without faults, with as much again to spare.
constexpr size_t kOpenFilesMax = 40;
constexpr size_t kOpenFilesOfCopyMax = 16;
constexpr size_t kThreadsMax = 60;
constexpr size_t kThreadsOfPeerMax = 16;
constexpr size_t kConnectionsOfPairMax = 2;  // one each way

// A save that was cut off leaves a file that the next one replaces.
std::string WithoutTemporary(const std::string& name) {
  return name.ends_with(".tmp") ? name.substr(0, name.size() - 4) : name;
}

// A lease that nobody renews ends after its time; a backup's is the longest.
constexpr base::Duration kLeasesEndMax = std::chrono::seconds(70);

constexpr base::Duration kHoldsEndMax = std::chrono::seconds(30);

bool IsOneOf(const std::string& name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

// docs/ARCHITECTURE.md, "On disk".
void SimGroup::CheckFilesOf(Machine& machine) {
  const auto look = [&](const std::string& directory, const auto& is_known) {
    const auto names = machine.files->List(directory);
    if (!names.ok()) return;
    for (const std::string& name : *names) {
      if (!is_known(name))
        Violation(fmt::format("{} has {} left over", machine.name, env::JoinPath(directory, name)));
    }
  };
  look("/data", [&](const std::string& name) {
    return IsOneOf(name, {".lock", ".server.json", ".backups", ".events", ".events.1"}) ||
           std::find(options_.databases.begin(), options_.databases.end(), name) !=
               options_.databases.end();
  });
  for (const std::string& database : options_.databases) {
    look("/data/" + database, [&](const std::string& name) {
      return name == ".reseed.tmp" ||  // unlike a mark, it means nothing
             IsOneOf(WithoutTemporary(name),
                     {".copy.json", ".mount.json", ".scrub.json", "lost", "log", "checkpoint"});
    });
    look("/data/" + database + "/log",
         [](const std::string& name) { return name.ends_with(".ulog"); });
    look("/data/" + database + "/lost",
         [](const std::string& name) { return server::IsLostId(name); });
    look("/backups/" + database, [](const std::string& name) { return !name.starts_with("."); });
  }
  look("/db", [&](const std::string& name) {
    return std::any_of(
        options_.databases.begin(), options_.databases.end(), [&](const std::string& database) {
          return IsOneOf(name, {database + ".db", database + ".db-wal", database + ".db-shm"});
        });
  });
}

// Holds and turns of a database that nothing which is there needs; empty: none.
std::string SimGroup::LeftHolds(const std::string& database) {
  v1::HoldsRequest request;
  request.set_database(database);
  v1::HoldsResponse response;
  const base::Status asked = Ask(machines_.front()->name, request, response);
  if (!asked.ok()) return "holds of " + database + ": " + asked.ToString();
  if (!response.backup().empty() || response.waiting_size() > 0)
    return "a backup of " + database + " still has its turn: " + response.ShortDebugString();
  for (const auto& held : response.holds()) {
    const bool known = IsOneOf(held.name(), {"capture", "replay", "retention"}) ||
                       held.name().starts_with("passive s");
    if (!known)
      return fmt::format("{} holds log of {} on {}: {}", held.name(), database, held.server(),
                         held.reason());
  }
  return "";
}

void SimGroup::CheckLeaks() {
  result_.late = internet_.late();
  const base::SteadyTime end = clock_.Now() + kLeasesEndMax;
  while (store_.leases().size() > machines_.size() && clock_.Now() < end)
    scheduler_.Sleep(std::chrono::seconds(1));
  if (const size_t leases = store_.leases().size(); leases > machines_.size())
    Violation(fmt::format("{} leases are left of {} servers", leases, machines_.size()));
  for (const std::string& database : options_.databases) {
    std::string left;
    const base::SteadyTime late = clock_.Now() + kHoldsEndMax;
    while (!(left = LeftHolds(database)).empty() && clock_.Now() < late)
      scheduler_.Sleep(std::chrono::seconds(1));
    if (!left.empty()) Violation(left);
  }
  for (const auto& machine : machines_) {
    const size_t open = machine->files->CountOpen(machine->server);
    const size_t threads = scheduler_.CountThreads(machine->server);
    const size_t connections = internet_.CountConnections(machine->name);
    result_.open_most = std::max(result_.open_most, open);
    result_.threads_most = std::max(result_.threads_most, threads);
    result_.connections_most = std::max(result_.connections_most, connections);
    const size_t peers = machines_.size() - 1;
    if (open > kOpenFilesMax + options_.databases.size() * kOpenFilesOfCopyMax)
      Violation(fmt::format("{} has {} files open", machine->name, open));
    if (threads > kThreadsMax + peers * kThreadsOfPeerMax)
      Violation(fmt::format("{} has {} threads", machine->name, threads));
    if (connections > peers * kConnectionsOfPairMax)
      Violation(fmt::format("{} has {} connections", machine->name, connections));
    CheckFilesOf(*machine);
  }
}

}  // namespace understudy::sim
