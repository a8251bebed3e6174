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
#include <random>
#include <string>
#include <vector>

#include "cluster/records.h"
#include "sqlite/env_vfs.h"
#include "testing/sim_clock.h"
#include "testing/sim_scheduler.h"
#include "tests/sim/sim_coordinator.h"
#include "tests/sim/sim_files.h"
#include "tests/sim/sim_network.h"
#include "tests/sim/sim_sqlite.h"

namespace understudy::sim {

class SimGroup;

struct SimOptions {
  uint64_t seed = 1;
  int servers = 3;  // 0: 3 to 7, by the seed
  std::vector<std::string> databases = {"orders", "stock"};
  int faults = 30;
  uint64_t scrub_rate = 0;  // bytes a second, of all copies, again and again; 0: never
  std::string dial = "lossless";
  std::string synchronous = "FULL";            // of the applications
  bool verbose = false;                        // diagnostics of all servers, with simulated time
  std::function<void(SimGroup&)> script = {};  // instead of faults by the seed
};

struct SimResult {
  std::vector<std::string> violations;
  uint64_t faults = 0;
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
  };
  struct Acknowledged {
    std::string server;
    base::SteadyTime begin;
    base::SteadyTime end;
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
  void Crash(Machine& machine);
  void KillServer(Machine& machine);
  void Fault();
  void HealAll();
  void Check();
  std::string TextOf(Machine& machine, const std::string& database);
  void CheckDatabase(const std::string& database);
  bool IsKept(const std::string& server, const std::string& database);
  void CheckOrderOfTerms(const std::string& database);
  void NoteTerms();
  bool IsExcepted(const Acknowledged& row) const;
  bool IsSettled(const std::string& database, std::string& why);
  std::vector<int64_t> RowsOf(Machine& machine, const std::string& database);
  std::vector<int64_t> RowsOf(Machine& machine, const std::string& path, const std::string& what);
  void Reseed(Machine& machine);
  void BackUp(Machine& machine, const std::string& database, bool increment);
  void CheckBackups(Machine& machine, const std::string& database);
  void CheckMoment(const std::string& what, const std::string& database,
                   const std::vector<int64_t>& rows);
  Machine& Any() { return *machines_[random_() % machines_.size()]; }
  base::Duration Between(int low_ms, int high_ms);
  template <typename Request, typename Response>
  base::Status Ask(const std::string& server, const Request& request, Response& response);
  void Violation(const std::string& text);
  void Say(const std::string& text);
  static std::string PathOf(const std::string& database) { return "/db/" + database + ".db"; }

  const SimOptions options_;
  std::mt19937_64 random_;
  test::SimClock clock_;
  test::SimScheduler scheduler_;
  test::SimStore store_;
  SimInternet internet_;
  std::vector<std::unique_ptr<Machine>> machines_;
  std::unique_ptr<SimSqlite> sqlite_;
  ProcessId driver_ = 0;
  int64_t next_row_ = 1;
  std::map<std::string, std::map<int64_t, Acknowledged>> acknowledged_;
  std::map<std::string, std::map<uint64_t, std::string>> terms_;  // by database: their servers
  std::vector<Down> downs_;
  std::map<std::pair<std::string, std::string>, std::vector<std::string>> reported_;  // backups
  bool writing_ = true;
  bool done_ = false;
  SimResult result_;
};

}  // namespace understudy::sim
