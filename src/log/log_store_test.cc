// SPDX-License-Identifier: Apache-2.0
#include "log/log_store.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "log/generation_file.h"
#include "log/test_records.h"
#include "testing/mem_env.h"

namespace understudy::log {
namespace {

using base::Code;
using base::Generation;
using base::Seq;

constexpr uint64_t kSmallGeneration = 4096;

class LogStoreTest : public ::testing::Test {
 protected:
  LogStoreTest() { Reopen(); }

  void Reopen() {
    log_.reset();
    auto log = LogStore::Open(
        env_,
        {.directory = directory_, .database = TestId(), .generation_bytes = generation_bytes_});
    ASSERT_TRUE(log.ok()) << log.status().ToString();
    log_ = std::move(log).value();
  }
  void Append(const Record& record) {
    for (const base::Bytes& part : record.parts) {
      const base::Status status = log_->Append(part);
      ASSERT_TRUE(status.ok()) << status.ToString();
    }
  }
  // A mount and `commits` commits, each of them synced; states_[seq] is the state after it.
  void Fill(int commits) {
    Append(database_.Mount());
    ASSERT_TRUE(log_->Sync().ok());
    states_[database_.seq()] = log_->end();
    for (int i = 0; i < commits; ++i) {
      Append(database_.Commit());
      ASSERT_TRUE(log_->Sync().ok());
      states_[database_.seq()] = log_->end();
    }
  }
  // What a reader after `after` returns until it has nothing.
  std::vector<base::Bytes> ReadAll(LogReader& reader) {
    std::vector<base::Bytes> parts;
    while (true) {
      auto item = reader.Next();
      EXPECT_TRUE(item.ok()) << item.status().ToString();
      if (!item.ok() || !item->has_value()) return parts;
      parts.emplace_back((*item)->part.bytes.begin(), (*item)->part.bytes.end());
    }
  }
  std::unique_ptr<LogReader> Reader(uint64_t after) {
    auto reader = log_->ReadAfter(Seq(after));
    EXPECT_TRUE(reader.ok()) << reader.status().ToString();
    return std::move(reader).value();
  }

  std::string directory_ = "/log";
  uint64_t generation_bytes_ = kSmallGeneration;
  test::MemEnv env_;
  TestDatabase database_;
  std::map<uint64_t, LogEnd> states_;
  std::unique_ptr<LogStore> log_;
};

TEST_F(LogStoreTest, EmptyLogHasNothing) {
  EXPECT_EQ(log_->end().position, base::Position());
  EXPECT_EQ(log_->first_seq(), Seq(0));
  EXPECT_EQ(log_->bytes(), 0u);
  EXPECT_TRUE(ReadAll(*Reader(0)).empty());
  EXPECT_FALSE(log_->incomplete().has_value());
}

TEST_F(LogStoreTest, EveryBoundaryIsFoundBeforeAndAfterReopening) {
  Fill(60);
  ASSERT_GT(log_->generations().size(), 3u);
  for (int round = 0; round < 2; ++round) {
    for (const auto& [seq, state] : states_) {
      const auto found = log_->StateAt(Seq(seq));
      ASSERT_TRUE(found.ok()) << found.status().ToString();
      EXPECT_EQ(*found, state) << "seq " << seq;
    }
    EXPECT_EQ(log_->StateAt(Seq(62)).status().code(), Code::kNotFound);
    EXPECT_EQ(log_->durable().seq, Seq(61));
    EXPECT_EQ(log_->first_seq(), Seq(1));
    Reopen();
  }
}

TEST_F(LogStoreTest, ReaderFromAnywhereSeesTheRestAndEqualPages) {
  Fill(60);
  for (uint64_t after = 0; after <= 61; ++after) {
    const auto parts = ReadAll(*Reader(after));
    ASSERT_EQ(parts.size(), 61 - after);
    if (after < 61) {
      EXPECT_EQ(ParsePart(parts[0])->header.seq_first, Seq(after + 1));
    }
  }
  TestCopy copy;
  for (const base::Bytes& part : ReadAll(*Reader(0))) {
    ASSERT_TRUE(copy.Apply(*ParsePart(part)).ok());
  }
  EXPECT_EQ(copy.images(), database_.images());
  EXPECT_EQ(log_->ReadAfter(Seq(62)).status().code(), Code::kNotFound);
}

TEST_F(LogStoreTest, ReaderSeesOnlyWhatIsDurable) {
  Fill(2);
  const auto reader = Reader(0);
  EXPECT_EQ(ReadAll(*reader).size(), 3u);
  Append(database_.Commit());
  EXPECT_TRUE(ReadAll(*reader).empty());
  EXPECT_EQ(log_->durable().seq, Seq(3));
  EXPECT_EQ(log_->end().position.seq, Seq(4));
  const uint64_t change = log_->change_count();
  ASSERT_TRUE(log_->Sync().ok());
  EXPECT_GT(log_->change_count(), change);
  EXPECT_EQ(ReadAll(*reader).size(), 1u);
}

TEST_F(LogStoreTest, RecordOverSeveralGenerationsIsReadFromEveryBoundary) {
  Fill(3);
  const Record large = database_.Rewrite(1600);  // 1.6 MB
  ASSERT_GT(large.parts.size(), 4u);
  Append(large);
  Append(database_.Commit());
  ASSERT_TRUE(log_->Sync().ok());
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(ReadAll(*Reader(0)).size(), 5 + large.parts.size());
    EXPECT_EQ(ReadAll(*Reader(4)).size(), 1 + large.parts.size());
    EXPECT_EQ(ReadAll(*Reader(5)).size(), 1u);
    EXPECT_EQ(log_->StateAt(Seq(5))->checksum, large.header.checksum_after);
    EXPECT_EQ(log_->StateAt(Seq(4))->position.seq, Seq(4));
    Reopen();
  }
  // Truncation keeps a log whose first file begins in the middle of a record readable after it.
  ASSERT_TRUE(log_->Truncate(Seq(5)).ok());
  EXPECT_EQ(log_->first_seq(), Seq(6));
  EXPECT_EQ(ReadAll(*Reader(5)).size(), 1u);
  EXPECT_EQ(log_->ReadAfter(Seq(4)).status().code(), Code::kLogGap);
  Reopen();
  EXPECT_EQ(ReadAll(*Reader(5)).size(), 1u);
}

TEST_F(LogStoreTest, IncompleteRecordIsKeptOverReopeningAndContinued) {
  Fill(3);
  const Record large = database_.Rewrite(1600);
  for (size_t held = 1; held < large.parts.size(); ++held) {
    ASSERT_TRUE(log_->Append(large.parts[held - 1]).ok());
    ASSERT_TRUE(log_->Sync().ok());
    Reopen();
    ASSERT_TRUE(log_->incomplete().has_value());
    EXPECT_EQ(log_->incomplete()->parts, held);
    EXPECT_EQ(log_->incomplete()->seq_first, Seq(5));
    EXPECT_EQ(log_->end().position.seq, Seq(4));
  }
  ASSERT_TRUE(log_->Append(large.parts.back()).ok());
  EXPECT_EQ(log_->end().checksum, large.header.checksum_after);
  EXPECT_FALSE(log_->incomplete().has_value());
}

TEST_F(LogStoreTest, DroppedRecordIsGoneAndTheReaderRewinds) {
  for (const size_t dropped : {1u, 2u, 5u}) {
    directory_ = "/log" + std::to_string(dropped);
    Reopen();
    database_ = TestDatabase();
    Fill(3);
    const uint64_t generations = log_->generations().size();
    const auto reader = Reader(4);
    TestDatabase other = database_;
    const Record large = other.Rewrite(1600);
    for (size_t i = 0; i < dropped; ++i) ASSERT_TRUE(log_->Append(large.parts[i]).ok());
    ASSERT_TRUE(log_->Sync().ok());
    EXPECT_EQ(ReadAll(*reader).size(), dropped);
    ASSERT_TRUE(log_->DropIncomplete().ok());
    EXPECT_FALSE(log_->incomplete().has_value());
    EXPECT_EQ(log_->generations().size(), generations);
    EXPECT_TRUE(ReadAll(*reader).empty());
    TestDatabase again = database_;
    Append(again.Commit());
    ASSERT_TRUE(log_->Sync().ok());
    const auto parts = ReadAll(*reader);
    ASSERT_EQ(parts.size(), 1u);
    EXPECT_EQ(ParsePart(parts[0])->header.seq_first, Seq(5));
    EXPECT_TRUE(ParsePart(parts[0])->header.first());
  }
}

TEST_F(LogStoreTest, RefusedPartsChangeNothing) {
  Fill(3);
  const LogEnd end = log_->end();
  const Record next = database_.Commit();
  const Record after_next = database_.Commit();
  EXPECT_EQ(log_->Append(after_next.parts[0]).code(), Code::kLogGap);
  base::Bytes bad = next.parts[0];
  bad[20] ^= 1;
  EXPECT_EQ(log_->Append(bad).code(), Code::kCorruption);
  TestDatabase stranger(1024, 99);
  stranger.Mount();
  EXPECT_EQ(log_->Append(stranger.Commit().parts[0]).code(), Code::kAlreadyExists);
  EXPECT_EQ(log_->AppendToGeneration(Generation(0), next.parts[0]).code(), Code::kInvalidArgument);
  EXPECT_EQ(log_->end(), end);
  Append(next);
  Append(after_next);
}

TEST_F(LogStoreTest, PassiveHasTheGenerationsOfTheActive) {
  Fill(50);
  auto opened = LogStore::Open(env_, {.directory = "/passive", .database = TestId()});
  ASSERT_TRUE(opened.ok());
  LogStore& passive = **opened;
  const auto reader = Reader(0);
  while (true) {
    auto item = reader->Next();
    ASSERT_TRUE(item.ok());
    if (!item->has_value()) break;
    ASSERT_TRUE(passive.AppendToGeneration((*item)->generation, (*item)->part.bytes).ok());
  }
  ASSERT_TRUE(passive.Sync().ok());
  const auto theirs = log_->generations();
  const auto ours = passive.generations();
  ASSERT_EQ(ours.size(), theirs.size());
  for (size_t i = 0; i < ours.size(); ++i) {
    EXPECT_EQ(ours[i].number, theirs[i].number);
    EXPECT_EQ(ours[i].bytes, theirs[i].bytes);
    EXPECT_EQ(ours[i].seq_first, theirs[i].seq_first);
  }
  EXPECT_EQ(passive.end(), log_->end());
}

TEST_F(LogStoreTest, SeededLogStartsAtAState) {
  Fill(30);
  const LogEnd start = *log_->StateAt(Seq(20));
  auto opened = LogStore::Open(env_, {.directory = "/seeded", .database = TestId()});
  ASSERT_TRUE((*opened)->StartAt(start).ok());
  EXPECT_EQ((*opened)->StartAt(start).code(), Code::kInvalidArgument);
  opened->reset();
  env_.PowerCutDropAll();
  opened = LogStore::Open(env_, {.directory = "/seeded", .database = TestId()});
  ASSERT_TRUE(opened.ok());
  LogStore& seeded = **opened;
  EXPECT_EQ(seeded.end(), start);
  EXPECT_EQ(seeded.durable(), start.position);
  EXPECT_EQ(*seeded.StateAt(Seq(20)), start);
  EXPECT_EQ(seeded.ReadAfter(Seq(19)).status().code(), Code::kLogGap);
  Reopen();
  const auto reader = Reader(19);
  auto item = reader->Next();
  EXPECT_EQ(seeded.AppendToGeneration((*item)->generation, (*item)->part.bytes).code(),
            Code::kAlreadyExists);
  while ((item = reader->Next()).ok() && item->has_value()) {
    ASSERT_TRUE(seeded.AppendToGeneration((*item)->generation, (*item)->part.bytes).ok());
  }
  EXPECT_EQ(seeded.end(), log_->end());
  EXPECT_EQ(seeded.first_seq(), Seq(21));
}

TEST_F(LogStoreTest, SeededLogMayGoOnInALaterGeneration) {
  Fill(5);
  const LogEnd start = log_->end();
  auto opened = LogStore::Open(env_, {.directory = "/seeded", .database = TestId()});
  LogStore& seeded = **opened;
  ASSERT_TRUE(seeded.StartAt(start).ok());
  ASSERT_TRUE(seeded.AppendToGeneration(Generation(77), database_.Commit().parts[0]).ok());
  ASSERT_TRUE(seeded.Sync().ok());
  ASSERT_EQ(seeded.generations().size(), 1u);
  EXPECT_EQ(seeded.generations()[0].number, Generation(77));
  EXPECT_EQ(*seeded.StateAt(start.position.seq), start);
}

TEST_F(LogStoreTest, TruncateStopsAtTheLowestHold) {
  Fill(60);
  log_->SetHold({.name = "passive s3", .reason = "until it has copied more", .seq = Seq(40)});
  log_->SetHold({.name = "backup 1", .reason = "until it ends", .seq = Seq(15)});
  const uint64_t bytes = log_->bytes();
  const auto freed = log_->Truncate(Seq(1000));
  ASSERT_TRUE(freed.ok());
  EXPECT_EQ(log_->bytes(), bytes - *freed);
  EXPECT_GT(*freed, 0u);
  EXPECT_LE(log_->first_seq(), Seq(16));
  EXPECT_EQ(ReadAll(*Reader(15)).size(), 46u);
  log_->SetHold({.name = "backup 1", .reason = "until it ends", .seq = Seq(30)});
  ASSERT_TRUE(log_->Truncate(Seq(1000)).ok());
  EXPECT_EQ(log_->ReadAfter(Seq(2)).status().code(), Code::kLogGap);
  EXPECT_EQ(ReadAll(*Reader(30)).size(), 31u);
  log_->ReleaseHold("backup 1");
  log_->ReleaseHold("passive s3");
  EXPECT_TRUE(log_->holds().empty());
  ASSERT_TRUE(log_->Truncate(Seq(1000)).ok());
  EXPECT_EQ(log_->generations().size(), 1u);  // never the newest
  Reopen();
  Append(database_.Commit());
}

TEST_F(LogStoreTest, ReaderThatWasOvertakenByTruncationSaysSo) {
  Fill(60);
  const auto slow = Reader(0);
  const auto caught_up = Reader(0);
  ASSERT_TRUE(slow->Next().ok());
  ReadAll(*caught_up);
  ASSERT_TRUE(log_->Truncate(Seq(61)).ok());
  EXPECT_EQ(slow->Next().status().code(), Code::kLogGap);
  Append(database_.Commit());
  ASSERT_TRUE(log_->Sync().ok());
  EXPECT_EQ(ReadAll(*caught_up).size(), 1u);
}

TEST_F(LogStoreTest, IdleReaderAndAppenderGoOn) {
  Fill(5);
  const auto reader = Reader(0);
  ReadAll(*reader);
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(ReadAll(*reader).empty());
  log_->CloseIdleFile();
  Append(database_.Commit());
  log_->CloseIdleFile();  // not idle: unsynced
  ASSERT_TRUE(log_->Sync().ok());
  EXPECT_EQ(ReadAll(*reader).size(), 1u);
}

TEST_F(LogStoreTest, ReadersFollowAppendsAndDropsOfAnotherThread) {
  generation_bytes_ = 64 << 10;
  Reopen();
  std::atomic<bool> done = false;
  std::vector<TestCopy> copies(2);
  std::vector<std::thread> threads;
  for (TestCopy& copy : copies) {
    threads.emplace_back([&] {
      const auto reader = Reader(0);
      std::vector<base::Bytes> open;  // parts of the record that is not complete yet
      while (true) {
        const bool last_turn = done;
        const uint64_t change = log_->change_count();
        while (true) {
          auto item = reader->Next();
          ASSERT_TRUE(item.ok()) << item.status().ToString();
          if (!item->has_value()) break;
          const RecordPart& part = (*item)->part;
          if (part.header.first()) open.clear();
          ASSERT_EQ(part.header.part, open.size());
          open.emplace_back(part.bytes.begin(), part.bytes.end());
          if (!part.header.last()) continue;
          for (const base::Bytes& bytes : open) {
            ASSERT_TRUE(copy.Apply(*ParsePart(bytes)).ok());
          }
        }
        if (last_turn) return;
        log_->WaitForChange(change, std::chrono::milliseconds(50));
      }
    });
  }
  Append(database_.Mount());
  for (int i = 0; i < 200; ++i) {
    if (i % 20 == 7) {
      const Record large = TestDatabase(database_).Rewrite(900);
      for (size_t k = 0; k + 1 < large.parts.size(); ++k) {
        ASSERT_TRUE(log_->Append(large.parts[k]).ok());
        ASSERT_TRUE(log_->Sync().ok());
      }
      ASSERT_TRUE(log_->DropIncomplete().ok());
    }
    Append(database_.Commit());
    if (i % 3 == 0) {
      ASSERT_TRUE(log_->Sync().ok());
    }
  }
  ASSERT_TRUE(log_->Sync().ok());
  done = true;
  for (std::thread& thread : threads) thread.join();
  for (TestCopy& copy : copies) EXPECT_EQ(copy.images(), database_.images());
}

}  // namespace
}  // namespace understudy::log
