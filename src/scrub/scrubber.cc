// SPDX-License-Identifier: Apache-2.0
#include "scrub/scrubber.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/diag.h"

namespace understudy::scrub {
namespace {

using base::Code;
using base::Status;
using Outcome = Finding::Outcome;

constexpr size_t kSuspectsMax = 256;
// A copy that is in use so often in a row is told of.
constexpr int kBusyMax = 25;
// Servers that are asked for one generation.
constexpr uint32_t kServersMax = 64;
constexpr uint32_t kFirstChunkPages = 16;  // the page size is not known yet

// The copy is not open, or somebody else uses it: nothing was learnt.
bool IsNotNow(Code code) {
  return code == Code::kBusy || code == Code::kUnavailable || code == Code::kTimedOut ||
         code == Code::kCancelled;
}

}  // namespace

Scrubber::Scrubber(env::Env& env, const Options& options, base::RateLimit& rate, CopyAccess& copy,
                   OtherCopies& others, Listener& listener)
    : env_(env),
      options_(options),
      rate_(rate),
      copy_(copy),
      others_(others),
      listener_(listener),
      every_(options.every) {
  const auto saved = env::ReadFile(env_, options_.state_path, kStateBytesMax);
  if (saved.ok()) state_ = ScrubStateFromJson(std::string(saved->begin(), saved->end()));
  if (state_.last_started.unix_ms <= 0) {
    state_.last_started = env_.WallNow();
    changed_ = true;
  }
  retries_.resize(state_.findings.size());
}

Scrubber::RunResult Scrubber::RunOnce(base::SteadyTime now) {
  RunResult result;
  const base::Duration until_pass = UntilPass();
  if (!state_.running && until_pass <= base::Duration(0)) BeginPass(false);
  result.worked = TryOne(now);
  if (!result.worked && now >= not_before_ && now >= rate_.ReadyAt()) result.worked = Step(now);
  if (state_.running || !suspects_.empty()) {
    result.next = std::max(not_before_, rate_.ReadyAt());
  } else if (until_pass < base::Duration::max()) {
    result.next = now + std::max<base::Duration>(until_pass, base::Duration(0));
  }
  for (const Retry& retry : retries_) result.next = std::min(result.next, retry.at);
  if (changed_ && now >= next_save_) {
    next_save_ = now + kSaveInterval;
    Save();
  }
  if (changed_) result.next = std::min(result.next, next_save_);
  return result;
}

bool Scrubber::Step(base::SteadyTime now) {
  if (!suspects_.empty()) return LookAtSuspect(now);
  if (!state_.running) return false;
  return state_.in_log ? ScrubGeneration(now) : ScrubPages(now);
}

void Scrubber::Save() {
  changed_ = false;
  const Status saved =
      env::WriteFileAtomically(env_, options_.state_path, base::AsBytes(ToJson(state_)));
  if (saved.ok()) return;
  base::Diag(base::DiagLevel::kWarning, "scrub", "where it has come to was not saved",
             {{"file", options_.state_path}, {"why", saved.ToString()}});
}

// --- passes ---

base::Duration Scrubber::UntilPass() const {
  if (every_ <= base::Duration(0)) return base::Duration::max();
  const auto since =
      std::chrono::milliseconds(env_.WallNow().unix_ms - state_.last_started.unix_ms);
  if (since < base::Duration(0)) return every_;  // the clock was put back
  return every_ - since;
}

void Scrubber::BeginPass(bool asked) {
  state_.running = true;
  state_.asked = asked;
  state_.started = env_.WallNow();
  state_.in_log = false;
  state_.next_page = 1;
  state_.last_generation = 0;
  state_.counts = {};
  changed_ = true;
  next_save_ = {};
}

void Scrubber::EndPass(const std::string& stopped) {
  state_.running = false;
  state_.counts.failed = state_.findings.size();
  state_.last = state_.counts;
  state_.last_started = state_.started;
  state_.last_finished = env_.WallNow();
  state_.stopped = stopped;
  changed_ = true;
  next_save_ = {};
  if (!stopped.empty()) listener_.OnStopped(stopped);
}

void Scrubber::Start() {
  BeginPass(true);
  for (Retry& retry : retries_) retry = {};
  for (Finding& finding : state_.findings) finding.outcome = Outcome::kNew;
  not_before_ = {};
}

void Scrubber::Suspect(base::PageNo page) {
  const bool known = std::find(suspects_.begin(), suspects_.end(), page) != suspects_.end();
  if (!known && suspects_.size() < kSuspectsMax) suspects_.push_back(page);
}

bool Scrubber::NotNow(const Status& why, base::SteadyTime now) {
  not_before_ = now + (why.code() == Code::kBusy ? kRetryBusy : kRetryWaiting);
  return false;
}

bool Scrubber::LookAtSuspect(base::SteadyTime now) {
  const auto check = copy_.CheckPages(suspects_.back(), 1);
  if (!check.ok()) return NotNow(check.status(), now);
  suspects_.pop_back();
  for (const log::WrongPage& wrong : check->wrong) Add(wrong, now);
  return true;
}

bool Scrubber::ScrubPages(base::SteadyTime now) {
  const uint32_t chunk =
      page_size_ == 0 ? kFirstChunkPages
                      : std::max<uint32_t>(1, static_cast<uint32_t>(kChunkBytes) / page_size_);
  const auto check = copy_.CheckPages(base::PageNo(state_.next_page), chunk);
  if (!check.ok()) return NotNow(check.status(), now);
  page_size_ = check->at.page_size;
  pages_total_ = check->pages;
  const uint64_t bytes = uint64_t{check->count} * page_size_;
  rate_.Take(bytes, now);
  changed_ = true;
  state_.counts.pages += check->count;
  state_.counts.bytes += bytes;
  if (check->count == 0 || check->count > UINT32_MAX - state_.next_page) {
    state_.in_log = true;
  } else {
    state_.next_page += check->count;
    state_.in_log = state_.next_page > check->pages;
  }
  for (const log::WrongPage& wrong : check->wrong) Add(wrong, now);
  return true;
}

bool Scrubber::ScrubGeneration(base::SteadyTime now) {
  const auto generations = copy_.Generations();
  if (!generations.ok()) return NotNow(generations.status(), now);
  const auto next = std::find_if(
      generations->begin(), generations->end(),
      [&](const log::GenerationInfo& info) { return info.number.value > state_.last_generation; });
  if (next == generations->end()) {
    if (HasNew()) return NotNow(base::Busy("each finding is tried first"), now);
    EndPass("");
    return true;
  }
  const Status status = copy_.CheckGeneration(next->number);
  if (IsNotNow(status.code())) return NotNow(status, now);
  rate_.Take(next->bytes, now);
  changed_ = true;
  state_.last_generation = next->number.value;
  if (status.code() == Code::kNotFound) return true;  // truncated meanwhile
  ++state_.counts.generations;
  state_.counts.bytes += next->bytes;
  if (status.ok()) return true;
  Finding finding;
  finding.kind = Finding::Kind::kGeneration;
  finding.number = next->number.value;
  finding.damage = status.message();
  AddFinding(std::move(finding), now);
  return true;
}

// --- findings ---

bool Scrubber::repairing() const {
  return std::any_of(state_.findings.begin(), state_.findings.end(),
                     [](const Finding& finding) { return finding.outcome != Outcome::kFailed; });
}

bool Scrubber::HasNew() const {
  return std::any_of(state_.findings.begin(), state_.findings.end(),
                     [](const Finding& finding) { return finding.outcome == Outcome::kNew; });
}

void Scrubber::Add(const log::WrongPage& wrong, base::SteadyTime now) {
  Finding finding;
  finding.number = wrong.page.value;
  finding.expected = wrong.expected;
  finding.found = wrong.found;
  finding.damage = wrong.unreadable;
  AddFinding(std::move(finding), now);
}

void Scrubber::AddFinding(Finding finding, base::SteadyTime now) {
  changed_ = true;
  for (size_t i = 0; i < state_.findings.size(); ++i) {
    const Finding& known = state_.findings[i];
    if (known.kind != finding.kind || known.number != finding.number) continue;
    retries_[i].at = now;  // met again: tried again
    return;
  }
  if (state_.findings.size() >= kFindingsMax) {
    if (!state_.running) return;
    EndPass(fmt::format("more than {} pages or log files are damaged", kFindingsMax));
    return;
  }
  finding.since = env_.WallNow();
  ++state_.counts.found;
  next_save_ = {};
  listener_.OnFound(finding);
  state_.findings.push_back(std::move(finding));
  retries_.push_back({now, 0});
}

bool Scrubber::TryOne(base::SteadyTime now) {
  for (size_t i = 0; i < retries_.size(); ++i) {
    if (retries_[i].at > now) continue;
    Try(i, now);
    return true;
  }
  return false;
}

void Scrubber::Try(size_t index, base::SteadyTime now) {
  Finding& finding = state_.findings[index];
  Retry& retry = retries_[index];
  std::string how;
  const bool is_page = finding.kind == Finding::Kind::kPage;
  const Status status = is_page ? RepairPage(finding, how) : RepairGeneration(finding, how);
  changed_ = true;
  if (status.ok()) {
    ++state_.counts.repaired;
    ++state_.repaired_total;
    listener_.OnRepaired(finding, how);
    state_.findings.erase(state_.findings.begin() + static_cast<ptrdiff_t>(index));
    retries_.erase(retries_.begin() + static_cast<ptrdiff_t>(index));
    next_save_ = {};
    return;
  }
  finding.why = status.message();
  if (status.code() == Code::kBusy && ++retry.busy < kBusyMax) {
    retry.at = now + kRetryBusy;
    return;
  }
  retry.busy = 0;
  const Outcome outcome = IsNotNow(status.code()) ? Outcome::kWaiting : Outcome::kFailed;
  retry.at = now + (outcome == Outcome::kWaiting ? kRetryWaiting : kRetryFailed);
  if (std::exchange(finding.outcome, outcome) != outcome) listener_.OnNotRepaired(finding);
}

Status Scrubber::RepairPage(Finding& finding, std::string& how) {
  const base::PageNo page(static_cast<uint32_t>(finding.number));
  ASSIGN_OR_RETURN(const log::PageCheck check, copy_.CheckPages(page, 1));
  if (check.wrong.empty()) {
    how = check.count == 0 ? "the database no longer has that page"
                           : "a newer commit has replaced it, or it reads well again";
    return {};
  }
  finding.expected = check.wrong.front().expected;
  finding.found = check.wrong.front().found;
  ASSIGN_OR_RETURN(const OtherCopies::Found other, others_.FetchPage(page, finding.expected));
  if (log::HashPage(page, other.bytes) != finding.expected) {
    return base::Unavailable(fmt::format("{} sent another page than was asked for", other.server));
  }
  const Status repaired = copy_.RepairPage(page, other.bytes);
  if (repaired.code() == Code::kDiverged) return base::Busy(repaired.message());
  RETURN_IF_ERROR(repaired);
  how = "from " + other.server;
  return {};
}

Status Scrubber::RepairGeneration(const Finding& finding, std::string& how) {
  const base::Generation generation(finding.number);
  const Status check = copy_.CheckGeneration(generation);
  if (check.ok() || check.code() == Code::kNotFound) {
    how = check.ok() ? "it reads well again" : "nobody needed it, and it was truncated";
    return {};
  }
  if (IsNotNow(check.code())) return check;
  std::string refused;
  for (uint32_t skip = 0; skip < kServersMax; ++skip) {
    const auto other = others_.FetchGeneration(generation, skip);
    if (!other.ok()) return refused.empty() ? other.status() : other.status().WithContext(refused);
    const Status replaced = copy_.ReplaceGeneration(generation, other->bytes);
    if (replaced.ok()) {
      how = "from " + other->server;
      return {};
    }
    if (replaced.code() != Code::kInvalidArgument) return replaced;
    refused = fmt::format("{}: {}", other->server, replaced.message());
  }
  return base::NotFound(refused);
}

}  // namespace understudy::scrub
