// SPDX-License-Identifier: Apache-2.0
// Prediction: what a backup is expected to need, told before anything of it is written, and refused
// with numbers where there is not enough. The size comes from a sample of its pages, the time from
// how fast the newest backup of the database was that stored enough to tell.
// Threading: pure functions.
#pragma once

#include <optional>
#include <string>

#include "backup/backup_document.h"
#include "backup/repository.h"
#include "base/status.h"
#include "base/time.h"

namespace understudy::backup {

// A backup that stored less says nothing of how fast the next one is.
inline constexpr uint64_t kTellingBytes = 1 << 20;

struct Prediction {
  uint64_t bytes_to_store = 0;
  uint64_t bytes_free = 0;                // of the repository; 0: it does not tell
  std::optional<base::Duration> lasts{};  // nothing: no backup tells
  std::string told_by = {};               // that backup's id
};

// `lasts` and `told_by`, by the backups that there are.
void PredictTime(const BackupList& there, Prediction& prediction);
// kTimedOut, with numbers, if it is expected to last longer than `limit`; zero: no limit. What is
// not known is not refused.
base::Status CheckTime(const Prediction& prediction, base::Duration limit);

}  // namespace understudy::backup
