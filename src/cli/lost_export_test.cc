// SPDX-License-Identifier: Apache-2.0
#include "cli/lost_export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "testing/fault_env.h"
#include "testing/mem_env.h"

namespace understudy::cli {
namespace {

using ::testing::HasSubstr;

constexpr size_t kChunkBytes = 1000;
const std::string kPath = "/out/mail-20260101T000000Z-5.1742";

class LostExportTest : public ::testing::Test {
 protected:
  LostExportTest() {
    for (size_t i = 0; i < 3500; ++i) content_.push_back(static_cast<char>(i * 7));
  }
  std::vector<v1::ExportLostResponse> Messages() const {
    std::vector<v1::ExportLostResponse> messages(1);
    messages[0].mutable_bundle()->set_id("20260101T000000Z-5.1742");
    messages[0].mutable_bundle()->set_database("mail");
    messages[0].mutable_bundle()->set_database_bytes(content_.size());
    for (size_t at = 0; at < content_.size(); at += kChunkBytes) {
      v1::ExportLostChunk* const chunk = messages.emplace_back().mutable_chunk();
      chunk->set_offset(at);
      chunk->set_data(content_.substr(at, kChunkBytes));
      chunk->set_crc32c(base::Crc32c(base::AsBytes(chunk->data())));
    }
    v1::ExportLostEnd* const end = messages.emplace_back().mutable_end();
    end->set_bytes(content_.size());
    end->set_crc32c(base::Crc32c(base::AsBytes(content_)));
    return messages;
  }
  static base::Status Run(env::Env& env, const std::vector<v1::ExportLostResponse>& messages,
                          bool force = false) {
    LostExport target(env, "/out", force);
    for (const v1::ExportLostResponse& message : messages) {
      RETURN_IF_ERROR(target.Take(message));
    }
    return target.Finish({.text = "what it is\n", .json = "{}\n"});
  }
  std::string Read(const std::string& path) {
    const auto bytes = env::ReadFile(env_, path, 1 << 20);
    return bytes.ok() ? std::string(bytes->begin(), bytes->end()) : bytes.status().ToString();
  }
  void ExpectNamed() {
    EXPECT_EQ(Read(kPath + ".db"), content_);
    EXPECT_EQ(Read(kPath + ".txt"), "what it is\n");
    EXPECT_EQ(Read(kPath + ".json"), "{}\n");
  }
  void ExpectWhole() {
    ExpectNamed();
    EXPECT_EQ(env_.List("/out")->size(), 3u);  // and nothing else
  }

  test::MemEnv env_;
  std::string content_;
};

TEST_F(LostExportTest, WritesAndSurvivesAPowerCut) {
  const base::Status done = Run(env_, Messages());
  ASSERT_TRUE(done.ok()) << done.ToString();
  env_.PowerCutDropAll();
  ExpectWhole();
}

TEST_F(LostExportTest, ReplacesOnlyWhenForced) {
  ASSERT_TRUE(Run(env_, Messages()).ok());
  content_[0] ^= 1;
  const base::Status refused = Run(env_, Messages());
  EXPECT_EQ(refused.code(), base::Code::kAlreadyExists);
  EXPECT_THAT(refused.message(), HasSubstr(kPath + ".db"));
  content_[0] ^= 1;
  ExpectWhole();
  content_[0] ^= 1;
  ASSERT_TRUE(Run(env_, Messages(), /*force=*/true).ok());
  ExpectWhole();
}

TEST_F(LostExportTest, ABundleWithoutADatabaseLeavesNoneBehind) {
  ASSERT_TRUE(Run(env_, Messages()).ok());
  content_.clear();
  ASSERT_TRUE(Run(env_, Messages(), /*force=*/true).ok());
  EXPECT_FALSE(env::Exists(env_, kPath + ".db"));
  EXPECT_EQ(env_.List("/out")->size(), 2u);
}

TEST_F(LostExportTest, ADamagedOrUnfinishedStreamLeavesNothing) {
  const std::vector<v1::ExportLostResponse> good = Messages();
  for (size_t i = 0; i < good.size(); ++i) {
    std::vector<v1::ExportLostResponse> missing = good;
    missing.erase(missing.begin() + static_cast<std::ptrdiff_t>(i));
    EXPECT_FALSE(Run(env_, missing).ok()) << i;
    std::vector<v1::ExportLostResponse> twice = good;
    twice.insert(twice.begin() + static_cast<std::ptrdiff_t>(i), good[i]);
    EXPECT_TRUE(i + 1 == good.size() || !Run(env_, twice).ok()) << i;
  }
  std::vector<v1::ExportLostResponse> changed = good;
  (*changed[2].mutable_chunk()->mutable_data())[5] ^= 1;
  EXPECT_EQ(Run(env_, changed).code(), base::Code::kCorruption);
  std::vector<v1::ExportLostResponse> elsewhere = good;
  elsewhere[0].mutable_bundle()->set_database("../mail");
  EXPECT_EQ(Run(env_, elsewhere).code(), base::Code::kInvalidArgument);
  ASSERT_TRUE(Run(env_, good).ok());  // nothing is in the way
  ExpectWhole();
}

TEST_F(LostExportTest, ACrashAtAnyOperationLeavesNoFileThatIsNotWhole) {
  for (uint64_t nth = 1;; ++nth) {
    SCOPED_TRACE(nth);
    test::FaultEnv faulty(env_);
    faulty.Arm({.nth = nth, .halt_after = true});
    const bool done = Run(faulty, Messages()).ok();
    faulty.Disarm();
    env_.PowerCut(nth);
    EXPECT_TRUE(!env::Exists(env_, kPath + ".db") || Read(kPath + ".db") == content_);
    if (env::Exists(env_, kPath + ".json")) ExpectNamed();
    if (done) {
      ExpectWhole();
      break;
    }
    ASSERT_TRUE(Run(env_, Messages(), /*force=*/true).ok());
    ExpectWhole();
    const std::vector<std::string> names = env_.List("/out").value();
    for (const std::string& name : names) ASSERT_TRUE(env_.Remove("/out/" + name).ok());
    ASSERT_TRUE(env_.SyncDirectory("/out").ok());  // or a power cut brings some of them back
    ASSERT_LT(nth, 200u);
  }
}

}  // namespace
}  // namespace understudy::cli
