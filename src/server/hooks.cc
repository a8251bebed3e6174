// SPDX-License-Identifier: Apache-2.0
#include "server/hooks.h"

#include <fmt/format.h>

#include <utility>

#include "base/thread.h"
#include "base/thread_name.h"
#include "server/program.h"

namespace understudy::server {
namespace {

const std::vector<std::string>& CommandOf(HookKind kind, const Config::Hooks& hooks) {
  switch (kind) {
    case HookKind::kPreMount: return hooks.pre_mount;
    case HookKind::kPostMount: return hooks.post_mount;
    case HookKind::kPreDismount: return hooks.pre_dismount;
    case HookKind::kPostDismount: return hooks.post_dismount;
  }
  return hooks.pre_mount;
}

}  // namespace

std::string_view HookName(HookKind kind) {
  switch (kind) {
    case HookKind::kPreMount: return "pre_mount";
    case HookKind::kPostMount: return "post_mount";
    case HookKind::kPreDismount: return "pre_dismount";
    case HookKind::kPostDismount: return "post_dismount";
  }
  return "?";
}

Hooks::Hooks(const ServerContext& context, std::string database, std::string path,
             std::function<void()> ended)
    : context_(context),
      database_(std::move(database)),
      path_(std::move(path)),
      ended_(std::move(ended)) {}

Hooks::~Hooks() {
  if (thread_.joinable()) thread_.Join();
}

bool Hooks::Has(HookKind kind) const {
  return !CommandOf(kind, context_.settings.Get().hooks).empty();
}

bool Hooks::Start(HookKind kind, const HookFacts& facts) {
  if (!Has(kind)) return false;
  if (running_ >= kStartedMax) {
    context_.events.Add(cluster::EventNumber::kHookFailed, cluster::Severity::kError, database_,
                        fmt::format("the hook {} of {} was not run: {} before it have not ended",
                                    HookName(kind), database_, kStartedMax));
    return false;
  }
  ++running_;
  thread_ = base::Thread([this, kind, facts, before = std::move(thread_)]() mutable {
    base::NameThisThread("hook-" + database_);
    if (before.joinable()) before.Join();
    result_ = Call(kind, facts);
    --running_;
    ended_();
  });
  return true;
}

base::Status Hooks::Finish() {
  if (thread_.joinable()) thread_.Join();
  return std::exchange(result_, base::Status());
}

base::Status Hooks::Run(HookKind kind, const HookFacts& facts) {
  return Start(kind, facts) ? Finish() : base::Status();
}

base::Status Hooks::Call(HookKind kind, const HookFacts& facts) {
  const Config::Hooks settings = context_.settings.Get().hooks;
  Program program;
  program.words = CommandOf(kind, settings);
  if (program.words.empty()) return {};
  const std::string name(HookName(kind));
  program.limit = settings.timeout;
  program.environment = {{"UNDERSTUDY_HOOK", name},
                         {"UNDERSTUDY_DATABASE", database_},
                         {"UNDERSTUDY_PATH", path_},
                         {"UNDERSTUDY_SERVER", context_.server},
                         {"UNDERSTUDY_TERM", fmt::format("{}", facts.term.value)},
                         {"UNDERSTUDY_POSITION", base::ToString(facts.position)},
                         {"UNDERSTUDY_REASON", facts.reason}};
  const base::Result<ProgramEnd> end = RunProgram(program);
  base::Status status = end.status();
  const std::string what =
      fmt::format("the hook {} of {} ({})", name, database_, program.words.front());
  if (!end.ok()) {
    status = status.WithContext(what);
  } else if (end->timed_out) {
    status = base::TimedOut(
        fmt::format("{} was killed after {} ms, the limit hooks.timeout{}{}", what,
                    settings.timeout / std::chrono::milliseconds(1),
                    end->last_line.empty() ? "" : "; its last line: ", end->last_line));
  } else if (end->exit_code != 0) {
    status = base::Unavailable(fmt::format("{} ended with {}{}{}", what, end->exit_code,
                                           end->last_line.empty() ? "" : ": ", end->last_line));
  }
  if (kind == HookKind::kPreMount && !status.ok()) return status;  // why the mount failed
  if (!status.ok()) {
    context_.events.Add(cluster::EventNumber::kHookFailed, cluster::Severity::kWarning, database_,
                        status.message());
  } else {
    base::Diag(base::DiagLevel::kInfo, "hook", "ran a hook",
               {{"hook", name}, {"database", database_}, {"printed", end->last_line}});
  }
  return status;
}

}  // namespace understudy::server
