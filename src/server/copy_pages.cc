// SPDX-License-Identifier: Apache-2.0
#include "server/copy_pages.h"

#include "base/diag.h"
#include "sqlite/raw_pages.h"
#include "sqlite/snapshot_reader.h"

namespace understudy::server {
namespace {

template <typename Reader>
class CopyPages final : public ship::BasePages {
 public:
  explicit CopyPages(std::unique_ptr<Reader> reader) : reader_(std::move(reader)) {}

  uint32_t page_size() const override { return reader_->page_size(); }
  uint32_t pages() const override { return reader_->pages(); }
  base::Status ReadPages(base::PageNo first, uint32_t count, std::span<uint8_t> out) override {
    return reader_->ReadPages(first, count, out);
  }

 private:
  const std::unique_ptr<Reader> reader_;
};

}  // namespace

base::Result<std::unique_ptr<ship::BasePages>> OpenCopyPages(const std::string& path) {
  using Pages = std::unique_ptr<ship::BasePages>;
  auto snapshot = sqlite::SnapshotReader::Open(path);
  if (snapshot.ok()) {
    return Pages(std::make_unique<CopyPages<sqlite::SnapshotReader>>(std::move(snapshot).value()));
  }
  const base::Code code = snapshot.status().code();
  if (code != base::Code::kCorruption && code != base::Code::kInvalidArgument) {
    return snapshot.status();
  }
  base::Diag(base::DiagLevel::kWarning, "server",
             "SQLite cannot read a copy, taking its file as it is",
             {{"path", path}, {"why", snapshot.status().ToString()}});
  ASSIGN_OR_RETURN(std::unique_ptr<sqlite::RawPages> raw, sqlite::RawPages::Open(path));
  return Pages(std::make_unique<CopyPages<sqlite::RawPages>>(std::move(raw)));
}

}  // namespace understudy::server
