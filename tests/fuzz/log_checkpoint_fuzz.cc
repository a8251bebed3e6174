// SPDX-License-Identifier: Apache-2.0
// Fuzz target: any bytes as a checkpoint file are refused, or are a page table that has the
// checksum it says. The second attempt has a right CRC.
#include "base/check.h"
#include "base/crc32c.h"
#include "log/checkpoint_file.h"

namespace {

using understudy::base::Bytes;
using understudy::base::ByteView;
namespace base = understudy::base;
namespace log = understudy::log;

void Use(ByteView bytes) {
  const auto checkpoint = log::ParseCheckpoint(bytes);
  if (!checkpoint.ok()) return;
  uint64_t sum = 0;
  for (const uint64_t hash : checkpoint->table.hashes()) sum ^= hash;
  CHECK(sum == checkpoint->at.checksum && checkpoint->table.pages() == checkpoint->at.pages);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Use({data, size});
  if (size < 4) return 0;
  Bytes sealed(data, data + size);
  base::StoreLe(sealed.data() + size - 4, base::Crc32c(ByteView(sealed).first(size - 4)));
  Use(sealed);
  return 0;
}
