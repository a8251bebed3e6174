// SPDX-License-Identifier: Apache-2.0
#include "ship/seed_base.h"

#include "base/diag.h"

namespace understudy::ship {

base::Result<SeedHashes> SeedBase::Put(const SeedLayout& layout, SeedFile& file) {
  SeedHashes message;
  message.database = layout.database;
  message.seed_id = layout.seed_id;
  message.chunk = next_;
  const base::PageNo first = layout.FirstPage(next_);
  if (first.value > pages_->pages()) return message;
  const uint32_t count = std::min(layout.PagesOf(next_), pages_->pages() - first.value + 1);
  images_.resize(size_t{count} * layout.page_size);
  if (const base::Status read = pages_->ReadPages(first, count, images_); !read.ok()) {
    base::Diag(base::DiagLevel::kWarning, "ship",
               "pages of this copy cannot be read, fetching them",
               {{"first_page", first.value}, {"pages", count}, {"why", read.ToString()}});
    return message;
  }
  RETURN_IF_ERROR(file.WritePages(first, images_));
  const auto& hashes = file.table().hashes();
  const auto begin = hashes.begin() + (first.value - 1);
  message.hashes.assign(begin, begin + count);
  return message;
}

}  // namespace understudy::ship
