// SPDX-License-Identifier: Apache-2.0
#include "store/pause.h"

#include "base/mutex.h"

namespace understudy::store {

void PauseThread(base::Duration duration) {
  base::Mutex mutex;
  base::CondVar never;
  base::MutexLock lock(mutex);
  never.WaitFor(mutex, duration);
}

}  // namespace understudy::store
