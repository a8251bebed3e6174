// SPDX-License-Identifier: Apache-2.0
// SimInternet: connections between simulated servers with TCP's promises: bytes arrive in order or
// not at all. A cut loses nothing that is under way, it only delays it, until both ends' keepalive
// gives the connection up; a server that died is noticed the same way, or by a reset. So a message
// comes twice or out of order in two ways only, and both are made: a call whose caller gave up and
// asked again comes nevertheless, and an old connection's messages come after a newer one was made.
//
// Threading: confined to the simulation's thread.
#pragma once

#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "rpc/admin_backend.h"
#include "rpc/dialer.h"
#include "rpc/rpc_server.h"
#include "testing/sim_scheduler.h"

namespace understudy::sim {

struct Wire;  // one connection, sim_network.cc

class SimInternet {
 public:
  // After which an end takes the other one for dead.
  static constexpr base::Duration kKeepalive = std::chrono::seconds(15);

  SimInternet(test::SimScheduler& scheduler, uint64_t seed)
      : scheduler_(scheduler), random_(seed), carrier_(scheduler.NewProcess("network")) {}

  static constexpr base::Duration kFast = std::chrono::milliseconds(1);

  // What answers at `server`, until the process ends.
  struct Host {
    test::SimScheduler::ProcessId process = 0;
    rpc::AdminBackend* admin = nullptr;
    rpc::ShipAcceptor* ships = nullptr;
  };
  void Open(const std::string& server, Host host) { hosts_[server] = host; }
  void Close(const std::string& server) { hosts_.erase(server); }
  // Null: nobody listens there.
  const Host* Find(const std::string& server) const;
  // Its process was killed: connections are reset.
  void Died(const std::string& server);

  // One way only.
  void Block(const std::string& from, const std::string& to) { blocked_.insert({from, to}); }
  void Heal() { blocked_.clear(); }
  void SetSlow(base::Duration most) { slowest_ = most; }
  // What log and seeds take in addition, as if their connections were full.
  void SetStreamDelay(base::Duration delay) { stream_delay_ = delay; }
  base::Duration stream_delay() const { return stream_delay_; }
  bool IsBlocked(const std::string& from, const std::string& to) const {
    return blocked_.contains({from, to});
  }
  base::Duration Delay();
  // Of a call: one in so many loses packets, and TCP is long in sending them again.
  static constexpr uint64_t kHeldUpOneIn = 50;
  static constexpr uint64_t kHeldUpOneInSlow = 8;
  static constexpr std::chrono::milliseconds kHeldUpMost{8000};
  base::Duration CallDelay();

  // The nth call from now on that `server` makes gets no answer; every other one is carried out.
  void FailNth(const std::string& server, uint64_t nth) {
    nth_server_ = server;
    nth_ = nth;
  }
  bool IsNth(const std::string& server) {
    return nth_ != 0 && server == nth_server_ && --nth_ == 0;
  }
  bool has_failed_nth() const { return !nth_server_.empty() && nth_ == 0; }
  bool IsLucky() { return random_() % 2 == 0; }
  void CountLate() { ++late_; }
  uint64_t late() const { return late_; }  // calls that came after their caller had given up
  // What is under way without a sender lives here.
  test::SimScheduler::ProcessId carrier() const { return carrier_; }

  std::unique_ptr<rpc::Dialer> DialerOf(const std::string& server);
  test::SimScheduler& scheduler() { return scheduler_; }
  // Of a server, that have not been given up.
  size_t CountConnections(const std::string& server) const;
  std::vector<std::shared_ptr<Wire>>& wires() { return wires_; }

 private:
  test::SimScheduler& scheduler_;
  std::mt19937_64 random_;
  const test::SimScheduler::ProcessId carrier_;
  uint64_t late_ = 0;
  std::string nth_server_;
  uint64_t nth_ = 0;
  base::Duration stream_delay_{};
  base::Duration slowest_ = kFast;
  std::map<std::string, Host> hosts_;
  std::set<std::pair<std::string, std::string>> blocked_;
  std::vector<std::shared_ptr<Wire>> wires_;
};

}  // namespace understudy::sim
