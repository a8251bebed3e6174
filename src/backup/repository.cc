// SPDX-License-Identifier: Apache-2.0
#include "backup/repository.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>

#include "backup/archive.h"
#include "backup/backup_chain.h"
#include "backup/ltx_format.h"
#include "backup/page_hashes.h"
#include "store/digest.h"
#include "store/location.h"
#include "store/repository_key.h"

namespace understudy::backup {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kMarkName = store::kClearObject;
constexpr std::string_view kMarkFormat = "understudy-repository";
constexpr std::string_view kDatabaseName = "understudy-database.json";
constexpr std::string_view kDatabaseFormat = "understudy-database";
constexpr std::string_view kLockName = "backup.lock";
constexpr std::string_view kDocumentSuffix = ".json";
constexpr std::string_view kKeepSuffix = ".keep";
constexpr std::string_view kPendingSuffix = ".json.pending";  // of earlier versions
constexpr uint64_t kMarkBytesMax = 64 << 10;
constexpr std::array kLtxLevels = {kLtxIncrementalLevel, kLtxDifferentialLevel, kLtxSnapshotLevel};

// `<id><suffix>` -> id; empty if it is not such a name.
std::string IdOf(std::string_view name, std::string_view suffix) {
  if (!name.ends_with(suffix)) return {};
  name.remove_suffix(suffix.size());
  return IsBackupId(name) ? std::string(name) : std::string();
}

base::Result<Json> ReadMark(store::ObjectStore& store, const std::string& key,
                            std::string_view format) {
  ASSIGN_OR_RETURN(const base::Bytes text, store::Get(store, key, kMarkBytesMax));
  Json mark = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (mark.is_discarded() || !mark.is_object() || mark.value("format", Json()) != Json(format)) {
    return base::Corruption(
        fmt::format("{} is damaged: it is not JSON of format {}", store.NameOf(key), format));
  }
  const Json version = mark.value("version", Json());
  const bool encrypted = mark.contains("encryption");
  if (version != Json(encrypted ? kEncryptedVersion : kRepositoryVersion)) {
    return base::InvalidArgument(
        fmt::format("{} has version {}, and this program knows only version {}; use a newer one",
                    store.NameOf(key), version.is_number() ? version.dump() : "unknown",
                    encrypted ? kEncryptedVersion : kRepositoryVersion));
  }
  return mark;
}

std::string KeyNamedIn(const Json& mark) {
  const Json encryption = mark.value("encryption", Json());
  const Json id = encryption.is_object() ? encryption.value("key", Json()) : Json();
  return id.is_string() ? id.get<std::string>() : "unknown";
}

// A repository is encrypted as a whole, or not at all.
base::Status CheckEncryption(store::ObjectStore& store, const Json& mark) {
  const store::RepositoryKeys* const keys = store.keys();
  if (!mark.contains("encryption")) {
    if (keys == nullptr) return {};
    return base::InvalidArgument(fmt::format(
        "{} is not encrypted, and the key file {} is given for it\nleave the key out (key=, --key, "
        "UNDERSTUDY_REPOSITORY_KEY), or begin an encrypted repository at another place",
        store.name(), keys->source()));
  }
  const std::string name = KeyNamedIn(mark);
  if (keys == nullptr) {
    return base::InvalidArgument(fmt::format(
        "{0} is encrypted with the key {1}\ngive the file with it: {0}?key=/PATH, or understudy "
        "repository set NAME --key /PATH",
        store.name(), name));
  }
  if (keys->HasId(name)) return {};
  return base::InvalidArgument(
      fmt::format("{} is encrypted with the key {}, and {} has {}\nadd that key to the file",
                  store.name(), name, keys->source(), keys->Ids()));
}

Json NewMark(const store::ObjectStore& store) {
  if (store.keys() == nullptr) return {{"format", kMarkFormat}, {"version", kRepositoryVersion}};
  return {{"format", kMarkFormat},
          {"version", kEncryptedVersion},
          {"encryption",
           {{"format", "sealed-object-1"}, {"key", store::ToHex(store.keys()->first().id())}}}};
}

// Only the names that matter: a write or rename that was refused, in one sentence.
base::Status NotWritable(const base::Status& cause, const store::ObjectStore& store) {
  if (cause.ok() || cause.code() == base::Code::kNoSpace) return cause;
  return base::Status(cause.code(),
                      fmt::format("the repository {} cannot be written ({}); make it writable or "
                                  "choose another one",
                                  store.name(), cause.message()));
}

base::Status WriteMark(store::ObjectStore& store, const std::string& key, const Json& mark,
                       store::PutMode mode = store::PutMode::kReplace) {
  return NotWritable(store.Put(key, base::AsBytes(mark.dump(2) + "\n"), mode), store);
}

// Makes an empty place a repository. Others may do so at the same moment: the first mark counts.
base::Status BeginRepository(store::ObjectStore& store) {
  const std::string key(kMarkName);
  // What a crash during the first use leaves is no object: the place is still nobody else's.
  ASSIGN_OR_RETURN(const store::ObjectList there, store.List(""));
  if (!there.objects.empty() || !there.folders.empty()) {
    if (store.Stat(key).ok()) return {};
    return base::InvalidArgument(fmt::format(
        "{} is not a backup repository and not empty (it has {}); choose an empty or new one",
        store.name(), there.objects.empty() ? there.folders.front() : there.objects.front().name));
  }
  const base::Status written = WriteMark(store, key, NewMark(store), store::PutMode::kNew);
  return written.code() == base::Code::kAlreadyExists ? base::Status() : written;
}

std::string MarkKeyOf(const std::string& database) {
  return env::JoinPath(database, kDatabaseName);
}

// After a change of keys: what is written only once is encrypted with the new key too, so that the
// old one is not needed for it for ever. The mark comes last, and only if all others were: until
// then it asks for the key that they need.
base::Status TakeMarksAlong(store::ObjectStore& store) {
  ASSIGN_OR_RETURN(const store::ObjectList there, store.List(""));
  for (const std::string& folder : there.folders) {
    const std::string key = MarkKeyOf(folder);
    const auto mark = ReadMark(store, key, kDatabaseFormat);
    if (mark.status().code() == base::Code::kNotFound) continue;
    if (!mark.ok()) return {};  // who works with that database is told
    RETURN_IF_ERROR(WriteMark(store, key, *mark));
  }
  return WriteMark(store, std::string(kMarkName), NewMark(store));
}

base::Status FollowKeys(store::ObjectStore& store) {
  if (store.keys() == nullptr) return {};
  ASSIGN_OR_RETURN(const Json mark, ReadMark(store, std::string(kMarkName), kMarkFormat));
  if (KeyNamedIn(mark) == store::ToHex(store.keys()->first().id())) return {};
  return TakeMarksAlong(store);
}

base::Result<BackupDocument> ReadDocument(store::ObjectStore& store, const std::string& key) {
  auto text = store::Get(store, key, kDocumentBytesMax);
  if (!text.ok()) return text.status();
  auto document = DocumentFromJson({reinterpret_cast<const char*>(text->data()), text->size()});
  if (!document.ok()) return document.status().WithContext("backup document " + store.NameOf(key));
  return document;
}

bool IsListed(const BackupList& list, const std::string& id) {
  return std::any_of(list.backups.begin(), list.backups.end(),
                     [&](const BackupDocument& document) { return document.id == id; });
}

bool NewestFirst(const BackupDocument& a, const BackupDocument& b) {
  return a.started != b.started ? a.started > b.started : a.id > b.id;
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
  auto store = store::OpenStore(env, path, /*make=*/false);
  if (!store.ok()) return store.status().WithContext("backup repository");
  return Open(env, std::move(*store));
}

base::Result<std::unique_ptr<Repository>> Repository::Open(
    env::Env& env, std::unique_ptr<store::ObjectStore> store) {
  std::unique_ptr<Repository> repository(new Repository(env, std::move(store)));
  RETURN_IF_ERROR(repository->CheckMark());
  return repository;
}

base::Result<std::unique_ptr<Repository>> Repository::OpenOrCreate(env::Env& env,
                                                                   const std::string& path) {
  auto store = store::OpenStore(env, path, /*make=*/true);
  if (!store.ok()) return store.status().WithContext("backup repository");
  return OpenOrCreate(env, std::move(*store));
}

base::Result<std::unique_ptr<Repository>> Repository::OpenOrCreate(
    env::Env& env, std::unique_ptr<store::ObjectStore> store) {
  std::unique_ptr<Repository> repository(new Repository(env, std::move(store)));
  store::ObjectStore& objects = repository->store();
  const auto mark = objects.Stat(std::string(kMarkName));
  if (mark.status().code() == base::Code::kNotFound) {
    RETURN_IF_ERROR(BeginRepository(objects));
  } else {
    RETURN_IF_ERROR(mark.status());
  }
  RETURN_IF_ERROR(repository->CheckMark());
  RETURN_IF_ERROR(FollowKeys(objects));
  return repository;
}

base::Status Repository::CheckMark() const {
  const auto mark = ReadMark(*store_, std::string(kMarkName), kMarkFormat);
  if (mark.ok()) return CheckEncryption(*store_, *mark);
  if (mark.status().code() != base::Code::kNotFound) return mark.status();
  ASSIGN_OR_RETURN(const store::ObjectList there, store_->List(""));
  if (there.objects.empty() && there.folders.empty()) {
    return base::NotFound(
        fmt::format("{} has no backups: it is empty, and the first one begins it", name()));
  }
  return base::InvalidArgument(
      fmt::format("{} is not a backup repository: it has no {}", name(), kMarkName));
}

std::string Repository::PartialKey(const std::string& database, const std::string& id) const {
  return fmt::format("{}/partial/{}.ltx{}", database, id, store::kPartialSuffix);
}
std::string Repository::DocumentKey(const std::string& database, const std::string& id) const {
  return fmt::format("{}/backups/{}{}", database, id, kDocumentSuffix);
}
std::string Repository::KeepKey(const std::string& database, const std::string& id) const {
  return fmt::format("{}/backups/{}{}", database, id, kKeepSuffix);
}
std::string Repository::PageHashesKey(const std::string& database, uint64_t seq) const {
  return fmt::format("{}/pages/{:016x}{}", database, seq, kPageHashesSuffix);
}

base::Result<std::vector<std::string>> Repository::Databases() const {
  ASSIGN_OR_RETURN(const store::ObjectList list, store_->List(""));
  std::vector<std::string> databases;
  for (const std::string& folder : list.folders) {
    if (store::Exists(*store_, MarkKeyOf(folder))) databases.push_back(folder);
  }
  return databases;
}

base::Result<BackupList> Repository::List(const std::string& database) const {
  RETURN_IF_ERROR(base::CheckName("database name", database));
  const auto mark = store_->Stat(MarkKeyOf(database));
  if (mark.status().code() == base::Code::kNotFound) {
    return base::NotFound(
        fmt::format("the repository {} has no database called {}", name(), database));
  }
  RETURN_IF_ERROR(mark.status());
  ASSIGN_OR_RETURN(const store::ObjectList there, store_->List(database + "/backups"));
  BackupList list;
  for (const store::ObjectInfo& object : there.objects) {
    if (std::string kept = IdOf(object.name, kKeepSuffix); !kept.empty()) {
      list.kept.insert(std::move(kept));
    }
    const std::string id = IdOf(object.name, kDocumentSuffix);
    if (id.empty()) continue;
    const std::string path = DocumentPath(database, id);
    auto document = ReadDocument(*store_, DocumentKey(database, id));
    if (document.status().code() == base::Code::kNotFound) continue;  // removed meanwhile
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
  const auto archived = FindArchived(*this, database, id);
  if (archived.ok()) return ReadArchived(*this, database, *archived);
  if (archived.status().code() != base::Code::kNotFound) return archived.status();
  return base::NotFound(fmt::format("the repository {} has no backup {} of {}; it has {} of it",
                                    name(), id, database, list.backups.size()));
}

base::Result<std::vector<BackupDocument>> Repository::Good(const std::string& database) const {
  ASSIGN_OR_RETURN(const BackupList list, List(database));
  return Good(database, list);
}

base::Result<std::vector<BackupDocument>> Repository::Good(const std::string& database,
                                                           const BackupList& list) const {
  std::vector<BackupDocument> good;
  for (const BackupDocument& document : list.backups) {
    if (SeemsGood(list, document)) good.push_back(document);
  }
  std::sort(good.begin(), good.end(), [](const BackupDocument& a, const BackupDocument& b) {
    if (a.position != b.position) return a.position < b.position;
    return a.started < b.started;
  });
  if (!good.empty()) return good;
  return base::NotFound(
      fmt::format("the repository {} has no good backup of {} ({} listed, {} "
                  "unreadable)",
                  name(), database, list.backups.size(), list.unreadable.size()));
}

base::Result<BackupDocument> Repository::NewestGood(const std::string& database) const {
  ASSIGN_OR_RETURN(const std::vector<BackupDocument> good, Good(database));
  return good.back();
}

// Nothing where there is no such directory, or somebody else of this host has it: then the lock
// among hosts alone decides.
store::HostProof Repository::HostProofOf(const std::string& database) const {
  if (host_locks_.empty()) return {};
  const std::string place = store_->NameOf(env::JoinPath(database, kLockName));
  auto proof =
      store::LockFileOnHost(env_, host_locks_, store::Sha256Hex(base::AsBytes(place)) + ".lock");
  return proof.ok() ? std::move(*proof) : store::HostProof();
}

base::Result<std::unique_ptr<RepositoryLock>> Repository::LockDatabase(const std::string& database,
                                                                       bool take_over) const {
  const std::string key = env::JoinPath(database, kLockName);
  auto on_host = store_->LockOnHost(key);
  if (on_host.status().code() == base::Code::kBusy) {
    return base::Busy(
        fmt::format("another backup of {} into {} is running (it holds {}); wait for "
                    "it to end",
                    database, name(), store_->NameOf(key)));
  }
  if (!on_host.ok()) return NotWritable(on_host.status(), *store_);
  store::HostProof proof;
  if (*on_host == nullptr) {
    proof = HostProofOf(database);
    *on_host = std::move(proof.lock);
  }
  const store::LockOptions options{
      .folder = database + "/lock",
      .what = fmt::format("another backup of {} into {}", database, name()),
      .host_is_ours = *on_host != nullptr,
      .host_file = proof.file,
      .take_over = take_over};
  auto lock = store::ObjectLock::Acquire(env_, *store_, pause_, options);
  if (lock.status().code() == base::Code::kBusy) return lock.status();
  if (!lock.ok()) return NotWritable(lock.status(), *store_);
  return std::make_unique<RepositoryLock>(std::move(*on_host), std::move(*lock));
}

base::Status Repository::PrepareDatabase(const std::string& database, base::DatabaseId id) const {
  RETURN_IF_ERROR(base::CheckName("database name", database));
  auto mark = ReadMark(*store_, MarkKeyOf(database), kDatabaseFormat);
  if (mark.ok()) {
    const Json known = mark->value("id", Json());
    if (known == Json(id.ToHex())) return base::Status();
    return base::Diverged(fmt::format(
        "the repository {} holds backups of another database called {} (id {}, this "
        "one is {}); choose another repository",
        name(), database, known.is_string() ? known.get<std::string>() : "unknown", id.ToHex()));
  }
  if (mark.status().code() != base::Code::kNotFound) return mark.status();
  return WriteMark(*store_, MarkKeyOf(database),
                   {{"format", kDatabaseFormat},
                    {"version", kRepositoryVersion},
                    {"name", database},
                    {"id", id.ToHex()}});
}

base::Status Repository::RemovePageHashes(const std::string& database,
                                          const BackupList& list) const {
  std::set<std::string> listed;
  for (const BackupDocument& document : list.backups) {
    listed.insert(PageHashesKey(database, document.position.seq.value));
  }
  const std::string folder = database + "/pages";
  ASSIGN_OR_RETURN(const store::ObjectList there, store_->List(folder));
  for (const store::ObjectInfo& object : there.objects) {
    const std::string key = env::JoinPath(folder, object.name);
    if (!object.name.ends_with(kPageHashesSuffix) || listed.contains(key)) continue;
    RETURN_IF_ERROR(store_->Delete(key));
  }
  return {};
}

// Data of a backup that was never listed, or is not any more.
base::Status Repository::RemoveUnlisted(const std::string& database, const BackupList& list) const {
  std::set<std::string> listed;
  for (const BackupDocument& document : list.backups) {
    for (const BackupFile& file : document.files) listed.insert(file.path);
  }
  for (const uint32_t level : kLtxLevels) {
    const std::string folder = fmt::format("{}/ltx/{}", database, level);
    ASSIGN_OR_RETURN(const store::ObjectList there, store_->List(folder));
    for (const store::ObjectInfo& object : there.objects) {
      const std::string key = env::JoinPath(folder, object.name);
      if (!ParseLtxFileName(object.name) || listed.contains(key)) continue;
      RETURN_IF_ERROR(store_->Delete(key));
    }
  }
  return {};
}

base::Status Repository::RemoveLeftovers(const std::string& database) const {
  std::vector<std::string> folders = {database + "/partial", database + "/backups",
                                      database + "/pages"};
  for (const uint32_t level : kLtxLevels) {
    folders.push_back(fmt::format("{}/ltx/{}", database, level));
  }
  RETURN_IF_ERROR(store_->RemoveUnfinished(folders));
  ASSIGN_OR_RETURN(const BackupList list, List(database));
  RETURN_IF_ERROR(RemovePageHashes(database, list));
  // What a document that cannot be read may be about is left alone.
  if (!list.unreadable.empty()) return {};
  RETURN_IF_ERROR(RemoveUnlisted(database, list));
  RETURN_IF_ERROR(RemoveArchivesWithoutRoot(*this, database, list));
  ASSIGN_OR_RETURN(const store::ObjectList there, store_->List(folders[1]));
  for (const store::ObjectInfo& object : there.objects) {
    const std::string kept = IdOf(object.name, kKeepSuffix);
    const bool stray = !kept.empty() && !IsListed(list, kept);
    if (!stray && IdOf(object.name, kPendingSuffix).empty()) continue;
    RETURN_IF_ERROR(store_->Delete(env::JoinPath(folders[1], object.name)));
  }
  return {};
}

base::Status Repository::PutDocument(const BackupDocument& document) const {
  return store_->Put(DocumentKey(document.database_name, document.id),
                     base::AsBytes(ToJson(document)), store::PutMode::kNew);
}

base::Status Repository::RemoveDocument(const BackupDocument& document) const {
  return store_->Delete(DocumentKey(document.database_name, document.id));
}

base::Status Repository::SetKeep(const std::string& database, const std::string& id,
                                 bool keep) const {
  ASSIGN_OR_RETURN(const auto lock, LockDatabase(database));
  RETURN_IF_ERROR(Find(database, id).status());
  const std::string key = KeepKey(database, id);
  return keep ? NotWritable(store_->Put(key, {}, store::PutMode::kReplace), *store_)
              : store_->Delete(key);
}

base::Status Repository::Rewrite(const BackupDocument& document) const {
  const std::string key = DocumentKey(document.database_name, document.id);
  if (!store::Exists(*store_, key)) {
    return base::NotFound(fmt::format("backup {} is not there any more", document.id));
  }
  return store_->Put(key, base::AsBytes(ToJson(document)), store::PutMode::kReplace);
}

}  // namespace understudy::backup
