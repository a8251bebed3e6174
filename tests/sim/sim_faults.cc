// SPDX-License-Identifier: Apache-2.0
// Faults by the seed. Each fault draws from random numbers of its own, so that others may be left
// out: tools/minimize drops faults for as long as a seed still fails.
#include <fmt/format.h>

#include <algorithm>

#include "server/copy_directory.h"
#include "tests/sim/sim_group.h"

namespace understudy::sim {

namespace {

constexpr uint64_t kKinds = 18;
constexpr uint64_t kRestMs = 1700;  // at most, between faults

}  // namespace

void SimGroup::Tell(const std::string& text) {
  const auto since = clock_.Now().time_since_epoch() - std::chrono::hours(1);
  result_.trace.push_back(fmt::format("{:10.4f}  fault {}: {}",
                                      std::chrono::duration<double>(since).count(), result_.faults,
                                      text));
  if (options_.trace || options_.verbose) fmt::print(stderr, "{}\n", result_.trace.back());
}

void SimGroup::InjectFaults() {
  while (result_.faults < static_cast<uint64_t>(options_.faults)) {
    fate_.seed(options_.seed * 1'000'003 + ++result_.faults);
    scheduler_.Sleep(std::chrono::milliseconds(fate_() % kRestMs));
    if (options_.only.empty() || options_.only.contains(result_.faults)) {
      Fault();
      if (fate_() % 8 == 0) {
        Tell("everything heals");
        HealAll();
      }
    }
    NoteTerms();
  }
}

void SimGroup::Fault() {
  Machine& machine = Any();
  const uint64_t kind = Fate() % kKinds;
  if (kind < 5) return FaultOfMachine(machine);
  if (kind < 9) return FaultOfNetwork(machine);
  if (kind < 13) return FaultOfDisk(machine);
  ActionOfPerson(machine);
}

void SimGroup::FaultOfMachine(Machine& machine) {
  const uint64_t kind = Fate() % 5;
  if (!machine.up) {
    Tell(machine.name + " is switched on");
    return Boot(machine);
  }
  switch (kind) {
    case 0: Tell("power cut of " + machine.name); return Crash(machine);
    case 1: {
      const uint64_t changes = 1 + Fate() % 300;
      Tell(fmt::format("{} dies after {} changes of files", machine.name, changes));
      return machine.files->CrashAfter(changes, [this, &machine] { Crash(machine); });
    }
    case 2: return Freeze(machine);
    case 3: {
      constexpr int64_t kSteps[] = {1'000, 60'000, 3'600'000, 86'400'000};  // ms
      const int64_t step = kSteps[Fate() % 4] * (Fate() % 2 == 0 ? 1 : -1);
      Tell(fmt::format("the wall clock of {} is set {} ms ahead", machine.name, step));
      return machine.files->StepWall(std::chrono::milliseconds(step));
    }
    default:
      Tell((machine.server_up ? "kill -9 of the server of " : "the server starts on ") +
           machine.name);
      return machine.server_up ? KillServer(machine) : StartServer(machine);
  }
}

void SimGroup::Freeze(Machine& machine) {
  const ProcessId frozen = machine.server;
  const base::Duration length = std::chrono::milliseconds(100 + Fate() % 8900);
  Tell(fmt::format("{} is frozen for {} ms", machine.name,
                   std::chrono::floor<std::chrono::milliseconds>(length).count()));
  scheduler_.Freeze(frozen);
  downs_.push_back({machine.name, clock_.Now(), clock_.Now() + length + kFenceGrace});
  scheduler_.StartIn(driver_, [this, frozen, length] {
    scheduler_.Sleep(length);
    scheduler_.Thaw(frozen);
  });
}

void SimGroup::FaultOfNetwork(Machine& machine) {
  switch (Fate() % 4) {
    case 0:
      machine.coordinator_away = !machine.coordinator_away;
      return Tell(fmt::format("the coordinator is {} for {}",
                              machine.coordinator_away ? "away" : "back", machine.name));
    case 1: {
      Machine& other = Any();
      if (&other == &machine) return;
      const bool both = Fate() % 2 == 0;
      Tell(fmt::format("cut {} {} {}", machine.name, both ? "<->" : "->", other.name));
      internet_.Block(machine.name, other.name);
      if (both) internet_.Block(other.name, machine.name);
      return;
    }
    case 2: {
      const bool slow = Fate() % 2 == 0;
      Tell(slow ? "the network is slow" : "the network is fast");
      return internet_.SetSlow(slow ? std::chrono::milliseconds(400)
                                    : std::chrono::milliseconds(1));
    }
    default: {
      // Nobody revokes another one's lease; a group with the dial lossless bears with it even so.
      const std::vector<cluster::LeaseId> leases = store_.leases();
      if (leases.empty() || options_.dial != "lossless") return;
      Tell("a lease is lost");
      return store_.Revoke(leases[Fate() % leases.size()]);
    }
  }
}

void SimGroup::FaultOfDisk(Machine& machine) {
  switch (Fate() % 4) {
    case 0: {
      const uint64_t more = Fate() % 200'000;
      Tell(fmt::format("{} bytes fit on the disk of {}", more, machine.name));
      return machine.files->LimitSpace(more);
    }
    case 1: {
      const uint64_t changes = 1 + Fate() % 100;
      Tell(fmt::format("{}: the disk fails in {} changes", machine.name, changes));
      return machine.files->FailAfter(changes);
    }
    default: return FlipSomething(machine);
  }
}

void SimGroup::ActionOfPerson(Machine& machine) {
  const std::string& database = AnyDatabase();
  switch (Fate() % 4) {
    case 0: return Reseed(machine, database);
    case 1: {
      const bool increment = Fate() % 2 == 0;
      Tell(fmt::format("backup of {} on {}", database, machine.name));
      return BackUp(machine, database, increment);
    }
    default: {
      v1::SwitchoverRequest request;
      request.set_database(database);
      request.set_target(machine.name);
      const std::string asked = Any().name;
      Tell(fmt::format("switchover of {} to {}", database, machine.name));
      scheduler_.StartIn(driver_, [this, request, asked] {
        v1::SwitchoverResponse response;
        Ask(asked, request, response).IgnoreError();  // it may be refused
      });
    }
  }
}

// A copy is seeded anew, with the pages of another one.
void SimGroup::Reseed(Machine& machine, const std::string& database) {
  v1::ReseedCopyRequest request;
  request.set_database(database);
  request.set_server(machine.name);
  request.set_full(Fate() % 2 == 0);
  const std::string from = Any().name;
  if (from != machine.name) request.set_seed_from(from);
  Tell(fmt::format("reseed of {} on {} from {}", database, machine.name, from));
  scheduler_.StartIn(driver_, [this, request, asked = machine.name] {
    v1::ReseedCopyResponse response;
    Ask(asked, request, response).IgnoreError();  // it may be the active copy, or be down
  });
}

// A bit of a passive copy's database or checkpoint file, or of a log file of any copy. (Of an
// active copy whose page table is damaged and whose machine then dies, nobody can tell what it
// changed: a person has to add the database anew.)
void SimGroup::FlipSomething(Machine& machine) {
  if (options_.scrub_rate == 0 || !machine.up) return;
  const std::string& database = AnyDatabase();
  size_t server = 0;
  while (machines_[server].get() != &machine) ++server;
  const server::CopyPaths paths = server::PathsOf("/data", database);
  const uint64_t kind = Fate() % 4;
  if (kind != 2 && ActiveOf(database) == server) return;
  switch (kind) {
    case 0:
    case 1: FlipIn(server, database, PathOf(database), 100); return;
    case 2: {
      const auto files = machine.files->List(paths.log);
      if (!files.ok() || files->empty()) return;
      FlipIn(server, "", env::JoinPath(paths.log, (*files)[Fate() % files->size()]), 0);
      return;
    }
    default: FlipIn(server, "", paths.checkpoint, 0);
  }
}

bool SimGroup::FlipIn(size_t server, const std::string& database, const std::string& path,
                      uint64_t first) {
  SimFiles& files = *machines_[server]->files;
  const base::Result<env::FileStat> file = files.Stat(path);
  if (!file.ok() || file->size <= first) return false;
  const uint64_t offset = first + Fate() % (file->size - first);
  const base::Result<uint8_t> now = files.FlipBit(path, offset);
  if (!now.ok()) return false;
  ++result_.flips;
  Tell(fmt::format("a bit flips in {} of {}, byte {}", path, machines_[server]->name, offset));
  if (database.empty()) return true;
  const auto& terms = terms_[database];
  flips_.push_back(
      {server, database, path, offset, *now, terms.empty() ? 0 : terms.rbegin()->first});
  return true;
}

// SQLite has no checksums: an active copy that a disk has changed hands the change to whoever
// reads it. Such a database is looked at for equal copies only.
void SimGroup::NoteFlips() {
  for (const Flip& flip : flips_) {
    const auto& terms = terms_[flip.database];
    const bool mounted =
        std::any_of(terms.upper_bound(flip.term), terms.end(),
                    [&](const auto& each) { return each.second == machines_[flip.server]->name; });
    if (mounted && tainted_.insert(flip.database).second) ++result_.tainted;
  }
  std::erase_if(flips_, [&](const Flip& flip) {
    const auto byte = machines_[flip.server]->files->ByteAt(flip.path, flip.offset);
    return !byte.ok() || *byte != flip.now;
  });
}

void SimGroup::FailNth(size_t server, Nth kind, uint64_t nth) {
  Machine& machine = *machines_[server];
  if (kind == Nth::kFiles) machine.files->FailNth(machine.server, nth);
  if (kind == Nth::kCoordinator) machine.nth_call = nth;
  if (kind == Nth::kCalls) internet_.FailNth(machine.name, nth);
}

bool SimGroup::HasFailedNth(size_t server, Nth kind) const {
  const Machine& machine = *machines_[server];
  if (kind == Nth::kFiles) return machine.files->has_failed_nth();
  return kind == Nth::kCoordinator ? machine.nth_was : internet_.has_failed_nth();
}

void SimGroup::Reseed(size_t server, const std::string& database) {
  v1::ReseedCopyRequest request;
  request.set_database(database);
  request.set_server(machines_[server]->name);
  v1::ReseedCopyResponse response;
  Ask(machines_[server]->name, request, response).IgnoreError();  // what fails may be this
}

bool SimGroup::Damage(size_t server, const std::string& database) {
  return FlipIn(server, database, PathOf(database), 100);
}

}  // namespace understudy::sim
