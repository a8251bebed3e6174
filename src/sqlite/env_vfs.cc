// SPDX-License-Identifier: Apache-2.0
#include "sqlite/env_vfs.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <atomic>
#include <cstring>

namespace understudy::sqlite {

using base::Status;

namespace {
constexpr int kShmLocks = SQLITE_SHM_NLOCK;
constexpr int kPathBytesMax = 512;
constexpr int kSectorBytes = 4096;
// Temporary files are kept in memory; larger ones are refused.
constexpr size_t kTemporaryBytesMax = 256 << 20;
}  // namespace

struct EnvVfsNode {
  base::Mutex mutex;
  // The database file's lock (SQLite's five levels).
  int shared GUARDED_BY(mutex) = 0;  // connections at SHARED or above
  const void* reserved GUARDED_BY(mutex) = nullptr;
  const void* pending GUARDED_BY(mutex) = nullptr;
  const void* exclusive GUARDED_BY(mutex) = nullptr;
  // The wal-index: gone when the last connection unmaps it.
  int shm_users GUARDED_BY(mutex) = 0;
  std::vector<std::unique_ptr<uint8_t[]>> regions GUARDED_BY(mutex);
  std::array<int, kShmLocks> shm_shared GUARDED_BY(mutex) = {};
  std::array<const void*, kShmLocks> shm_exclusive GUARDED_BY(mutex) = {};
};

// The C++ part of an open file; sqlite3_file has only room for a pointer to it.
struct EnvVfsFile {
  EnvVfs* vfs = nullptr;
  std::string path;
  std::unique_ptr<env::File> file;  // null for a temporary one
  base::Bytes temporary;
  bool is_new = false;  // its name may not be synced yet
  bool delete_on_close = false;
  int lock = SQLITE_LOCK_NONE;
  std::shared_ptr<EnvVfsNode> node;  // of the main database
  bool uses_shm = false;
  uint32_t shm_shared = 0;  // locks this connection holds, bit by bit
  uint32_t shm_exclusive = 0;
};

namespace {

using OpenFile = EnvVfsFile;

struct VfsFile {
  sqlite3_file base;
  OpenFile* open;
};

OpenFile& Of(sqlite3_file* file) { return *reinterpret_cast<VfsFile*>(file)->open; }
EnvVfs& Of(sqlite3_vfs* vfs) { return *static_cast<EnvVfs*>(vfs->pAppData); }

int CodeOf(const Status& status, int code) {
  if (status.ok()) return SQLITE_OK;
  return status.code() == base::Code::kNoSpace ? SQLITE_FULL : code;
}

// ---- content ----

int Close(sqlite3_file* file) {
  OpenFile* const open = &Of(file);
  open->vfs->NoteClosed(*open);
  if (open->delete_on_close && open->file != nullptr && !open->vfs->is_killed())
    open->vfs->env().Remove(open->path).IgnoreError();  // a leftover temporary file harms nobody
  delete open;
  return SQLITE_OK;
}

int ReadTemporary(const OpenFile& open, void* to, size_t amount, size_t offset) {
  const size_t have = open.temporary.size() > offset ? open.temporary.size() - offset : 0;
  const size_t got = std::min(have, amount);
  if (got != 0) std::memcpy(to, open.temporary.data() + offset, got);
  std::memset(static_cast<uint8_t*>(to) + got, 0, amount - got);
  return got == amount ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

int Read(sqlite3_file* file, void* to, int amount, sqlite3_int64 offset) {
  OpenFile& open = Of(file);
  if (open.vfs->is_killed()) return SQLITE_IOERR_READ;
  const auto size = static_cast<size_t>(amount);
  if (!open.file) return ReadTemporary(open, to, size, static_cast<size_t>(offset));
  auto* const bytes = static_cast<uint8_t*>(to);
  const auto got = open.file->ReadAt(static_cast<uint64_t>(offset), {bytes, size});
  if (!got.ok()) return SQLITE_IOERR_READ;
  if (*got == size) return SQLITE_OK;
  std::memset(bytes + *got, 0, size - *got);
  return SQLITE_IOERR_SHORT_READ;
}

int Write(sqlite3_file* file, const void* from, int amount, sqlite3_int64 offset) {
  OpenFile& open = Of(file);
  if (open.vfs->is_killed()) return SQLITE_IOERR_WRITE;
  const auto size = static_cast<size_t>(amount);
  const auto at = static_cast<size_t>(offset);
  if (open.file) {
    return CodeOf(open.file->WriteAt(at, {static_cast<const uint8_t*>(from), size}),
                  SQLITE_IOERR_WRITE);
  }
  if (at + size > kTemporaryBytesMax) return SQLITE_FULL;
  if (open.temporary.size() < at + size) open.temporary.resize(at + size);
  std::memcpy(open.temporary.data() + at, from, size);
  return SQLITE_OK;
}

int Truncate(sqlite3_file* file, sqlite3_int64 size) {
  OpenFile& open = Of(file);
  if (open.vfs->is_killed()) return SQLITE_IOERR_TRUNCATE;
  if (open.file)
    return CodeOf(open.file->Truncate(static_cast<uint64_t>(size)), SQLITE_IOERR_TRUNCATE);
  open.temporary.resize(std::min(static_cast<size_t>(size), kTemporaryBytesMax));
  return SQLITE_OK;
}

int Sync(sqlite3_file* file, int /*flags*/) {
  OpenFile& open = Of(file);
  if (open.vfs->is_killed()) return SQLITE_IOERR_FSYNC;
  if (!open.file) return SQLITE_OK;
  if (!open.file->Sync().ok()) return SQLITE_IOERR_FSYNC;
  if (!open.is_new) return SQLITE_OK;
  open.is_new = false;
  return CodeOf(open.vfs->env().SyncDirectory(env::DirectoryOf(open.path)), SQLITE_IOERR_DIR_FSYNC);
}

int FileSize(sqlite3_file* file, sqlite3_int64* size) {
  OpenFile& open = Of(file);
  if (open.vfs->is_killed()) return SQLITE_IOERR_FSTAT;
  if (!open.file) {
    *size = static_cast<sqlite3_int64>(open.temporary.size());
    return SQLITE_OK;
  }
  const auto bytes = open.file->Size();
  if (!bytes.ok()) return SQLITE_IOERR_FSTAT;
  *size = static_cast<sqlite3_int64>(*bytes);
  return SQLITE_OK;
}

// ---- locks of the database file ----

int LockFile(sqlite3_file* file, int level) {
  OpenFile& open = Of(file);
  if (open.vfs->is_killed()) return SQLITE_IOERR_LOCK;
  if (open.lock >= level || !open.node) return SQLITE_OK;
  EnvVfsNode& node = *open.node;
  const base::MutexLock guard(node.mutex);
  const auto other = [&](const void* holder) { return holder != nullptr && holder != &open; };
  if (level == SQLITE_LOCK_SHARED) {
    if (other(node.pending) || other(node.exclusive)) return SQLITE_BUSY;
    ++node.shared;
  } else if (level == SQLITE_LOCK_RESERVED) {
    if (other(node.reserved) || other(node.pending)) return SQLITE_BUSY;
    node.reserved = &open;
  } else {  // PENDING, then EXCLUSIVE
    if (other(node.pending) || other(node.reserved)) return SQLITE_BUSY;
    node.pending = &open;
    open.lock = SQLITE_LOCK_PENDING;
    if (node.shared > 1) return SQLITE_BUSY;
    node.exclusive = &open;
  }
  open.lock = level;
  return SQLITE_OK;
}

int Unlock(OpenFile& open, int level) {
  if (open.lock <= level || !open.node) return SQLITE_OK;
  EnvVfsNode& node = *open.node;
  const base::MutexLock guard(node.mutex);
  if (node.reserved == &open) node.reserved = nullptr;
  if (node.pending == &open) node.pending = nullptr;
  if (node.exclusive == &open) node.exclusive = nullptr;
  if (level == SQLITE_LOCK_NONE) --node.shared;
  open.lock = level;
  return SQLITE_OK;
}

int UnlockFile(sqlite3_file* file, int level) { return Unlock(Of(file), level); }

int CheckReservedLock(sqlite3_file* file, int* result) {
  OpenFile& open = Of(file);
  *result = 0;
  if (!open.node) return SQLITE_OK;
  const base::MutexLock guard(open.node->mutex);
  *result = open.node->reserved != nullptr ? 1 : 0;
  return SQLITE_OK;
}

// ---- wal-index ----

int ShmMap(sqlite3_file* file, int region, int bytes, int extend, void volatile** mapped) {
  OpenFile& open = Of(file);
  *mapped = nullptr;
  if (open.vfs->is_killed() || !open.node) return SQLITE_IOERR_SHMMAP;
  EnvVfsNode& node = *open.node;
  const base::MutexLock guard(node.mutex);
  if (!open.uses_shm) {
    // Its content is in memory; the file is there for those who ask whether it is still the same.
    const auto index = open.vfs->env().Open(open.path + "-shm", env::OpenMode::kCreate);
    if (!index.ok()) return SQLITE_IOERR_SHMOPEN;
    open.uses_shm = true;
    ++node.shm_users;
  }
  const auto number = static_cast<size_t>(region);
  while (node.regions.size() <= number) {
    if (extend == 0) return SQLITE_OK;
    node.regions.push_back(std::make_unique<uint8_t[]>(static_cast<size_t>(bytes)));
  }
  *mapped = node.regions[number].get();
  return SQLITE_OK;
}

int ShmLock(sqlite3_file* file, int first, int count, int flags) {
  OpenFile& open = Of(file);
  if (open.vfs->is_killed() || !open.node) return SQLITE_IOERR_SHMLOCK;
  EnvVfsNode& node = *open.node;
  const uint32_t mask = ((1U << count) - 1U) << first;
  const base::MutexLock guard(node.mutex);
  const auto each = [&](const auto& act) {
    for (int i = first; i < first + count; ++i) act(static_cast<size_t>(i), 1U << i);
  };
  if ((flags & SQLITE_SHM_UNLOCK) != 0) {
    each([&](size_t i, uint32_t bit) {
      if ((open.shm_shared & bit) != 0) --node.shm_shared[i];
      if ((open.shm_exclusive & bit) != 0) node.shm_exclusive[i] = nullptr;
    });
    open.shm_shared &= ~mask;
    open.shm_exclusive &= ~mask;
    return SQLITE_OK;
  }
  bool is_free = true;
  const bool shared = (flags & SQLITE_SHM_SHARED) != 0;
  each([&](size_t i, uint32_t bit) {
    if (shared && (open.shm_shared & bit) != 0) return;
    if (node.shm_exclusive[i] != nullptr) is_free = false;
    if (!shared && node.shm_shared[i] != 0) is_free = false;
  });
  if (!is_free) return SQLITE_BUSY;
  each([&](size_t i, uint32_t bit) {
    if (!shared) {
      node.shm_exclusive[i] = &open;
    } else if ((open.shm_shared & bit) == 0) {
      ++node.shm_shared[i];
    }
  });
  (shared ? open.shm_shared : open.shm_exclusive) |= mask;
  return SQLITE_OK;
}

void ShmBarrier(sqlite3_file* /*file*/) { std::atomic_thread_fence(std::memory_order_seq_cst); }

int Unmap(OpenFile& open, int remove) {
  if (!open.uses_shm) return SQLITE_OK;
  EnvVfsNode& node = *open.node;
  const base::MutexLock guard(node.mutex);
  for (size_t i = 0; i < kShmLocks; ++i) {
    if ((open.shm_shared >> i & 1U) != 0) --node.shm_shared[i];
    if (node.shm_exclusive[i] == &open) node.shm_exclusive[i] = nullptr;
  }
  open.shm_shared = open.shm_exclusive = 0;
  open.uses_shm = false;
  if (--node.shm_users != 0) return SQLITE_OK;
  node.regions.clear();
  if (remove != 0 && !open.vfs->is_killed())
    open.vfs->env().Remove(open.path + "-shm").IgnoreError();  // a leftover harms nobody
  return SQLITE_OK;
}

int ShmUnmap(sqlite3_file* file, int remove) { return Unmap(Of(file), remove); }

// ---- the file as SQLite sees it ----

int FileControl(sqlite3_file* /*file*/, int /*op*/, void* /*argument*/) { return SQLITE_NOTFOUND; }
int SectorSize(sqlite3_file* /*file*/) { return kSectorBytes; }
// As the unix VFS says of ordinary disks.
int DeviceCharacteristics(sqlite3_file* /*file*/) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }

constexpr sqlite3_io_methods kMethods = {
    .iVersion = 2,
    .xClose = Close,
    .xRead = Read,
    .xWrite = Write,
    .xTruncate = Truncate,
    .xSync = Sync,
    .xFileSize = FileSize,
    .xLock = LockFile,
    .xUnlock = UnlockFile,
    .xCheckReservedLock = CheckReservedLock,
    .xFileControl = FileControl,
    .xSectorSize = SectorSize,
    .xDeviceCharacteristics = DeviceCharacteristics,
    .xShmMap = ShmMap,
    .xShmLock = ShmLock,
    .xShmBarrier = ShmBarrier,
    .xShmUnmap = ShmUnmap,
    .xFetch = nullptr,
    .xUnfetch = nullptr,
};

// ---- the VFS ----

int OpenInEnv(OpenFile& open, int flags) {
  env::Env& env = open.vfs->env();
  env::OpenMode mode = env::OpenMode::kReadWrite;
  if ((flags & SQLITE_OPEN_READONLY) != 0) mode = env::OpenMode::kRead;
  if ((flags & SQLITE_OPEN_CREATE) != 0) {
    mode = env::OpenMode::kCreate;
    // As the unix VFS: whoever could have made a journal syncs its name, since another connection
    // may have made it and never synced it.
    const int journals = SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL;
    open.is_new = (flags & journals) != 0 || !env::Exists(env, open.path);
  }
  auto file = env.Open(open.path, mode);
  if (!file.ok()) return SQLITE_CANTOPEN;
  open.file = std::move(file).value();
  return SQLITE_OK;
}

int Open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  auto* const result = reinterpret_cast<VfsFile*>(file);
  result->base.pMethods = nullptr;
  EnvVfs& self = Of(vfs);
  if (self.is_killed()) return SQLITE_CANTOPEN;
  auto open = std::make_unique<OpenFile>();
  open->vfs = &self;
  open->delete_on_close = (flags & SQLITE_OPEN_DELETEONCLOSE) != 0;
  if (name != nullptr) {
    open->path = name;
    const int code = OpenInEnv(*open, flags);
    if (code != SQLITE_OK) return code;
    if ((flags & SQLITE_OPEN_MAIN_DB) != 0) open->node = self.NodeOf(open->path);
  }
  if (out_flags != nullptr) *out_flags = flags;
  self.NoteOpened(*open);
  result->open = open.release();
  result->base.pMethods = &kMethods;
  return SQLITE_OK;
}

int Delete(sqlite3_vfs* vfs, const char* name, int sync_directory) {
  EnvVfs& self = Of(vfs);
  if (self.is_killed()) return SQLITE_IOERR_DELETE;
  const Status status = self.env().Remove(name);
  if (status.code() == base::Code::kNotFound) return SQLITE_IOERR_DELETE_NOENT;
  if (!status.ok()) return SQLITE_IOERR_DELETE;
  if (sync_directory == 0) return SQLITE_OK;
  return CodeOf(self.env().SyncDirectory(env::DirectoryOf(name)), SQLITE_IOERR_DIR_FSYNC);
}

int Access(sqlite3_vfs* vfs, const char* name, int flags, int* result) {
  EnvVfs& self = Of(vfs);
  *result = 0;
  if (self.is_killed()) return SQLITE_IOERR_ACCESS;
  const auto about = self.env().Stat(name);
  // SQLite counts an empty journal or WAL as absent.
  *result = about.ok() && (flags != SQLITE_ACCESS_EXISTS || about->size > 0) ? 1 : 0;
  return SQLITE_OK;
}

int FullPathname(sqlite3_vfs* /*vfs*/, const char* name, int bytes, char* out) {
  return std::snprintf(out, static_cast<size_t>(bytes), "%s", name) < bytes ? SQLITE_OK
                                                                            : SQLITE_CANTOPEN;
}

int Randomness(sqlite3_vfs* vfs, int bytes, char* out) {
  for (int at = 0; at < bytes; at += 8) {
    const uint64_t value = Of(vfs).env().Random();
    std::memcpy(out + at, &value, static_cast<size_t>(std::min(8, bytes - at)));
  }
  return bytes;
}

// A busy handler that waits would wait for another thread of this process, or for ever.
int Sleep(sqlite3_vfs* /*vfs*/, int /*microseconds*/) { return 0; }

constexpr int64_t kUnixEpochInJulianMs = 210866760000000;
int CurrentTimeMs(sqlite3_vfs* vfs, sqlite3_int64* now) {
  *now = kUnixEpochInJulianMs + Of(vfs).env().WallNow().unix_ms;
  return SQLITE_OK;
}
int CurrentTime(sqlite3_vfs* vfs, double* now) {
  sqlite3_int64 ms = 0;
  CurrentTimeMs(vfs, &ms);
  *now = static_cast<double>(ms) / 86400000.0;
  return SQLITE_OK;
}

int GetLastError(sqlite3_vfs* /*vfs*/, int /*bytes*/, char* /*out*/) { return 0; }

std::string NextName() {
  static std::atomic<uint64_t> count = 0;
  return fmt::format("understudy-env-{}", ++count);
}

}  // namespace

EnvVfs::EnvVfs(env::Env& env)
    : env_(env), name_(NextName()), vfs_(std::make_unique<sqlite3_vfs>()) {
  *vfs_ = sqlite3_vfs{};
  vfs_->iVersion = 2;
  vfs_->szOsFile = sizeof(VfsFile);
  vfs_->mxPathname = kPathBytesMax;
  vfs_->zName = name_.c_str();
  vfs_->pAppData = this;
  vfs_->xOpen = Open;
  vfs_->xDelete = Delete;
  vfs_->xAccess = Access;
  vfs_->xFullPathname = FullPathname;
  vfs_->xRandomness = Randomness;
  vfs_->xSleep = Sleep;
  vfs_->xCurrentTime = CurrentTime;
  vfs_->xGetLastError = GetLastError;
  vfs_->xCurrentTimeInt64 = CurrentTimeMs;
  CHECK(sqlite3_vfs_register(vfs_.get(), 0) == SQLITE_OK);
}

EnvVfs::~EnvVfs() { sqlite3_vfs_unregister(vfs_.get()); }

void EnvVfs::Kill() {
  const base::MutexLock lock(mutex_);
  is_killed_ = true;
}

void EnvVfs::NoteOpened(EnvVfsFile& file) {
  const base::MutexLock lock(mutex_);
  owners_[&file] = owner_ ? owner_() : 0;
}

void EnvVfs::NoteClosed(EnvVfsFile& file) {
  const base::MutexLock lock(mutex_);
  owners_.erase(&file);
}

void EnvVfs::DropOwner(uint64_t owner) {
  std::vector<EnvVfsFile*> dropped;
  {
    const base::MutexLock lock(mutex_);
    for (const auto& [file, of] : owners_) {
      if (of == owner) dropped.push_back(file);
    }
    std::erase_if(owners_, [owner](const auto& each) { return each.second == owner; });
  }
  for (EnvVfsFile* const file : dropped) {
    Unlock(*file, SQLITE_LOCK_NONE);
    Unmap(*file, 0);
  }
}

bool EnvVfs::is_killed() const {
  const base::MutexLock lock(mutex_);
  return is_killed_;
}

std::shared_ptr<EnvVfsNode> EnvVfs::NodeOf(const std::string& path) {
  const base::MutexLock lock(mutex_);
  std::weak_ptr<EnvVfsNode>& known = nodes_[path];
  std::shared_ptr<EnvVfsNode> node = known.lock();
  if (!node) known = node = std::make_shared<EnvVfsNode>();
  return node;
}

}  // namespace understudy::sqlite
