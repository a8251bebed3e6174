// SPDX-License-Identifier: Apache-2.0
// GroupSettings: numbers that hold for the whole group and can be changed while everything runs
// (`understudy config set NAME VALUE`); effective at once, without a restart. Kept under the
// coordinator's key `settings`, where only those are that differ from their default.
//
// Names and meanings are Exchange's where it has the setting. Threading: values.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/time.h"

namespace understudy::cluster {

struct SettingDefinition {
  std::string_view name;
  uint64_t initial;
  uint64_t min;
  uint64_t max;
  std::string_view meaning;
};

inline constexpr std::string_view kQueryLogRangeTimeout = "QueryLogRangeTimeoutInMsec";
inline constexpr std::string_view kBackupLease = "BackupLeaseInMsec";
inline constexpr std::string_view kRequesterTimeout = "BackupRequesterTimeoutInMsec";
inline constexpr std::string_view kPrepareTimeout = "PrepareForBackupTimeoutInMsec";
inline constexpr std::string_view kStragglerBound = "LogKeptForStragglerInMB";
inline constexpr std::string_view kLogDiskFreeMin = "LooseTruncation_MinDiskFreeSpaceThresholdInMB";
inline constexpr std::string_view kFreezeTimeout = "FreezeTimeoutInMsec";

// A list of sources (cluster/backup_source.h), for backups that name none.
inline constexpr std::string_view kBackupSourcePolicy = "BackupSourcePolicy";
inline constexpr std::string_view kBackupSourcePolicyInitial = "passive";
inline constexpr std::string_view kBackupSourcePolicyMeaning =
    "which copy a backup without --from reads: a list of passive, passive:SERVER, least-loaded, "
    "active, SERVER";

class GroupSettings {
 public:
  static std::span<const SettingDefinition> Definitions();
  // kNotFound names the known ones.
  static base::Result<SettingDefinition> Find(std::string_view name);

  // REQUIRES: `name` is defined.
  uint64_t Get(std::string_view name) const;
  base::Duration GetDuration(std::string_view name) const {
    return std::chrono::milliseconds(Get(name));
  }
  // kInvalidArgument names the bounds.
  base::Status Set(std::string_view name, uint64_t value);

  // The one setting that is no number.
  std::string backup_source_policy() const {
    return source_policy_.empty() ? std::string(kBackupSourcePolicyInitial) : source_policy_;
  }
  // kInvalidArgument says what a policy can be.
  base::Status SetBackupSourcePolicy(const std::string& policy);

  bool operator==(const GroupSettings&) const = default;

  std::string ToJson() const;
  // Values out of bounds or unknown, of another version, are ignored.
  static base::Result<GroupSettings> FromJson(std::string_view key, const std::string& text);

 private:
  std::string source_policy_;                             // empty: the initial one
  std::map<std::string, uint64_t, std::less<>> changed_;  // those that are not the initial value
};

}  // namespace understudy::cluster
