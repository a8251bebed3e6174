// SPDX-License-Identifier: Apache-2.0
#include "cli/lost_export.h"

#include <fmt/format.h>

#include <array>

#include "base/crc32c.h"
#include "base/ids.h"

namespace understudy::cli {
namespace {

constexpr size_t kReadBackBytes = 1 << 20;
constexpr const char* kDatabase = ".db";
constexpr const char* kText = ".txt";
constexpr const char* kJson = ".json";
constexpr std::array<const char*, 3> kSuffixes = {kDatabase, kText, kJson};

}  // namespace

LostExport::~LostExport() {
  file_.reset();
  if (!bundle_) return;
  for (const char* suffix : kSuffixes) {
    // Left behind it would only be in the way of nobody: the next export writes it anew.
    if (env::Exists(env_, temporary(suffix))) (void)env_.Remove(temporary(suffix));
  }
}

std::string LostExport::path(const std::string& suffix) const {
  return env::JoinPath(directory_,
                       fmt::format("{}-{}{}", bundle_->database(), bundle_->id(), suffix));
}

std::string LostExport::temporary(const std::string& suffix) const {
  return env::JoinPath(directory_,
                       fmt::format(".{}-{}{}.tmp", bundle_->database(), bundle_->id(), suffix));
}

std::string LostExport::database_path() const {
  return bundle_ && bundle_->database_bytes() > 0 ? path(kDatabase) : std::string();
}

base::Status LostExport::Begin(const v1::LostBundle& bundle) {
  if (bundle_) return base::Corruption("the server began the export twice");
  // They become names of files.
  RETURN_IF_ERROR(base::CheckName("database name", bundle.database()));
  RETURN_IF_ERROR(base::CheckName("id", bundle.id()));
  RETURN_IF_ERROR(env_.MakeDirectories(directory_));
  bundle_ = bundle;
  for (const char* suffix : kSuffixes) {
    if (force_ || !env::Exists(env_, path(suffix))) continue;
    const std::string taken = path(suffix);
    bundle_.reset();
    return base::AlreadyExists(taken + " is there already");
  }
  if (bundle.database_bytes() == 0) return {};
  ASSIGN_OR_RETURN(file_, env_.Open(temporary(kDatabase), env::OpenMode::kCreateTruncate));
  return {};
}

base::Status LostExport::Take(const v1::ExportLostResponse& message) {
  if (message.has_bundle()) return Begin(message.bundle());
  if (message.has_chunk()) return TakeChunk(message.chunk());
  if (!message.has_end()) return {};  // something that a newer server says
  if (!bundle_ || message.end().bytes() != bytes_ ||
      message.end().bytes() != bundle_->database_bytes() ||
      (bytes_ > 0 && message.end().crc32c() != crc_)) {
    return base::Corruption(fmt::format("the export has {} bytes, but its end does not fit: {}",
                                        bytes_, message.end().bytes()));
  }
  ended_ = true;
  return {};
}

base::Status LostExport::TakeChunk(const v1::ExportLostChunk& chunk) {
  const base::ByteView data = base::AsBytes(chunk.data());
  if (!file_ || ended_ || chunk.offset() != bytes_ || data.empty() ||
      bytes_ + data.size() > bundle_->database_bytes() || base::Crc32c(data) != chunk.crc32c()) {
    return base::Corruption(
        fmt::format("the chunk at {} does not continue the export at {} or is damaged",
                    chunk.offset(), bytes_));
  }
  RETURN_IF_ERROR(file_->WriteAt(bytes_, data));
  crc_ = bytes_ == 0 ? base::Crc32c(data) : base::ExtendCrc32c(crc_, data);
  bytes_ += data.size();
  return {};
}

base::Status LostExport::ReadBack(const std::string& path) {
  ASSIGN_OR_RETURN(const std::unique_ptr<env::File> file, env_.Open(path, env::OpenMode::kRead));
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
  return base::Corruption(fmt::format("{} is not what was written to it", path));
}

base::Status LostExport::Write(const std::string& suffix, const std::string& content) {
  ASSIGN_OR_RETURN(const std::unique_ptr<env::File> file,
                   env_.Open(temporary(suffix), env::OpenMode::kCreateTruncate));
  RETURN_IF_ERROR(file->WriteAt(0, base::AsBytes(content)));
  RETURN_IF_ERROR(file->Sync());
  return file->Close();
}

base::Status LostExport::Name(const std::string& suffix) {
  return force_ ? env_.Rename(temporary(suffix), path(suffix))
                : env_.RenameNew(temporary(suffix), path(suffix));
}

base::Status LostExport::Finish(const Description& description) {
  if (!bundle_ || !ended_) {
    return base::Unavailable("the export broke off: the server sent no end");
  }
  if (file_) {
    RETURN_IF_ERROR(file_->Sync());
    RETURN_IF_ERROR(file_->Close());
    file_.reset();
    RETURN_IF_ERROR(ReadBack(temporary(kDatabase)));
  }
  RETURN_IF_ERROR(Write(kText, description.text));
  RETURN_IF_ERROR(Write(kJson, description.json));
  if (bundle_->database_bytes() > 0) {
    RETURN_IF_ERROR(Name(kDatabase));
  } else if (force_ && env::Exists(env_, path(kDatabase))) {
    RETURN_IF_ERROR(env_.Remove(path(kDatabase)));
  }
  RETURN_IF_ERROR(Name(kText));
  RETURN_IF_ERROR(Name(kJson));
  return env_.SyncDirectory(directory_);
}

}  // namespace understudy::cli
