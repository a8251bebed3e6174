// SPDX-License-Identifier: Apache-2.0
// ImageCache: the newest images of recently written pages, bounded in bytes; the least recently
// written go first. Memory: nothing until the first Put; then one allocation a page, reused when
// the bound is reached. Threading: thread-compatible.
#pragma once

#include <list>
#include <memory>
#include <unordered_map>

#include "base/bytes.h"
#include "base/ids.h"

namespace understudy::log {

class ImageCache {
 public:
  struct Image {
    base::PageNo page;
    uint64_t hash = 0;
    std::unique_ptr<uint8_t[]> bytes;

    base::ByteView view(uint32_t page_size) const { return {bytes.get(), page_size}; }
  };

  ImageCache(uint32_t page_size, size_t bytes_max)
      : page_size_(page_size), images_max_(bytes_max / page_size) {}

  // Null when absent; valid until the next Put or Clear.
  const Image* Find(base::PageNo page) const;
  void Put(base::PageNo page, uint64_t hash, base::ByteView image);
  void Clear();
  size_t images() const { return index_.size(); }

 private:
  using Images = std::list<Image>;

  const uint32_t page_size_;
  const size_t images_max_;
  Images images_;  // most recent first
  std::unordered_map<base::PageNo, Images::iterator> index_;
};

}  // namespace understudy::log
