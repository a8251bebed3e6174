// SPDX-License-Identifier: Apache-2.0
// CapturePageSource: ship::PageSource over the capture of an active copy. A request runs on the
// copy's thread; the session's signal is notified when the answer is there. Threading: confined to
// the session's thread.
#pragma once

#include <memory>

#include "rpc/signal.h"
#include "server/active_copy.h"
#include "ship/page_source.h"

namespace understudy::server {

class CapturePageSource final : public ship::PageSource {
 public:
  CapturePageSource(std::shared_ptr<ActiveCopy> copy, std::shared_ptr<rpc::Signal> signal)
      : copy_(std::move(copy)), signal_(std::move(signal)) {}

  base::Status Request(base::PageNo first, uint32_t count) override;
  base::Result<std::optional<ship::SeedPages>> TryTake() override;

 private:
  struct Slot {
    base::Mutex mutex;
    std::optional<base::Result<ship::SeedPages>> answer GUARDED_BY(mutex);
  };
  const std::shared_ptr<ActiveCopy> copy_;
  const std::shared_ptr<rpc::Signal> signal_;
  std::shared_ptr<Slot> slot_;  // of the last request; shared with its task
};

}  // namespace understudy::server
