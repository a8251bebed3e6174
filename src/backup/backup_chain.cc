// SPDX-License-Identifier: Apache-2.0
#include "backup/backup_chain.h"

#include <fmt/format.h>

#include <algorithm>

#include "backup/archive.h"

namespace understudy::backup {
namespace {

constexpr std::string_view kHint =
    "\ntake a full backup, with --type full; --or-full takes one whenever there is no base";

const BackupDocument* FindIn(const BackupList& list, const std::string& id) {
  const auto found = std::find_if(list.backups.begin(), list.backups.end(),
                                  [&](const BackupDocument& other) { return other.id == id; });
  return found == list.backups.end() ? nullptr : &*found;
}

base::Status CheckLink(const BackupDocument& base, const BackupDocument& increment) {
  std::string wrong;
  if (base.database != increment.database || base.page_size != increment.page_size) {
    wrong = "is of another database or page size";
  } else if (base.type == BackupType::kCopy) {
    wrong = "is a copy, which is never a base";
  } else if (increment.position < base.position) {
    wrong = "is newer than it";
  } else if (increment.files.size() > 1) {
    wrong = fmt::format("cannot be applied: it has {} files", increment.files.size());
  } else if (increment.files.empty() &&
             (increment.checksum != base.checksum || increment.position.seq != base.position.seq)) {
    wrong = "is of another state, although nothing is said to have changed";
  } else if (!increment.files.empty() &&
             (increment.files[0].min_txid != base.position.seq.value + 1 ||
              increment.files[0].max_txid != increment.position.seq.value)) {
    wrong = fmt::format("ends at seq {}, and the changes begin at {}", base.position.seq.value,
                        increment.files[0].min_txid);
  }
  if (wrong.empty()) return {};
  return base::Corruption(
      fmt::format("backup {} cannot be restored: its base {} {}", increment.id, base.id, wrong));
}

const BackupDocument* FirstFailed(const BackupChain& chain) {
  for (const BackupDocument& document : chain) {
    if (document.verification.state == VerificationState::kFailed) return &document;
  }
  return nullptr;
}

base::Result<BackupChain> ChainOfArchived(const Repository& repository,
                                          const BackupDocument& document) {
  const std::string& database = document.database_name;
  ASSIGN_OR_RETURN(const ArchivedState state, FindArchived(repository, database, document.id));
  ASSIGN_OR_RETURN(const std::vector<BackupDocument> since,
                   ArchivedSince(repository, database, state));
  ASSIGN_OR_RETURN(const BackupDocument root, repository.Find(database, state.root));
  ASSIGN_OR_RETURN(BackupChain chain, ChainOf(repository, root));
  for (const BackupDocument& increment : since) {
    RETURN_IF_ERROR(CheckLink(chain.back(), increment));
    chain.push_back(increment);
  }
  return chain;
}

}  // namespace

base::Result<BackupChain> ChainOf(const BackupList& list, const BackupDocument& document) {
  BackupChain chain = {document};
  while (IsIncrement(chain.back().type)) {
    const BackupDocument& increment = chain.back();
    const BackupDocument* base = FindIn(list, increment.base);
    if (base == nullptr) {
      return base::Corruption(fmt::format(
          "backup {} cannot be restored: its base {} is not in the repository, or its document "
          "cannot be read",
          increment.id, increment.base));
    }
    RETURN_IF_ERROR(CheckLink(*base, increment));
    if (chain.size() > list.backups.size()) {
      return base::Corruption(fmt::format("backup {} is based on itself", document.id));
    }
    chain.push_back(*base);
  }
  std::reverse(chain.begin(), chain.end());
  return chain;
}

base::Result<BackupChain> ChainOf(const Repository& repository, const BackupDocument& document) {
  if (!IsIncrement(document.type)) return BackupChain{document};
  if (document.type == BackupType::kLog) return ChainOfArchived(repository, document);
  ASSIGN_OR_RETURN(const BackupList list, repository.List(document.database_name));
  return ChainOf(list, document);
}

base::Result<BackupChain> ChooseBase(const BackupList& list, BackupType type,
                                     const BackupDocument& now) {
  const BackupDocument* newest = nullptr;
  for (const BackupDocument& document : list.backups) {
    const bool fits = document.type == BackupType::kFull ||
                      (type == BackupType::kIncremental && IsIncrement(document.type));
    if (fits && (newest == nullptr || document.position > newest->position)) newest = &document;
  }
  const std::string_view name = BackupTypeName(type);
  if (newest == nullptr) {
    return base::NotFound(fmt::format("there is no full backup that {} {} one could be based on{}",
                                      type == BackupType::kIncremental ? "an" : "a", name, kHint));
  }
  if (newest->page_size != now.page_size) {
    return base::Unavailable(fmt::format("backup {} has pages of {} bytes, the database of {}{}",
                                         newest->id, newest->page_size, now.page_size, kHint));
  }
  const bool behind = now.position < newest->position || now.position.seq < newest->position.seq;
  if (behind) {
    return base::Unavailable(fmt::format(
        "the backup {} that it would be based on is at {}, and the copy on {} only at {}\nback up "
        "another copy, or wait until it has replayed more; --type full needs no base",
        newest->id, base::ToString(newest->position), now.server, base::ToString(now.position)));
  }
  auto chain = ChainOf(list, *newest);
  if (!chain.ok()) {
    return base::Corruption(fmt::format("it would be based on backup {}: {}{}", newest->id,
                                        chain.status().message(), kHint));
  }
  if (const BackupDocument* failed = FirstFailed(*chain)) {
    return base::Corruption(
        fmt::format("it would be based on backup {}, which was found damaged "
                    "({}){}",
                    failed->id, failed->verification.message, kHint));
  }
  return chain;
}

bool SeemsGood(const BackupList& list, const BackupDocument& document) {
  const auto chain = ChainOf(list, document);
  return chain.ok() && FirstFailed(*chain) == nullptr;
}

}  // namespace understudy::backup
