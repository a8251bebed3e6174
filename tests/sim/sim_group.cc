// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/sim_group.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

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

constexpr base::Duration kSettleLimit = std::chrono::minutes(5);
constexpr const char* kDataDir = "/data";

// Mostly three: what more of them cost grows faster than what they find.
int ServersBy(uint64_t chance) {
  constexpr int kServers[] = {3, 3, 3, 3, 3, 4, 4, 5, 5, 7};
  return kServers[chance % std::size(kServers)];
}

server::Config ConfigOf(const std::string& name, uint64_t scrub_rate) {
  server::Config config;
  config.server.name = name;
  config.server.data_dir = kDataDir;
  config.server.listen = config.server.advertise = name;
  config.coordinator.lease = kLease;
  config.ship.heartbeat = std::chrono::milliseconds(500);
  config.ship.silence_max = std::chrono::seconds(3);
  config.ship.retry_max = std::chrono::seconds(1);
  config.scrub.rate = scrub_rate;
  config.scrub.every = std::chrono::seconds(1);
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
  const int servers = options_.servers != 0 ? options_.servers : ServersBy(options_.seed);
  for (int i = 1; i <= servers; ++i) {
    auto machine = std::make_unique<Machine>();
    machine->name = fmt::format("s{}", i);
    machine->files = std::make_unique<SimFiles>(clock_, random_());
    if (options_.drift_most > 0) {
      const auto span = static_cast<uint64_t>(2 * options_.drift_most + 1);
      machine->drift = static_cast<int>(random_() % span) - options_.drift_most;
    }
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
  } else if constexpr (std::is_same_v<Request, v1::HoldsRequest>) {
    ASSIGN_OR_RETURN(response, client->Holds(request));
  } else if constexpr (std::is_same_v<Request, v1::ReseedCopyRequest>) {
    ASSIGN_OR_RETURN(response, client->ReseedCopy(request));
  } else {
    ASSIGN_OR_RETURN(response, client->Status(request));
  }
  return {};
}

template Status SimGroup::Ask(const std::string&, const v1::SwitchoverRequest&,
                              v1::SwitchoverResponse&);
template Status SimGroup::Ask(const std::string&, const v1::ReseedCopyRequest&,
                              v1::ReseedCopyResponse&);
template Status SimGroup::Ask(const std::string&, const v1::HoldsRequest&, v1::HoldsResponse&);

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
  if (!options_.script) InjectFaults();
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
    dial.set_dial(options_.dial);
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
  scheduler_.SetDrift(machine.application, machine.drift);
  machine.up = true;
  StartServer(machine);
  scheduler_.StartIn(machine.application, [this, &machine] { RunApplication(machine); });
}

void SimGroup::StartServer(Machine& machine) {
  machine.server = scheduler_.NewProcess(machine.name);
  scheduler_.SetDrift(machine.server, machine.drift);
  machine.server_up = true;
  for (Down& down : downs_) {
    if (down.server == machine.name) down.end = std::min(down.end, clock_.Now() + kFenceGrace);
  }
  downs_.push_back({machine.name, clock_.Now(), clock_.Now() + kFenceGrace});
  scheduler_.StartIn(machine.server, [this, &machine] { RunServer(machine); });
}

// kill -9: the machine, its applications and what was written go on.
void SimGroup::KillServer(Machine& machine) {
  const ProcessId server = machine.server;
  machine.server_up = false;
  downs_.push_back({machine.name, clock_.Now(), base::SteadyTime::max()});
  scheduler_.Kill(server);
  internet_.Died(machine.name);
  machine.boots.back()->DropOwner(server);
  machine.files->DropOwner(server);
}

void SimGroup::RunServer(Machine& machine) {
  while (true) {  // as systemd does; ends with the machine
    const Status status = RunServerOnce(machine);
    internet_.Close(machine.name);
    downs_.push_back({machine.name, clock_.Now(), clock_.Now() + kFenceGrace});
    Say(fmt::format("the server {} ended: {}", machine.name, status.ToString()));
    scheduler_.Sleep(std::chrono::seconds(1));
  }
}

Status SimGroup::RunServerOnce(Machine& machine) {
  env::Env& env = *machine.files;
  server::Settings settings(ConfigOf(machine.name, options_.scrub_rate));
  ASSIGN_OR_RETURN(const server::DataDirectory directory, server::OpenDataDirectory(env, kDataDir));
  server::StartFence fence(env, directory.path, kLease);
  test::SimCoordinator coordinator(
      store_,
      [this, &machine] {
        const uint64_t fate = random_();
        if (machine.nth_call != 0 && --machine.nth_call == 0) {
          machine.nth_was = true;
          return test::SimCoordinator::Way{.arrives = fate % 2 == 0, .answers = false};
        }
        const bool away = machine.coordinator_away;
        const bool late = away && fate % 4 == 1;
        return test::SimCoordinator::Way{
            .there = late ? test::SimCoordinator::kTimeout + std::chrono::milliseconds(fate % 7000)
                          : internet_.Delay(),
            .back = internet_.Delay(),
            .arrives = !away || fate % 4 == 0,
            .answers = !away,
            .late = late};
      },
      [this](std::function<void()> body) {
        scheduler_.StartIn(internet_.carrier(), std::move(body));
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

size_t SimGroup::CountFindings(const std::string& database) {
  v1::StatusRequest request;
  request.set_database(database);
  v1::StatusResponse response;
  if (!Ask(machines_[0]->name, request, response).ok()) return 0;
  size_t count = 0;
  for (const auto& copy : response.databases(0).copies())
    count += static_cast<size_t>(copy.scrub().findings_size());
  return count;
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

}  // namespace understudy::sim
