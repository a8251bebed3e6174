// SPDX-License-Identifier: Apache-2.0
#include "cli/backup_exec.h"

#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "cli/pause.h"
#include "cli/progress_view.h"
#include "cli/requester.h"

namespace understudy::cli {
namespace {

// Between two signs of life while the command runs.
constexpr base::Duration kSignEvery = std::chrono::seconds(5);
constexpr base::Duration kLookAtChild = std::chrono::milliseconds(50);

base::Result<pid_t> Start(const std::vector<std::string>& command, const std::string& path) {
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) environment.emplace_back(*entry);
  environment.push_back("UNDERSTUDY_SNAPSHOT=" + path);
  std::vector<char*> argv;
  std::vector<char*> envp;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  for (const std::string& entry : environment) envp.push_back(const_cast<char*>(entry.c_str()));
  argv.push_back(nullptr);
  envp.push_back(nullptr);
  pid_t pid = 0;
  const int error = ::posix_spawnp(&pid, argv[0], nullptr, nullptr, argv.data(), envp.data());
  if (error == 0) return pid;
  return base::NotFound(fmt::format("{}: {}", command[0], std::strerror(error)));
}

// Its wait status.
base::Result<int> AwaitChild(Context& context, Requester& requester, pid_t pid) {
  base::SteadyTime next{};
  while (true) {
    int status = 0;
    const pid_t ended = ::waitpid(pid, &status, WNOHANG);
    if (ended == pid) return status;
    if (ended < 0) return base::Internal(fmt::format("waitpid: {}", std::strerror(errno)));
    if (const base::SteadyTime now = context.env().Now(); now >= next) {
      next = now + kSignEvery;
      const base::Result<v1::BackupSessionStatus> seen = requester.Look();
      // The command goes on: what it copied may be good all the same, but nobody will say so.
      if (seen.ok() && seen->ended()) context.output().Note("the session has ended on the server");
    }
    Pause(kLookAtChild);
  }
}

std::string HowItEnded(int status) {
  if (WIFSIGNALED(status)) return fmt::format("was ended by signal {}", WTERMSIG(status));
  return fmt::format("ended with exit code {}", WEXITSTATUS(status));
}

}  // namespace

std::vector<std::string> WithPath(const std::vector<std::string>& command,
                                  const std::string& path) {
  std::vector<std::string> result = command;
  for (std::string& word : result) {
    for (size_t at = word.find("{}"); at != std::string::npos;
         at = word.find("{}", at + path.size())) {
      word.replace(at, 2, path);
    }
  }
  return result;
}

base::Status RunBackupExec(Context& context, const BackupExec& exec) {
  v1::BeginBackupRequest request;
  request.set_database(exec.database);
  request.set_from(exec.from);
  request.set_type("copy");
  request.set_requester("backup exec " + exec.command[0]);
  request.set_expose(true);
  request.set_wait_ms(exec.wait / std::chrono::milliseconds(1));
  Requester requester(context);
  RETURN_IF_ERROR(requester.Begin(request).status());
  ProgressView view(context.output(), context.env());
  const auto show = [&](const v1::BackupSessionStatus& status) {
    if (status.progress().bytes_total() == 0 || status.ready()) return;
    view.Update(status.progress());
  };
  ASSIGN_OR_RETURN(v1::BackupSessionStatus status,
                   requester.Await([](const auto& s) { return s.ready() || s.ended(); }, show));
  view.Finish();
  if (status.ended()) {
    return base::Unavailable(fmt::format("the session failed in {}: {}",
                                         status.writer().last().failure().phase(),
                                         status.writer().last().failure().message()));
  }
  base::Status failure;
  if (!context.env().Stat(status.path()).ok()) {
    failure = base::NotFound(
        fmt::format("the snapshot is {} on server {}, and not on this machine\nrun the command "
                    "there, or name the server of this machine with --from",
                    status.path(), requester.server()));
  }
  if (failure.ok()) {
    const base::Result<pid_t> child = Start(WithPath(exec.command, status.path()), status.path());
    const base::Result<int> ended =
        child.ok() ? AwaitChild(context, requester, *child) : base::Result<int>(child.status());
    if (!ended.ok()) {
      failure = ended.status();
    } else if (*ended != 0) {
      failure = base::Unavailable(
          fmt::format("{} {}; the session was aborted", exec.command[0], HowItEnded(*ended)));
    }
  }
  RETURN_IF_ERROR(requester.End(failure.ok()));
  ASSIGN_OR_RETURN(status, requester.Await([](const auto& s) { return s.ended(); }, show));
  RETURN_IF_ERROR(failure);
  if (status.writer().last().has_failure()) {
    return base::Unavailable(status.writer().last().failure().message());
  }
  context.output().Document(
      Json{{"session", status.session()},
           {"server", requester.server()},
           {"position", status.at().seq()},
           {"command", exec.command}},
      fmt::format("{} has copied {} at position {}, from the copy on {}\n", exec.command[0],
                  exec.database, status.at().seq(), requester.server()));
  return {};
}

}  // namespace understudy::cli
