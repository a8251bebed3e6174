// SPDX-License-Identifier: Apache-2.0
// Hooks: the programs that an administrator has run when a database is mounted or dismounted here
// ([hooks] of the configuration, docs/routing.md). One object for each active copy.
//
//   pre_mount      before a term is taken; may veto: then the mount is refused
//   post_mount     once the copy is mounted
//   pre_dismount   before the copy is dismounted as planned; can veto a switchover, nothing else
//   post_dismount  once it is dismounted
//
// A copy's hooks run one after the other, beside the copy's thread, which follows its database
// meanwhile. Each ends within hooks.timeout, by being killed if need be. The settings are read anew
// for each. Threading: confined to the copy's thread, which must hold no mutex; done() is
// thread-safe. Each hook has a thread "hook-<database>", which waits for the one before; the
// destructor joins.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/status.h"
#include "base/thread.h"
#include "server/context.h"

namespace understudy::server {

enum class HookKind { kPreMount, kPostMount, kPreDismount, kPostDismount };
std::string_view HookName(HookKind kind);  // "pre_mount"

struct HookFacts {
  base::Term term;          // pre_mount: of the log's last record; the new one is not taken yet
  base::Position position;  // end of the log
  std::string reason;       // "mount", "switchover", "failover", "administrator", "lease", "stop"
};

class Hooks {
 public:
  // So many may have been started and not ended; another one is not run, which an event tells.
  static constexpr int kStartedMax = 8;

  // `ended` is called on another thread whenever a hook has ended.
  Hooks(const ServerContext& context, std::string database, std::string path,
        std::function<void()> ended);
  ~Hooks();
  Hooks(const Hooks&) = delete;
  Hooks& operator=(const Hooks&) = delete;

  bool Has(HookKind kind) const;  // one is configured
  // Does not wait. False: it is not run.
  bool Start(HookKind kind, const HookFacts& facts);
  // All that were started have ended.
  bool done() const { return running_ == 0; }
  // Waits for the hook that was started last: kUnavailable with its last line when it exited with
  // another code than 0, kTimedOut when it was killed, kIoError when it could not be started. Each
  // is told in an event, except of pre_mount, where it is why a mount fails.
  base::Status Finish();
  base::Status Run(HookKind kind, const HookFacts& facts);  // both

 private:
  base::Status Call(HookKind kind, const HookFacts& facts);

  const ServerContext context_;
  const std::string database_;
  const std::string path_;
  const std::function<void()> ended_;
  std::atomic<int> running_{0};
  base::Status result_;  // of the last one: its thread's until that is joined
  base::Thread thread_;  // of the last one; it joins the one before
};

}  // namespace understudy::server
