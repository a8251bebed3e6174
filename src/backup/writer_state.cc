// SPDX-License-Identifier: Apache-2.0
#include "backup/writer_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace understudy::backup {
namespace {

constexpr std::array<std::string_view, 7> kTypeNames = {
    "undefined", "full", "incremental", "differential", "log", "copy", "other"};

constexpr std::array<std::string_view, 9> kPhaseNames = {
    "Identify",     "PrepareForBackup", "PrepareForSnapshot", "Freeze",        "Thaw",
    "PostSnapshot", "Transfer",         "BackupComplete",     "BackupShutdown"};

constexpr std::array<std::string_view, 16> kStateNames = {"UNKNOWN",
                                                          "STABLE",
                                                          "WAITING_FOR_FREEZE",
                                                          "WAITING_FOR_THAW",
                                                          "WAITING_FOR_POST_SNAPSHOT",
                                                          "WAITING_FOR_BACKUP_COMPLETE",
                                                          "FAILED_AT_IDENTIFY",
                                                          "FAILED_AT_PREPARE_BACKUP",
                                                          "FAILED_AT_PREPARE_SNAPSHOT",
                                                          "FAILED_AT_FREEZE",
                                                          "FAILED_AT_THAW",
                                                          "FAILED_AT_POST_SNAPSHOT",
                                                          "FAILED_AT_BACKUP_COMPLETE",
                                                          "FAILED_AT_PRE_RESTORE",
                                                          "FAILED_AT_POST_RESTORE",
                                                          "FAILED_AT_BACKUPSHUTDOWN"};

template <typename Enum, size_t kCount>
std::optional<Enum> FromName(const std::array<std::string_view, kCount>& names,
                             std::string_view name) {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) return std::nullopt;
  return static_cast<Enum>(found - names.begin());
}

}  // namespace

std::string_view BackupTypeName(BackupType type) { return kTypeNames[static_cast<size_t>(type)]; }
std::optional<BackupType> BackupTypeFromName(std::string_view name) {
  return FromName<BackupType>(kTypeNames, name);
}

std::string_view PhaseName(Phase phase) { return kPhaseNames[static_cast<size_t>(phase)]; }
std::optional<Phase> PhaseFromName(std::string_view name) {
  return FromName<Phase>(kPhaseNames, name);
}

std::string_view WriterStateName(WriterState state) {
  return kStateNames[static_cast<size_t>(state)];
}
std::optional<WriterState> WriterStateFromNumber(uint64_t number) {
  if (number >= kStateNames.size()) return std::nullopt;
  return static_cast<WriterState>(number);
}

std::string_view WriterCodeName(WriterCode code) {
  switch (code) {
    case WriterCode::kOk: return "S_OK";
    case WriterCode::kInconsistentSnapshot: return "VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT";
    case WriterCode::kOutOfResources: return "VSS_E_WRITERERROR_OUTOFRESOURCES";
    case WriterCode::kTimeout: return "VSS_E_WRITERERROR_TIMEOUT";
    case WriterCode::kRetryable: return "VSS_E_WRITERERROR_RETRYABLE";
    case WriterCode::kNonRetryable: return "VSS_E_WRITERERROR_NONRETRYABLE";
    case WriterCode::kRecoveryFailed: return "VSS_E_WRITERERROR_RECOVERY_FAILED";
    case WriterCode::kPartialFailure: return "VSS_E_WRITERERROR_PARTIAL_FAILURE";
    case WriterCode::kNotResponding: return "VSS_E_WRITER_NOT_RESPONDING";
  }
  return "UNKNOWN";
}

std::string WriterCodeHex(WriterCode code) {
  return fmt::format("0x{:08x}", static_cast<uint32_t>(code));
}

std::optional<WriterCode> WriterCodeFromNumber(uint64_t number) {
  if (number > UINT32_MAX) return std::nullopt;
  const auto code = static_cast<WriterCode>(number);
  return WriterCodeName(code) == "UNKNOWN" ? std::nullopt : std::optional(code);
}

WriterState FailedStateOf(Phase phase) {
  switch (phase) {
    case Phase::kIdentify: return WriterState::kFailedAtIdentify;
    case Phase::kPrepareForBackup: return WriterState::kFailedAtPrepareBackup;
    case Phase::kPrepareForSnapshot: return WriterState::kFailedAtPrepareSnapshot;
    case Phase::kFreeze: return WriterState::kFailedAtFreeze;
    case Phase::kThaw: return WriterState::kFailedAtThaw;
    case Phase::kPostSnapshot: return WriterState::kFailedAtPostSnapshot;
    case Phase::kTransfer:
    case Phase::kBackupComplete: return WriterState::kFailedAtBackupComplete;
    case Phase::kBackupShutdown: return WriterState::kFailedAtBackupShutdown;
  }
  return WriterState::kUnknown;
}

WriterCode WriterCodeOf(const base::Status& status) {
  switch (status.code()) {
    case base::Code::kOk: return WriterCode::kOk;
    case base::Code::kNoSpace: return WriterCode::kOutOfResources;
    case base::Code::kTimedOut: return WriterCode::kTimeout;
    case base::Code::kIoError:
    case base::Code::kUnavailable:
    case base::Code::kBusy:
    case base::Code::kCancelled:
    case base::Code::kLogGap: return WriterCode::kRetryable;
    case base::Code::kNotFound:
    case base::Code::kAlreadyExists:
    case base::Code::kInvalidArgument:
    case base::Code::kCorruption:
    case base::Code::kDiverged:
    case base::Code::kFenced:
    case base::Code::kInternal: return WriterCode::kNonRetryable;
  }
  return WriterCode::kNonRetryable;
}

}  // namespace understudy::backup
