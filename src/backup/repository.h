// SPDX-License-Identifier: Apache-2.0
// Repository: the backups of any number of databases in an object store (a directory or a bucket),
// in the LTX layout that Litestream reads, each with its document.
//
//   <repository>/understudy-repository.json      {"format", "version"}: this directory is ours;
//                                                {"encryption"}: with which key the rest is
//   <repository>/<database>/understudy-database.json      name and id
//   <repository>/<database>/ltx/9/<min>-<max>.ltx         snapshots (docs/formats/ltx.md)
//   <repository>/<database>/ltx/8/, ltx/7/                differential and incremental ones
//   <repository>/<database>/pages/<seq>.hashes            page hashes (page_hashes.h)
//   <repository>/<database>/backups/<id>.json             documents: the list of backups
//   <repository>/<database>/partial/<id>.ltx.partial      data being written
//   <repository>/<database>/backups/<id>.keep             mark of a backup that is to be kept
//   <repository>/<database>/backup.lock                   held by a running backup of this host
//   <repository>/<database>/lock/<number>                 … of any host (store/object_lock.h)
//
// Invariants:
//   1. A document's name appears after all its files are published, synced, read back and found
//      good.
//   2. A published file is never changed. Its name is taken again only when no document lists it or
//      what it holds was found to be damaged.
//   3. What a crash leaves behind are unfinished objects, and data of no document; the next backup
//      removes both, the data only if every document can be read.
// Threading: thread-compatible. Errors: one sentence that names the repository and what to do.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "backup/backup_document.h"
#include "env/env.h"
#include "store/object_lock.h"
#include "store/object_store.h"

namespace understudy::backup {

inline constexpr int kRepositoryVersion = 1;
inline constexpr int kEncryptedVersion = 2;  // older programs must not take it for a plain one

// A document that could not be read; its backup is not listed, and is not removed either.
struct UnreadableDocument {
  std::string path;
  base::Status status;
};

struct BackupList {
  std::vector<BackupDocument> backups;  // newest (by start) first
  std::vector<UnreadableDocument> unreadable;
  std::set<std::string> kept;  // ids that a person has marked
};

// The right to change what is stored of a database: on this host, gone with the process, and among
// all hosts. Whoever holds it renews it while they work, and checks it before and after what others
// rely on. Threading: thread-compatible.
class RepositoryLock {
 public:
  RepositoryLock(std::unique_ptr<env::FileLock> on_host, std::unique_ptr<store::ObjectLock> lock)
      : on_host_(std::move(on_host)), lock_(std::move(lock)) {}
  void RenewIfDue() { lock_->RenewIfDue(); }
  base::Status Check() { return lock_->Check(); }

 private:
  std::unique_ptr<env::FileLock> on_host_;  // given up last
  std::unique_ptr<store::ObjectLock> lock_;
};

class Repository {
 public:
  // `path` is a location (store/location.h): a directory, or "s3://…".
  // For reading. kNotFound when there is no such directory; kInvalidArgument when it is not a
  // repository or of an unknown version.
  static base::Result<std::unique_ptr<Repository>> Open(env::Env& env, const std::string& path);
  static base::Result<std::unique_ptr<Repository>> Open(env::Env& env,
                                                        std::unique_ptr<store::ObjectStore> store);
  // For writing: makes the repository in an absent or empty directory. kInvalidArgument when the
  // directory holds something else, kIoError when it is not writable. What is there once is brought
  // to the first key, when that is another one than before (store/repository_key.h).
  static base::Result<std::unique_ptr<Repository>> OpenOrCreate(env::Env& env,
                                                                const std::string& path);
  static base::Result<std::unique_ptr<Repository>> OpenOrCreate(
      env::Env& env, std::unique_ptr<store::ObjectStore> store);
  // How a lock that may have no holder any more is waited for; otherwise the thread sleeps.
  void SetPause(store::Pause pause) { pause_ = std::move(pause); }
  // A directory of this host for its locks of places that have no lock of their own for a host
  // (buckets): what a killed process of the same directory held is then taken over at once.
  void SetHostLocks(std::string directory) { host_locks_ = std::move(directory); }
  const store::Pause& pause() const { return pause_; }

  const std::string& name() const { return store_->name(); }  // for messages
  store::ObjectStore& store() const { return *store_; }
  base::Result<std::vector<std::string>> Databases() const;  // names, sorted

  // An empty list when the database is known but has none. kNotFound when it is not in here.
  base::Result<BackupList> List(const std::string& database) const;
  base::Result<BackupDocument> Find(const std::string& database, const std::string& id) const;
  // Those of whose chain nothing is missing and no verification failed, by position, then start.
  base::Result<std::vector<BackupDocument>> Good(const std::string& database) const;
  // The same of a list that is at hand.
  base::Result<std::vector<BackupDocument>> Good(const std::string& database,
                                                 const BackupList& list) const;
  // The newest backup (by position, then start) of whose chain nothing is missing and no
  // verification failed.
  base::Result<BackupDocument> NewestGood(const std::string& database) const;

  // The following are the backup engine's.

  // One at a time for each database, of all hosts: kBusy while another process or thread holds it.
  // `take_over`: one that another host left behind is watched for store::kLockLease, then taken.
  base::Result<std::unique_ptr<RepositoryLock>> LockDatabase(const std::string& database,
                                                             bool take_over = true) const;
  // Makes the directories of a database, or checks that those there belong to the same id.
  // ENSURES: they are on disk.
  base::Status PrepareDatabase(const std::string& database, base::DatabaseId id) const;
  // Removes what crashed backups left. REQUIRES: LockDatabase held.
  base::Status RemoveLeftovers(const std::string& database) const;
  // Replaces the document of a listed backup. REQUIRES: LockDatabase held.
  base::Status Rewrite(const BackupDocument& document) const;

  // Writes a new document: the commit point of a backup.
  base::Status PutDocument(const BackupDocument& document) const;

  // Takes a backup off the list; its data stays until RemoveLeftovers. REQUIRES: LockDatabase
  // held, and that no listed backup is based on it.
  base::Status RemoveDocument(const BackupDocument& document) const;
  // Marks a listed backup, or takes the mark away: Prune keeps it (prune.h).
  base::Status SetKeep(const std::string& database, const std::string& id, bool keep) const;

  // Keys of objects.
  std::string PartialKey(const std::string& database, const std::string& id) const;
  std::string DocumentKey(const std::string& database, const std::string& id) const;
  std::string KeepKey(const std::string& database, const std::string& id) const;
  std::string PageHashesKey(const std::string& database, uint64_t seq) const;
  // For messages.
  std::string FilePath(const BackupFile& file) const { return store_->NameOf(file.path); }
  std::string DocumentPath(const std::string& database, const std::string& id) const {
    return store_->NameOf(DocumentKey(database, id));
  }
  std::string PageHashesPath(const std::string& database, uint64_t seq) const {
    return store_->NameOf(PageHashesKey(database, seq));
  }

 private:
  Repository(env::Env& env, std::unique_ptr<store::ObjectStore> store)
      : env_(env), store_(std::move(store)) {}
  base::Status CheckMark() const;
  store::HostProof HostProofOf(const std::string& database) const;
  base::Status RemovePageHashes(const std::string& database, const BackupList& list) const;
  base::Status RemoveUnlisted(const std::string& database, const BackupList& list) const;

  env::Env& env_;
  const std::unique_ptr<store::ObjectStore> store_;
  store::Pause pause_ = store::PauseThread;
  std::string host_locks_;  // empty: none
};

// "orders/ltx/9/0000000000000001-00000000000006ce.ltx"
std::string SnapshotFilePath(const std::string& database, uint64_t max_txid);
// "orders/ltx/7/00000000000006cf-0000000000000700.ltx"
std::string LtxFilePath(const std::string& database, uint32_t level, uint64_t min_txid,
                        uint64_t max_txid);

}  // namespace understudy::backup
