// SPDX-License-Identifier: Apache-2.0
// The words of the Volume Shadow Copy Service that backups are reported in: phases, writer states
// 0 to 15, writer error codes, backup types.
//
// State and code are independent: a session that failed in a way worth retrying may leave the copy
// Stable beside VSS_E_WRITERERROR_RETRYABLE. Numbers and symbols are those of VSS, so that people
// and their tools keep what they know. Threading: values and pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace understudy::backup {

enum class BackupType : uint8_t {
  kUndefined = 0,
  kFull = 1,
  kIncremental = 2,
  kDifferential = 3,
  kLog = 4,
  kCopy = 5,
  kOther = 6,
};
std::string_view BackupTypeName(BackupType type);  // "full", "incremental", …
std::optional<BackupType> BackupTypeFromName(std::string_view name);

// What a session is doing, in the order in which it happens.
enum class Phase : uint8_t {
  kIdentify,
  kPrepareForBackup,    // repository, names, space
  kPrepareForSnapshot,  //
  kFreeze,              // snapshot-read: pins a position, stops nobody
  kThaw,
  kPostSnapshot,
  kTransfer,        // the requester copies (VSS has no name for it; the writer waits)
  kBackupComplete,  // stored data was verified; document, then truncation
  kBackupShutdown,
};
std::string_view PhaseName(Phase phase);  // "PrepareForBackup", …
std::optional<Phase> PhaseFromName(std::string_view name);

enum class WriterState : uint8_t {
  kUnknown = 0,
  kStable = 1,
  kWaitingForFreeze = 2,
  kWaitingForThaw = 3,
  kWaitingForPostSnapshot = 4,
  kWaitingForBackupComplete = 5,
  kFailedAtIdentify = 6,
  kFailedAtPrepareBackup = 7,
  kFailedAtPrepareSnapshot = 8,
  kFailedAtFreeze = 9,
  kFailedAtThaw = 10,
  kFailedAtPostSnapshot = 11,
  kFailedAtBackupComplete = 12,
  kFailedAtPreRestore = 13,
  kFailedAtPostRestore = 14,
  kFailedAtBackupShutdown = 15,
};
std::string_view WriterStateName(WriterState state);  // "STABLE", "FAILED_AT_FREEZE", …
std::optional<WriterState> WriterStateFromNumber(uint64_t number);

enum class WriterCode : uint32_t {
  kOk = 0,
  kInconsistentSnapshot = 0x800423f0,
  kOutOfResources = 0x800423f1,
  kTimeout = 0x800423f2,
  kRetryable = 0x800423f3,
  kNonRetryable = 0x800423f4,
  kRecoveryFailed = 0x800423f5,
  kPartialFailure = 0x80042336,
  kNotResponding = 0x80042319,  // said of a writer, not by it: its server does not answer
};
std::string_view WriterCodeName(WriterCode code);  // "VSS_E_WRITERERROR_RETRYABLE", "S_OK"
std::string WriterCodeHex(WriterCode code);        // "0x800423f3"
std::optional<WriterCode> WriterCodeFromNumber(uint64_t number);

// How a failure in `phase` is reported.
WriterState FailedStateOf(Phase phase);
WriterCode WriterCodeOf(const base::Status& status);

}  // namespace understudy::backup
