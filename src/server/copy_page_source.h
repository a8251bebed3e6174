// SPDX-License-Identifier: Apache-2.0
// CopyPageSource: ship::PageSource over what has the pages of a copy: the capture of an active one,
// the Replayer of a passive one. A request runs on the copy's own thread; the session's signal is
// notified when the answer is there. Threading: confined to the session's thread.
//
// Pages: page_size(), and ReadPages(first, count, out), which answers with the number of pages read
// and their position.
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "base/mutex.h"
#include "rpc/signal.h"
#include "server/task_queue.h"
#include "ship/page_source.h"

namespace understudy::server {

template <typename Copy, typename Pages>
class CopyPageSource final : public ship::PageSource {
 public:
  CopyPageSource(std::shared_ptr<Copy> copy, std::shared_ptr<rpc::Signal> signal)
      : copy_(std::move(copy)), signal_(std::move(signal)) {}

  base::Status Request(base::PageNo first, uint32_t count) override {
    slot_ = std::make_shared<Slot>();
    const bool posted =
        copy_->tasks().Post([slot = slot_, signal = signal_, first, count](Pages* pages) {
          base::Result<ship::SeedPages> answer = Read(pages, first, count);
          {
            base::MutexLock lock(slot->mutex);
            slot->answer = std::move(answer);
          }
          signal->Notify();
        });
    if (!posted) return base::Busy("the copy has too many requests waiting");
    return {};
  }

  base::Result<std::optional<ship::SeedPages>> TryTake() override {
    if (slot_ == nullptr) return base::Unavailable("nothing was asked for");
    base::MutexLock lock(slot_->mutex);
    if (!slot_->answer) return std::optional<ship::SeedPages>();
    base::Result<ship::SeedPages> answer = std::move(*slot_->answer);
    slot_->answer.reset();
    if (!answer.ok()) return answer.status();
    return std::optional<ship::SeedPages>(std::move(answer).value());
  }

 private:
  struct Slot {
    base::Mutex mutex;
    std::optional<base::Result<ship::SeedPages>> answer GUARDED_BY(mutex);
  };

  static base::Result<ship::SeedPages> Read(Pages* pages, base::PageNo first, uint32_t count) {
    if (pages == nullptr) return base::Unavailable("the copy is not open now");
    ship::SeedPages read;
    read.first_page = first;
    read.images.resize(size_t{count} * pages->page_size());
    ASSIGN_OR_RETURN(const auto run, pages->ReadPages(first, count, read.images));
    read.page_count = run.count;
    read.images.resize(size_t{run.count} * pages->page_size());
    read.at = run.at;
    return read;
  }

  const std::shared_ptr<Copy> copy_;
  const std::shared_ptr<rpc::Signal> signal_;
  std::shared_ptr<Slot> slot_;  // of the last request; shared with its task
};

}  // namespace understudy::server
