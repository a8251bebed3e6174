// SPDX-License-Identifier: Apache-2.0
// Chains: a full backup and the increments that lead from it to another backup, in order of
// application. A full backup or a copy is a chain of one.
//
// The rules: an increment and its base have the same database id and page size, the base is the
// older one, and its seq is the one before the increment's first transaction. An incremental
// backup is based on the newest full, incremental or differential one, a differential backup on
// the newest full one; a copy is never a base. Threading: pure functions.
#pragma once

#include <vector>

#include "backup/repository.h"

namespace understudy::backup {

using BackupChain = std::vector<BackupDocument>;  // the full one first

// kCorruption: a base is missing or breaks a rule; the message says which.
base::Result<BackupChain> ChainOf(const BackupList& list, const BackupDocument& document);
base::Result<BackupChain> ChainOf(const Repository& repository, const BackupDocument& document);

// The chain that an increment of `type` of the state `now` is to be based on. kNotFound: there is
// none; kCorruption: it is known to be damaged; kUnavailable: it is newer than `now`.
base::Result<BackupChain> ChooseBase(const BackupList& list, BackupType type,
                                     const BackupDocument& now);

// Nothing of its chain is missing or known to be damaged.
bool SeemsGood(const BackupList& list, const BackupDocument& document);

}  // namespace understudy::backup
