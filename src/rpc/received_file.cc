// SPDX-License-Identifier: Apache-2.0
#include "rpc/received_file.h"

#include <fmt/format.h>

#include "base/crc32c.h"

namespace understudy::rpc {
namespace {

constexpr size_t kReadBackBytes = 1 << 20;

}  // namespace

ReceivedFile::~ReceivedFile() {
  file_.reset();
  if (made_ && env::Exists(env_, temporary())) env_.Remove(temporary()).IgnoreError();
}

base::Status ReceivedFile::CheckPlace() const {
  if (force_ || !env::Exists(env_, path_)) return {};
  return base::AlreadyExists(path_ + " is there already");
}

base::Status ReceivedFile::Take(const v1::ExportLostChunk& chunk) {
  const base::ByteView data = base::AsBytes(chunk.data());
  if (ended_ || chunk.offset() != bytes_ || data.empty() || base::Crc32c(data) != chunk.crc32c()) {
    return base::Corruption(
        fmt::format("the chunk at {} does not continue the file at {} or is "
                    "damaged",
                    chunk.offset(), bytes_));
  }
  if (!file_) {
    RETURN_IF_ERROR(CheckPlace());
    ASSIGN_OR_RETURN(file_, env_.Open(temporary(), env::OpenMode::kCreateTruncate));
    made_ = true;
    crc_ = base::Crc32c({});
  }
  RETURN_IF_ERROR(file_->WriteAt(bytes_, data));
  crc_ = base::ExtendCrc32c(crc_, data);
  bytes_ += data.size();
  return {};
}

base::Status ReceivedFile::End(const v1::ExportLostEnd& end) {
  if (!file_ || end.bytes() != bytes_ || end.crc32c() != crc_) {
    return base::Corruption(
        fmt::format("{} bytes have come, but the server sent {}", bytes_, end.bytes()));
  }
  ended_ = true;
  return {};
}

base::Status ReceivedFile::ReadBack() {
  ASSIGN_OR_RETURN(const std::unique_ptr<env::File> file,
                   env_.Open(temporary(), env::OpenMode::kRead));
  base::Bytes buffer(kReadBackBytes);
  uint32_t crc = base::Crc32c({});
  uint64_t offset = 0;
  while (true) {
    ASSIGN_OR_RETURN(const size_t got, file->ReadAt(offset, buffer));
    crc = base::ExtendCrc32c(crc, base::ByteView(buffer).first(got));
    offset += got;
    if (got < buffer.size()) break;
  }
  if (offset == bytes_ && crc == crc_) return {};
  return base::Corruption(fmt::format("{} is not what was written to it", temporary()));
}

base::Status ReceivedFile::Finish() {
  if (!ended_) return base::Unavailable("it broke off: the server sent no end");
  RETURN_IF_ERROR(file_->Sync());
  RETURN_IF_ERROR(file_->Close());
  file_.reset();
  RETURN_IF_ERROR(ReadBack());
  RETURN_IF_ERROR(force_ ? env_.Rename(temporary(), path_) : env_.RenameNew(temporary(), path_));
  return env_.SyncDirectory(env::DirectoryOf(path_));
}

}  // namespace understudy::rpc
