// SPDX-License-Identifier: Apache-2.0
#include "backup/repository.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "backup/backup_chain.h"
#include "backup/ltx_format.h"
#include "backup/page_hashes.h"

namespace understudy::backup {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kMarkName = "understudy-repository.json";
constexpr std::string_view kMarkFormat = "understudy-repository";
constexpr std::string_view kDatabaseName = "understudy-database.json";
constexpr std::string_view kDatabaseFormat = "understudy-database";
constexpr std::string_view kLockName = "backup.lock";
constexpr std::string_view kDocumentSuffix = ".json";
constexpr std::string_view kPendingSuffix = ".json.pending";
constexpr std::string_view kPartialSuffix = ".ltx.partial";
constexpr std::string_view kTemporarySuffix = ".tmp";  // env::WriteFileAtomically
constexpr uint64_t kMarkBytesMax = 64 << 10;

// `<id><suffix>` -> id; empty if it is not such a name.
std::string IdOf(std::string_view name, std::string_view suffix) {
  if (!name.ends_with(suffix)) return {};
  name.remove_suffix(suffix.size());
  return IsBackupId(name) ? std::string(name) : std::string();
}

base::Result<Json> ReadMark(env::Env& env, const std::string& path, std::string_view format) {
  ASSIGN_OR_RETURN(const base::Bytes text, env::ReadFile(env, path, kMarkBytesMax));
  Json mark = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (mark.is_discarded() || !mark.is_object() || mark.value("format", Json()) != Json(format)) {
    return base::Corruption(
        fmt::format("{} is damaged: it is not JSON of format {}", path, format));
  }
  const Json version = mark.value("version", Json());
  if (version != Json(kRepositoryVersion)) {
    return base::InvalidArgument(
        fmt::format("{} has version {}, and this program knows only version {}; use a newer one",
                    path, version.is_number() ? version.dump() : "unknown", kRepositoryVersion));
  }
  return mark;
}

base::Status WriteMark(env::Env& env, const std::string& path, const Json& mark) {
  return env::WriteFileAtomically(env, path, base::AsBytes(mark.dump(2) + "\n"));
}

// Only the names that matter: a write or rename that was refused, in one sentence.
base::Status NotWritable(const base::Status& cause, const std::string& path) {
  if (cause.ok() || cause.code() == base::Code::kNoSpace) return cause;
  return base::Status(cause.code(),
                      fmt::format("the repository {} cannot be written ({}); make it writable or "
                                  "choose another one",
                                  path, cause.message()));
}

base::Result<BackupDocument> ReadDocument(env::Env& env, const std::string& path) {
  auto text = env::ReadFile(env, path, kDocumentBytesMax);
  if (!text.ok()) return text.status();
  auto document = DocumentFromJson({reinterpret_cast<const char*>(text->data()), text->size()});
  if (!document.ok()) return document.status().WithContext("backup document " + path);
  return document;
}

bool NewestFirst(const BackupDocument& a, const BackupDocument& b) {
  return a.started != b.started ? a.started > b.started : a.id > b.id;
}

base::Status RemoveIfThere(env::Env& env, const std::string& path) {
  base::Status status = env.Remove(path);
  return status.code() == base::Code::kNotFound ? base::Status() : status;
}

}  // namespace

std::string SnapshotFilePath(const std::string& database, uint64_t max_txid) {
  return LtxFilePath(database, kLtxSnapshotLevel, 1, max_txid);
}

std::string LtxFilePath(const std::string& database, uint32_t level, uint64_t min_txid,
                        uint64_t max_txid) {
  return fmt::format("{}/ltx/{}/{}", database, level, LtxFileName({min_txid, max_txid}));
}

base::Result<std::unique_ptr<Repository>> Repository::Open(env::Env& env, const std::string& path) {
  std::unique_ptr<Repository> repository(new Repository(env, path));
  const auto about = env.Stat(path);
  if (!about.ok()) return about.status().WithContext("backup repository");
  if (!about.value().is_directory) {
    return base::InvalidArgument(fmt::format("the repository {} is not a directory", path));
  }
  RETURN_IF_ERROR(repository->CheckMark());
  return repository;
}

base::Result<std::unique_ptr<Repository>> Repository::OpenOrCreate(env::Env& env,
                                                                   const std::string& path) {
  std::unique_ptr<Repository> repository(new Repository(env, path));
  const std::string mark = env::JoinPath(path, kMarkName);
  if (env::Exists(env, mark)) {
    RETURN_IF_ERROR(repository->CheckMark());
    return repository;
  }
  if (const auto about = env.Stat(path); about.ok() && !about.value().is_directory) {
    return base::InvalidArgument(fmt::format("the repository {} is not a directory", path));
  }
  if (auto names = env.List(path); names.ok()) {
    // What a crash during the first use leaves does not make the directory somebody else's.
    std::erase(*names, std::string(kMarkName) + std::string(kTemporarySuffix));
    if (!names->empty()) {
      return base::InvalidArgument(
          fmt::format("{} is not a backup repository and not empty (it has {}); choose an empty or "
                      "new directory",
                      path, names->front()));
    }
  }
  RETURN_IF_ERROR(NotWritable(env.MakeDirectories(path), path));
  RETURN_IF_ERROR(NotWritable(env.SyncDirectory(env::DirectoryOf(path)), path));
  const Json content = {{"format", kMarkFormat}, {"version", kRepositoryVersion}};
  RETURN_IF_ERROR(NotWritable(WriteMark(env, mark, content), path));
  return repository;
}

base::Status Repository::CheckMark() const {
  const std::string path = env::JoinPath(path_, kMarkName);
  const auto mark = ReadMark(env_, path, kMarkFormat);
  if (mark.status().code() != base::Code::kNotFound) return mark.status();
  return base::InvalidArgument(
      fmt::format("{} is not a backup repository: it has no {}", path_, kMarkName));
}

std::string Repository::DatabasePath(const std::string& database) const {
  return env::JoinPath(path_, database);
}
std::string Repository::PartialPath(const std::string& database, const std::string& id) const {
  return fmt::format("{}/partial/{}{}", DatabasePath(database), id, kPartialSuffix);
}
std::string Repository::DocumentPath(const std::string& database, const std::string& id) const {
  return fmt::format("{}/backups/{}{}", DatabasePath(database), id, kDocumentSuffix);
}
std::string Repository::PendingPath(const std::string& database, const std::string& id) const {
  return fmt::format("{}/backups/{}{}", DatabasePath(database), id, kPendingSuffix);
}
std::string Repository::FilePath(const BackupFile& file) const {
  return env::JoinPath(path_, file.path);
}

base::Result<std::vector<std::string>> Repository::Databases() const {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, env_.List(path_));
  std::vector<std::string> databases;
  for (const std::string& name : names) {
    if (env::Exists(env_, env::JoinPath(DatabasePath(name), kDatabaseName))) {
      databases.push_back(name);
    }
  }
  return databases;
}

base::Result<BackupList> Repository::List(const std::string& database) const {
  RETURN_IF_ERROR(base::CheckName("database name", database));
  auto names = env_.List(env::JoinPath(DatabasePath(database), "backups"));
  if (names.status().code() == base::Code::kNotFound) {
    return base::NotFound(
        fmt::format("the repository {} has no database called {}", path_, database));
  }
  RETURN_IF_ERROR(names.status());
  BackupList list;
  for (const std::string& name : *names) {
    const std::string id = IdOf(name, kDocumentSuffix);
    if (id.empty()) continue;
    const std::string path = DocumentPath(database, id);
    auto document = ReadDocument(env_, path);
    if (document.ok() && (document->id != id || document->database_name != database)) {
      document = base::Corruption(fmt::format("backup document {} is that of backup {} of {}", path,
                                              document->id, document->database_name));
    }
    if (document.ok()) {
      list.backups.push_back(std::move(*document));
    } else {
      list.unreadable.push_back({path, document.status()});
    }
  }
  std::sort(list.backups.begin(), list.backups.end(), NewestFirst);
  return list;
}

base::Result<BackupDocument> Repository::Find(const std::string& database,
                                              const std::string& id) const {
  ASSIGN_OR_RETURN(BackupList list, List(database));
  for (BackupDocument& document : list.backups) {
    if (document.id == id) return std::move(document);
  }
  for (const UnreadableDocument& document : list.unreadable) {
    if (document.path == DocumentPath(database, id)) return document.status;
  }
  return base::NotFound(fmt::format("the repository {} has no backup {} of {}; it has {} of it",
                                    path_, id, database, list.backups.size()));
}

base::Result<BackupDocument> Repository::NewestGood(const std::string& database) const {
  ASSIGN_OR_RETURN(BackupList list, List(database));
  const BackupDocument* newest = nullptr;
  for (const BackupDocument& document : list.backups) {
    if (newest != nullptr && document.position <= newest->position) continue;
    if (SeemsGood(list, document)) newest = &document;
  }
  if (newest != nullptr) return *newest;
  return base::NotFound(
      fmt::format("the repository {} has no good backup of {} ({} listed, {} "
                  "unreadable)",
                  path_, database, list.backups.size(), list.unreadable.size()));
}

base::Result<std::unique_ptr<env::FileLock>> Repository::LockDatabase(
    const std::string& database) const {
  const std::string path = env::JoinPath(DatabasePath(database), kLockName);
  auto lock = env_.Lock(path);
  if (lock.status().code() == base::Code::kBusy) {
    return base::Busy(
        fmt::format("another backup of {} into {} is running (it holds {}); wait for "
                    "it to end",
                    database, path_, path));
  }
  if (!lock.ok()) return NotWritable(lock.status(), path_);
  return lock;
}

base::Status Repository::PrepareDatabase(const std::string& database, base::DatabaseId id) const {
  RETURN_IF_ERROR(base::CheckName("database name", database));
  const std::string directory = DatabasePath(database);
  const std::string mark_path = env::JoinPath(directory, kDatabaseName);
  auto mark = ReadMark(env_, mark_path, kDatabaseFormat);
  if (mark.ok()) {
    const Json known = mark->value("id", Json());
    if (known == Json(id.ToHex())) return base::Status();
    return base::Diverged(fmt::format(
        "the repository {} holds backups of another database called {} (id {}, this "
        "one is {}); choose another repository",
        path_, database, known.is_string() ? known.get<std::string>() : "unknown", id.ToHex()));
  }
  if (mark.status().code() != base::Code::kNotFound) return mark.status();

  const std::string ltx = env::JoinPath(directory, "ltx");
  for (const std::string& made :
       {env::JoinPath(ltx, std::to_string(kLtxSnapshotLevel)), env::JoinPath(directory, "backups"),
        env::JoinPath(directory, "partial")}) {
    RETURN_IF_ERROR(NotWritable(env_.MakeDirectories(made), path_));
  }
  for (const std::string& parent : {ltx, directory, path_}) {
    RETURN_IF_ERROR(NotWritable(env_.SyncDirectory(parent), path_));
  }
  const Json content = {{"format", kDatabaseFormat},
                        {"version", kRepositoryVersion},
                        {"name", database},
                        {"id", id.ToHex()}};
  return NotWritable(WriteMark(env_, mark_path, content), path_);
}

base::Status Repository::RemovePartials(const std::string& database) const {
  const std::string partial = env::JoinPath(DatabasePath(database), "partial");
  ASSIGN_OR_RETURN(const auto partial_names, env_.List(partial));
  for (const std::string& name : partial_names) {
    if (IdOf(name, kPartialSuffix).empty()) continue;
    RETURN_IF_ERROR(RemoveIfThere(env_, env::JoinPath(partial, name)));
  }
  return {};
}

base::Status Repository::RemovePageHashes(const std::string& database,
                                          const BackupList& list) const {
  const std::string directory = env::JoinPath(DatabasePath(database), "pages");
  const auto names = env_.List(directory);
  if (names.status().code() == base::Code::kNotFound) return {};
  RETURN_IF_ERROR(names.status());
  std::set<std::string> listed;
  for (const BackupDocument& document : list.backups) {
    listed.insert(PageHashesPath(database, document.position.seq.value));
  }
  for (const std::string& name : *names) {
    const std::string path = env::JoinPath(directory, name);
    const bool ours =
        name.ends_with(kPageHashesSuffix) ||
        name.ends_with(std::string(kPageHashesSuffix) + std::string(kTemporarySuffix));
    if (ours && !listed.contains(path)) RETURN_IF_ERROR(RemoveIfThere(env_, path));
  }
  return {};
}

base::Status Repository::RemoveLeftovers(const std::string& database) const {
  RETURN_IF_ERROR(RemovePartials(database));
  const std::string backups = env::JoinPath(DatabasePath(database), "backups");
  ASSIGN_OR_RETURN(const auto names, env_.List(backups));
  ASSIGN_OR_RETURN(const BackupList list, List(database));
  RETURN_IF_ERROR(RemovePageHashes(database, list));
  std::set<std::string> listed;
  for (const BackupDocument& document : list.backups) {
    for (const BackupFile& file : document.files) listed.insert(file.path);
  }
  for (const std::string& name : names) {
    const std::string path = env::JoinPath(backups, name);
    const bool temporary =
        name.ends_with(kTemporarySuffix) &&
        (!IdOf(name, std::string(kDocumentSuffix) + std::string(kTemporarySuffix)).empty() ||
         !IdOf(name, std::string(kPendingSuffix) + std::string(kTemporarySuffix)).empty());
    const bool pending = !IdOf(name, kPendingSuffix).empty();
    if (!temporary && !pending) continue;
    // The backup was complete but never listed: its data may have got its name already. A file that
    // an unreadable document may be about is left alone.
    if (pending && list.unreadable.empty()) {
      if (const auto document = ReadDocument(env_, path); document.ok()) {
        for (const BackupFile& file : document.value().files) {
          if (file.reused || listed.contains(file.path)) continue;
          RETURN_IF_ERROR(RemoveIfThere(env_, FilePath(file)));
          RETURN_IF_ERROR(env_.SyncDirectory(env::DirectoryOf(FilePath(file))));
        }
      }
    }
    RETURN_IF_ERROR(RemoveIfThere(env_, path));
  }
  return base::Status();
}

std::string Repository::PageHashesPath(const std::string& database, uint64_t seq) const {
  return env::JoinPath(DatabasePath(database),
                       fmt::format("pages/{:016x}{}", seq, kPageHashesSuffix));
}

base::Status Repository::MakeDirectoryOf(const std::string& path) const {
  const std::string directory = env::DirectoryOf(path);
  RETURN_IF_ERROR(NotWritable(env_.MakeDirectories(directory), path_));
  return NotWritable(env_.SyncDirectory(env::DirectoryOf(directory)), path_);
}

base::Status Repository::Rewrite(const BackupDocument& document) const {
  const std::string path = DocumentPath(document.database_name, document.id);
  if (!env::Exists(env_, path)) {
    return base::NotFound(fmt::format("backup {} is not there any more", document.id));
  }
  return env::WriteFileAtomically(env_, path, base::AsBytes(ToJson(document)));
}

}  // namespace understudy::backup
