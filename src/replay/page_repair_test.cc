// SPDX-License-Identifier: Apache-2.0
// Pages of a passive database that are not what was replayed: found and repaired beside readers,
// and over a file system that fails and loses what was not synced.
#include <gtest/gtest.h>

#include "replay/log_fixture.h"
#include "replay/replayer.h"
#include "sqlite/env_vfs.h"
#include "testing/fault_env.h"
#include "testing/mem_env.h"

namespace understudy::replay {
namespace {

using base::Bytes;
using base::Code;
using base::PageNo;

constexpr uint32_t kAll = 1000;
constexpr const char* kPath = "/data/passive.db";
constexpr const char* kCheckpoint = "/data/checkpoint";

class PageRepair : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(env_.MakeDirectories("/data").ok());
    fixture_.Seed(env_, kPath, kCheckpoint);
    fixture_.Workload(5);
    Boot();
    Open();
    RunToEnd();
    ASSERT_TRUE(replayer_->Checkpoint().ok());  // all of it is in the file
  }
  void TearDown() override { Close(); }

  void Boot() { vfs_ = std::make_unique<sqlite::EnvVfs>(fault_); }
  void Close() {
    replayer_.reset();
    vfs_.reset();
  }
  void Open() {
    auto opened = Replayer::Open(fault_,
                                 {.path = kPath,
                                  .checkpoint_path = kCheckpoint,
                                  .database = fixture_.id(),
                                  .vfs = vfs_->name()},
                                 fixture_.log());
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    replayer_ = std::move(opened).value();
  }
  void RunToEnd() {
    while (true) {
      const auto run = replayer_->RunOnce(env_.Now());
      ASSERT_TRUE(run.ok()) << run.status().ToString();
      if (!run->worked) return;
    }
  }
  void Flip(uint32_t page, uint32_t offset) {
    auto file = env_.Open(kPath, env::OpenMode::kReadWrite).value();
    Bytes byte(1);
    ASSERT_EQ(file->ReadAt(uint64_t{page - 1} * 4096 + offset, byte).value(), 1u);
    byte[0] ^= 0x20;
    ASSERT_TRUE(file->WriteAt(uint64_t{page - 1} * 4096 + offset, byte).ok());
    ASSERT_TRUE(file->Sync().ok());
  }
  std::vector<log::WrongPage> Wrong() {
    auto check = replayer_->CheckPages(PageNo(1), kAll);
    EXPECT_TRUE(check.ok()) << check.status().ToString();
    return check.ok() ? check->wrong : std::vector<log::WrongPage>();
  }
  const Bytes& Good(uint32_t page) { return fixture_.images().at(page); }
  uint32_t pages() { return static_cast<uint32_t>(fixture_.images().size()); }

  understudy::test::MemEnv env_;
  understudy::test::FaultEnv fault_{env_};
  test::LogFixture fixture_;
  std::unique_ptr<sqlite::EnvVfs> vfs_;
  std::unique_ptr<Replayer> replayer_;
};

// What a seed of another copy takes: every page proved, the position exact, and no wrong page.
TEST_F(PageRepair, PagesForASeedAreProvedOneByOne) {
  const log::LogEnd end = replayer_->replayed();
  Bytes all(size_t{end.pages} * replayer_->page_size());
  const auto whole = replayer_->ReadPages(PageNo(1), end.pages, all);
  ASSERT_TRUE(whole.ok()) << whole.status().ToString();
  EXPECT_EQ(whole->count, end.pages);
  EXPECT_EQ(whole->at, end);
  uint64_t checksum = 0;
  for (uint32_t page = 1; page <= end.pages; ++page) {
    checksum ^= log::HashPage(PageNo(page),
                              base::ByteView(all).subspan(size_t{page - 1} * replayer_->page_size(),
                                                          replayer_->page_size()));
  }
  EXPECT_EQ(checksum, end.checksum);
  // Beyond the end there are fewer, or none.
  Bytes two(size_t{2} * replayer_->page_size());
  EXPECT_EQ(replayer_->ReadPages(PageNo(end.pages), 2, two)->count, 1U);
  EXPECT_EQ(replayer_->ReadPages(PageNo(end.pages + 1), 2, two)->count, 0U);
  Flip(2, 100);
  EXPECT_EQ(replayer_->ReadPages(PageNo(1), 2, two).status().code(), Code::kCorruption);
}

TEST_F(PageRepair, FindsEveryDamagedPageAndRepairsItForReaders) {
  auto reader = sqlite::Connection::Open(kPath, {.vfs = vfs_->name()}).value();
  ASSERT_TRUE(reader->QueryInt("SELECT count(*) FROM t").ok());
  EXPECT_TRUE(Wrong().empty());
  std::vector<uint32_t> damaged;
  for (uint32_t page = 1; page <= pages(); page += 4) damaged.push_back(page);
  for (const uint32_t page : damaged) Flip(page, page == 1 ? 60 : page * 13 % 4096);
  const std::vector<log::WrongPage> found = Wrong();
  ASSERT_EQ(found.size(), damaged.size());
  for (size_t i = 0; i < damaged.size(); ++i) {
    EXPECT_EQ(found[i].page, PageNo(damaged[i]));
    EXPECT_EQ(found[i].expected, log::HashPage(PageNo(damaged[i]), Good(damaged[i])));
    EXPECT_NE(found[i].found, found[i].expected);
    EXPECT_FALSE(replayer_->ReadPageWithHash(PageNo(damaged[i]), found[i].expected)->has_value());
    EXPECT_EQ(replayer_->RepairPage(PageNo(damaged[i]), Bytes(4096, 1)).code(), Code::kDiverged);
    ASSERT_TRUE(replayer_->RepairPage(PageNo(damaged[i]), Good(damaged[i])).ok());
    EXPECT_EQ(**replayer_->ReadPageWithHash(PageNo(damaged[i]), found[i].expected),
              Good(damaged[i]));
  }
  EXPECT_TRUE(Wrong().empty());
  EXPECT_EQ(reader->QueryText("PRAGMA integrity_check").value(), "ok");
  EXPECT_FALSE(reader->Execute("DELETE FROM t").ok()) << "page 1 still has the mark";
  fixture_.Workload(3);
  RunToEnd();
  EXPECT_EQ(replayer_->table().checksum(), fixture_.table().checksum());
  EXPECT_TRUE(Wrong().empty());
}

TEST_F(PageRepair, PageThatTheDiskCannotReadIsWrongAndTheOthersAreNot) {
  fault_.Arm({.ops = understudy::test::Op::kRead, .nth = 3, .path_contains = "passive.db"});
  const std::vector<log::WrongPage> found = Wrong();
  fault_.Disarm();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].page, PageNo(3));
  EXPECT_FALSE(found[0].unreadable.empty());
  ASSERT_TRUE(replayer_->RepairPage(PageNo(3), Good(3)).ok());
}

TEST_F(PageRepair, NewerPageInTheWalIsWhatReadersSee) {
  fixture_.Workload(2);
  RunToEnd();
  const auto in_file = static_cast<uint32_t>(env_.Stat(kPath)->size / 4096);
  for (uint32_t page = 2; page <= in_file; ++page) Flip(page, 100);
  const size_t in_wal = in_file - 1 - Wrong().size();
  EXPECT_GT(in_wal, 0u);
  EXPECT_GT(Wrong().size(), 0u);
}

TEST_F(PageRepair, AfterACrashAtAnyStepThePageIsTheOldOneOrTheNew) {
  const uint32_t page = pages() / 2;
  bool went_through = false;
  for (uint64_t nth = 1; !went_through; ++nth) {
    ASSERT_LT(nth, 50u);
    Flip(page, 500);
    fault_.Arm({.ops = understudy::test::kChangingOps, .nth = nth, .halt_after = true});
    went_through = replayer_->RepairPage(PageNo(page), Good(page)).ok();
    fault_.Disarm();
    vfs_->Kill();
    Close();
    env_.PowerCut(nth);
    Boot();
    Open();
    RunToEnd();
    const std::vector<log::WrongPage> found = Wrong();
    ASSERT_LE(found.size(), 1u) << nth;
    if (went_through) {
      ASSERT_TRUE(found.empty()) << "repaired means durable";
    }
    for (const log::WrongPage& wrong : found) {
      ASSERT_EQ(wrong.page, PageNo(page));
      ASSERT_TRUE(replayer_->RepairPage(PageNo(page), Good(page)).ok());
    }
    ASSERT_TRUE(replayer_->Checkpoint().ok());
    ASSERT_TRUE(Wrong().empty());
  }
}

}  // namespace
}  // namespace understudy::replay
