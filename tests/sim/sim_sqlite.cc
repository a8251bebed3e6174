// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/sim_sqlite.h"

#include <sqlite3.h>

#include <chrono>
#include <utility>

#include "base/check.h"
#include "base/mutex.h"

namespace understudy::sim {
namespace {

SimSqlite::Current current;  // NOLINT: SQLite's default VFS is one for the whole process
sqlite3_vfs vfs;             // NOLINT

sqlite3_vfs* Below() {
  sqlite::EnvVfs* const machine = current();
  CHECK(machine != nullptr);
  sqlite3_vfs* const below = sqlite3_vfs_find(machine->name().c_str());
  CHECK(below != nullptr);
  return below;
}

int Open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  sqlite3_vfs* const below = Below();
  return below->xOpen(below, name, file, flags, out_flags);
}
int Delete(sqlite3_vfs*, const char* name, int sync) {
  sqlite3_vfs* const below = Below();
  return below->xDelete(below, name, sync);
}
int Access(sqlite3_vfs*, const char* name, int flags, int* result) {
  sqlite3_vfs* const below = Below();
  return below->xAccess(below, name, flags, result);
}
int FullPathname(sqlite3_vfs*, const char* name, int bytes, char* out) {
  sqlite3_vfs* const below = Below();
  return below->xFullPathname(below, name, bytes, out);
}
int Randomness(sqlite3_vfs*, int bytes, char* out) {
  sqlite3_vfs* const below = Below();
  return below->xRandomness(below, bytes, out);
}
// A busy handler waits in simulated time, and others run meanwhile.
int Sleep(sqlite3_vfs*, int microseconds) {
  base::Mutex mutex;
  base::CondVar nothing;
  base::MutexLock lock(mutex);
  nothing.WaitFor(mutex, std::chrono::microseconds(microseconds));
  return microseconds;
}
int CurrentTime(sqlite3_vfs*, double* now) {
  sqlite3_vfs* const below = Below();
  return below->xCurrentTime(below, now);
}
int CurrentTimeInt64(sqlite3_vfs*, sqlite3_int64* now) {
  sqlite3_vfs* const below = Below();
  return below->xCurrentTimeInt64(below, now);
}
int GetLastError(sqlite3_vfs*, int, char*) { return 0; }

}  // namespace

SimSqlite::SimSqlite(Current who) {
  CHECK(!current);
  CHECK(sqlite3_initialize() == SQLITE_OK);
  current = std::move(who);
  vfs = sqlite3_vfs{};
  vfs.iVersion = 2;
  vfs.szOsFile = 256;  // EnvVfs's files are smaller
  vfs.mxPathname = 512;
  vfs.zName = "understudy-sim";
  vfs.xOpen = Open;
  vfs.xDelete = Delete;
  vfs.xAccess = Access;
  vfs.xFullPathname = FullPathname;
  vfs.xRandomness = Randomness;
  vfs.xSleep = Sleep;
  vfs.xCurrentTime = CurrentTime;
  vfs.xGetLastError = GetLastError;
  vfs.xCurrentTimeInt64 = CurrentTimeInt64;
  CHECK(sqlite3_vfs_register(&vfs, 1) == SQLITE_OK);
  sqlite3_randomness(0, nullptr);  // from now on from the machines, whatever was before
}

SimSqlite::~SimSqlite() {
  sqlite3_vfs_unregister(&vfs);
  current = nullptr;
}

}  // namespace understudy::sim
