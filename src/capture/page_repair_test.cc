// SPDX-License-Identifier: Apache-2.0
// Pages of an active database that are not what was written: found, given to nobody, repaired
// beside applications that read and write, or accepted by a person.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "capture/capture_test_support.h"
#include "sqlite/raw_pages.h"

namespace understudy::capture {
namespace {

using base::Code;
using base::PageNo;

constexpr uint32_t kPages = 200;

class PageRepair : public ::testing::Test {
 protected:
  void SetUp() override {
    application_ = OpenSqlite(follower_.path());
    Sql("PRAGMA wal_autocheckpoint=0");
    ASSERT_OK(follower_.Open());
    Insert(300);
    ASSERT_OK(follower_.Pump());
  }
  void Sql(const std::string& sql) {
    const base::Status status = application_->Execute(sql);
    ASSERT_TRUE(status.ok()) << sql << ": " << status.ToString();
  }
  void Insert(int rows) {
    Sql("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " +
        std::to_string(rows) + ") INSERT INTO t(b) SELECT randomblob(1000) FROM n");
  }
  // Everything is in the database file, and nothing in the WAL is needed any more.
  void Checkpoint() {
    ASSERT_OK(follower_.capture->CatchUp());
    bool complete = false;
    for (int attempt = 0; attempt < 100 && !complete; ++attempt) {
      auto checkpoint = application_->Prepare("PRAGMA wal_checkpoint(PASSIVE)").value();
      ASSERT_TRUE(checkpoint.Step().value());
      complete = checkpoint.Int(1) == checkpoint.Int(2);
      checkpoint.Reset();
      ASSERT_OK(follower_.Pump());
    }
    ASSERT_TRUE(complete);
  }
  // What is in the file, through SQLite's own handle: closing another one would drop its locks.
  base::Bytes Image(uint32_t page) {
    base::Bytes image(4096);
    auto raw = sqlite::RawPages::Open(follower_.path());
    EXPECT_TRUE(raw.ok() && (*raw)->ReadPages(PageNo(page), 1, image).ok());
    return image;
  }
  // Behind SQLite's back, as a disk does it, in another process.
  void Flip(uint32_t page, uint32_t offset) { FlipAll({uint64_t{page - 1} * 4096 + offset}); }
  void FlipAll(const std::vector<uint64_t>& offsets) {
    std::vector<std::string> arguments = {follower_.path()};
    for (const uint64_t offset : offsets) arguments.push_back(std::to_string(offset));
    Script script(
        "import sys\n"
        "f = open(sys.argv[1], 'r+b')\n"
        "for at in map(int, sys.argv[2:]):\n"
        "    f.seek(at); b = f.read(1); f.seek(at); f.write(bytes([b[0] ^ 4]))\n",
        arguments);
    const base::SteadyTime end = env::PosixEnv().Now() + kTestLimit;
    while (!script.IsDone()) ASSERT_LT(env::PosixEnv().Now(), end);
    ASSERT_EQ(script.exit_code(), 0);
  }
  log::PageCheck Check() {
    auto check = follower_.capture->CheckPages(PageNo(1), kPages);
    EXPECT_TRUE(check.ok()) << check.status().ToString();
    return check.ok() ? std::move(check).value() : log::PageCheck();
  }
  base::Status Repair(uint32_t page, base::ByteView image) {
    ASSIGN_OR_RETURN(const auto lock,
                     sqlite::PassiveWal::Open(env::PosixEnv(), {.path = follower_.path()}));
    return follower_.capture->RepairPage(*lock, PageNo(page), image);
  }

  Follower follower_;
  std::unique_ptr<sqlite::Connection> application_;
};

TEST_F(PageRepair, FindsAFlippedBitAndPutsTheRightPageBack) {
  Checkpoint();
  const log::PageCheck before = Check();
  ASSERT_GT(before.count, 50u);
  ASSERT_TRUE(before.wrong.empty());
  const uint32_t page = before.count / 2;
  const base::Bytes good = Image(page);
  Flip(page, 1234);

  const log::PageCheck found = Check();
  ASSERT_EQ(found.wrong.size(), 1u);
  EXPECT_EQ(found.wrong[0].page, PageNo(page));
  EXPECT_EQ(found.wrong[0].expected, log::HashPage(PageNo(page), good));
  EXPECT_EQ(found.wrong[0].found, log::HashPage(PageNo(page), Image(page)));

  EXPECT_EQ(Repair(page, Image(page)).code(), Code::kDiverged) << "the wrong page is no repair";
  const base::Seq end = follower_.log->end().position.seq;
  ASSERT_OK(Repair(page, good));
  EXPECT_TRUE(Check().wrong.empty());
  EXPECT_EQ(follower_.log->end().position.seq, end.Next()) << "a commit like any other";
  EXPECT_EQ(follower_.log->end().checksum, before.at.checksum);
  EXPECT_EQ(application_->QueryText("PRAGMA integrity_check").value(), "ok");
  Checkpoint();
  EXPECT_TRUE(Image(page) == good) << "in the file too, after a checkpoint";
}

TEST_F(PageRepair, PageThatIsNewerInTheWalNeedNotBeRightInTheFile) {
  Checkpoint();
  Sql("UPDATE t SET b = randomblob(1000) WHERE a % 2 = 0");
  ASSERT_OK(follower_.Pump());
  const log::PageCheck before = Check();
  std::vector<uint64_t> offsets;
  for (uint32_t page = 2; page <= before.count; ++page) {
    offsets.push_back(uint64_t{page - 1} * 4096 + 77);
  }
  FlipAll(offsets);
  const log::PageCheck found = Check();
  EXPECT_TRUE(found.wrong.size() < before.count - 1) << "those in the WAL are right";
}

TEST_F(PageRepair, WrongPageIsGivenToNobodyUntilItIsRepaired) {
  Checkpoint();
  const base::Bytes good = Image(40);
  Flip(40, 9);
  base::Bytes images(size_t{64} * 4096);
  const auto read = follower_.capture->ReadPages(PageNo(33), 64, images);
  EXPECT_EQ(read.status().code(), Code::kUnavailable);
  EXPECT_THAT(read.status().message(), ::testing::HasSubstr("page 40"));
  EXPECT_THAT(follower_.capture->TakeSuspects(), ::testing::ElementsAre(PageNo(40)));
  EXPECT_TRUE(follower_.capture->TakeSuspects().empty());
  const uint64_t hash = log::HashPage(PageNo(40), good);
  EXPECT_FALSE(follower_.capture->ReadPageWithHash(PageNo(40), hash)->has_value());
  EXPECT_TRUE(
      follower_.capture->ReadPages(PageNo(41), 20, std::span(images).first(20 * 4096)).ok());
  EXPECT_EQ(follower_.capture->counters().healing_records, 0u) << "nothing was logged anew";
  ASSERT_OK(Repair(40, good));
  EXPECT_TRUE(follower_.capture->ReadPages(PageNo(33), 64, images).ok());
  EXPECT_TRUE(**follower_.capture->ReadPageWithHash(PageNo(40), hash) == good);
}

TEST_F(PageRepair, CopyEqualsTheDatabaseAfterwardsWhateverWasWrittenMeanwhile) {
  Checkpoint();
  ASSERT_OK(follower_.TakeBase());
  std::map<uint32_t, base::Bytes> good;
  const uint32_t pages = Check().count;
  for (uint32_t page = 5; page < pages; page += 9) good[page] = Image(page);
  std::vector<uint64_t> offsets;
  for (const auto& [page, image] : good) {
    offsets.push_back(uint64_t{page - 1} * 4096 + page * 3 % 4096);
  }
  FlipAll(offsets);
  size_t repaired = 0;
  for (const auto& [page, image] : good) {
    Insert(3);
    const log::PageCheck check = Check();
    const bool wrong = std::any_of(check.wrong.begin(), check.wrong.end(),
                                   [&](const auto& found) { return found.page.value == page; });
    if (!wrong) continue;  // a commit has replaced it
    ASSERT_OK(Repair(page, image));
    ++repaired;
  }
  EXPECT_GT(repaired, 3u);
  EXPECT_TRUE(Check().wrong.empty());
  ASSERT_OK(follower_.ApplyLog());
  application_.reset();
  follower_.capture.reset();
  EXPECT_TRUE(follower_.SourceBytes() == follower_.CopyBytes());
}

TEST_F(PageRepair, NobodyIsCalledWrongWhileAnApplicationWrites) {
  Checkpoint();
  Flip(50, 5);
  Sql("BEGIN IMMEDIATE");
  Sql("INSERT INTO t(b) VALUES (1)");
  EXPECT_EQ(follower_.capture->CheckPages(PageNo(1), kPages).status().code(), Code::kBusy);
  Sql("COMMIT");
  EXPECT_EQ(Check().wrong.size(), 1u);
}

TEST_F(PageRepair, AcceptedPagesAreLoggedAsTheyAre) {
  Checkpoint();
  Insert(1);  // the WAL begins anew: a recovery no longer finds the old pages 40 and 41 there
  ASSERT_OK(follower_.TakeBase());
  Flip(40, 4000);
  Flip(41, 4001);
  EXPECT_EQ(follower_.capture->AcceptPages(PageNo(1), kPages).value(), 2u);
  EXPECT_TRUE(Check().wrong.empty());
  ASSERT_OK(follower_.ApplyLog());
  EXPECT_EQ(follower_.healing_records, 1);
  application_.reset();
  follower_.capture.reset();
  EXPECT_TRUE(follower_.SourceBytes() == follower_.CopyBytes());
}

}  // namespace
}  // namespace understudy::capture
