// SPDX-License-Identifier: Apache-2.0
#include "server/capture_page_source.h"

#include <utility>

namespace understudy::server {
namespace {

base::Result<ship::SeedPages> Read(capture::Capture* capture, base::PageNo first, uint32_t count) {
  if (capture == nullptr) return base::Unavailable("the active copy is not mounted now");
  ship::SeedPages pages;
  pages.first_page = first;
  pages.images.resize(size_t{count} * capture->page_size());
  ASSIGN_OR_RETURN(const capture::Capture::PageRun run,
                   capture->ReadPages(first, count, pages.images));
  pages.page_count = run.count;
  pages.images.resize(size_t{run.count} * capture->page_size());
  pages.at = run.at;
  return pages;
}

}  // namespace

base::Status CapturePageSource::Request(base::PageNo first, uint32_t count) {
  slot_ = std::make_shared<Slot>();
  const bool posted = copy_->tasks().Post(
      [slot = slot_, signal = signal_, first, count](capture::Capture* capture) {
        base::Result<ship::SeedPages> answer = Read(capture, first, count);
        {
          base::MutexLock lock(slot->mutex);
          slot->answer = std::move(answer);
        }
        signal->Notify();
      });
  if (!posted) return base::Busy("the active copy has too many requests waiting");
  return {};
}

base::Result<std::optional<ship::SeedPages>> CapturePageSource::TryTake() {
  if (slot_ == nullptr) return base::Unavailable("nothing was asked for");
  base::MutexLock lock(slot_->mutex);
  if (!slot_->answer) return std::optional<ship::SeedPages>();
  base::Result<ship::SeedPages> answer = std::move(*slot_->answer);
  slot_->answer.reset();
  if (!answer.ok()) return answer.status();
  return std::optional<ship::SeedPages>(std::move(answer).value());
}

}  // namespace understudy::server
