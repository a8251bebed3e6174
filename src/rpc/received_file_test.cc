// SPDX-License-Identifier: Apache-2.0
#include "rpc/received_file.h"

#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "testing/mem_env.h"

namespace understudy::rpc {
namespace {

constexpr const char* kPath = "/to/file.db";

v1::ExportLostChunk Chunk(uint64_t offset, const std::string& data) {
  v1::ExportLostChunk chunk;
  chunk.set_offset(offset);
  chunk.set_data(data);
  chunk.set_crc32c(base::Crc32c(base::AsBytes(data)));
  return chunk;
}
v1::ExportLostEnd End(const std::string& content) {
  v1::ExportLostEnd end;
  end.set_bytes(content.size());
  end.set_crc32c(base::Crc32c(base::AsBytes(content)));
  return end;
}

class ReceivedFileTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(env_.MakeDirectories("/to").ok()); }
  void Put(const std::string& content) {
    ASSERT_TRUE(env::WriteFileAtomically(env_, kPath, base::AsBytes(content)).ok());
  }
  std::string Content() {
    const auto bytes = env::ReadFile(env_, kPath, 1 << 20);
    return bytes.ok() ? std::string(bytes->begin(), bytes->end()) : "none";
  }
  bool HasLeftover() { return env::Exists(env_, std::string(kPath) + ".tmp"); }

  test::MemEnv env_;
};

TEST_F(ReceivedFileTest, HasItsNameOnlyWhenItIsWhole) {
  ReceivedFile file(env_, kPath, false);
  ASSERT_TRUE(file.Take(Chunk(0, "first ")).ok());
  ASSERT_TRUE(file.Take(Chunk(6, "second")).ok());
  EXPECT_EQ(Content(), "none");
  ASSERT_TRUE(file.End(End("first second")).ok());
  const base::Status finished = file.Finish();
  ASSERT_TRUE(finished.ok()) << finished.ToString();
  EXPECT_EQ(Content(), "first second");
  EXPECT_FALSE(HasLeftover());
}

TEST_F(ReceivedFileTest, WhatDoesNotFitIsRefusedAndNothingStays) {
  {
    ReceivedFile file(env_, kPath, false);
    ASSERT_TRUE(file.Take(Chunk(0, "first ")).ok());
    EXPECT_EQ(file.Take(Chunk(5, "second")).code(), base::Code::kCorruption);
    v1::ExportLostChunk damaged = Chunk(6, "second");
    damaged.set_data("secone");
    EXPECT_EQ(file.Take(damaged).code(), base::Code::kCorruption);
    EXPECT_EQ(file.End(End("first")).code(), base::Code::kCorruption);
    EXPECT_EQ(file.Finish().code(), base::Code::kUnavailable);
  }
  EXPECT_FALSE(HasLeftover());
  EXPECT_EQ(Content(), "none");
}

TEST_F(ReceivedFileTest, AFileThatIsThereIsReplacedOnlyByForce) {
  Put("old");
  ReceivedFile careful(env_, kPath, false);
  EXPECT_EQ(careful.CheckPlace().code(), base::Code::kAlreadyExists);
  EXPECT_EQ(careful.Take(Chunk(0, "new")).code(), base::Code::kAlreadyExists);
  EXPECT_EQ(Content(), "old");
  ReceivedFile forced(env_, kPath, true);
  ASSERT_TRUE(forced.CheckPlace().ok());
  ASSERT_TRUE(forced.Take(Chunk(0, "new")).ok());
  ASSERT_TRUE(forced.End(End("new")).ok());
  ASSERT_TRUE(forced.Finish().ok());
  EXPECT_EQ(Content(), "new");
}

}  // namespace
}  // namespace understudy::rpc
