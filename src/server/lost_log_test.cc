// SPDX-License-Identifier: Apache-2.0
#include "server/lost_log.h"

#include <gtest/gtest.h>

#include "log/generation_file.h"
#include "server/lost_log_writer.h"
#include "server/lost_records.h"
#include "ship/seed_test_rig.h"
#include "testing/fault_env.h"

namespace understudy::server {
namespace {

using cluster::TermStart;

base::Position At(uint64_t term, uint64_t seq) { return {base::Term(term), base::Seq(seq)}; }

TermStart Start(uint64_t term, base::Position after) {
  return {base::Term(term), after, "s2", {1'767'225'600'123}, "failover"};
}

log::LogEnd EndAt(base::Position position) {
  log::LogEnd end;
  end.position = position;
  return end;
}

TEST(FindLost, TellsWhatTheGroupWentOnWithout) {
  struct Case {
    const char* what;
    std::vector<TermStart> history;
    base::Position end;
    bool diverged;
    std::optional<base::Position> after;
  };
  const Case cases[] = {
      {"an empty log", {Start(1, {})}, {}, true, std::nullopt},
      {"the newest term", {Start(4, At(3, 50)), Start(5, At(4, 80))}, At(5, 100), false, {}},
      {"handed over whole", {Start(5, {}), Start(6, At(5, 100))}, At(5, 100), false, {}},
      {"followed the newer term", {Start(5, {}), Start(6, At(5, 90))}, At(6, 100), false, {}},
      {"cut off", {Start(5, {}), Start(6, At(5, 90))}, At(5, 100), true, At(5, 90)},
      {"cut off, the source has less log", {Start(6, At(5, 90))}, At(5, 100), false, At(5, 90)},
      {"cut off by a later term only",
       {Start(6, At(5, 100)), Start(7, At(5, 95))},
       At(5, 100),
       true,
       At(5, 95)},
      {"cut off twice: the first counts",
       {Start(6, At(5, 90)), Start(7, At(5, 80))},
       At(5, 100),
       true,
       At(5, 90)},
      {"cut off in the middle of a later term",
       {Start(6, At(5, 90)), Start(7, At(6, 110))},
       At(6, 130),
       true,
       At(6, 110)},
      {"too long ago to be remembered", {Start(70, At(69, 9000))}, At(5, 100), false, At(0, 0)},
      {"no history, and diverged", {}, At(5, 100), true, At(0, 0)},
      {"no history, nothing wrong", {}, At(5, 100), false, std::nullopt},
      {"diverged within one term", {Start(5, At(4, 80))}, At(5, 100), true, At(0, 0)},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    const auto lost = FindLost(c.history, EndAt(c.end), c.diverged);
    ASSERT_EQ(lost.has_value(), c.after.has_value());
    if (!lost) continue;
    EXPECT_EQ(lost->after, *c.after);
    EXPECT_EQ(lost->by.after, *c.after);
  }
}

TEST(LostId, IsTimeAndPosition) {
  const std::string id = LostId({1'767'225'600'123}, At(5, 1742));
  EXPECT_EQ(id, "20260101T000000Z-5.1742");
  EXPECT_TRUE(IsLostId(id));
  for (const char* no :
       {"", ".tmp", "20260101T000000Z-", "20260101T000000Z-5", "20260101T000000Z-5.",
        "20260101T000000Z-.7", "2026-101T000000Z-5.1742", "20260101T000000Z-5.1/2"}) {
    EXPECT_FALSE(IsLostId(no)) << no;
  }
}

LostManifest SomeManifest() {
  LostManifest m;
  m.id = "20260101T000000Z-5.1742";
  m.database = "orders";
  m.database_id = ship::TestDatabaseId();
  m.server = "s1";
  m.created = {1'767'225'600'123};
  m.reason = "a \"reason\"\n";
  m.after = At(5, 1741);
  m.first = At(5, 1742);
  m.last = At(5, 1800);
  m.records = 9;
  m.pages = 4;
  m.log_bytes = 12345;
  m.missing = true;
  m.page_size = 4096;
  m.newer = Start(6, {});
  m.files = {{"000000000000001f.ulog", 77}};
  m.database_left_out = "it is large";
  return m;
}

TEST(LostManifest, ComesBackFromItsText) {
  const LostManifest m = SomeManifest();
  const auto back = LostManifestFromJson("m", ToJson(m));
  ASSERT_TRUE(back.ok()) << back.status().ToString();
  EXPECT_EQ(ToJson(*back), ToJson(m));
  EXPECT_EQ(back->newer.term, base::Term(6));
  EXPECT_EQ(back->files[0].bytes, 77u);
}

// Whatever a byte becomes, it is refused or understood, and names no file elsewhere.
TEST(LostManifest, NoFlippedByteDoesHarm) {
  const std::string text = ToJson(SomeManifest());
  for (size_t i = 0; i < text.size(); ++i) {
    for (const int bit : {0, 1, 4, 6}) {
      std::string changed = text;
      changed[i] = static_cast<char>(changed[i] ^ (1 << bit));
      const auto read = LostManifestFromJson("m", changed);
      if (!read.ok()) continue;
      for (const LostFile& file : read->files) {
        EXPECT_EQ(file.name.find('/'), std::string::npos);
        EXPECT_NE(file.name[0], '.');
      }
      EXPECT_TRUE(IsLostId(read->id));
    }
  }
}

// A copy whose log goes on after what its group knows.
class LostLogWriterTest : public ::testing::Test {
 protected:
  LostLogWriterTest() : database_(env_, 1024, 30, 7, /*generation_bytes=*/8 << 10) {
    for (int i = 0; i < 40; ++i) database_.CommitAndSync(5);
    content_ = std::make_shared<ship::BaseInMemory::Content>();
    content_->page_size = 1024;
    content_->images = database_.MarkedImage();
  }
  LostLogWriter::Options Options() {
    LostLogWriter::Options options;
    options.directory = "/active";
    options.log_directory = "/active/log";
    options.id = "20260101T000000Z-1.21";
    options.database = "orders";
    options.database_id = ship::TestDatabaseId();
    options.server = "s1";
    options.range = {At(1, 20), Start(2, At(1, 20))};
    options.reason = "a test";
    options.database_bytes_max = 1 << 20;
    return options;
  }
  std::unique_ptr<LostLogWriter> Writer(env::Env& env, LostLogWriter::Options options) {
    auto log =
        log::LogStore::Open(env, {.directory = "/active/log", .database = ship::TestDatabaseId()});
    if (!log.ok()) return nullptr;
    return std::make_unique<LostLogWriter>(env, std::move(options), std::move(log).value(),
                                           std::make_unique<ship::BaseInMemory>(content_));
  }
  static base::Status RunToEnd(LostLogWriter& writer) {
    for (int i = 0; i < 10000; ++i) {
      const auto done = writer.RunOnce();
      if (!done.ok()) return done.status();
      if (*done) return {};
    }
    return base::TimedOut("never done");
  }
  base::Bytes Read(const std::string& path) {
    auto bytes = env::ReadFile(env_, path, 1 << 30);
    EXPECT_TRUE(bytes.ok()) << bytes.status().ToString();
    return bytes.ok() ? *bytes : base::Bytes();
  }
  // All or nothing: what is listed is what the copy had.
  void ExpectWhole(const LostBundle& bundle) {
    ASSERT_TRUE(bundle.damaged.ok()) << bundle.damaged.ToString();
    const LostManifest& m = bundle.manifest;
    EXPECT_EQ(m.first, At(1, 21));
    EXPECT_EQ(m.last, At(1, 41));
    EXPECT_EQ(m.records, 21u);
    EXPECT_FALSE(m.missing);
    ASSERT_GT(m.files.size(), 2u);
    for (const LostFile& file : m.files) {
      const base::Bytes kept = Read(env::JoinPath(bundle.directory, file.name));
      EXPECT_EQ(kept.size(), file.bytes);
      if (file.name == kLostDatabase) {
        base::Bytes expected = database_.Image();
        expected[18] = expected[19] = 1;
        EXPECT_TRUE(kept == expected);
      } else {
        EXPECT_TRUE(kept == Read("/active/log/" + file.name)) << file.name;
      }
    }
    // The files are a log of their own, which holds the lost records.
    auto log = log::LogStore::Open(
        env_, {.directory = bundle.directory, .database = ship::TestDatabaseId()});
    ASSERT_TRUE(log.ok()) << log.status().ToString();
    EXPECT_LE((*log)->first_seq().value, 21u);
    EXPECT_GT((*log)->first_seq().value, 1u);
    EXPECT_EQ((*log)->end().position, At(1, 41));
  }

  test::MemEnv env_;
  ship::OracleDatabase database_;
  std::shared_ptr<ship::BaseInMemory::Content> content_;
};

TEST_F(LostLogWriterTest, KeepsLogAndDatabase) {
  auto writer = Writer(env_, Options());
  ASSERT_TRUE(RunToEnd(*writer).ok());
  const auto listed = ListLost(env_, "/");
  ASSERT_TRUE(listed.ok());
  ASSERT_EQ(listed->size(), 1u);
  ExpectWhole((*listed)[0]);
  EXPECT_EQ((*listed)[0].manifest.database_bytes, 30u * 1024);
  // Again, after a crash before anybody noted that it is done.
  auto again = Writer(env_, Options());
  ASSERT_TRUE(RunToEnd(*again).ok());
  EXPECT_EQ(again->manifest().records, 21u);
  ASSERT_TRUE(RemoveLost(env_, (*listed)[0]).ok());
  EXPECT_TRUE(ListLost(env_, "/")->empty());
  EXPECT_FALSE(env::Exists(env_, (*listed)[0].directory));
}

TEST_F(LostLogWriterTest, ACrashAtAnyOperationLeavesNoBundleOrAWholeOne) {
  int none = 0;
  int whole = 0;
  for (int nth = 1;; ++nth) {
    SCOPED_TRACE(nth);
    test::FaultEnv faulty(env_);
    auto writer = Writer(faulty, Options());
    faulty.Arm({.nth = static_cast<uint64_t>(nth), .halt_after = true});
    const bool done = RunToEnd(*writer).ok();
    faulty.Disarm();
    writer.reset();
    if (nth % 2 == 0) {
      env_.PowerCut(static_cast<uint64_t>(nth));
    } else {
      env_.ProcessCrash();
    }
    auto listed = ListLost(env_, "/");
    ASSERT_TRUE(listed.ok()) << listed.status().ToString();
    ASSERT_TRUE(!done || listed->size() == 1) << "what was promised is gone";
    if (listed->empty()) {
      ++none;
      // The next attempt succeeds whatever was left.
      auto next = Writer(env_, Options());
      ASSERT_TRUE(RunToEnd(*next).ok());
      listed = ListLost(env_, "/");
      ASSERT_EQ(listed->size(), 1u);
    } else {
      ++whole;
    }
    ExpectWhole((*listed)[0]);
    ASSERT_TRUE(RemoveLost(env_, (*listed)[0]).ok());
    if (done) break;
    ASSERT_LT(nth, 1000);
  }
  EXPECT_GT(none, 10);
  EXPECT_GE(whole, 1);
}

TEST_F(LostLogWriterTest, LeavesALargeOrUnreadableDatabaseOutAndSaysWhy) {
  LostLogWriter::Options large = Options();
  large.database_bytes_max = 30 * 1024 - 1;
  auto writer = Writer(env_, large);
  ASSERT_TRUE(RunToEnd(*writer).ok());
  EXPECT_EQ(writer->manifest().database_bytes, 0u);
  EXPECT_NE(writer->manifest().database_left_out.find("lost.database_bytes_max"),
            std::string::npos);
  LostLogWriter::Options unreadable = Options();
  unreadable.id = "20260101T000001Z-1.21";
  content_->fail_every = 1;
  writer = Writer(env_, unreadable);
  ASSERT_TRUE(RunToEnd(*writer).ok());
  EXPECT_NE(writer->manifest().database_left_out.find("a bad sector"), std::string::npos);
  const auto listed = ListLost(env_, "/");
  ASSERT_EQ(listed->size(), 2u);
  for (const LostBundle& bundle : *listed) {
    ExpectWhole(bundle);
    EXPECT_FALSE(env::Exists(env_, env::JoinPath(bundle.directory, kLostDatabase)));
  }
}

TEST_F(LostLogWriterTest, WritesNothingWhenNoRecordIsLost) {
  LostLogWriter::Options options = Options();
  options.range.after = At(1, 41);
  auto writer = Writer(env_, options);
  ASSERT_TRUE(RunToEnd(*writer).ok());
  EXPECT_EQ(writer->manifest().records, 0u);
  EXPECT_TRUE(ListLost(env_, "/")->empty());
}

TEST_F(LostLogWriterTest, SaysWhenTheOldestLostRecordsWereTruncated) {
  const auto freed = database_.log().Truncate(base::Seq(30));
  ASSERT_TRUE(freed.ok() && *freed > 0);
  auto writer = Writer(env_, Options());
  ASSERT_TRUE(RunToEnd(*writer).ok());
  EXPECT_TRUE(writer->manifest().missing);
  EXPECT_GT(writer->manifest().first, At(1, 21));
  EXPECT_EQ(writer->manifest().last, At(1, 41));
}

TEST_F(LostLogWriterTest, KeepsAllFilesOfALogThatCannotBeRead) {
  LostLogWriter::Options options = Options();
  options.range = {};
  LostLogWriter writer(env_, options, nullptr, nullptr);
  ASSERT_TRUE(RunToEnd(writer).ok());
  EXPECT_EQ(writer.manifest().records, 0u);
  EXPECT_EQ(writer.manifest().files.size(), database_.log().generations().size());
}

TEST_F(LostLogWriterTest, ADamagedBundleIsListedAsSuch) {
  auto writer = Writer(env_, Options());
  ASSERT_TRUE(RunToEnd(*writer).ok());
  const std::string path = writer->bundle_directory() + "/manifest.json";
  ASSERT_TRUE(env::WriteFileAtomically(env_, path, base::AsBytes("{")).ok());
  const auto listed = ListLost(env_, "/");
  ASSERT_EQ(listed->size(), 1u);
  EXPECT_EQ((*listed)[0].damaged.code(), base::Code::kCorruption);
  EXPECT_EQ((*listed)[0].manifest.id, Options().id);
}

TEST_F(LostLogWriterTest, TheRecordsCanBeReadBack) {
  auto writer = Writer(env_, Options());
  ASSERT_TRUE(RunToEnd(*writer).ok());
  const LostBundle bundle = ListLost(env_, "/")->at(0);
  const auto all = ReadLostRecords(env_, bundle, 1000);
  ASSERT_TRUE(all.ok()) << all.status().ToString();
  EXPECT_EQ(all->damage, "");
  ASSERT_EQ(all->records.size(), 21u);
  uint64_t bytes = 0;
  for (size_t i = 0; i < all->records.size(); ++i) {
    EXPECT_EQ(all->records[i].first, At(1, 21 + i));
    EXPECT_EQ(all->records[i].last, At(1, 21 + i));
    EXPECT_GT(all->records[i].pages, 0u);
    bytes += all->records[i].bytes;
  }
  EXPECT_EQ(bytes, bundle.manifest.log_bytes);
  EXPECT_EQ(all->records.back().commit_time, bundle.manifest.last_commit);
  EXPECT_EQ(ReadLostRecords(env_, bundle, 4)->records.size(), 4u);
}

TEST_F(LostLogWriterTest, DamagedRecordsAreToldAndTheOthersRead) {
  auto writer = Writer(env_, Options());
  ASSERT_TRUE(RunToEnd(*writer).ok());
  const LostBundle bundle = ListLost(env_, "/")->at(0);
  const std::string path = env::JoinPath(bundle.directory, bundle.manifest.files[1].name);
  const base::Bytes whole = Read(path);
  for (size_t i = 0; i < whole.size(); i += 7) {
    base::Bytes changed = whole;
    changed[i] ^= 0x40;
    ASSERT_TRUE(env::WriteFileAtomically(env_, path, changed).ok());
    const auto read = ReadLostRecords(env_, bundle, 1000);
    ASSERT_TRUE(read.ok()) << read.status().ToString();
    EXPECT_LE(read->records.size(), 21u);
    EXPECT_TRUE(read->records.size() == 21 || !read->damage.empty()) << i;
    EXPECT_EQ(read->records.front().first, At(1, 21));
  }
  ASSERT_TRUE(env_.Remove(path).ok());
  const auto read = ReadLostRecords(env_, bundle, 1000);
  ASSERT_TRUE(read.ok());
  EXPECT_NE(read->damage.find("not there"), std::string::npos);
  EXPECT_FALSE(read->records.empty());
}

}  // namespace
}  // namespace understudy::server
