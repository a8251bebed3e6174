// SPDX-License-Identifier: Apache-2.0
#include "cluster/group_settings.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "cluster/backup_source.h"
#include "cluster/record_fields.h"

namespace understudy::cluster {
namespace {

constexpr std::array kDefinitions = {
    SettingDefinition{kQueryLogRangeTimeout, 30'000, 100, 3'600'000,
                      "a backup's query of the active copy's log range; then it goes on without"},
    SettingDefinition{kBackupLease, 60'000, 2'000, 3'600'000,
                      "a backup that is not heard of for so long gives its turn to the next"},
    SettingDefinition{kRequesterTimeout, 60'000, 1'000, 86'400'000,
                      "a requester that says nothing for so long is taken for dead"},
    SettingDefinition{kPrepareTimeout, 300'000, 1'000, 86'400'000,
                      "PrepareForBackup and PrepareForSnapshot of a backup"},
    SettingDefinition{kFreezeTimeout, 60'000, 1'000, 600'000, "from Freeze to Thaw of a backup"},
    SettingDefinition{kStragglerBound, 10'240, 1, uint64_t{1} << 30,
                      "log kept for a copy that does not follow; then it needs a resync by pages"},
    SettingDefinition{kLogDiskFreeMin, 512, 0, uint64_t{1} << 40,
                      "with less free on the log's disk, log is let go that is only wanted"},
};

const SettingDefinition* FindDefinition(std::string_view name) {
  const auto found =
      std::find_if(kDefinitions.begin(), kDefinitions.end(),
                   [&](const SettingDefinition& setting) { return setting.name == name; });
  return found == kDefinitions.end() ? nullptr : &*found;
}

}  // namespace

std::span<const SettingDefinition> GroupSettings::Definitions() { return kDefinitions; }

base::Result<SettingDefinition> GroupSettings::Find(std::string_view name) {
  if (const SettingDefinition* const found = FindDefinition(name)) return *found;
  std::string known;
  for (const SettingDefinition& setting : kDefinitions) {
    known += fmt::format("{}{}", known.empty() ? "" : ", ", setting.name);
  }
  return base::NotFound(
      fmt::format("there is no setting {}\nknown are {}, {}", name, known, kBackupSourcePolicy));
}

uint64_t GroupSettings::Get(std::string_view name) const {
  if (const auto found = changed_.find(name); found != changed_.end()) return found->second;
  const SettingDefinition* const definition = FindDefinition(name);
  CHECK(definition != nullptr);
  return definition->initial;
}

base::Status GroupSettings::Set(std::string_view name, uint64_t value) {
  ASSIGN_OR_RETURN(const SettingDefinition definition, Find(name));
  if (value < definition.min || value > definition.max) {
    return base::InvalidArgument(
        fmt::format("{} of {}: allowed are {} to {}", name, value, definition.min, definition.max));
  }
  if (value == definition.initial) {
    changed_.erase(std::string(name));
  } else {
    changed_[std::string(name)] = value;
  }
  return {};
}

base::Status GroupSettings::SetBackupSourcePolicy(const std::string& policy) {
  ASSIGN_OR_RETURN(const SourcePolicy parsed, ParseSourcePolicy(policy));
  source_policy_ = ToString(parsed);
  if (source_policy_ == kBackupSourcePolicyInitial) source_policy_.clear();
  return {};
}

std::string GroupSettings::ToJson() const {
  Json json = Json::object();
  for (const auto& [name, value] : changed_) json[name] = value;
  if (!source_policy_.empty()) json[std::string(kBackupSourcePolicy)] = source_policy_;
  return DumpRecord(json);
}

base::Result<GroupSettings> GroupSettings::FromJson(std::string_view key, const std::string& text) {
  ASSIGN_OR_RETURN(const Json json, ParseRecord(key, text));
  RecordFields fields(key, json);
  GroupSettings settings;
  for (const SettingDefinition& definition : kDefinitions) {
    uint64_t value = definition.initial;
    fields.Get(std::string(definition.name).c_str(), value);
    settings.Set(definition.name, value).IgnoreError();  // out of bounds: the initial one holds
  }
  std::string policy(kBackupSourcePolicyInitial);
  fields.Get(std::string(kBackupSourcePolicy).c_str(), policy);
  settings.SetBackupSourcePolicy(policy)
      .IgnoreError();  // of another version: the initial one holds
  RETURN_IF_ERROR(fields.status());
  return settings;
}

}  // namespace understudy::cluster
