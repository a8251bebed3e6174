// SPDX-License-Identifier: Apache-2.0
#include "backup/archive.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <tuple>

#include "base/hex.h"

namespace understudy::backup {
namespace {

constexpr std::string_view kDocumentSuffix = ".json";
constexpr std::string_view kDataSuffix = ".ltx";
constexpr size_t kNumberBytes = 16;

std::string FolderOf(const std::string& database, const std::string& root) {
  return fmt::format("{}/archive/{}", database, root);
}

// "0000000000000001-" and moves on.
std::optional<uint64_t> TakeNumber(std::string_view& name) {
  std::array<uint8_t, kNumberBytes / 2> bytes{};
  if (name.size() <= kNumberBytes || name[kNumberBytes] != '-') return std::nullopt;
  if (!base::HexDecode(name.substr(0, kNumberBytes), bytes)) return std::nullopt;
  name.remove_prefix(kNumberBytes + 1);
  return base::LoadBe64(bytes.data());
}

}  // namespace

std::string ArchiveDocumentKey(const std::string& database, const ArchivedState& state) {
  return fmt::format("{}/{:016x}-{:016x}-{:016x}-{}{}", FolderOf(database, state.root),
                     state.position.term.value, state.position.seq.value,
                     static_cast<uint64_t>(state.commit_time.unix_ms), state.id, kDocumentSuffix);
}

std::string ArchiveDataKey(const std::string& database, const std::string& root,
                           const std::string& id) {
  return fmt::format("{}/{}{}", FolderOf(database, root), id, kDataSuffix);
}

bool IsArchiveDataKey(std::string_view path, const std::string& database, const std::string& id) {
  const std::string folder = database + "/archive/";
  const std::string name = "/" + id + std::string(kDataSuffix);
  if (path.size() < folder.size() + name.size() || !path.starts_with(folder) ||
      !path.ends_with(name)) {
    return false;
  }
  path.remove_prefix(folder.size());
  path.remove_suffix(name.size());
  return IsBackupId(path);
}

std::optional<ArchivedState> ParseArchiveName(std::string_view name, const std::string& root) {
  if (!name.ends_with(kDocumentSuffix)) return std::nullopt;
  name.remove_suffix(kDocumentSuffix.size());
  const auto term = TakeNumber(name);
  const auto seq = term ? TakeNumber(name) : std::nullopt;
  const auto commit = seq ? TakeNumber(name) : std::nullopt;
  if (!commit || !IsBackupId(name)) return std::nullopt;
  return ArchivedState{.position = {base::Term(*term), base::Seq(*seq)},
                       .commit_time = base::WallTime{static_cast<int64_t>(*commit)},
                       .id = std::string(name),
                       .root = root};
}

base::Result<std::vector<ArchivedState>> ListArchive(const Repository& repository,
                                                     const std::string& database,
                                                     const std::string& root) {
  ASSIGN_OR_RETURN(const store::ObjectList there,
                   repository.store().List(FolderOf(database, root)));
  std::vector<ArchivedState> states;
  for (const store::ObjectInfo& object : there.objects) {
    auto state = ParseArchiveName(object.name, root);
    if (state) states.push_back(std::move(*state));
  }
  if (states.size() > kArchivedListedMax) {
    return base::Corruption(fmt::format("{} has {} archived states, at most {} can be",
                                        repository.store().NameOf(FolderOf(database, root)),
                                        states.size(), kArchivedListedMax));
  }
  std::sort(states.begin(), states.end(), [](const ArchivedState& a, const ArchivedState& b) {
    return std::tie(a.position, a.commit_time, a.id) < std::tie(b.position, b.commit_time, b.id);
  });
  return states;
}

base::Result<ArchivedState> FindArchived(const Repository& repository, const std::string& database,
                                         const std::string& id) {
  ASSIGN_OR_RETURN(const store::ObjectList there, repository.store().List(database + "/archive"));
  for (const std::string& root : there.folders) {
    if (!IsBackupId(root)) continue;
    ASSIGN_OR_RETURN(const std::vector<ArchivedState> states,
                     ListArchive(repository, database, root));
    for (const ArchivedState& state : states) {
      if (state.id == id) return state;
    }
  }
  return base::NotFound(
      fmt::format("the archive of {} in {} has no {}", database, repository.name(), id));
}

base::Result<BackupDocument> ReadArchived(const Repository& repository, const std::string& database,
                                          const ArchivedState& state) {
  const std::string key = ArchiveDocumentKey(database, state);
  const std::string path = repository.store().NameOf(key);
  ASSIGN_OR_RETURN(const base::Bytes text, store::Get(repository.store(), key, kDocumentBytesMax));
  auto document = DocumentFromJson({reinterpret_cast<const char*>(text.data()), text.size()});
  if (!document.ok()) return document.status().WithContext("archive document " + path);
  if (document->id != state.id || document->database_name != database ||
      document->position != state.position || document->type != BackupType::kLog) {
    return base::Corruption(fmt::format("archive document {} is that of {} {}", path,
                                        BackupTypeName(document->type), document->id));
  }
  return document;
}

base::Result<std::vector<BackupDocument>> ArchivedSince(const Repository& repository,
                                                        const std::string& database,
                                                        const ArchivedState& state) {
  ASSIGN_OR_RETURN(const std::vector<ArchivedState> states,
                   ListArchive(repository, database, state.root));
  std::map<std::string, const ArchivedState*> by_id;
  for (const ArchivedState& other : states) by_id[other.id] = &other;
  std::vector<BackupDocument> since;
  std::string id = state.id;
  while (id != state.root) {
    const auto found = by_id.find(id);
    if (found == by_id.end() || since.size() >= kArchivedMax) {
      return base::Corruption(fmt::format(
          "{} cannot be restored: it is based on {}, which is not in the archive that follows {}",
          state.id, id, state.root));
    }
    ASSIGN_OR_RETURN(BackupDocument document, ReadArchived(repository, database, *found->second));
    id = document.base;
    since.push_back(std::move(document));
  }
  std::reverse(since.begin(), since.end());
  return since;
}

base::Status RemoveArchivesWithoutRoot(const Repository& repository, const std::string& database,
                                       const BackupList& list) {
  ASSIGN_OR_RETURN(const store::ObjectList there, repository.store().List(database + "/archive"));
  for (const std::string& root : there.folders) {
    const bool listed = std::any_of(list.backups.begin(), list.backups.end(),
                                    [&](const BackupDocument& d) { return d.id == root; });
    if (listed || !IsBackupId(root)) continue;
    const std::string folder = FolderOf(database, root);
    RETURN_IF_ERROR(repository.store().RemoveUnfinished({folder}));
    ASSIGN_OR_RETURN(const store::ObjectList objects, repository.store().List(folder));
    for (const store::ObjectInfo& object : objects.objects) {
      RETURN_IF_ERROR(repository.store().Delete(env::JoinPath(folder, object.name)));
    }
  }
  return {};
}

}  // namespace understudy::backup
