// SPDX-License-Identifier: Apache-2.0
#include "server/lost_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "testing/fault_env.h"
#include "testing/mem_env.h"

namespace understudy::server {
namespace {

using ::testing::HasSubstr;

constexpr const char* kId = "20260101T000000Z-5.1742";

v1::LostName Name(const std::string& id, const std::string& database = "",
                  const std::string& server = "") {
  v1::LostName name;
  name.set_id(id);
  name.set_database(database);
  name.set_server(server);
  return name;
}

v1::ListLostResponse Bundles() {
  v1::ListLostResponse all;
  for (const auto& [database, server] :
       {std::pair("orders", "s1"), std::pair("orders", "s2"), std::pair("mail", "s2")}) {
    v1::LostBundle* const bundle = all.add_bundles();
    bundle->set_id(kId);
    bundle->set_database(database);
    bundle->set_server(server);
  }
  return all;
}

TEST(ChooseLost, TakesTheOneThatIsMeantAndAsksWhenThereAreSeveral) {
  const v1::ListLostResponse all = Bundles();
  EXPECT_EQ(ChooseLost(all, Name(kId, "mail"))->server(), "s2");
  EXPECT_EQ(ChooseLost(all, Name(kId, "orders", "s2"))->server(), "s2");
  EXPECT_EQ(ChooseLost(all, Name(kId, "", "s1"))->database(), "orders");
  const base::Status several = ChooseLost(all, Name(kId)).status();
  EXPECT_EQ(several.code(), base::Code::kInvalidArgument);
  EXPECT_THAT(several.message(), HasSubstr("3 bundles"));
  EXPECT_THAT(several.message(), HasSubstr("of orders on s1, of orders on s2, of mail on s2"));
}

TEST(ChooseLost, SaysWhoDidNotAnswer) {
  v1::ListLostResponse all = Bundles();
  EXPECT_EQ(ChooseLost(all, Name(kId, "other")).status().code(), base::Code::kNotFound);
  all.add_silent()->set_server("s3");
  EXPECT_THAT(ChooseLost(all, Name("20260101T000000Z-1.1")).status().message(),
              HasSubstr("s3 did not"));
}

class SendLostTest : public ::testing::Test {
 protected:
  SendLostTest() {
    bundle_.directory = "/lost";
    bundle_.manifest.database_bytes = 2 * kLostChunkBytes + 4096;
    content_.resize(bundle_.manifest.database_bytes);
    for (size_t i = 0; i < content_.size(); ++i) content_[i] = static_cast<uint8_t>(i * 31 >> 3);
    EXPECT_TRUE(env_.MakeDirectories("/lost").ok());
    EXPECT_TRUE(env::WriteFileAtomically(env_, "/lost/database.db", content_).ok());
  }
  test::MemEnv env_;
  LostBundle bundle_;
  base::Bytes content_;
};

TEST_F(SendLostTest, ChunksAndTheEndProveThemselves) {
  base::Bytes got;
  v1::ExportLostEnd end;
  const base::Status sent =
      SendLostDatabase(env_, bundle_, [&](const v1::ExportLostResponse& message) {
        if (message.has_end()) {
          end = message.end();
          return true;
        }
        const v1::ExportLostChunk& chunk = message.chunk();
        EXPECT_EQ(chunk.offset(), got.size());
        EXPECT_EQ(chunk.crc32c(), base::Crc32c(base::AsBytes(chunk.data())));
        base::AppendBytes(got, base::AsBytes(chunk.data()));
        return true;
      });
  ASSERT_TRUE(sent.ok()) << sent.ToString();
  EXPECT_TRUE(got == content_);
  EXPECT_EQ(end.bytes(), content_.size());
  EXPECT_EQ(end.crc32c(), base::Crc32c(content_));
}

TEST_F(SendLostTest, SendsNoEndForAFileThatIsShortOrCannotBeRead) {
  const auto no_end = [](const v1::ExportLostResponse& message) {
    EXPECT_FALSE(message.has_end());
    return true;
  };
  test::FaultEnv faulty(env_);
  for (uint64_t nth = 1; nth <= 4; ++nth) {
    faulty.Arm({.nth = nth, .halt_after = true});
    EXPECT_FALSE(SendLostDatabase(faulty, bundle_, no_end).ok()) << nth;
    faulty.Disarm();
  }
  ++bundle_.manifest.database_bytes;
  EXPECT_EQ(SendLostDatabase(env_, bundle_, no_end).code(), base::Code::kCorruption);
}

TEST_F(SendLostTest, StopsWhenNobodyListens) {
  int messages = 0;
  const base::Status sent = SendLostDatabase(
      env_, bundle_, [&](const v1::ExportLostResponse&) { return ++messages < 2; });
  EXPECT_EQ(sent.code(), base::Code::kCancelled);
  EXPECT_EQ(messages, 2);
}

TEST_F(SendLostTest, ABundleWithoutADatabaseHasOnlyAnEnd) {
  bundle_.manifest.database_bytes = 0;
  int messages = 0;
  ASSERT_TRUE(SendLostDatabase(env_, bundle_, [&](const v1::ExportLostResponse& message) {
                EXPECT_TRUE(message.has_end());
                return ++messages > 0;
              }).ok());
  EXPECT_EQ(messages, 1);
}

}  // namespace
}  // namespace understudy::server
