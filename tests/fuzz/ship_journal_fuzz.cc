// SPDX-License-Identifier: Apache-2.0
// Fuzz target: any bytes as the journal of an unfinished seed are refused or loaded; what is loaded
// is within its own layout, takes an append, and is the same when it is loaded again.
#include "base/check.h"
#include "ship/seed_journal.h"
#include "testing/mem_env.h"

namespace {

using understudy::ship::SeedJournal;
namespace base = understudy::base;
namespace env = understudy::env;

constexpr const char* kPath = "/d/t.db.seeding.state";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  understudy::test::MemEnv files;
  CHECK(files.MakeDirectories("/d").ok());
  CHECK(env::WriteFileAtomically(files, kPath, {data, size}).ok());
  const auto loaded = SeedJournal::Load(files, kPath);
  if (!loaded.ok()) return 0;
  const SeedJournal::State& state = (*loaded)->state();
  CHECK(state.chunk_at.size() <= state.layout.chunks());
  const size_t chunks = state.chunk_at.size();
  if (chunks < state.layout.chunks() && !state.end) {
    const base::Position at = state.layout.start.position;
    CHECK((*loaded)->AppendChunks({&at, 1}).ok());
    const auto again = SeedJournal::Load(files, kPath);
    CHECK(again.ok() && (*again)->state().chunk_at.size() == chunks + 1);
  }
  return 0;
}
