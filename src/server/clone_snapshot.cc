// SPDX-License-Identifier: Apache-2.0
#include "server/clone_snapshot.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

namespace understudy::server {
namespace {

class FileOfAClone final : public backup::SnapshotSource {
 public:
  FileOfAClone(ReaderSnapshot& snapshot, std::string path, std::unique_ptr<env::File> file)
      : origin_(snapshot.origin()),
        at_(snapshot.at()),
        pages_(snapshot.pages()),
        page_size_(snapshot.page_size()),
        hashes_(snapshot.TakeHashes()),
        path_(std::move(path)),
        file_(std::move(file)) {
    origin_.provider = kReflink;
  }

  backup::SnapshotOrigin origin() const override { return origin_; }
  uint32_t page_size() const override { return page_size_; }
  uint32_t pages() const override { return pages_; }
  log::LogEnd at() const override { return at_; }
  base::Status ReadPages(base::PageNo first, uint32_t count, std::span<uint8_t> out) override {
    const uint64_t offset = uint64_t{first.value - 1} * page_size_;
    ASSIGN_OR_RETURN(const size_t bytes, file_->ReadAt(offset, out));
    if (bytes == uint64_t{count} * page_size_) return {};
    return base::IoError(
        fmt::format("{} ends after {} bytes; somebody cut it", path_, offset + bytes));
  }
  std::vector<uint64_t> TakeHashes() override { return std::exchange(hashes_, {}); }

 private:
  backup::SnapshotOrigin origin_;
  const log::LogEnd at_;
  const uint32_t pages_;
  const uint32_t page_size_;
  std::vector<uint64_t> hashes_;
  const std::string path_;
  const std::unique_ptr<env::File> file_;
};

// Makes the file what the snapshot is: with the pages that are not in the database file, and with
// page 1 as the active copy has it.
base::Status Complete(ReaderSnapshot& snapshot, const std::vector<base::PageNo>& in_wal,
                      env::File& file) {
  base::Bytes page(snapshot.page_size());
  const auto put = [&](base::PageNo number) -> base::Status {
    RETURN_IF_ERROR(snapshot.ReadPages(number, 1, page));
    return file.WriteAt(uint64_t{number.value - 1} * page.size(), page);
  };
  RETURN_IF_ERROR(put(base::PageNo(1)));
  for (const base::PageNo number : in_wal) RETURN_IF_ERROR(put(number));
  RETURN_IF_ERROR(file.Truncate(uint64_t{snapshot.pages()} * page.size()));
  return file.Sync();
}

}  // namespace

base::Result<std::unique_ptr<backup::SnapshotSource>> CloneSnapshot(env::Env& env,
                                                                    ReaderSnapshot& snapshot,
                                                                    const std::string& path) {
  // Before the clone is made: a page that leaves the WAL later is in the file by then or now.
  const std::vector<base::PageNo> in_wal = snapshot.PagesInWal();
  RETURN_IF_ERROR(env.Clone(snapshot.path(), path));
  const auto finish = [&]() -> base::Result<std::unique_ptr<env::File>> {
    ASSIGN_OR_RETURN(std::unique_ptr<env::File> file, env.Open(path, env::OpenMode::kReadWrite));
    RETURN_IF_ERROR(Complete(snapshot, in_wal, *file));
    RETURN_IF_ERROR(env.SyncDirectory(env::DirectoryOf(path)));
    return file;
  };
  base::Result<std::unique_ptr<env::File>> file = finish();
  if (!file.ok()) {
    env.Remove(path).IgnoreError();  // what stays is removed at the next start
    return file.status().WithContext("completing the clone " + path);
  }
  return std::unique_ptr<backup::SnapshotSource>(
      std::make_unique<FileOfAClone>(snapshot, path, std::move(*file)));
}

}  // namespace understudy::server
