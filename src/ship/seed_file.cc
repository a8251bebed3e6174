// SPDX-License-Identifier: Apache-2.0
#include "ship/seed_file.h"

#include <fmt/format.h>

namespace understudy::ship {

base::Result<std::unique_ptr<SeedFile>> SeedFile::Open(env::Env& env, const std::string& path,
                                                       uint32_t page_size) {
  std::unique_ptr<SeedFile> result(new SeedFile());
  ASSIGN_OR_RETURN(result->file_, env.Open(path, env::OpenMode::kCreate));
  // The name is durable before the first chunk is said to be.
  RETURN_IF_ERROR(env.SyncDirectory(env::DirectoryOf(path)));
  result->path_ = path;
  result->page_size_ = page_size;
  result->base_.resize(page_size);
  result->image_.resize(page_size);
  return result;
}

base::Status SeedFile::WritePages(base::PageNo first, base::ByteView images) {
  CHECK(first.value > 0 && images.size() % page_size_ == 0);
  base::Bytes unmarked;
  if (first.value == 1 && images.size() >= page_size_ &&
      images[log::kWriteVersionOffset] == log::kWriteVersionReadOnly) {
    unmarked.assign(images.begin(), images.end());
    unmarked[log::kWriteVersionOffset] = log::kWriteVersionWal;
    images = unmarked;
  }
  RETURN_IF_ERROR(file_->WriteAt(uint64_t{first.value - 1} * page_size_, images));
  const auto count = static_cast<uint32_t>(images.size() / page_size_);
  for (uint32_t i = 0; i < count; ++i) {
    const base::PageNo page(first.value + i);
    table_.Set(page, log::HashPage(page, images.subspan(size_t{i} * page_size_, page_size_)));
  }
  return {};
}

base::Result<uint32_t> SeedFile::Rehash(base::PageNo first, uint32_t count) {
  base::Bytes images(size_t{count} * page_size_);
  ASSIGN_OR_RETURN(const size_t bytes,
                   file_->ReadAt(uint64_t{first.value - 1} * page_size_, images));
  const auto whole = static_cast<uint32_t>(bytes / page_size_);
  for (uint32_t i = 0; i < whole; ++i) {
    const base::PageNo page(first.value + i);
    table_.Set(page, log::HashPage(
                         page, base::ByteView(images).subspan(size_t{i} * page_size_, page_size_)));
  }
  return whole;
}

base::Result<base::ByteView> SeedFile::ReadPage(base::PageNo page) {
  ASSIGN_OR_RETURN(const size_t bytes, file_->ReadAt(uint64_t{page.value - 1} * page_size_, base_));
  if (bytes < page_size_) return base::ByteView();
  // A mark that an interrupted Finish has left.
  if (page.value == 1 && base_[log::kWriteVersionOffset] == log::kWriteVersionReadOnly) {
    base_[log::kWriteVersionOffset] = log::kWriteVersionWal;
  }
  return base::ByteView(base_);
}

base::Status SeedFile::ApplyEntry(const log::Entry& entry, bool resumed) {
  if (resumed && table_.HashOf(entry.page) == entry.hash) {
    unsettled_.erase(entry.page.value);
    ++entries_skipped_;
    return {};
  }
  base::ByteView base_image;
  if (entry.encoding == log::Encoding::kDelta) {
    ASSIGN_OR_RETURN(base_image, ReadPage(entry.page));
  }
  if (const base::Status decoded = decoder_.Decode(entry, base_image, image_); !decoded.ok()) {
    if (!resumed || entry.encoding != log::Encoding::kDelta) {
      return decoded.WithContext(fmt::format("page {}", entry.page.value));
    }
    unsettled_.insert(entry.page.value);
    ++entries_skipped_;
    return {};
  }
  RETURN_IF_ERROR(file_->WriteAt(uint64_t{entry.page.value - 1} * page_size_, image_));
  table_.Set(entry.page, entry.hash);
  if (resumed) unsettled_.erase(entry.page.value);
  ++entries_applied_;
  return {};
}

base::Status SeedFile::Apply(const log::RecordPart& part, const SeedLayout& layout,
                             const std::vector<base::Position>& chunk_at, bool resumed) {
  if (part.header.page_size != page_size_) {
    return base::Corruption(fmt::format("record {} has pages of {} bytes, the seed has {}",
                                        ToString(part.header.position()), part.header.page_size,
                                        page_size_));
  }
  for (const log::Entry& entry : part.entries) {
    const uint32_t page = entry.page.value;
    if (page == 0 || page > part.header.pages_after) {
      return base::Corruption(fmt::format("record {} has page {} of {}",
                                          ToString(part.header.position()), page,
                                          part.header.pages_after));
    }
    if (page <= layout.pages &&
        part.header.seq_last <= chunk_at[(page - 1) / layout.chunk_pages].seq) {
      ++entries_skipped_;  // the chunk was read after this record
      continue;
    }
    if (base::Status applied = ApplyEntry(entry, resumed); !applied.ok()) {
      return applied.WithContext("record " + ToString(part.header.position()));
    }
  }
  return {};
}

base::Status SeedFile::Resize(uint32_t pages) {
  RETURN_IF_ERROR(file_->Truncate(uint64_t{pages} * page_size_));
  table_.Resize(pages);
  return {};
}

base::Status SeedFile::Finish() {
  const uint8_t mark = log::kWriteVersionReadOnly;
  RETURN_IF_ERROR(file_->WriteAt(log::kWriteVersionOffset, base::ByteView(&mark, 1)));
  RETURN_IF_ERROR(file_->Sync());
  return file_->Close();
}

}  // namespace understudy::ship
