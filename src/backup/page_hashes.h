// SPDX-License-Identifier: Apache-2.0
// Page hashes of a backup: the file `<database>/pages/<seq>.hashes` beside its data, so that the
// next increment knows what has changed without reading the data (docs/formats/page-hashes.md).
//
// The file is a help, not a part of the backup: what it says is believed only if it gives the
// database checksum of the backup's document, and it can be made anew from the data.
// Memory: 8 bytes a page. Threading: pure functions over Env.
#pragma once

#include <string>
#include <vector>

#include "backup/repository.h"

namespace understudy::backup {

inline constexpr std::string_view kPageHashesSuffix = ".hashes";

// Durable once it returns ok.
base::Status WritePageHashes(const Repository& repository, const BackupDocument& document,
                             const std::vector<uint64_t>& hashes);
// kNotFound: there is none; kCorruption: it is damaged, or that of another state.
base::Result<std::vector<uint64_t>> ReadPageHashes(const Repository& repository,
                                                   const BackupDocument& document);

// True when the hashes are those of the state that the document is about.
bool MatchesDocument(const std::vector<uint64_t>& hashes, const BackupDocument& document);

}  // namespace understudy::backup
