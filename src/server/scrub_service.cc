// SPDX-License-Identifier: Apache-2.0
#include "server/scrub_service.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/thread.h"
#include "base/thread_name.h"
#include "server/copy_directory.h"
#include "server/scrub_copies.h"

namespace understudy::server {
namespace {

using cluster::EventNumber;
using cluster::Severity;
using scrub::Finding;

constexpr base::Duration kLookInterval = std::chrono::seconds(1);

std::string HashText(uint64_t hash) { return hash == 0 ? "" : fmt::format("{:016x}", hash); }

std::string DamageOf(const Finding& finding) {
  if (!finding.damage.empty()) return finding.damage;
  return fmt::format("its hash is {:016x}, {:016x} is on record", finding.found, finding.expected);
}

void Fill(const scrub::PassCounts& from, v1::ScrubCounts* to) {
  to->set_pages(from.pages);
  to->set_generations(from.generations);
  to->set_bytes(from.bytes);
  to->set_found(from.found);
  to->set_repaired(from.repaired);
  to->set_failed(from.failed);
}

void Fill(const Finding& from, v1::ScrubFinding* to) {
  to->set_what(from.Name());
  to->set_expected(HashText(from.expected));
  to->set_found(HashText(from.found));
  to->set_damage(from.damage);
  to->set_since_ms(from.since.unix_ms);
  switch (from.outcome) {
    case Finding::Outcome::kNew: to->set_state("new"); break;
    case Finding::Outcome::kWaiting: to->set_state("waiting"); break;
    case Finding::Outcome::kFailed: to->set_state("failed"); break;
  }
  to->set_why(from.why);
}

}  // namespace

// What is found and done, as events.
class ScrubService::Reporter final : public scrub::Listener {
 public:
  Reporter(const ServerContext& context, const CopyHost::Hosted& copy)
      : context_(context), copy_(copy) {}

  void OnFound(const Finding& finding) override {
    Tell(EventNumber::kDamageFound, Severity::kWarning,
         fmt::format("{} of {} on {} is damaged: {}; look at that server's disk: smartctl -a, "
                     "dmesg",
                     finding.Name(), copy_.name(), context_.server, DamageOf(finding)));
  }
  void OnRepaired(const Finding& finding, const std::string& how) override {
    const std::string hash = finding.kind == Finding::Kind::kPage
                                 ? fmt::format(", its hash is {:016x}", finding.expected)
                                 : std::string();
    const std::string what = how.rfind("from ", 0) == 0 ? "is repaired " + how + hash
                                                        : "needs no repair any more: " + how;
    Tell(EventNumber::kDamageRepaired, Severity::kInfo,
         fmt::format("{} of {} on {} {}", finding.Name(), copy_.name(), context_.server, what));
  }
  void OnNotRepaired(const Finding& finding) override {
    const bool waits = finding.outcome == Finding::Outcome::kWaiting;
    Tell(EventNumber::kDamageNotRepaired, waits ? Severity::kWarning : Severity::kError,
         fmt::format("{} of {} on {} is damaged and {}: {}; {}", finding.Name(), copy_.name(),
                     context_.server, waits ? "not repaired yet" : "could not be repaired",
                     finding.why, HintFor(finding)));
  }
  void OnStopped(const std::string& why) override {
    const bool is_passive = copy_.passive != nullptr;
    Tell(
        EventNumber::kScrubStopped, Severity::kError,
        fmt::format("the scrub of {} on {} was stopped: {}; {}", copy_.name(), context_.server, why,
                    is_passive ? "it is resynchronised; look at that server's disk"
                               : "make another copy the active one (understudy switchover run), "
                                 "and look at that server's disk"));
    if (is_passive) copy_.passive->RequestReseed(false).IgnoreError();  // the next pass asks again
  }

 private:
  void Tell(EventNumber number, Severity severity, const std::string& message) {
    context_.events.Add(number, severity, copy_.name(), message);
  }
  std::string HintFor(const Finding& finding) const {
    if (finding.outcome == Finding::Outcome::kWaiting) return "it is tried again every few seconds";
    if (finding.kind == Finding::Kind::kGeneration) {
      return "log that no copy has whole is of no use; a copy that needs it is resynchronised";
    }
    return "nothing was changed; restore a backup to see what that page held (understudy restore)";
  }

  const ServerContext context_;
  const CopyHost::Hosted copy_;
};

ScrubService::ScrubService(const ServerContext& context, const CopyHost& host)
    : context_(context), host_(host) {
  thread_ = base::Thread([this] { Run(); });
}

ScrubService::~ScrubService() { Stop(); }

void ScrubService::Stop() {
  {
    base::MutexLock lock(mutex_);
    if (stop_) return;
    stop_ = true;
    answered_.NotifyAll();
  }
  signal_.Notify();
  thread_.Join();
}

bool ScrubService::stopping() const {
  base::MutexLock lock(mutex_);
  return stop_;
}

// --- the scrub thread ---

void ScrubService::Run() {
  base::NameThisThread("scrub");
  while (!stopping()) {
    const uint64_t seen = signal_.count();
    const base::SteadyTime now = context_.env.Now();
    rate_.SetRate(context_.settings.Get().scrub.rate);
    if (now >= next_look_) {
      next_look_ = now + kLookInterval;
      FollowCopies();
    }
    TakeRequests();
    base::SteadyTime next = next_look_;
    const bool worked = rate_.rate() > 0 && RunEntries(next);
    const base::SteadyTime until = worked ? std::min(next, rate_.ReadyAt()) : next;
    const base::Duration pause = until - context_.env.Now();
    if (pause > base::Duration(0) && !stopping()) signal_.WaitFor(seen, pause);
  }
  for (auto& [id, entry] : entries_) Close(entry);
}

ScrubService::Entry ScrubService::Open(const CopyHost::Hosted& copy) {
  const Config config = context_.settings.Get();
  Entry entry;
  entry.copy = copy;
  entry.access = AccessTo(context_, copy);
  entry.others = OthersOf(context_, copy.id, copy.name());
  entry.reporter = std::make_unique<Reporter>(context_, copy);
  const std::string directory = PathsOf(host_.data_dir(), copy.name()).directory;
  entry.scrubber = std::make_unique<scrub::Scrubber>(
      context_.env,
      scrub::Scrubber::Options{.state_path = env::JoinPath(directory, ".scrub.json"),
                               .every = config.scrub.every},
      rate_, *entry.access, *entry.others, *entry.reporter);
  return entry;
}

void ScrubService::Close(Entry& entry) {
  entry.scrubber->Save();
  if (entry.copy.passive != nullptr) entry.copy.passive->SetPageRepair(false);
}

// A copy that has another role, or was added anew, is another one; where the scrub of it had come
// to is in its directory.
void ScrubService::FollowCopies() {
  const base::Duration every = context_.settings.Get().scrub.every;
  std::map<base::DatabaseId, CopyHost::Hosted> copies;
  for (CopyHost::Hosted& copy : host_.Copies()) copies.emplace(copy.id, std::move(copy));
  for (auto at = entries_.begin(); at != entries_.end();) {
    const auto found = copies.find(at->first);
    Entry& entry = at->second;
    if (found != copies.end() && found->second.active == entry.copy.active &&
        found->second.passive == entry.copy.passive) {
      ++at;
      continue;
    }
    // The directory of one that was removed is gone, or will be.
    if (found != copies.end() && found->second.incarnation() == entry.copy.incarnation()) {
      Close(entry);
    }
    base::MutexLock lock(mutex_);
    statuses_.erase(at->first);
    at = entries_.erase(at);
  }
  for (const auto& [id, copy] : copies) {
    auto found = entries_.find(id);
    if (found == entries_.end()) {
      const std::string directory = PathsOf(host_.data_dir(), copy.name()).directory;
      if (!env::Exists(context_.env, directory)) continue;  // it is being opened for the first time
      found = entries_.emplace(id, Open(copy)).first;
      Publish(found->second);
    }
    Entry& entry = found->second;
    entry.scrubber->SetEvery(every);
    if (copy.active == nullptr) continue;
    for (const base::PageNo page : copy.active->TakeSuspects()) {
      entry.scrubber->Suspect(page);
      entry.next = {};
    }
  }
}

void ScrubService::TakeRequests() {
  std::set<base::DatabaseId> requests;
  {
    base::MutexLock lock(mutex_);
    requests = requests_;
  }
  for (const base::DatabaseId& id : requests) {
    const auto found = entries_.find(id);
    if (found == entries_.end()) continue;
    found->second.scrubber->Start();
    found->second.next = {};
    Publish(found->second);
  }
  if (requests.empty()) return;
  base::MutexLock lock(mutex_);
  for (const base::DatabaseId& id : requests) {
    if (entries_.contains(id)) requests_.erase(id);
  }
  answered_.NotifyAll();
}

bool ScrubService::RunEntries(base::SteadyTime& next) {
  bool worked = false;
  for (auto& [id, entry] : entries_) {
    const base::SteadyTime now = context_.env.Now();
    if (now < entry.next) {
      next = std::min(next, entry.next);
      continue;
    }
    if (stopping()) return false;
    const scrub::Scrubber::RunResult run = entry.scrubber->RunOnce(now);
    entry.next = run.worked ? now : run.next;
    worked = worked || run.worked;
    next = std::min(next, entry.next);
    if (entry.copy.passive != nullptr) {
      entry.copy.passive->SetPageRepair(entry.scrubber->repairing());
    }
    Publish(entry);
  }
  return worked;
}

void ScrubService::Publish(const Entry& entry) {
  const scrub::ScrubState& state = entry.scrubber->state();
  v1::ScrubStatus status;
  status.set_running(state.running);
  if (state.running) {
    status.set_started_ms(state.started.unix_ms);
    status.set_bytes_done(state.counts.bytes);
    status.set_bytes_total(std::max(
        state.counts.bytes, uint64_t{entry.scrubber->pages_total()} * entry.scrubber->page_size()));
    Fill(state.counts, status.mutable_counts());
  }
  status.set_last_started_ms(state.last_started.unix_ms);
  status.set_last_finished_ms(std::max<int64_t>(0, state.last_finished.unix_ms));
  Fill(state.last, status.mutable_last());
  status.set_stopped(state.stopped);
  status.set_repaired_total(state.repaired_total);
  for (const Finding& finding : state.findings) {
    const bool failed = finding.outcome == Finding::Outcome::kFailed;
    failed ? status.set_failed(status.failed() + 1) : status.set_waiting(status.waiting() + 1);
    if (status.findings_size() < static_cast<int>(kFindingsTold)) {
      Fill(finding, status.add_findings());
    }
  }
  base::MutexLock lock(mutex_);
  statuses_[entry.copy.id] = std::move(status);
}

// --- any thread ---

base::Result<base::WallTime> ScrubService::Start(base::DatabaseId id) {
  if (context_.settings.Get().scrub.rate == 0) {
    return base::Unavailable(fmt::format(
        "scrubbing is switched off on {}: scrub.rate is 0 in its configuration", context_.server));
  }
  const base::SteadyTime end = context_.env.Now() + kStartLimit;
  base::MutexLock lock(mutex_);
  requests_.insert(id);
  signal_.Notify();
  while (requests_.contains(id) && !stop_) {
    const base::Duration left = end - context_.env.Now();
    if (left <= base::Duration(0)) break;
    answered_.WaitFor(mutex_, left);
  }
  if (requests_.erase(id) > 0) {
    return base::Unavailable(
        fmt::format("the copy on {} is not open, or another one is being repaired: try again",
                    context_.server));
  }
  return base::WallTime{statuses_[id].started_ms()};
}

v1::ScrubStatus ScrubService::Status(base::DatabaseId id) const {
  const Config config = context_.settings.Get();
  v1::ScrubStatus status;
  {
    base::MutexLock lock(mutex_);
    const auto found = statuses_.find(id);
    if (found != statuses_.end()) status = found->second;
  }
  status.set_off(config.scrub.rate == 0);
  status.set_rate(config.scrub.rate);
  status.set_every_ms(config.scrub.every / std::chrono::milliseconds(1));
  return status;
}

}  // namespace understudy::server
