// SPDX-License-Identifier: Apache-2.0
#include "log/image_cache.h"

#include <cstring>

#include "base/check.h"

namespace understudy::log {

const ImageCache::Image* ImageCache::Find(base::PageNo page) const {
  const auto found = index_.find(page);
  return found == index_.end() ? nullptr : &*found->second;
}

void ImageCache::Put(base::PageNo page, uint64_t hash, base::ByteView image) {
  CHECK(image.size() == page_size_);
  if (images_max_ == 0) return;
  const auto found = index_.find(page);
  if (found != index_.end()) {
    images_.splice(images_.begin(), images_, found->second);
  } else if (index_.size() < images_max_) {
    images_.push_front(Image{.page = page, .bytes = std::make_unique<uint8_t[]>(page_size_)});
    index_.emplace(page, images_.begin());
  } else {
    images_.splice(images_.begin(), images_, std::prev(images_.end()));
    auto node = index_.extract(images_.front().page);
    node.key() = page;
    index_.insert(std::move(node));
    images_.front().page = page;
  }
  Image& slot = images_.front();
  slot.hash = hash;
  std::memcpy(slot.bytes.get(), image.data(), page_size_);
}

void ImageCache::Clear() {
  index_.clear();
  images_.clear();
}

}  // namespace understudy::log
