// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/sim_group.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <set>

#include "base/diag.h"
#include "rpc/admin_client.h"
#include "server/copy_directory.h"
#include "server/server.h"
#include "server/start_fence.h"
#include "sqlite/connection.h"

namespace understudy::sim {

using base::Result;
using base::Status;

namespace {

constexpr base::Duration kLease = std::chrono::seconds(3);
constexpr base::Duration kSettleLimit = std::chrono::minutes(5);
constexpr const char* kDataDir = "/data";

server::Config ConfigOf(const std::string& name) {
  server::Config config;
  config.server.name = name;
  config.server.data_dir = kDataDir;
  config.server.listen = config.server.advertise = name;
  config.coordinator.lease = kLease;
  config.ship.heartbeat = std::chrono::milliseconds(500);
  config.ship.silence_max = std::chrono::seconds(3);
  config.ship.retry_max = std::chrono::seconds(1);
  config.scrub.rate = 0;
  config.lag.playdown_free_percent = 0;
  config.tls.off = true;
  return config;
}

}  // namespace

SimGroup::SimGroup(const SimOptions& options)
    : options_(options),
      random_(options.seed),
      scheduler_(clock_, options.seed ^ 0x5c4ed),
      store_(clock_),
      internet_(scheduler_, options.seed ^ 0x7e7) {
  for (int i = 1; i <= options_.servers; ++i) {
    auto machine = std::make_unique<Machine>();
    machine->name = fmt::format("s{}", i);
    machine->files = std::make_unique<SimFiles>(clock_, random_());
    machines_.push_back(std::move(machine));
  }
  sqlite_ = std::make_unique<SimSqlite>([this]() -> sqlite::EnvVfs* {
    const ProcessId process = scheduler_.current();
    for (const auto& machine : machines_) {
      if (process == machine->server || process == machine->application)
        return machine->boots.back().get();
    }
    return nullptr;
  });
  base::SetDiagLevel(base::DiagLevel::kDebug);
  base::SetDiagSink([this](base::DiagLevel level, std::string_view area, std::string_view message,
                           const std::vector<base::DiagField>& fields) {
    if (!options_.verbose || level == base::DiagLevel::kDebug) return;
    const ProcessId process = scheduler_.current();
    Say(fmt::format("{} {} {}", process == 0 ? "-" : scheduler_.NameOf(process), area,
                    base::FormatDiag(message, fields)));
  });
}

SimGroup::~SimGroup() {
  for (const auto& machine : machines_) {
    if (machine->server != 0) scheduler_.Kill(machine->server);
    if (machine->application != 0) scheduler_.Kill(machine->application);
  }
  base::SetDiagSink(nullptr);
}

void SimGroup::Say(const std::string& text) {
  const auto since = clock_.Now().time_since_epoch() - std::chrono::hours(1);
  fmt::print(stderr, "{:10.4f}  {}\n", std::chrono::duration<double>(since).count(), text);
}

void SimGroup::Violation(const std::string& text) {
  Say("VIOLATION: " + text);
  result_.violations.push_back(text);
}

base::Duration SimGroup::Between(int low_ms, int high_ms) {
  const auto span = static_cast<uint64_t>(high_ms - low_ms + 1);
  return std::chrono::milliseconds(low_ms + static_cast<int>(random_() % span));
}

template <typename Request, typename Response>
Status SimGroup::Ask(const std::string& server, const Request& request, Response& response) {
  const auto dialer = internet_.DialerOf("driver");
  ASSIGN_OR_RETURN(const auto client, dialer->DialAdmin(server, std::chrono::seconds(1), {}));
  if constexpr (std::is_same_v<Request, v1::AddDatabaseRequest>) {
    ASSIGN_OR_RETURN(response, client->AddDatabase(request));
  } else if constexpr (std::is_same_v<Request, v1::SetDatabaseRequest>) {
    ASSIGN_OR_RETURN(response, client->SetDatabase(request));
  } else if constexpr (std::is_same_v<Request, v1::SwitchoverRequest>) {
    ASSIGN_OR_RETURN(response, client->Switchover(request));
  } else if constexpr (std::is_same_v<Request, v1::ReseedCopyRequest>) {
    ASSIGN_OR_RETURN(response, client->ReseedCopy(request));
  } else {
    ASSIGN_OR_RETURN(response, client->Status(request));
  }
  return {};
}

SimResult SimGroup::Run() {
  const base::SteadyTime began = clock_.Now();
  driver_ = scheduler_.NewProcess("driver");
  scheduler_.StartIn(driver_, [this] {
    Drive();
    done_ = true;
  });
  scheduler_.Run([this] { return done_; });
  result_.turns = scheduler_.turns();
  result_.simulated = clock_.Now() - began;
  return result_;
}

void SimGroup::Drive() {
  SetUp();
  if (!result_.violations.empty()) return;
  if (options_.script) options_.script(*this);
  while (!options_.script && result_.faults < static_cast<uint64_t>(options_.faults)) {
    scheduler_.Sleep(Between(0, 4000));
    Fault();
    if (random_() % 8 == 0) HealAll();
  }
  HealAll();
  Settle();
  writing_ = false;
  scheduler_.Sleep(std::chrono::seconds(2));
  Settle();
  Check();
}

void SimGroup::SetUp() {
  for (const auto& machine : machines_) {
    CHECK(machine->files->MakeDirectories("/db").ok());
    Boot(*machine);
  }
  scheduler_.Sleep(std::chrono::seconds(1));
  for (size_t i = 0; i < options_.databases.size(); ++i) {
    const std::string& database = options_.databases[i];
    Machine& home = *machines_[i % machines_.size()];
    bool made = false;
    scheduler_.StartIn(home.application, [&] {
      auto connection = sqlite::Connection::Open(PathOf(database), {.create = true});
      CHECK((*connection)->Execute("PRAGMA journal_mode=WAL").ok());
      CHECK((*connection)->Execute("CREATE TABLE t(id INTEGER PRIMARY KEY, at TEXT)").ok());
      connection->reset();
      made = true;
      scheduler_.Wake(&made, true);
    });
    while (!made) scheduler_.WaitFor(&made, std::chrono::seconds(1));
    v1::AddDatabaseRequest request;
    request.set_name(database);
    request.set_path(PathOf(database));
    request.set_copy_path(PathOf(database));
    for (const auto& machine : machines_) {
      if (machine.get() != &home) request.add_copies(machine->name);
    }
    v1::AddDatabaseResponse response;
    const Status added = Ask(home.name, request, response);
    if (!added.ok()) return Violation("cannot add " + database + ": " + added.ToString());
    v1::SetDatabaseRequest dial;
    dial.set_database(database);
    dial.set_dial("lossless");
    v1::SetDatabaseResponse set;
    if (const Status status = Ask(home.name, dial, set); !status.ok())
      return Violation("cannot set the dial: " + status.ToString());
  }
  Settle();
}

void SimGroup::Boot(Machine& machine) {
  machine.boots.push_back(std::make_unique<sqlite::EnvVfs>(*machine.files));
  machine.boots.back()->SetOwner([this] { return scheduler_.current(); });
  machine.files->SetOwner([this] { return scheduler_.current(); });
  machine.application = scheduler_.NewProcess("app-" + machine.name);
  machine.up = true;
  StartServer(machine);
  scheduler_.StartIn(machine.application, [this, &machine] { RunApplication(machine); });
}

void SimGroup::StartServer(Machine& machine) {
  machine.server = scheduler_.NewProcess(machine.name);
  machine.server_up = true;
  scheduler_.StartIn(machine.server, [this, &machine] { RunServer(machine); });
}

// kill -9: the machine, its applications and what was written go on.
void SimGroup::KillServer(Machine& machine) {
  const ProcessId server = machine.server;
  machine.server_up = false;
  scheduler_.Kill(server);
  internet_.Died(machine.name);
  machine.boots.back()->DropOwner(server);
  machine.files->DropOwner(server);
}

void SimGroup::RunServer(Machine& machine) {
  while (true) {  // as systemd does; ends with the machine
    const Status status = RunServerOnce(machine);
    internet_.Close(machine.name);
    Say(fmt::format("the server {} ended: {}", machine.name, status.ToString()));
    scheduler_.Sleep(std::chrono::seconds(1));
  }
}

Status SimGroup::RunServerOnce(Machine& machine) {
  env::Env& env = *machine.files;
  server::Settings settings(ConfigOf(machine.name));
  ASSIGN_OR_RETURN(const server::DataDirectory directory, server::OpenDataDirectory(env, kDataDir));
  server::StartFence fence(env, directory.path, kLease);
  test::SimCoordinator coordinator(store_, [this, &machine] {
    const uint64_t fate = random_();
    const bool away = machine.coordinator_away;
    return test::SimCoordinator::Way{.there = internet_.Delay(),
                                     .back = internet_.Delay(),
                                     .arrives = !away || fate % 4 == 0,
                                     .answers = !away};
  });
  cluster::ServerRecord self;
  self.name = machine.name;
  self.version = "sim";
  self.identity = directory.identity;
  self.started = env.WallNow();
  const std::unique_ptr<rpc::Dialer> dialer = internet_.DialerOf(machine.name);
  ASSIGN_OR_RETURN(const auto server,
                   server::Server::Make(env, settings, coordinator, *dialer,
                                        {.data_dir = directory.path, .self = self}));
  internet_.Open(machine.name, {scheduler_.current(), &server->admin(), &server->ships()});
  while (true) {
    const Status status = server->Announce(machine.name, "", [&fence] { fence.Stop(); });
    if (status.ok()) break;
    scheduler_.Sleep(std::chrono::milliseconds(50));
  }
  server->Start();
  int never = 0;
  while (true) scheduler_.WaitFor(&never, std::chrono::hours(1));
}

void SimGroup::RunApplication(Machine& machine) {
  while (true) {
    scheduler_.Sleep(Between(5, 60));
    if (!writing_) continue;
    for (const std::string& database : options_.databases) TryToWrite(machine, database);
  }
}

void SimGroup::TryToWrite(Machine& machine, const std::string& database) {
  if (!env::Exists(*machine.files, PathOf(database))) return;
  const base::SteadyTime begin = clock_.Now();
  auto connection =
      sqlite::Connection::Open(PathOf(database), {.busy_timeout = std::chrono::milliseconds(200)});
  if (!connection.ok()) return;
  if (!(*connection)->Execute("PRAGMA synchronous=FULL").ok()) return;
  const int64_t row = next_row_++;
  if (!(*connection)
           ->Execute(fmt::format("INSERT INTO t VALUES({}, '{}')", row, machine.name))
           .ok())
    return;
  acknowledged_[database][row] = {machine.name, begin, clock_.Now()};
  ++result_.acknowledged;
}

void SimGroup::Crash(Machine& machine) {
  if (!machine.up) return;
  machine.up = false;
  machine.boots.back()->Kill();
  internet_.Died(machine.name);
  const ProcessId server = machine.server;
  const ProcessId application = machine.application;
  machine.files->PowerCut(random_());
  // The one that runs at last: it does not come back.
  const bool inside_server = scheduler_.current() == server;
  machine.server_up = false;
  scheduler_.Kill(inside_server ? application : server);
  scheduler_.Kill(inside_server ? server : application);
}

void SimGroup::Fault() {
  ++result_.faults;
  Machine& machine = Any();
  switch (random_() % 12) {
    case 0: {
      if (!machine.up) return Boot(machine);
      if (options_.verbose) Say("power cut of " + machine.name);
      return Crash(machine);
    }
    case 1: {
      if (!machine.up) return Boot(machine);
      const uint64_t changes = 1 + random_() % 300;
      if (options_.verbose) Say(fmt::format("{} dies after {} changes", machine.name, changes));
      return machine.files->CrashAfter(changes, [this, &machine] { Crash(machine); });
    }
    case 2:
      if (options_.verbose) Say("the coordinator is away for " + machine.name);
      machine.coordinator_away = !machine.coordinator_away;
      return;
    case 3: {
      Machine& other = Any();
      if (&other == &machine) return;
      if (options_.verbose) Say(fmt::format("cut {} -> {}", machine.name, other.name));
      internet_.Block(machine.name, other.name);
      if (random_() % 2 == 0) internet_.Block(other.name, machine.name);
      return;
    }
    case 4: {
      if (!machine.up) return;
      if (options_.verbose) Say("freeze " + machine.name);
      const ProcessId frozen = machine.server;
      scheduler_.Freeze(frozen);
      scheduler_.StartIn(driver_, [this, frozen] {
        scheduler_.Sleep(Between(100, 9000));
        scheduler_.Thaw(frozen);
      });
      return;
    }
    case 6:
      if (!machine.up) return Boot(machine);
      if (!machine.server_up) return StartServer(machine);
      if (options_.verbose) Say("kill -9 of the server of " + machine.name);
      return KillServer(machine);
    case 7:
      internet_.SetSlow(random_() % 2 == 0 ? std::chrono::milliseconds(400)
                                           : std::chrono::milliseconds(1));
      return;
    case 8: {
      const uint64_t more = random_() % 200'000;
      if (options_.verbose) Say(fmt::format("{} bytes fit on the disk of {}", more, machine.name));
      return machine.files->LimitSpace(more);
    }
    case 9: {
      const uint64_t changes = 1 + random_() % 100;
      if (options_.verbose) Say(fmt::format("{}: the disk fails in {}", machine.name, changes));
      return machine.files->FailAfter(changes);
    }
    case 5: {
      const std::vector<cluster::LeaseId> leases = store_.leases();
      if (leases.empty()) return;
      if (options_.verbose) Say("a lease is lost");
      return store_.Revoke(leases[random_() % leases.size()]);
    }
    case 10: {  // a copy is seeded anew, with the pages of another one
      v1::ReseedCopyRequest request;
      request.set_database(options_.databases[random_() % options_.databases.size()]);
      request.set_server(machine.name);
      request.set_full(random_() % 2 == 0);
      const std::string from = Any().name;
      if (from != machine.name) request.set_seed_from(from);
      if (options_.verbose)
        Say(fmt::format("reseed of {} on {} from {}", request.database(), machine.name, from));
      scheduler_.StartIn(driver_, [this, request, asked = machine.name] {
        v1::ReseedCopyResponse response;
        Ask(asked, request, response).IgnoreError();  // it may be the active copy, or be down
      });
      return;
    }
    default: {
      v1::SwitchoverRequest request;
      request.set_database(options_.databases[random_() % options_.databases.size()]);
      request.set_target(machine.name);
      const std::string asked = Any().name;
      if (options_.verbose)
        Say(fmt::format("switchover of {} to {}", request.database(), machine.name));
      scheduler_.StartIn(driver_, [this, request, asked] {
        v1::SwitchoverResponse response;
        Ask(asked, request, response).IgnoreError();  // it may be refused
      });
    }
  }
}

void SimGroup::HealAll() {
  internet_.Heal();
  for (const auto& machine : machines_) {
    machine->coordinator_away = false;
    machine->files->LimitSpace(std::nullopt);
    if (!machine->up) Boot(*machine);
    if (!machine->server_up) StartServer(*machine);
  }
  internet_.SetSlow(std::chrono::milliseconds(1));
}

Status SimGroup::Switchover(const std::string& database, size_t asked, size_t target) {
  v1::SwitchoverRequest request;
  request.set_database(database);
  request.set_target(machines_[target]->name);
  v1::SwitchoverResponse response;
  return Ask(machines_[asked]->name, request, response);
}

bool SimGroup::IsSettled(const std::string& database, std::string& why) {
  v1::StatusRequest request;
  request.set_database(database);
  v1::StatusResponse response;
  for (const auto& machine : machines_) {
    const Status asked = Ask(machine->name, request, response);
    if (!asked.ok()) {
      why = machine->name + ": " + asked.ToString();
      return false;
    }
  }
  why = response.ShortDebugString();
  const v1::DatabaseStatus& status = response.databases(0);
  result_.terms[database] = status.term();
  return std::all_of(status.copies().begin(), status.copies().end(), [](const auto& copy) {
    return copy.state() == "Mounted" ||
           (copy.state() == "Healthy" && copy.copy_queue() == 0 && copy.replay_queue() == 0);
  });
}

// Once the last fault is over, everything heals by itself within a limit.
void SimGroup::Settle() {
  const base::SteadyTime end = clock_.Now() + kSettleLimit;
  for (const std::string& database : options_.databases) {
    std::string why;
    while (!IsSettled(database, why)) {
      if (clock_.Now() >= end) return Violation(database + " does not heal: " + why);
      scheduler_.Sleep(std::chrono::milliseconds(500));
      for (const auto& machine : machines_) {  // a crash that was to come later
        if (!machine->up) Boot(*machine);
      }
    }
  }
}

std::vector<int64_t> SimGroup::RowsOf(Machine& machine, const std::string& database) {
  std::vector<int64_t> rows;
  bool done = false;
  scheduler_.StartIn(machine.application, [&] {
    auto connection = sqlite::Connection::Open(PathOf(database), {.read_only = true});
    if (connection.ok()) {
      auto statement = (*connection)->Prepare("SELECT id FROM t ORDER BY id");
      while (statement.ok()) {
        const auto row = statement->Step();
        if (!row.ok() || !*row) break;
        rows.push_back(statement->Int(0));
      }
      const auto check = (*connection)->QueryText("PRAGMA integrity_check");
      if (!check.ok() || *check != "ok")
        Violation(fmt::format("{} on {} is not sound", database, machine.name));
    } else {
      Violation(fmt::format("{} on {} cannot be opened", database, machine.name));
    }
    done = true;
    scheduler_.Wake(&done, true);
  });
  while (!done) scheduler_.WaitFor(&done, std::chrono::seconds(1));
  return rows;
}

// Lossless: every acknowledged row is there, on every copy; and copies are equal.
void SimGroup::CheckDatabase(const std::string& database) {
  const std::vector<int64_t> first = RowsOf(*machines_.front(), database);
  for (const auto& machine : machines_) {
    if (RowsOf(*machine, database) != first)
      Violation(fmt::format("{} on {} differs from that on {}", database, machine->name,
                            machines_.front()->name));
  }
  const std::set<int64_t> there(first.begin(), first.end());
  int told = 0;
  for (const auto& [row, by] : acknowledged_[database]) {
    if (there.contains(row) || ++told > 3) continue;
    const auto at =
        std::chrono::duration<double>(by.end.time_since_epoch() - std::chrono::hours(1));
    Violation(fmt::format("row {} of {}, acknowledged on {} at {:.4f}, is gone", row, database,
                          by.server, at.count()));
  }
}

void SimGroup::Check() {
  for (const std::string& database : options_.databases) CheckDatabase(database);
}

}  // namespace understudy::sim
