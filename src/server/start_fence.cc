// SPDX-License-Identifier: Apache-2.0
#include "server/start_fence.h"

#include <utility>

#include "base/diag.h"
#include "base/thread.h"
#include "base/thread_name.h"
#include "server/fence.h"

namespace understudy::server {

StartFence::StartFence(env::Env& env, std::string data_dir, base::Duration lease)
    : env_(env), data_dir_(std::move(data_dir)) {
  // The daemon before this one kept its databases mounted until a quarter of its lease was left.
  thread_ = base::Thread([this, patience = lease / 4] { Run(patience); });
}

StartFence::~StartFence() { Stop(); }

void StartFence::Stop() {
  {
    base::MutexLock lock(mutex_);
    stop_ = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.Join();
}

void StartFence::Run(base::Duration patience) {
  base::NameThisThread("start-fence");
  const base::SteadyTime due = env_.Now() + patience;
  {
    base::MutexLock lock(mutex_);
    while (!stop_ && env_.Now() < due) changed_.WaitFor(mutex_, due - env_.Now());
    if (stop_) return;
  }
  for (const Fenced& fenced : FenceLeftMounted(env_, data_dir_, kLockWait)) {
    base::Diag(base::DiagLevel::kWarning, "server",
               "a database was left mounted and the coordinator does not answer",
               {{"database", fenced.database},
                {"path", fenced.path},
                {"fenced", fenced.status.ToString()}});
  }
}

}  // namespace understudy::server
