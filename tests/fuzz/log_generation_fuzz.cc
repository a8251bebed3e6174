// SPDX-License-Identifier: Apache-2.0
// Fuzz target: a log directory whose only file has any bytes is refused, or opens and can be read,
// dumped and opened again with the same end. The second attempt has right CRCs.
#include <algorithm>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/diag.h"
#include "log/generation_file.h"
#include "log/log_store.h"
#include "log/record_dump.h"
#include "testing/mem_env.h"

namespace {

using understudy::base::Bytes;
using understudy::base::ByteView;
namespace base = understudy::base;
namespace env = understudy::env;
namespace log = understudy::log;

log::LogStore::Options Options(ByteView file) {
  log::LogStore::Options options{.directory = "/log"};
  constexpr size_t kIdOffset = 8;
  if (file.size() >= kIdOffset + options.database.bytes.size()) {
    std::copy_n(file.begin() + kIdOffset, options.database.bytes.size(),
                options.database.bytes.begin());
  }
  return options;
}

void ReadAll(log::LogStore& store) {
  const base::Seq first = store.first_seq();
  const auto reader = store.ReadAfter(base::Seq(first.value > 0 ? first.value - 1 : 0));
  if (!reader.ok()) return;
  while (true) {
    const auto item = (*reader)->Next();
    if (!item.ok() || !item->has_value()) return;
    store.StateAt((*item)->part.header.seq_last).status().IgnoreError();
  }
}

void Use(ByteView bytes) {
  understudy::test::MemEnv env;
  CHECK(env.MakeDirectories("/log").ok());
  {
    auto file = env.Open("/log/0000000000000001.ulog", env::OpenMode::kCreateNew);
    CHECK((*file)->WriteAt(0, bytes).ok());
  }
  log::DumpLog(env, "/log", {.json = true, .entries = true}, [](std::string_view) {}).IgnoreError();
  const log::LogStore::Options options = Options(bytes);
  auto store = log::LogStore::Open(env, options);
  if (!store.ok()) return;
  const log::LogEnd end = (*store)->end();
  ReadAll(**store);
  CHECK((*store)->DropIncomplete().ok());
  CHECK((*store)->end() == end);
  store->reset();
  auto again = log::LogStore::Open(env, options);
  CHECK(again.ok());
  CHECK((*again)->end() == end);
}

void Seal(Bytes& file, size_t at, size_t length) {
  base::StoreLe(file.data() + at + length - 4,
                base::Crc32c(ByteView(file).subspan(at, length - 4)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool quiet = [] {
    base::SetDiagLevel(base::DiagLevel::kError);
    return true;
  }();
  static_cast<void>(quiet);
  Use({data, size});
  if (size < log::kGenerationHeaderBytes) return 0;
  Bytes sealed(data, data + size);
  Seal(sealed, 0, log::kGenerationHeaderBytes);
  size_t at = log::kGenerationHeaderBytes;
  while (at < size) {
    const auto length = log::PartLength(ByteView(sealed).subspan(at));
    if (!length.ok() || *length > size - at) break;
    Seal(sealed, at, *length);
    at += *length;
  }
  Use(sealed);
  return 0;
}
