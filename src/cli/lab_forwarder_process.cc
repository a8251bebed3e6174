// SPDX-License-Identifier: Apache-2.0
#include "cli/lab_forwarder_process.h"

#include <poll.h>

#include <algorithm>

#include "cli/forwarder.h"
#include "cli/forwarder_control.h"
#include "cli/lab_process.h"
#include "cli/lab_state.h"

namespace understudy::cli {
namespace {

constexpr std::chrono::seconds kOrphanCheck{5};

base::Result<std::vector<LinkTarget>> TargetsOf(const LabState& lab) {
  std::vector<LinkTarget> targets;
  for (const LabServer& from : lab.servers) {
    for (const LabServer& to : lab.servers) {
      if (from.name == to.name) continue;
      ASSIGN_OR_RETURN(const uint16_t port, PortOf(to.address));
      targets.push_back({.from = from.name, .to = to.name, .to_port = port});
    }
  }
  return targets;
}

int PollMilliseconds(const Forwarder& forwarder, base::SteadyTime now) {
  const auto due = forwarder.NextDue();
  const base::Duration wait =
      due ? std::min<base::Duration>(*due - now, kOrphanCheck) : base::Duration(kOrphanCheck);
  return static_cast<int>(
      std::max<int64_t>(0, std::chrono::ceil<std::chrono::milliseconds>(wait).count()));
}

}  // namespace

base::Status RunForwarderProcess(env::Env& env, const std::string& directory) {
  ASSIGN_OR_RETURN(const LabState lab, LoadLabState(env, directory));
  ASSIGN_OR_RETURN(const std::vector<LinkTarget> targets, TargetsOf(lab));
  ASSIGN_OR_RETURN(const auto forwarder, Forwarder::Create(targets));
  ASSIGN_OR_RETURN(const auto control, ControlServer::Create(directory));
  SayReady();
  base::SteadyTime checked = env.Now();
  while (true) {
    pollfd waits[2] = {{.fd = forwarder->wait_descriptor(), .events = POLLIN, .revents = 0},
                       {.fd = control->wait_descriptor(), .events = POLLIN, .revents = 0}};
    ::poll(waits, 2, PollMilliseconds(*forwarder, env.Now()));
    if (waits[1].revents != 0) control->AnswerOne(*forwarder);
    const base::SteadyTime now = env.Now();
    forwarder->RunOnce(now);
    if (now - checked >= kOrphanCheck) {
      checked = now;
      if (!LabExists(env, directory)) return {};
    }
  }
}

}  // namespace understudy::cli
