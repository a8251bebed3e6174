// SPDX-License-Identifier: Apache-2.0
#include "server/rotating_file.h"

#include "base/bytes.h"

namespace understudy::server {

base::Result<std::unique_ptr<RotatingFile>> RotatingFile::Open(env::Env& env,
                                                               const std::string& path,
                                                               uint64_t bytes_max) {
  std::unique_ptr<RotatingFile> file(new RotatingFile(env, path, bytes_max));
  RETURN_IF_ERROR(file->Begin(env::OpenMode::kCreate));
  return file;
}

base::Status RotatingFile::Begin(env::OpenMode mode) {
  ASSIGN_OR_RETURN(file_, env_.Open(path_, mode));
  ASSIGN_OR_RETURN(size_, file_->Size());
  return {};
}

base::Status RotatingFile::Append(std::string_view text) {
  if (size_ > 0 && size_ + text.size() > bytes_max_) {
    RETURN_IF_ERROR(env_.Rename(path_, path_ + ".1"));
    RETURN_IF_ERROR(Begin(env::OpenMode::kCreateTruncate));
  }
  RETURN_IF_ERROR(file_->WriteAt(
      size_, base::ByteView(reinterpret_cast<const uint8_t*>(text.data()), text.size())));
  size_ += text.size();
  return {};
}

}  // namespace understudy::server
