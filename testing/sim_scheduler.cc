// SPDX-License-Identifier: Apache-2.0
#include "testing/sim_scheduler.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace understudy::test {

// Its lowest page cannot be touched: a stack that is too small is seen at once.
struct SimScheduler::Stack {
  Stack() {
    base = static_cast<uint8_t*>(::mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    CHECK(base != MAP_FAILED);
    CHECK(::mprotect(base, static_cast<size_t>(::getpagesize()), PROT_NONE) == 0);
  }
  ~Stack() { ::munmap(base, kStackBytes); }
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  uint8_t* base = nullptr;
};

// One that was used before, if there is one: its pages need not be made again.
std::unique_ptr<SimScheduler::Stack> SimScheduler::TakeStack() {
  if (spare_stacks_.empty()) return std::make_unique<Stack>();
  std::unique_ptr<Stack> stack = std::move(spare_stacks_.back());
  spare_stacks_.pop_back();
  return stack;
}

// Of threads that never run again; not before the one that calls this has left its stack.
void SimScheduler::ReuseStacks() {
  for (const FiberPtr& fiber : done_) {
    if (spare_stacks_.size() < kSpareStacksMax) spare_stacks_.push_back(std::move(fiber->stack));
  }
  done_.clear();
}

namespace {
SimScheduler* entering = nullptr;  // makecontext passes integers only
constexpr base::Duration kForEver = std::chrono::hours(24 * 365);
constexpr double kMillion = 1'000'000;
}  // namespace

SimScheduler::SimScheduler(SimClock& clock, uint64_t seed) : clock_(clock), random_(seed) {
  CHECK(base::InstalledScheduler() == nullptr);
  base::InstallScheduler(this);
}

SimScheduler::~SimScheduler() { base::InstallScheduler(nullptr); }

SimScheduler::ProcessId SimScheduler::NewProcess(std::string name) {
  const ProcessId id = next_process_++;
  processes_[id].name = std::move(name);
  return id;
}

SimScheduler::ThreadId SimScheduler::StartIn(ProcessId process, std::function<void()> body) {
  CHECK(!processes_.at(process).killed);
  auto fiber = std::make_shared<Fiber>();
  fiber->id = next_thread_++;
  fiber->process = process;
  fiber->body = std::move(body);
  fiber->stack = TakeStack();
  CHECK(::getcontext(&fiber->context) == 0);
  fiber->context.uc_stack.ss_sp = fiber->stack->base;
  fiber->context.uc_stack.ss_size = kStackBytes;
  fiber->context.uc_link = nullptr;
  ::makecontext(&fiber->context, reinterpret_cast<void (*)()>(&SimScheduler::Enter), 0);
  fibers_[fiber->id] = fiber;
  ++processes_.at(process).threads;
  ready_.push_back(fiber);
  return fiber->id;
}

SimScheduler::ThreadId SimScheduler::Start(std::function<void()> body) {
  CHECK(running_ != nullptr);
  return StartIn(running_->process, std::move(body));
}

void SimScheduler::Enter(unsigned, unsigned) {
  SimScheduler& self = *entering;
  {
    const std::function<void()> body = std::move(self.running_->body);
    body();
  }
  Fiber& fiber = *self.running_;
  fiber.ended = true;
  --self.processes_.at(fiber.process).threads;
  self.fibers_.erase(fiber.id);
  self.done_.push_back(self.running_);
  self.Wake(&fiber, true);  // who joins it waits for its address
  self.SwitchAway();
}

void SimScheduler::SwitchAway() {
  CHECK(running_ != nullptr);
  // Nothing on this stack may own it: it may be the last that is done here.
  if (::_setjmp(running_->place) == 0) ::_longjmp(main_, 1);
}

void SimScheduler::Join(ThreadId thread) {
  while (true) {
    const auto found = fibers_.find(thread);
    if (found == fibers_.end()) return;
    WaitFor(found->second.get(), base::Duration::max());
  }
}

bool SimScheduler::IsCurrent(const Waiter& waiter) const {
  return waiter.fiber->waits && waiter.fiber->wait == waiter.wait &&
         !processes_.at(waiter.fiber->process).killed;
}

bool SimScheduler::WaitFor(const void* what, base::Duration limit) {
  CHECK(running_ != nullptr);
  Fiber& self = *running_;
  ++self.wait;
  self.waits = true;
  if (what != nullptr) waiting_[what].push_back({running_, self.wait});
  if (limit < kForEver) {
    limit = std::max(limit, base::Duration(0));
    const int drift = processes_.at(self.process).drift;
    if (drift != 0)
      limit = std::chrono::ceil<base::Duration>(limit * (kMillion / (kMillion + drift)));
    timers_.emplace(clock_.Now() + limit, Waiter{running_, self.wait});
  }
  SwitchAway();
  return !self.timed_out;
}

void SimScheduler::SetDrift(ProcessId process, int parts_per_million) {
  processes_.at(process).drift = parts_per_million;
}

base::SteadyTime SimScheduler::Now() {
  const base::SteadyTime now = clock_.Now();
  const int drift = running_ == nullptr ? 0 : processes_.at(running_->process).drift;
  if (drift == 0) return now;
  return now + std::chrono::floor<base::Duration>((now - began_) * (drift / kMillion));
}

void SimScheduler::Sleep(base::Duration length) { WaitFor(nullptr, length); }

void SimScheduler::Ready(const FiberPtr& fiber, bool timed_out) {
  fiber->waits = false;
  fiber->timed_out = timed_out;
  ready_.push_back(fiber);
}

void SimScheduler::Wake(const void* what, bool all) {
  const auto found = waiting_.find(what);
  if (found == waiting_.end()) return;
  std::deque<Waiter>& queue = found->second;
  while (!queue.empty()) {
    const Waiter waiter = queue.front();
    queue.pop_front();
    if (!IsCurrent(waiter)) continue;
    Ready(waiter.fiber, false);
    if (!all) break;
  }
  if (queue.empty()) waiting_.erase(found);
}

void SimScheduler::Kill(ProcessId process) {
  processes_.at(process).killed = true;
  for (const auto& [id, fiber] : fibers_) {
    if (fiber->process == process) done_.push_back(fiber);
  }
  std::erase_if(fibers_, [&](const auto& each) { return each.second->process == process; });
  std::erase_if(ready_, [&](const FiberPtr& fiber) { return fiber->process == process; });
  parked_.erase(process);
  processes_.at(process).threads = 0;
  if (running_ != nullptr && running_->process == process) SwitchAway();
}

void SimScheduler::Freeze(ProcessId process) { processes_.at(process).frozen = true; }

void SimScheduler::Thaw(ProcessId process) {
  processes_.at(process).frozen = false;
  const auto parked = parked_.extract(process);
  if (parked.empty()) return;
  ready_.insert(ready_.end(), parked.mapped().begin(), parked.mapped().end());
}

bool SimScheduler::IsAlive(ProcessId process) const {
  const Process& found = processes_.at(process);
  return !found.killed && found.threads > 0;
}

SimScheduler::ProcessId SimScheduler::current() const {
  return running_ == nullptr ? 0 : running_->process;
}

const std::string& SimScheduler::NameOf(ProcessId process) const {
  return processes_.at(process).name;
}

// Those whose time has come, or, where nobody can run, the next ones to come.
bool SimScheduler::TakeTimers() {
  while (!timers_.empty()) {
    const auto first = timers_.begin();
    if (!IsCurrent(first->second)) {
      timers_.erase(first);
      continue;
    }
    if (first->first > clock_.Now()) {
      if (!ready_.empty()) return true;
      clock_.Advance(first->first - clock_.Now());
    }
    const Waiter waiter = first->second;
    timers_.erase(first);
    Ready(waiter.fiber, true);
  }
  return !ready_.empty();
}

SimScheduler::FiberPtr SimScheduler::Pick() {
  std::swap(ready_[random_() % ready_.size()], ready_.back());
  FiberPtr fiber = std::move(ready_.back());
  ready_.pop_back();
  const Process& process = processes_.at(fiber->process);
  if (process.killed) return nullptr;
  if (!process.frozen) return fiber;
  parked_[fiber->process].push_back(std::move(fiber));
  return nullptr;
}

// By _longjmp, which unlike swapcontext asks the kernel for nothing; a context is for the first
// time.
void SimScheduler::SwitchTo(Fiber& fiber) {
  if (::_setjmp(main_) != 0) return;
  if (std::exchange(fiber.begun, true)) ::_longjmp(fiber.place, 1);
  entering = this;
  ::setcontext(&fiber.context);
}

void SimScheduler::Run(const std::function<bool()>& done) {
  CHECK(running_ == nullptr);
  while (!done()) {
    CHECK(TakeTimers());  // else everybody waits for ever: a deadlock
    FiberPtr next = Pick();
    if (next == nullptr) continue;
    ++turns_;
    clock_.Advance(kTurn);
    running_ = std::move(next);
    SwitchTo(*running_);
    running_ = nullptr;
    ReuseStacks();
  }
}

}  // namespace understudy::test
