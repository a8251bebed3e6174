// SPDX-License-Identifier: Apache-2.0
#include "cluster/group_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace understudy::cluster {
namespace {

using ::testing::HasSubstr;

TEST(GroupSettings, BeginAsTheArticleSays) {
  const GroupSettings settings;
  EXPECT_EQ(settings.Get(kQueryLogRangeTimeout), 30'000u);
  EXPECT_EQ(settings.GetDuration(kQueryLogRangeTimeout), std::chrono::seconds(30));
  for (const SettingDefinition& setting : GroupSettings::Definitions()) {
    EXPECT_LE(setting.min, setting.initial) << setting.name;
    EXPECT_LE(setting.initial, setting.max) << setting.name;
  }
}

TEST(GroupSettings, AreKeptWhereTheyDifferAndReadBack) {
  GroupSettings settings;
  ASSERT_TRUE(settings.Set(kQueryLogRangeTimeout, 120'000).ok());
  EXPECT_EQ(settings.ToJson(), R"({"QueryLogRangeTimeoutInMsec":120000})");
  const auto read = GroupSettings::FromJson("settings", settings.ToJson());
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->Get(kQueryLogRangeTimeout), 120'000u);
  ASSERT_TRUE(settings.Set(kQueryLogRangeTimeout, 30'000).ok());
  EXPECT_EQ(settings.ToJson(), "{}");
}

TEST(GroupSettings, RefuseWhatIsOutOfBoundsOrUnknown) {
  GroupSettings settings;
  const base::Status high = settings.Set(kQueryLogRangeTimeout, 3'600'001);
  EXPECT_EQ(high.code(), base::Code::kInvalidArgument);
  EXPECT_THAT(high.message(), HasSubstr("allowed are 100 to 3600000"));
  const base::Status unknown = settings.Set("QueryLogRange", 1);
  EXPECT_EQ(unknown.code(), base::Code::kNotFound);
  EXPECT_THAT(unknown.message(), HasSubstr("QueryLogRangeTimeoutInMsec"));
}

TEST(GroupSettings, OfAnotherVersionAreReadAsFarAsTheyAreKnown) {
  const auto read = GroupSettings::FromJson(
      "settings", R"({"Later": 7, "QueryLogRangeTimeoutInMsec": 1, "BackupLeaseInMsec": 5000})");
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->Get(kQueryLogRangeTimeout), 30'000u) << "out of bounds";
  EXPECT_EQ(read->Get(kBackupLease), 5'000u);
  EXPECT_EQ(GroupSettings::FromJson("settings", R"({"BackupLeaseInMsec": "x"})").status().code(),
            base::Code::kCorruption);
  EXPECT_EQ(GroupSettings::FromJson("settings", "nothing").status().code(),
            base::Code::kCorruption);
}

TEST(GroupSettings, ABackupSourcePolicyIsCheckedAndKept) {
  GroupSettings settings;
  EXPECT_EQ(settings.backup_source_policy(), "passive");
  ASSERT_TRUE(settings.SetBackupSourcePolicy("passive:s3, active").ok());
  const auto again = GroupSettings::FromJson("settings", settings.ToJson());
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->backup_source_policy(), "passive:s3,active");
  EXPECT_EQ(settings.SetBackupSourcePolicy("passive;").code(), base::Code::kInvalidArgument);
  EXPECT_EQ(settings.backup_source_policy(), "passive:s3,active");
  const auto foreign = GroupSettings::FromJson("settings", R"({"BackupSourcePolicy": "???"})");
  ASSERT_TRUE(foreign.ok());
  EXPECT_EQ(foreign->backup_source_policy(), "passive");
}

}  // namespace
}  // namespace understudy::cluster
