// SPDX-License-Identifier: Apache-2.0
// What a log is after torn tails, flipped bytes, failed operations and power cuts: always a prefix
// of what was appended that holds at least what was durable, or a clear refusal; never other bytes.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/diag.h"
#include "log/generation_file.h"
#include "log/log_store.h"
#include "log/record_dump.h"
#include "log/test_records.h"
#include "testing/fault_env.h"
#include "testing/mem_env.h"

namespace understudy::log {
namespace {

using base::Code;
using base::Seq;
using base::Status;

const LogStore::Options kOptions{
    .directory = "/log", .database = TestId(), .generation_bytes = 1500};

class QuietDiag : public ::testing::Environment {
 public:
  void SetUp() override {
    base::SetDiagSink([](base::DiagLevel, std::string_view, std::string_view,
                         const std::vector<base::DiagField>&) {});
  }
};
const auto* const kQuiet = ::testing::AddGlobalTestEnvironment(new QuietDiag);

// Every part of a made-up history, in order.
std::vector<base::Bytes> History(int commits, uint32_t large_pages) {
  TestDatabase database(512);
  std::vector<base::Bytes> parts = database.Mount().parts;
  for (int i = 0; i < commits; ++i) {
    const Record record =
        i == commits / 2 && large_pages > 0 ? database.Rewrite(large_pages) : database.Commit(1);
    parts.insert(parts.end(), record.parts.begin(), record.parts.end());
  }
  return parts;
}

// All durable parts of a log, or why they cannot be read.
base::Result<std::vector<base::Bytes>> ReadAll(LogStore& log) {
  ASSIGN_OR_RETURN(const auto reader, log.ReadAfter(Seq(0)));
  std::vector<base::Bytes> parts;
  while (true) {
    ASSIGN_OR_RETURN(const auto item, reader->Next());
    if (!item) return parts;
    parts.emplace_back(item->part.bytes.begin(), item->part.bytes.end());
  }
}

bool IsPrefix(const std::vector<base::Bytes>& prefix, const std::vector<base::Bytes>& whole) {
  return prefix.size() <= whole.size() && std::equal(prefix.begin(), prefix.end(), whole.begin());
}

base::Bytes Content(env::Env& env, const std::string& path) {
  return env::ReadFile(env, path, 1 << 30).value();
}

void SetContent(env::Env& env, const std::string& path, base::ByteView content) {
  auto file = env.Open(path, env::OpenMode::kCreateTruncate);
  ASSERT_TRUE((*file)->WriteAt(0, content).ok());
}

// A log of several generations on `env`; returns its files.
std::vector<std::string> MakeLog(env::Env& env, const std::vector<base::Bytes>& history) {
  const auto log = LogStore::Open(env, kOptions);
  for (const base::Bytes& part : history) EXPECT_TRUE((*log)->Append(part).ok());
  EXPECT_TRUE((*log)->Sync().ok());
  std::vector<std::string> files;
  for (const GenerationInfo& info : (*log)->generations()) {
    files.push_back("/log/" + GenerationName(info.number));
  }
  return files;
}

// What a failed sync was for is still in the cache when the log is opened again, and on no disk: it
// must not count as durable before it was written once more. Found by the simulator.
TEST(LogRecovery, WhatAFailedSyncLostIsWrittenAgainBeforeItCounts) {
  test::MemEnv env({.seed = 3});
  const std::vector<base::Bytes> parts = History(6, 0);
  {
    auto log = LogStore::Open(env, kOptions).value();
    for (const base::Bytes& part : parts) ASSERT_TRUE(log->Append(part).ok());
  }
  // The sync of the newest file failed, and the process died.
  const auto names = env.List("/log").value();
  const auto file =
      env.Open("/log/" + *std::max_element(names.begin(), names.end()), env::OpenMode::kReadWrite);
  dynamic_cast<test::MemFileControl&>(**file).ForgetDirty();
  env.ProcessCrash();
  base::Position durable;
  {
    const auto log = LogStore::Open(env, kOptions).value();
    durable = log->durable();
    EXPECT_EQ(durable.seq, Seq(7));
  }
  env.PowerCut(5);
  const auto log = LogStore::Open(env, kOptions).value();
  EXPECT_EQ(log->durable(), durable);
  EXPECT_EQ(ReadAll(*log).value(), parts);
}

TEST(LogRecovery, TornTailOfTheNewestFileIsCutAtEveryLength) {
  const std::vector<base::Bytes> history = History(20, 0);
  test::MemEnv env;
  const std::string newest = MakeLog(env, history).back();
  const base::Bytes content = Content(env, newest);
  size_t parts_before = history.size();
  for (size_t length = content.size(); length-- > 0;) {
    SetContent(env, newest, base::ByteView(content).first(length));
    const auto log = LogStore::Open(env, kOptions);
    ASSERT_TRUE(log.ok()) << length << ": " << log.status().ToString();
    const auto parts = ReadAll(**log);
    ASSERT_TRUE(parts.ok()) << parts.status().ToString();
    ASSERT_TRUE(IsPrefix(*parts, history));
    EXPECT_LE(parts->size(), parts_before);
    parts_before = parts->size();
    // It goes on from there.
    ASSERT_TRUE((*log)->Append(history[parts->size()]).ok());
    ASSERT_TRUE((*log)->Sync().ok());
    EXPECT_EQ(ReadAll(**log)->size(), parts->size() + 1);
    if (env::Exists(env, newest)) {
      ASSERT_TRUE(env.Remove(newest).ok());
    }
  }
}

TEST(LogRecovery, ZerosAfterTheLastPartEndTheContent) {
  const std::vector<base::Bytes> history = History(40, 0);
  test::MemEnv env;
  const std::string newest = MakeLog(env, history).back();
  base::Bytes content = Content(env, newest);
  content.resize(content.size() + 10'000);
  SetContent(env, newest, content);
  const auto log = LogStore::Open(env, kOptions);
  ASSERT_TRUE(log.ok());
  EXPECT_EQ(*ReadAll(**log), history);
}

// In slices, so that no test takes long under a sanitizer.
class LogFlips : public ::testing::TestWithParam<size_t> {};
INSTANTIATE_TEST_SUITE_P(Slice, LogFlips, ::testing::Range<size_t>(0, 4));

TEST_P(LogFlips, AnyFlippedByteGivesAPrefixOrARefusal) {
  const std::vector<base::Bytes> history = History(24, 0);
  test::MemEnv env;
  const std::vector<std::string> files = MakeLog(env, history);
  ASSERT_GE(files.size(), 3u);
  size_t refused = 0;
  for (const std::string& path : files) {
    const base::Bytes content = Content(env, path);
    for (size_t i = GetParam(); i < content.size(); i += 4) {
      test::MemEnv flipped;
      ASSERT_TRUE(flipped.MakeDirectories("/log").ok());
      for (const std::string& other : files) SetContent(flipped, other, Content(env, other));
      base::Bytes bad = content;
      bad[i] ^= 0x20;
      SetContent(flipped, path, bad);
      const auto log = LogStore::Open(flipped, kOptions);
      if (!log.ok()) {
        ASSERT_EQ(log.status().code(), Code::kCorruption) << log.status().ToString();
        ++refused;
        continue;
      }
      const auto parts = ReadAll(**log);
      if (!parts.ok()) {
        ASSERT_EQ(parts.status().code(), Code::kCorruption) << parts.status().ToString();
        EXPECT_NE(parts.status().message().find(path), std::string::npos);
        ++refused;
        continue;
      }
      // Only the newest file may lose a tail silently.
      ASSERT_TRUE(IsPrefix(*parts, history));
      ASSERT_EQ(path, files.back());
    }
  }
  EXPECT_GT(refused, 0u);
}

TEST(LogRecovery, MissingMiddleAndShortenedFilesAreSeenAtOpen) {
  const std::vector<base::Bytes> history = History(60, 0);
  test::MemEnv env;
  const std::vector<std::string> files = MakeLog(env, history);
  ASSERT_GE(files.size(), 4u);
  const base::Bytes content = Content(env, files[1]);
  SetContent(env, files[1], base::ByteView(content).first(content.size() - 1));
  EXPECT_EQ(LogStore::Open(env, kOptions).status().code(), Code::kCorruption);
  // A gap is what an interrupted truncation leaves: what lies before it goes.
  ASSERT_TRUE(env.Remove(files[1]).ok());
  const auto log = LogStore::Open(env, kOptions);
  ASSERT_TRUE(log.ok());
  EXPECT_FALSE(env::Exists(env, files[0]));
  EXPECT_EQ((*log)->ReadAfter(Seq(0)).status().code(), Code::kLogGap);
}

TEST(LogRecovery, AnotherDatabasesFileIsRefused) {
  test::MemEnv env;
  MakeLog(env, History(5, 0));
  LogStore::Options other = kOptions;
  other.database = TestId(8);
  EXPECT_EQ(LogStore::Open(env, other).status().code(), Code::kCorruption);
}

// Appends, syncs now and then, drops an incomplete record once. Stops at the first failure.
struct Progress {
  size_t appended = 0;  // parts of the history in the log
  size_t durable = 0;
};
Progress Work(env::Env& env, const std::vector<base::Bytes>& history) {
  Progress done;
  auto log = LogStore::Open(env, kOptions);
  if (!log.ok()) return done;
  size_t next = 0;
  bool dropped = false;
  while (next < history.size()) {
    done.appended = std::max(done.appended, next + 1);  // a failed append may still be there
    if (!(*log)->Append(history[next]).ok()) return done;
    ++next;
    if (next % 4 == 0) {
      if (!(*log)->Sync().ok()) return done;
      done.durable = next;
    }
    const auto open = (*log)->incomplete();
    if (open && open->parts == 3 && !dropped) {
      dropped = true;
      next -= open->parts;
      done.durable = std::min(done.durable, next);
      if (!(*log)->DropIncomplete().ok()) return done;
    }
  }
  if ((*log)->Sync().ok()) done.durable = next;
  return done;
}

void CheckAfterCrash(env::Env& env, const std::vector<base::Bytes>& history, Progress done,
                     const std::string& what) {
  auto log = LogStore::Open(env, kOptions);
  ASSERT_TRUE(log.ok()) << what << ": " << log.status().ToString();
  auto parts = ReadAll(**log);
  ASSERT_TRUE(parts.ok()) << what << ": " << parts.status().ToString();
  ASSERT_TRUE(IsPrefix(*parts, history)) << what;
  ASSERT_GE(parts->size(), done.durable) << what;
  ASSERT_LE(parts->size(), done.appended) << what;
  for (size_t i = parts->size(); i < history.size(); ++i) {
    ASSERT_TRUE((*log)->Append(history[i]).ok()) << what;
  }
  ASSERT_TRUE((*log)->Sync().ok()) << what;
  ASSERT_EQ(ReadAll(**log)->size(), history.size()) << what;
}

class LogFaults : public ::testing::TestWithParam<test::Effect> {};
INSTANTIATE_TEST_SUITE_P(Effect, LogFaults,
                         ::testing::Values(test::Effect::kNone, test::Effect::kPartial,
                                           test::Effect::kWhole));

TEST_P(LogFaults, FailEachOperationThenPowerCutKeepsWhatWasDurable) {
  const std::vector<base::Bytes> history = History(12, 1700);  // one record of four parts
  const uint64_t runs = test::FailEachOperation(
      {.ops = test::kAllOps, .halt_after = true, .effect = GetParam()}, 2000,
      [&](const test::FaultPlan& plan) {
        test::MemEnv env;
        test::FaultEnv faults(env);
        faults.Arm(plan);
        const Progress done = Work(faults, history);
        const bool fired = faults.fired();
        switch (plan.nth % 3) {
          case 0: env.PowerCutDropAll(); break;
          case 1: env.PowerCut(plan.nth); break;
          default: env.ProcessCrash();
        }
        CheckAfterCrash(env, history, done, fmt::format("nth {}", plan.nth));
        return fired;
      });
  EXPECT_GT(runs, 50u);
}

TEST(LogRecovery, FirstFailureIsStickyUntilReopened) {
  const std::vector<base::Bytes> history = History(10, 0);
  test::MemEnv env;
  test::FaultEnv faults(env);
  auto log = LogStore::Open(faults, kOptions);
  for (size_t i = 0; i < 3; ++i) ASSERT_TRUE((*log)->Append(history[i]).ok());
  ASSERT_TRUE((*log)->Sync().ok());
  ASSERT_TRUE((*log)->Append(history[3]).ok());
  faults.Arm({.ops = test::Op::kSync});
  EXPECT_EQ((*log)->Sync().code(), Code::kIoError);
  EXPECT_EQ((*log)->Sync().code(), Code::kIoError);
  EXPECT_EQ((*log)->Append(history[4]).code(), Code::kIoError);
  EXPECT_EQ((*log)->durable().seq, Seq(3));
  log->reset();
  CheckAfterCrash(env, history, {.appended = 4, .durable = 3}, "reopened");
}

TEST(LogRecovery, FullDiskIsReportedAndTheLogGoesOnAfterReopening) {
  const std::vector<base::Bytes> history = History(60, 0);
  test::MemEnv env;
  env.SetSpaceLimit(9000);
  auto log = LogStore::Open(env, kOptions);
  size_t appended = 0;
  Status status;
  while (status.ok()) {
    ASSERT_LT(appended, history.size());
    status = (*log)->Append(history[appended]);
    if (status.ok()) ++appended;
  }
  EXPECT_EQ(status.code(), Code::kNoSpace);
  log->reset();
  env.SetSpaceLimit(1 << 20);
  CheckAfterCrash(env, history, {.appended = appended + 1, .durable = 0}, "more space");
}

TEST(RecordDump, SaysWhereAndWhyAFileIsDamaged) {
  const std::vector<base::Bytes> history = History(40, 0);
  test::MemEnv env;
  const std::vector<std::string> files = MakeLog(env, history);
  std::string text;
  const auto sink = [&](std::string_view line) { text.append(line).append("\n"); };
  ASSERT_TRUE(DumpLog(env, "/log", {.entries = true}, sink).ok());
  EXPECT_NE(text.find("mount"), std::string::npos);
  EXPECT_EQ(text.find("DAMAGED"), std::string::npos);
  base::Bytes bad = Content(env, files[1]);
  bad[bad.size() / 2] ^= 1;
  SetContent(env, files[1], bad);
  for (const bool json : {false, true}) {
    text.clear();
    EXPECT_EQ(DumpLog(env, "/log", {.json = json}, sink).code(), Code::kCorruption);
    EXPECT_NE(text.find(json ? R"("type":"damage")" : "DAMAGED " + files[1]), std::string::npos);
    EXPECT_NE(text.find("CRC"), std::string::npos);
  }
  EXPECT_EQ(DumpLog(env, "/", {}, sink).code(), Code::kNotFound);
}

}  // namespace
}  // namespace understudy::log
