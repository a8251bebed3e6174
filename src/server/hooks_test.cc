// SPDX-License-Identifier: Apache-2.0
// Real processes: /bin/sh as the program that an administrator names.
#include "server/hooks.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): kill is POSIX
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <sstream>

#include "cluster/embedded_coordinator.h"
#include "server/program.h"
#include "testing/mem_env.h"
#include "testing/temp_dir.h"

namespace understudy::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = std::chrono::steady_clock;

Program Shell(const std::string& script, base::Duration limit = seconds(20)) {
  return {{"/bin/sh", "-c", script}, {}, limit};
}

std::string Read(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(Program, TellsExitCodeAndLastLine) {
  const auto end = RunProgram(Shell("echo one; echo two >&2; echo; exit 3"));
  ASSERT_TRUE(end.ok()) << end.status().ToString();
  EXPECT_EQ(end->exit_code, 3);
  EXPECT_EQ(end->last_line, "two");
  EXPECT_FALSE(end->timed_out);
  EXPECT_EQ(RunProgram(Shell("kill -TERM $$"))->exit_code, 128 + SIGTERM);
  EXPECT_EQ(RunProgram(Shell("true"))->last_line, "");
  EXPECT_EQ(RunProgram(Shell("printf 'a\\tb\\033'"))->last_line, "a?b?");
}

TEST(Program, WhatCannotBeStartedIsNamed) {
  const auto end = RunProgram({{"/no/such/program"}, {}, seconds(5)});
  EXPECT_EQ(end.status().code(), base::Code::kIoError);
  EXPECT_NE(end.status().message().find("/no/such/program"), std::string::npos);
}

TEST(Program, OutputIsBoundedHoweverMuchItPrints) {
  const auto end =
      RunProgram(Shell("head -c 20000000 /dev/zero | tr '\\0' 'x'; echo; echo the end"));
  EXPECT_EQ(end->last_line, "the end");
  const auto line = RunProgram(Shell("head -c 100000 /dev/zero | tr '\\0' 'x'"));
  EXPECT_EQ(line->last_line, std::string(kProgramLineBytesMax, 'x'));
}

TEST(Program, OneThatHangsIsKilledWithItsChildren) {
  const test::TempDir directory;
  const std::string pid_file = directory.File("pid");
  const auto begin = Clock::now();
  const auto end =
      RunProgram(Shell("trap '' TERM; sleep 600 & echo $! > " + pid_file + "; echo waiting; wait",
                       milliseconds(500)));
  EXPECT_TRUE(end->timed_out);
  EXPECT_EQ(end->exit_code, 128 + SIGKILL);
  EXPECT_EQ(end->last_line, "waiting");
  EXPECT_LT(Clock::now() - begin, seconds(10));
  const pid_t child = std::stoi(Read(pid_file));
  // Gone, or a zombie that nobody has waited for yet.
  const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, child, 0));
  if (pidfd >= 0) {
    pollfd wait = {.fd = pidfd, .events = POLLIN, .revents = 0};
    EXPECT_EQ(::poll(&wait, 1, 10'000), 1);
    ::close(pidfd);
  }
}

TEST(Program, OneThatLeavesAChildBehindIsNotWaitedFor) {
  const auto begin = Clock::now();
  const auto end = RunProgram(Shell("sleep 600 & echo $!"));
  EXPECT_EQ(end->exit_code, 0);
  EXPECT_LT(Clock::now() - begin, seconds(15));
  EXPECT_EQ(::kill(std::stoi(end->last_line), SIGKILL), 0);  // it lives on
}

TEST(Program, InheritsNoDescriptorAndNoSignalMask) {
  const test::TempDir directory;
  // One without close-on-exec, as a library might make it.
  const int leaked = ::open(directory.File("x").c_str(), O_RDWR | O_CREAT, 0600);
  ASSERT_GE(leaked, 0);
  sigset_t term;
  sigset_t before;
  ::sigemptyset(&term);
  ::sigaddset(&term, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &term, &before);
  const auto end = RunProgram(Shell("exec ls -m /proc/self/fd"));
  const auto mask = RunProgram(Shell("exec grep SigBlk /proc/self/status"));
  const auto group =
      RunProgram(Shell("test \"$(cut -d ' ' -f 5 /proc/$$/stat)\" = $$ && echo own"));
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::close(leaked);
  EXPECT_EQ(end->last_line, "0, 1, 2, 3");  // with the directory that it lists
  EXPECT_EQ(mask->last_line, "SigBlk:?0000000000000000");
  EXPECT_EQ(group->last_line, "own");
}

// Closing a descriptor drops a process's locks on its file: the child's closing must not drop ours.
TEST(Program, LeavesOurFileLocksAlone) {
  const test::TempDir directory;
  const std::string path = directory.File("locked");
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  struct flock lock{};
  lock.l_type = F_WRLCK;
  ASSERT_EQ(::fcntl(file, F_SETLK, &lock), 0);
  ASSERT_EQ(RunProgram(Shell("true"))->exit_code, 0);
  const auto probe =
      RunProgram({{"/usr/bin/env", "python3", "-c",
                   "import fcntl, sys\n"
                   "file = open(sys.argv[1], 'r+')\n"
                   "try: fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB); print('free')\n"
                   "except OSError: print('locked')\n",
                   path},
                  {},
                  seconds(20)});
  EXPECT_EQ(probe->last_line, "locked");
  ::close(file);
}

class HooksTest : public ::testing::Test {
 protected:
  HooksTest() {
    auto coordinator = cluster::EmbeddedCoordinator::Open(env_, directory_.File("cluster.db"));
    CHECK(coordinator.ok());
    coordinator_ = std::move(coordinator).value();
    registry_ = std::make_unique<cluster::Registry>(env_, *coordinator_);
    config_.hooks.timeout = seconds(20);
  }
  static std::vector<std::string> Command(const std::string& script) {
    return {"/bin/sh", "-c", script};
  }
  base::Status Run(HookKind kind) { return hooks().Run(kind, facts_); }
  Hooks& hooks() {
    settings_.Replace(config_);
    if (hooks_ == nullptr) {
      const ServerContext context{env_,       settings_, *registry_, events_,
                                  authority_, promises_, "s1"};
      hooks_ =
          std::make_unique<Hooks>(context, "orders", "/srv/orders.db", [this] { ended_.Notify(); });
    }
    return *hooks_;
  }

  env::Env& env_ = env::PosixEnv();
  test::TempDir directory_;
  Config config_;
  Settings settings_{config_};
  Authority authority_{env_, std::chrono::seconds(6)};
  Promises promises_{env_};
  EventLog events_{env_, "s1", std::make_shared<rpc::Signal>()};
  std::unique_ptr<cluster::EmbeddedCoordinator> coordinator_;
  std::unique_ptr<cluster::Registry> registry_;
  rpc::Signal ended_;
  std::unique_ptr<Hooks> hooks_;
  HookFacts facts_{base::Term(3), {base::Term(3), base::Seq(1742)}, "mount"};
};

TEST_F(HooksTest, NoneIsFine) {
  for (const HookKind kind : {HookKind::kPreMount, HookKind::kPostMount, HookKind::kPreDismount,
                              HookKind::kPostDismount}) {
    EXPECT_TRUE(Run(kind).ok());
    EXPECT_FALSE(hooks().Start(kind, facts_));
    EXPECT_FALSE(hooks().Has(kind));
  }
  EXPECT_TRUE(hooks().done());
}

TEST_F(HooksTest, ItIsToldWhatHappens) {
  const std::string out = directory_.File("out");
  config_.hooks.pre_mount = Command("env | grep ^UNDERSTUDY_ | sort > " + out);
  ASSERT_TRUE(Run(HookKind::kPreMount).ok());
  EXPECT_EQ(
      Read(out),
      "UNDERSTUDY_DATABASE=orders\nUNDERSTUDY_HOOK=pre_mount\nUNDERSTUDY_PATH=/srv/orders.db\n"
      "UNDERSTUDY_POSITION=3.1742\nUNDERSTUDY_REASON=mount\nUNDERSTUDY_SERVER=s1\n"
      "UNDERSTUDY_TERM=3\n");
}

TEST_F(HooksTest, AVetoCarriesItsLastLine) {
  config_.hooks.pre_mount = Command("echo looking; echo the volume is not attached; exit 1");
  const base::Status status = Run(HookKind::kPreMount);
  EXPECT_EQ(status.code(), base::Code::kUnavailable);
  EXPECT_EQ(status.message(),
            "the hook pre_mount of orders (/bin/sh) ended with 1: the volume is not attached");
  EXPECT_FALSE(events_.Take().has_value());  // the mount's failure is the event
}

TEST_F(HooksTest, OneThatHangsIsKilledAndTold) {
  config_.hooks.timeout = milliseconds(300);
  config_.hooks.pre_dismount = Command("echo draining; exec sleep 600");
  const base::Status status = Run(HookKind::kPreDismount);
  EXPECT_EQ(status.code(), base::Code::kTimedOut);
  EXPECT_NE(status.message().find("hooks.timeout; its last line: draining"), std::string::npos);
  const auto event = events_.Take();
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(event->number, cluster::EventNumber::kHookFailed);
  EXPECT_EQ(event->database, "orders");
}

TEST_F(HooksTest, TheNextOneWaitsForTheOneBefore) {
  const std::string fifo = directory_.File("fifo");
  const std::string out = directory_.File("out");
  ASSERT_EQ(RunProgram(Shell("mkfifo " + fifo))->exit_code, 0);
  config_.hooks.post_mount = Command("read line < " + fifo + "; echo first >> " + out);
  config_.hooks.pre_dismount = Command("echo second >> " + out);
  EXPECT_TRUE(hooks().Start(HookKind::kPostMount, facts_));
  std::thread release([&] { std::ofstream(fifo) << "go\n"; });
  EXPECT_TRUE(Run(HookKind::kPreDismount).ok());
  release.join();
  EXPECT_EQ(Read(out), "first\nsecond\n");
}

// What is started is not waited for: its end is told, and what it said is asked for then.
TEST_F(HooksTest, OneThatIsStartedRunsBesideItsCaller) {
  const std::string fifo = directory_.File("fifo");
  ASSERT_EQ(RunProgram(Shell("mkfifo " + fifo))->exit_code, 0);
  config_.hooks.pre_dismount = Command("read line < " + fifo + "; echo $line; exit 1");
  const uint64_t seen = ended_.count();
  EXPECT_TRUE(hooks().Start(HookKind::kPreDismount, facts_));
  EXPECT_FALSE(hooks().done());
  EXPECT_EQ(ended_.count(), seen);
  std::ofstream(fifo) << "still in use\n" << std::flush;
  ended_.WaitFor(seen, seconds(20));
  EXPECT_TRUE(hooks().done());
  EXPECT_EQ(hooks().Finish().message(),
            "the hook pre_dismount of orders (/bin/sh) ended with 1: still in use");
  EXPECT_TRUE(hooks().Finish().ok());  // told once
}

TEST_F(HooksTest, OnesThatHangDoNotPileUp) {
  const std::string fifo = directory_.File("fifo");
  ASSERT_EQ(RunProgram(Shell("mkfifo " + fifo))->exit_code, 0);
  const std::string first = directory_.File("first");
  config_.hooks.post_mount =
      Command("test -e " + first + " || read line < " + fifo + "; touch " + first);
  for (int i = 0; i < Hooks::kStartedMax; ++i) {
    EXPECT_TRUE(hooks().Start(HookKind::kPostMount, facts_));
  }
  EXPECT_FALSE(hooks().Start(HookKind::kPostMount, facts_));
  const auto event = events_.Take();
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(event->number, cluster::EventNumber::kHookFailed);
  std::ofstream(fifo) << "go\n" << std::flush;
  EXPECT_TRUE(hooks().Finish().ok());
  EXPECT_TRUE(hooks().done());
}

}  // namespace
}  // namespace understudy::server
