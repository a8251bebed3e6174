// SPDX-License-Identifier: Apache-2.0
// Fuzz target: an LTX file of any bytes is refused or read, with memory bounded by its size.
#include <algorithm>
#include <cstring>
#include <memory>

#include "backup/ltx_reader.h"
#include "base/check.h"

namespace understudy {
namespace {

constexpr uint32_t kPagesMax = 1 << 16;  // of an increment

class BytesReader final : public store::ObjectReader {
 public:
  explicit BytesReader(base::ByteView bytes) : bytes_(bytes) {}
  base::Result<size_t> ReadAt(uint64_t offset, std::span<uint8_t> out) override {
    if (offset >= bytes_.size()) return size_t{0};
    const size_t count = std::min<size_t>(out.size(), bytes_.size() - offset);
    std::memcpy(out.data(), bytes_.data() + offset, count);
    return count;
  }
  base::Result<uint64_t> Size() override { return uint64_t{bytes_.size()}; }
  void DropFromCache(uint64_t, uint64_t) override {}

 private:
  const base::ByteView bytes_;
};

}  // namespace
}  // namespace understudy

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace backup = understudy::backup;
  auto file = backup::LtxFile::Open(
      std::make_unique<understudy::BytesReader>(understudy::base::ByteView(data, size)), "input");
  if (!file.ok()) return 0;
  if ((*file)->CheckIncrement().ok() && (*file)->header().commit <= understudy::kPagesMax) {
    std::vector<uint64_t> hashes;
    backup::ScanIncrement(**file, {.phase = "fuzz"}, hashes).status().IgnoreError();
    CHECK(hashes.size() == (*file)->header().commit);
  }
  if (!(*file)->CheckSnapshot().ok()) return 0;
  CHECK((*file)->header().commit <= size);
  uint64_t bytes = 0;
  backup::InlineExecutor executor;
  const auto sums = backup::ScanSnapshot(
      executor, **file,
      {.phase = "fuzz",
       .sink = [&bytes](understudy::base::PageNo, understudy::base::ByteView images) {
         bytes += images.size();
         return understudy::base::Status();
       }});
  CHECK(!sums.ok() || bytes == uint64_t{(*file)->header().commit} * (*file)->header().page_size);
  return 0;
}
