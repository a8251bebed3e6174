// SPDX-License-Identifier: Apache-2.0
// A generation that is no longer what was written is found, byte by byte, and another copy's takes
// its place, over files that fail and lose what was not synced.
#include <gtest/gtest.h>

#include "log/generation_file.h"
#include "log/log_store.h"
#include "log/test_records.h"
#include "testing/fault_env.h"
#include "testing/mem_env.h"

namespace understudy::log {
namespace {

using base::Code;
using base::Generation;

constexpr uint64_t kSmallGeneration = 2048;

// The log of an active copy, and the same one as a passive copy has it from `start` on.
class LogCheckTest : public ::testing::Test {
 protected:
  LogCheckTest() {
    active_ = Open("/active", env_);
    Write(database_.Mount());
    for (int i = 0; i < 12; ++i) Write(database_.Commit());
    Write(database_.Rewrite(12));  // a record over several generations
    for (int i = 0; i < 12; ++i) Write(database_.Commit());
    passive_ = Follow("/passive", 0);
  }

  std::unique_ptr<LogStore> Open(const std::string& directory, env::Env& env) {
    auto log = LogStore::Open(
        env, {.directory = directory, .database = TestId(), .generation_bytes = kSmallGeneration});
    EXPECT_TRUE(log.ok()) << log.status().ToString();
    return log.ok() ? std::move(log).value() : nullptr;
  }
  void Write(const Record& record) {
    for (const base::Bytes& part : record.parts) ASSERT_TRUE(active_->Append(part).ok());
    ASSERT_TRUE(active_->Sync().ok());
  }
  // A log that has what follows `after`, in the active one's generations.
  std::unique_ptr<LogStore> Follow(const std::string& directory, uint64_t after) {
    std::unique_ptr<LogStore> log = Open(directory, env_);
    if (after > 0) {
      const auto start = active_->StateAt(base::Seq(after));
      EXPECT_TRUE(start.ok() && log->StartAt(*start).ok());
    }
    auto reader = active_->ReadAfter(base::Seq(after));
    EXPECT_TRUE(reader.ok());
    while (true) {
      auto item = (*reader)->Next();
      EXPECT_TRUE(item.ok());
      if (!item->has_value()) break;
      EXPECT_TRUE(log->AppendToGeneration((*item)->generation, (*item)->part.bytes).ok());
    }
    EXPECT_TRUE(log->Sync().ok());
    return log;
  }
  std::string PathOf(const std::string& directory, Generation generation) {
    return directory + "/" + GenerationName(generation);
  }
  base::Bytes FileOf(const std::string& directory, Generation generation) {
    return env::ReadFile(env_, PathOf(directory, generation), 1 << 24).value();
  }
  void Flip(const std::string& path, uint64_t offset) {
    auto file = env_.Open(path, env::OpenMode::kReadWrite).value();
    base::Bytes byte(1);
    ASSERT_EQ(file->ReadAt(offset, byte).value(), 1u);
    byte[0] ^= 0x10;
    ASSERT_TRUE(file->WriteAt(offset, byte).ok());
    ASSERT_TRUE(file->Sync().ok());
  }
  base::Bytes Fetch(LogStore& log, Generation generation) {
    base::Bytes whole;
    while (true) {
      const auto piece = log.ReadGeneration(generation, whole.size(), 1000);
      EXPECT_TRUE(piece.ok()) << piece.status().ToString();
      if (!piece.ok()) return {};
      base::AppendBytes(whole, piece->bytes);
      if (whole.size() == piece->total) return whole;
    }
  }
  Generation Newest(const LogStore& log) { return log.generations().back().number; }

  test::MemEnv env_;
  TestDatabase database_{512};
  std::unique_ptr<LogStore> active_;
  std::unique_ptr<LogStore> passive_;
};

TEST_F(LogCheckTest, FindsAnyFlippedByteAndMendsItFromAnotherCopy) {
  ASSERT_GE(passive_->generations().size(), 5u);
  for (const GenerationInfo& info : passive_->generations()) {
    ASSERT_TRUE(passive_->CheckGeneration(info.number).ok());
    if (info.number == Newest(*passive_)) continue;
    const base::Bytes good = FileOf("/passive", info.number);
    const base::Bytes other = Fetch(*active_, info.number);
    for (uint64_t offset = 0; offset < good.size(); offset += 7) {
      Flip(PathOf("/passive", info.number), offset);
      const base::Status found = passive_->CheckGeneration(info.number);
      ASSERT_EQ(found.code(), Code::kCorruption) << offset << ": " << found.ToString();
      ASSERT_TRUE(passive_->ReplaceGeneration(info.number, other).ok());
      ASSERT_TRUE(passive_->CheckGeneration(info.number).ok()) << offset;
      // What the header says of the time it was made at is not the other copy's.
      ASSERT_EQ(FileOf("/passive", info.number), good) << offset;
    }
  }
  passive_ = Open("/passive", env_);
  EXPECT_EQ(passive_->end().checksum, active_->end().checksum);
}

TEST_F(LogCheckTest, MendsAGenerationThatBeginsLaterThanTheOtherCopys) {
  const GenerationInfo second = active_->generations()[1];
  const uint64_t inside = second.seq_first.value + 1;
  const std::unique_ptr<LogStore> seeded = Follow("/seeded", inside);
  const Generation first = seeded->generations().front().number;
  const base::Bytes good = FileOf("/seeded", first);
  ASSERT_LT(good.size(), FileOf("/active", first).size());
  Flip(PathOf("/seeded", first), good.size() - 20);
  EXPECT_FALSE(seeded->CheckGeneration(first).ok());
  const base::Status replaced = seeded->ReplaceGeneration(first, Fetch(*active_, first));
  ASSERT_TRUE(replaced.ok()) << replaced.ToString();
  EXPECT_EQ(FileOf("/seeded", first), good);
  EXPECT_TRUE(seeded->CheckGeneration(first).ok());
}

TEST_F(LogCheckTest, TakesNothingThatDoesNotProveItself) {
  const Generation third = passive_->generations()[2].number;
  const base::Bytes before = FileOf("/passive", third);
  const base::Bytes other = Fetch(*active_, third);
  for (size_t offset = 0; offset < other.size(); offset += 11) {
    base::Bytes wrong = other;
    wrong[offset] ^= 1;
    const base::Status status = passive_->ReplaceGeneration(third, wrong);
    if (!status.ok()) {
      ASSERT_EQ(status.code(), Code::kInvalidArgument);
    }
    ASSERT_EQ(FileOf("/passive", third), before) << offset;
  }
  for (size_t bytes = 0; bytes < other.size(); bytes += 13) {
    const base::ByteView cut = base::ByteView(other).first(bytes);
    ASSERT_EQ(passive_->ReplaceGeneration(third, cut).code(), Code::kInvalidArgument) << bytes;
  }
  const base::Bytes next = Fetch(*active_, passive_->generations()[3].number);
  EXPECT_EQ(passive_->ReplaceGeneration(third, next).code(), Code::kInvalidArgument);
  EXPECT_EQ(passive_->ReplaceGeneration(Generation(999), other).code(), Code::kNotFound);
  EXPECT_EQ(passive_->CheckGeneration(Generation(999)).code(), Code::kNotFound);
}

TEST_F(LogCheckTest, ChecksWhatIsStillWrittenButLeavesItAlone) {
  const Generation newest = Newest(*passive_);
  const uint64_t size = FileOf("/passive", newest).size();
  ASSERT_TRUE(passive_->CheckGeneration(newest).ok());
  Flip(PathOf("/passive", newest), size - 30);
  EXPECT_EQ(passive_->CheckGeneration(newest).code(), Code::kCorruption);
  EXPECT_EQ(passive_->ReplaceGeneration(newest, FileOf("/active", newest)).code(), Code::kBusy);
  EXPECT_EQ(active_->ReadGeneration(newest, 0, 100).status().code(), Code::kUnavailable);
}

TEST_F(LogCheckTest, AfterAFailureOrAPowerCutTheOldFileOrTheNewIsThere) {
  const Generation third = passive_->generations()[2].number;
  const base::Bytes good = FileOf("/passive", third);
  const base::Bytes other = Fetch(*active_, third);
  Flip(PathOf("/passive", third), 700);
  const base::Bytes bad = FileOf("/passive", third);
  passive_.reset();
  bool went_through = false;
  for (uint64_t nth = 1; !went_through; ++nth) {
    ASSERT_LT(nth, 100u);
    test::FaultEnv fault(env_);
    std::unique_ptr<LogStore> log = Open("/passive", fault);
    fault.Arm({.ops = test::kChangingOps, .nth = nth, .halt_after = true});
    went_through = log->ReplaceGeneration(third, other).ok();
    log.reset();
    active_.reset();
    env_.PowerCut(nth);
    const base::Bytes after = FileOf("/passive", third);
    ASSERT_TRUE(after == good || after == bad) << nth;
    if (went_through) {
      ASSERT_EQ(after, good);
    }
    if (after == good) {
      ASSERT_TRUE(env::WriteFileAtomically(env_, PathOf("/passive", third), bad).ok());
    }
  }
}

}  // namespace
}  // namespace understudy::log
