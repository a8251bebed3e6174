// SPDX-License-Identifier: Apache-2.0
// SimGroup: a group of servers in one process and one thread. Each machine runs the server's own
// code (server/server.h), with real SQLite below it, over simulated files, network, coordinator and
// time; beside it an application with stock SQLite tries all the time to write every database's
// copy on that machine, active or not, and remembers what was acknowledged.
//
// Everything follows from one seed. What a violation is: see Check. Threading: Run is called by the
// test; the rest is confined to simulated threads.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "cluster/records.h"
#include "sqlite/connection.h"
#include "sqlite/env_vfs.h"
#include "testing/sim_clock.h"
#include "testing/sim_scheduler.h"
#include "tests/sim/history.h"
#include "tests/sim/sim_coordinator.h"
#include "tests/sim/sim_files.h"
#include "tests/sim/sim_network.h"
#include "tests/sim/sim_sqlite.h"

namespace understudy::sim {

class SimGroup;

inline constexpr base::Duration kLease = std::chrono::seconds(3);
// How long after a daemon runs again an application may have gone on beside it.
inline constexpr base::Duration kFenceGrace = std::chrono::seconds(6);

struct SimOptions {
  uint64_t seed = 1;
  int servers = 3;  // 0: 3 to 7, by the seed
  std::vector<std::string> databases = {"orders", "stock"};
  int faults = 30;
  uint64_t scrub_rate = 0;  // bytes a second, of all copies, again and again; 0: never
  std::string dial = "lossless";
  // Steady clocks of machines run up to so many parts of a million faster or slower.
  int drift_most = 0;
  // Of the faults by the seed, those with these numbers only, counted from 1; empty: all of them.
  std::set<uint64_t> only = {};
  bool trace = false;                          // faults are told as they are made
  std::string synchronous = "FULL";            // of the applications
  bool verbose = false;                        // diagnostics of all servers, with simulated time
  std::function<void(SimGroup&)> script = {};  // instead of faults by the seed
};

struct SimResult {
  std::vector<std::string> violations;
  std::vector<std::string> trace;  // the faults, in order
  uint64_t faults = 0;
  uint64_t flips = 0;  // bits of files that were changed
  uint64_t late = 0;   // calls that came after their caller had given up
  uint64_t reads = 0;
  size_t open_most = 0;  // of one server at rest: files, threads, connections
  size_t threads_most = 0;
  size_t connections_most = 0;
  uint64_t tainted = 0;  // databases whose active copy had a flipped bit
  uint64_t acknowledged = 0;
  uint64_t backups = 0;   // that were reported good
  uint64_t restored = 0;  // in the end
  uint64_t turns = 0;
  base::Duration simulated{};
  std::map<std::string, uint64_t> terms;  // by database, at the end
};

class SimGroup {
 public:
  explicit SimGroup(const SimOptions& options);
  ~SimGroup();
  SimGroup(const SimGroup&) = delete;
  SimGroup& operator=(const SimGroup&) = delete;

  // Sets up, injects faults, heals everything, and checks what was promised.
  SimResult Run();

  // For scripts. `server` counts from 0.
  void SetCoordinatorAway(size_t server, bool away) { machines_[server]->coordinator_away = away; }
  void Block(size_t from, size_t to) {
    internet_.Block(machines_[from]->name, machines_[to]->name);
  }
  void SetWriting(bool writing) { writing_ = writing; }
  void SetStreamDelay(base::Duration delay) { internet_.SetStreamDelay(delay); }
  void HealNetwork() { internet_.Heal(); }
  size_t CountRows(size_t server, const std::string& database) {
    return RowsOf(*machines_[server], database).size();
  }
  // Anywhere in the copy's file but the header of page 1. False: it has no such byte.
  bool Damage(size_t server, const std::string& database);
  // That a scrub has found and not repaired, on all servers.
  size_t CountFindings(const std::string& database);
  size_t CountEvents(cluster::EventNumber number);
  void LimitSpace(size_t server, std::optional<uint64_t> more) {
    machines_[server]->files->LimitSpace(more);
  }
  // The nth operation on files, call of the coordinator or call of another server that the server
  // makes from now on fails.
  enum class Nth { kFiles, kCoordinator, kCalls };
  void FailNth(size_t server, Nth kind, uint64_t nth);
  bool HasFailedNth(size_t server, Nth kind) const;
  void BackUp(size_t server, const std::string& database, bool increment) {
    BackUp(*machines_[server], database, increment);
  }
  void Reseed(size_t server, const std::string& database);
  void RestartServer(size_t server) {
    KillServer(*machines_[server]);
    StartServer(*machines_[server]);
  }
  void PowerCut(size_t server) { Crash(*machines_[server]); }
  void Boot(size_t server) { Boot(*machines_[server]); }
  void BeginSwitchover(const std::string& database, size_t asked, size_t target) {
    scheduler_.StartIn(driver_, [this, database, asked, target] {
      Switchover(database, asked, target).IgnoreError();
    });
  }
  size_t ActiveOf(const std::string& database);  // by the registry
  base::Status Switchover(const std::string& database, size_t asked, size_t target);
  void Sleep(base::Duration length) { scheduler_.Sleep(length); }
  void Settle();

 private:
  using ProcessId = test::SimScheduler::ProcessId;
  struct Machine {
    std::string name;
    std::unique_ptr<SimFiles> files;
    std::vector<std::unique_ptr<sqlite::EnvVfs>> boots;  // the last one is the running one
    ProcessId server = 0;
    ProcessId application = 0;
    bool up = false;
    bool server_up = false;
    bool coordinator_away = false;
    int drift = 0;          // of its steady clock, parts of a million
    uint64_t nth_call = 0;  // of the coordinator, that fails; 0: none, or it was
    bool nth_was = false;
  };
  // A bit that a disk changed, while it is as the disk made it.
  struct Flip {
    size_t server = 0;
    std::string database;  // whose database file it is in; empty: another file
    std::string path;
    uint64_t offset = 0;
    uint8_t now = 0;
    uint64_t term = 0;  // the newest at that time
  };

  struct Down {  // a time in which the daemon of a server was dead or frozen, or is not yet at work
    std::string server;
    base::SteadyTime begin;
    base::SteadyTime end;
  };

  void Drive();
  void SetUp();
  void Boot(Machine& machine);
  void StartServer(Machine& machine);
  void RunServer(Machine& machine);
  base::Status RunServerOnce(Machine& machine);
  void RunApplication(Machine& machine);
  void TryToWrite(Machine& machine, const std::string& database);
  bool ReadNewest(sqlite::Connection& connection, Read& read);
  void Crash(Machine& machine);
  void KillServer(Machine& machine);
  // Faults by the seed: sim_faults.cc.
  void InjectFaults();
  void Fault();
  void FaultOfMachine(Machine& machine);
  void FaultOfNetwork(Machine& machine);
  void FaultOfDisk(Machine& machine);
  void ActionOfPerson(Machine& machine);
  void Freeze(Machine& machine);
  void FlipSomething(Machine& machine);
  bool FlipIn(size_t server, const std::string& database, const std::string& path, uint64_t first);
  void NoteFlips();
  uint64_t Fate() { return fate_(); }
  void Tell(const std::string& text);  // of a fault
  void HealAll();
  // What is looked at in the end: sim_check.cc, sim_backup.cc, sim_leaks.cc.
  void Check();
  void CheckLeaks();
  std::string LeftHolds(const std::string& database);
  void CheckFilesOf(Machine& machine);
  std::vector<uint64_t> PageHashesOf(Machine& machine, const std::string& database);
  void CheckDatabase(const std::string& database);
  std::set<int64_t> RowsKept(const std::string& database);
  void CheckOrderOfTerms(const std::string& database);
  void NoteTerms();
  bool IsExcepted(const std::string& server, base::SteadyTime begin, base::SteadyTime end) const;
  bool IsSettled(const std::string& database, std::string& why);
  std::vector<int64_t> RowsOf(Machine& machine, const std::string& database);
  std::vector<int64_t> RowsOf(Machine& machine, const std::string& path, const std::string& what);
  void Reseed(Machine& machine, const std::string& database);
  void BackUp(Machine& machine, const std::string& database, bool increment);
  template <typename Body>
  void RunBeside(Machine& machine, const Body& body);  // in its application, to the end
  void CheckBackups(Machine& machine, const std::string& database);
  void CheckMoment(const std::string& what, const std::string& database,
                   const std::vector<int64_t>& rows);
  Machine& Any() { return *machines_[fate_() % machines_.size()]; }
  const std::string& AnyDatabase() {
    return options_.databases[fate_() % options_.databases.size()];
  }
  base::Duration Between(int low_ms, int high_ms);
  template <typename Request, typename Response>
  base::Status Ask(const std::string& server, const Request& request, Response& response);
  void Violation(const std::string& text);
  void Say(const std::string& text);
  static std::string PathOf(const std::string& database) { return "/db/" + database + ".db"; }

  const SimOptions options_;
  std::mt19937_64 random_;
  std::mt19937_64
      fate_;  // of the fault at hand; begins anew with each, so that one may be left out
  std::vector<Flip> flips_;
  std::set<std::string> tainted_;  // databases whose active copy had a flipped bit
  test::SimClock clock_;
  test::SimScheduler scheduler_;
  test::SimStore store_;
  SimInternet internet_;
  std::vector<std::unique_ptr<Machine>> machines_;
  std::unique_ptr<SimSqlite> sqlite_;
  ProcessId driver_ = 0;
  int64_t next_row_ = 1;
  std::map<std::string, History> histories_;                      // by database
  std::map<std::string, std::map<uint64_t, std::string>> terms_;  // by database: their servers
  std::vector<Down> downs_;
  std::map<std::pair<std::string, std::string>, std::vector<std::string>> reported_;  // backups
  bool writing_ = true;
  bool done_ = false;
  SimResult result_;
};

}  // namespace understudy::sim
