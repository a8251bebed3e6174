// SPDX-License-Identifier: Apache-2.0
// SimScheduler: threads of any number of simulated processes, run one at a time on one real thread,
// in an order that follows from a seed, over a SimClock that moves on only while all of them wait.
//
// Each thread has a stack of its own and runs until it waits (base::Mutex, CondVar, Yield, and
// whatever the simulated files and network wait for). A process can be killed: its threads never
// run again, no destructor of theirs runs, as after kill -9. Or frozen, as by SIGSTOP: its threads
// stay where they are while time goes on.
//
// Threading: confined to one thread, whose Run is the only thing that lets simulated threads run.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/scheduler.h"
#include "testing/sim_clock.h"

namespace understudy::test {

class SimScheduler final : public base::Scheduler {
 public:
  using ProcessId = uint64_t;
  static constexpr size_t kStackBytes = 1 << 20;
  static constexpr size_t kSpareStacksMax = 256;
  // What a thread's turn costs, so that none that never waits stops time.
  static constexpr base::Duration kTurn = std::chrono::microseconds(1);
  static constexpr base::Duration kYield = std::chrono::microseconds(100);

  // Installs itself.
  SimScheduler(SimClock& clock, uint64_t seed);
  ~SimScheduler() override;  // threads that have not ended are dropped as by Kill
  SimScheduler(const SimScheduler&) = delete;
  SimScheduler& operator=(const SimScheduler&) = delete;

  ProcessId NewProcess(std::string name);
  // From anywhere: a first thread, or one more.
  ThreadId StartIn(ProcessId process, std::function<void()> body);
  // Does not return when the caller belongs to it.
  void Kill(ProcessId process);
  void Freeze(ProcessId process);
  void Thaw(ProcessId process);
  // Its steady clock runs that many parts of a million faster (or slower), since time began; what
  // it waits for is as much shorter.
  void SetDrift(ProcessId process, int parts_per_million);
  // How many threads of it have not ended.
  size_t CountThreads(ProcessId process) const { return processes_.at(process).threads; }
  bool IsAlive(ProcessId process) const;  // not killed, and has threads
  ProcessId current() const;              // 0: none runs
  const std::string& NameOf(ProcessId process) const;

  // Lets threads run until `done` says so (looked at before every turn). CHECKs that somebody can.
  void Run(const std::function<bool()>& done);
  // For a simulated thread: waits for simulated time.
  void Sleep(base::Duration length);
  uint64_t turns() const { return turns_; }

  ThreadId Start(std::function<void()> body) override;
  void Join(ThreadId thread) override;
  void Yield() override { Sleep(kYield); }
  bool WaitFor(const void* what, base::Duration limit) override;
  void Wake(const void* what, bool all) override;
  // By the clock of the process that asks.
  base::SteadyTime Now() override;
  // By the clock that has no drift.
  base::SteadyTime TrueNow() const { return clock_.Now(); }

 private:
  struct Stack;
  struct Process {
    std::string name;
    bool killed = false;
    bool frozen = false;
    size_t threads = 0;
    int drift = 0;  // parts of a million
  };
  struct Fiber {
    ThreadId id = 0;
    ProcessId process = 0;
    std::function<void()> body;
    std::unique_ptr<Stack> stack;
    ucontext_t context{};  // where it begins
    jmp_buf place;         // where it is, once it has begun
    bool begun = false;
    uint64_t wait = 0;  // counts waits; a timer or an entry in waiting_ of an older one is stale
    bool waits = false;
    bool timed_out = false;
    bool ended = false;
  };
  using FiberPtr = std::shared_ptr<Fiber>;
  struct Waiter {
    FiberPtr fiber;
    uint64_t wait = 0;
  };

  static void Enter(unsigned high, unsigned low);
  void SwitchAway();
  void SwitchTo(Fiber& fiber);
  std::unique_ptr<Stack> TakeStack();
  void ReuseStacks();
  void Ready(const FiberPtr& fiber, bool timed_out);
  bool TakeTimers();
  FiberPtr Pick();
  bool IsCurrent(const Waiter& waiter) const;

  SimClock& clock_;
  const base::SteadyTime began_ = clock_.Now();
  std::mt19937_64 random_;
  std::map<ProcessId, Process> processes_;
  std::map<ThreadId, FiberPtr> fibers_;  // that have not ended
  std::vector<FiberPtr> ready_;
  std::map<ProcessId, std::vector<FiberPtr>> parked_;  // ready, of frozen processes
  std::unordered_map<const void*, std::deque<Waiter>> waiting_;
  std::multimap<base::SteadyTime, Waiter> timers_;
  FiberPtr running_;
  jmp_buf main_;
  std::vector<FiberPtr> done_;  // whose stacks are free once nobody is on them
  std::vector<std::unique_ptr<Stack>> spare_stacks_;
  ThreadId next_thread_ = 1;
  ProcessId next_process_ = 1;
  uint64_t turns_ = 0;
};

}  // namespace understudy::test
