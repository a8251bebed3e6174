// SPDX-License-Identifier: Apache-2.0
// The active copy's thread: mounting, following, and why it stops doing so.
#include "server/active_copy.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/diag.h"
#include "base/thread.h"
#include "base/thread_name.h"
#include "ship/log_source.h"
#include "ship/seed_source.h"

namespace understudy::server {
namespace {

constexpr base::Duration kRetryDelayFirst = std::chrono::milliseconds(200);
constexpr base::Duration kRetryDelayMax = std::chrono::seconds(5);
constexpr base::Duration kWaitMax = std::chrono::seconds(1);
// How often a copy that may not be mounted looks whether it may again.
constexpr base::Duration kRestMax = std::chrono::milliseconds(100);
constexpr base::Duration kRetentionInterval = std::chrono::seconds(5);

}  // namespace

ActiveCopy::ActiveCopy(const ServerContext& context, Options options)
    : context_(context),
      options_(std::move(options)),
      tasks_([this] { Wake(); }),
      moves_([this] { Wake(); }),
      handover_(options_.handover),
      move_reason_(options_.move_reason),
      keeper_(context_, options_.name, options_.paths.log),
      hooks_(context_, options_.name, options_.path, [this] { Wake(); }) {
  peers_ = options_.peers;
  for (const auto& [peer, seq] : options_.known) {
    progress_[peer].durable.seq = seq;
  }
  thread_ = base::Thread([this] { Run(); });
}

ActiveCopy::~ActiveCopy() { Stop(StopMode::kLeave); }

void ActiveCopy::BeginStop(StopMode mode) {
  {
    base::MutexLock lock(mutex_);
    if (!stop_) stop_mode_ = mode;
    stop_ = true;
  }
  Wake();
}

void ActiveCopy::Stop(StopMode mode) {
  BeginStop(mode);
  if (thread_.joinable()) thread_.Join();
}

bool ActiveCopy::stopping() const {
  base::MutexLock lock(mutex_);
  return stop_;
}

void ActiveCopy::Wake() {
  signal_.Notify();
  base::MutexLock lock(mutex_);
  if (waker_ != nullptr) waker_->Wake();
}

void ActiveCopy::SetState(State state) {
  {
    base::MutexLock lock(mutex_);
    state_ = state;
    changed_.NotifyAll();
  }
  NotifyListeners();
}

void ActiveCopy::NotifyListeners() {
  std::vector<std::shared_ptr<rpc::Signal>> listeners;
  {
    base::MutexLock lock(mutex_);
    std::erase_if(listeners_, [](const auto& listener) { return listener.expired(); });
    for (const auto& listener : listeners_) {
      if (auto signal = listener.lock()) listeners.push_back(std::move(signal));
    }
  }
  for (const auto& signal : listeners) signal->Notify();
}

// --- the copy's thread ---

void ActiveCopy::Run() {
  base::NameThisThread("cap-" + options_.name);
  const base::Result<bool> left_mounted = WasLeftMounted(context_.env, options_.paths, options_.id);
  SetUnfenced(left_mounted.ok() && *left_mounted);
  while (!stopping()) {
    if (options_.retiring) {
      if (retired()) {
        Rest(kWaitMax);
      } else if (const base::Status status = Retire(); !status.ok()) {
        OnFailure(status);
      }
      continue;
    }
    if (!MayBeMounted(context_.authority.margin())) {
      if (stopping()) break;
      if (unfenced_) {
        Dismount();
      } else {
        Rest(kRestMax);
      }
      continue;
    }
    if (const base::Status status = TryMount(); !status.ok()) {
      // Cancelled: while pre_mount ran it ceased to be a copy that may be mounted.
      if (status.code() == base::Code::kFenced) {
        OnFenced(status);
      } else if (status.code() != base::Code::kCancelled) {
        OnFailure(status);
      }
      continue;
    }
    RunMounted();
  }
  StopMode mode = StopMode::kLeave;
  {
    base::MutexLock lock(mutex_);
    mode = stop_mode_;
  }
  const bool mounted = capture_ != nullptr;
  FinalDismount(mode);
  handover_.reset();
  tasks_.Close();
  moves_.Close();
  SetState(State::kDismounted);
  const bool moved = mode == StopMode::kMoved;
  const bool told =
      mounted && hooks_.Start(HookKind::kPostDismount, Facts(moved ? "failover" : "stop"));
  if (told && !moved) hooks_.Finish().IgnoreError();  // if it failed, an event says so
  if (moved) CloseMount();  // the passive copy opens the log, though a hook of ours may still run
}

// Whether this may be the mounted copy for `spare` more at least. The only copy there is may always
// be: nobody else can be made the active one.
bool ActiveCopy::MayBeMounted(base::Duration spare) {
  base::MutexLock lock(mutex_);
  const base::SteadyTime now = context_.env.Now();
  if (stop_ || !wanted_ || moved_ || now < relinquished_until_) return false;
  return peers_.empty() || now + spare < context_.authority.until();
}

bool ActiveCopy::HasLease(base::Duration spare) const {
  base::MutexLock lock(mutex_);
  return peers_.empty() || context_.env.Now() + spare < context_.authority.until();
}

void ActiveCopy::Rest(base::Duration limit) {
  const uint64_t seen = signal_.count();
  tasks_.RunAll(nullptr);
  moves_.RunAll(nullptr);
  bool changes = false;
  {
    base::MutexLock lock(mutex_);
    changes = state_ == State::kMounting || state_ == State::kFailed;
  }
  if (changes) SetState(State::kDismounted);
  if (!stopping()) signal_.WaitFor(seen, limit);
}

void ActiveCopy::CloseCapture() {
  {
    base::MutexLock lock(mutex_);
    waker_ = nullptr;
  }
  capture_.reset();
}

void ActiveCopy::SetUnfenced(bool unfenced) {
  unfenced_ = unfenced;
  base::MutexLock lock(mutex_);
  fenced_ = !unfenced;
  changed_.NotifyAll();
}

void ActiveCopy::SetFinal() {
  {
    base::MutexLock lock(mutex_);
    final_ = mount_.log != nullptr;
  }
  NotifyListeners();
}

void ActiveCopy::CloseMount() {
  base::MutexLock lock(mutex_);
  mount_ = {};
  final_ = false;
}

// The registry has decided otherwise, and its record is on the way here: nothing has failed.
void ActiveCopy::OnFenced(const base::Status& status) {
  base::Diag(base::DiagLevel::kInfo, "server", "not mounted",
             {{"database", options_.name}, {"why", status.message()}});
  CloseMount();
  Rest(kWaitMax);
}

void ActiveCopy::OnFailure(const base::Status& status) {
  CloseCapture();
  bool first = false;
  {
    base::MutexLock lock(mutex_);
    first = failure_.message() != status.message();
    failure_ = status;
    failure_time_ = context_.env.WallNow();
    mount_ = {};
    final_ = false;
  }
  SetState(State::kFailed);
  if (first) {
    context_.events.Add(
        cluster::EventNumber::kCaptureFailed, cluster::Severity::kError, options_.name,
        fmt::format("the active copy of {} failed: {}", options_.name, status.ToString()));
  }
  retry_delay_ = std::clamp<base::Duration>(retry_delay_ * 2, kRetryDelayFirst, kRetryDelayMax);
  const base::SteadyTime until = context_.env.Now() + retry_delay_;
  while (!stopping() && context_.env.Now() < until) {
    const uint64_t seen = signal_.count();
    tasks_.RunAll(nullptr);
    moves_.RunAll(nullptr);
    if (!MayBeMounted(context_.authority.margin())) return;
    // Applications may be writing it: it must be fenced in time, failed or not.
    signal_.WaitFor(seen, BeforeDismount(until - context_.env.Now()));
  }
}

void ActiveCopy::RunMounted() {
  {
    base::MutexLock lock(mutex_);
    waker_ = capture_.get();
  }
  while (!stopping()) {
    moves_.RunAll(this);
    if (capture_ == nullptr) return;  // moved to another server
    if (const base::Status why = std::exchange(given_up_, {}); !why.ok()) {
      OnFailure(why);
      return;
    }
    if (!MayBeMounted(context_.authority.margin())) {
      if (!stopping()) Dismount();
      return;
    }
    // A database that nobody else has needs no fence after a crash.
    if (mark_has_peers_ != HasPeers()) {
      if (const base::Status saved = SaveMark(); !saved.ok()) {
        OnFailure(saved);
        return;
      }
    }
    if (const base::Status status = RunCapture(); !status.ok()) {
      OnFailure(status);
      return;
    }
  }
}

base::Status ActiveCopy::RunCapture() {
  ASSIGN_OR_RETURN(const bool more, Follow());
  if (!more && !stopping()) AwaitWork();
  return {};
}

// Whether there is more to capture at once.
base::Result<bool> ActiveCopy::Follow() {
  tasks_.RunAll(capture_.get());
  ASSIGN_OR_RETURN(const bool more, capture_->RunOnce(context_.env.Now()));
  Publish();
  return more;
}

void ActiveCopy::AwaitWork() {
  const base::Duration limit = BeforeDismount(kWaitMax);
  if (limit > base::Duration(0)) capture_->WaitForChange(limit);
}

// How long may be waited, at most `limit`: a dismount is due when the lease is about to end.
base::Duration ActiveCopy::BeforeDismount(base::Duration limit) const {
  if (!HasPeers()) return limit;
  const base::Duration left = context_.authority.dismount_at() - context_.env.Now();
  return std::clamp<base::Duration>(left, base::Duration(0), limit);
}

std::vector<base::PageNo> ActiveCopy::TakeSuspects() {
  base::MutexLock lock(mutex_);
  return std::exchange(suspects_, {});
}

void ActiveCopy::Publish() {
  std::shared_ptr<log::LogStore> log;
  std::vector<base::PageNo> suspects = capture_->TakeSuspects();
  {
    base::MutexLock lock(mutex_);
    log = mount_.log;
    if (!suspects.empty()) suspects_ = std::move(suspects);
    if (!failure_.ok()) failure_ = {};  // it runs again
  }
  if (const uint64_t change = log->change_count(); change != seen_log_change_) {
    seen_log_change_ = change;
    NotifyListeners();
  }
  const base::SteadyTime now = context_.env.Now();
  if (now < next_retention_) return;
  next_retention_ = now + kRetentionInterval;
  if (const base::Status kept = KeepLog(log); !kept.ok()) {
    base::Diag(base::DiagLevel::kWarning, "log", "log could not be truncated",
               {{"database", options_.name}, {"why", kept.ToString()}});
  }
}

// What a seed that was cut off has held, once its copy follows the log from beyond there again.
void ActiveCopy::ReleaseSeedHolds(log::LogStore& log, const std::set<std::string>& seeding) {
  std::map<std::string, base::Seq> held;
  for (const log::Hold& hold : log.holds()) held[hold.name] = hold.seq;
  for (const auto& [peer, progress] : peer_progress()) {
    const auto seed = held.find(ship::SeedSource::HoldName(peer));
    const auto copier = held.find(ship::LogSource::HoldName(peer));
    if (seed == held.end() || copier == held.end() || seeding.contains(peer)) continue;
    if (progress.connected && copier->second > seed->second) log.ReleaseHold(seed->first);
  }
}

base::Status ActiveCopy::KeepLog(const std::shared_ptr<log::LogStore>& log) {
  LogKeeper::Facts facts;
  facts.active = true;
  facts.keep_bytes = context_.settings.Get().log.keep_bytes;
  std::set<std::string> seeding;
  if (context_.seeds != nullptr) {
    for (const SeedSlots::Seed& seed : context_.seeds->given.seeds()) {
      if (seed.database == options_.name) seeding.insert(seed.peer);
    }
  }
  {
    base::MutexLock lock(mutex_);
    for (const auto& [peer, incarnation] : peers_) {
      facts.stragglers.insert(ship::LogSource::HoldName(peer));
      if (!seeding.contains(peer)) facts.stragglers.insert(ship::SeedSource::HoldName(peer));
    }
  }
  ReleaseSeedHolds(*log, seeding);
  if (keeper_.WantsCheckpoint(*log, capture::kHoldName)) {
    RETURN_IF_ERROR(capture_->SaveCheckpoint());
  }
  ASSIGN_OR_RETURN(const auto let_go, keeper_.Keep(*log, facts));
  for (const RetentionPlan::LetGo& one : let_go) OnLetGo(*log, one);
  return {};
}

}  // namespace understudy::server
