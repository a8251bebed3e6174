// SPDX-License-Identifier: Apache-2.0
#include "server/lag_marks.h"

#include <gtest/gtest.h>

#include "env/boot_id.h"
#include "testing/mem_env.h"

namespace understudy::server {
namespace {

using base::Seq;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr base::Duration kLag = hours(2);
constexpr const char* kPath = "/copy/.lag";

class LagMarksTest : public ::testing::Test {
 protected:
  LagMarksTest() {
    SetBoot("boot-1");
    EXPECT_TRUE(env_.MakeDirectories("/copy").ok());
  }
  void SetBoot(const std::string& id) {
    ASSERT_TRUE(env_.MakeDirectories(env::DirectoryOf(env::kBootIdPath)).ok());
    ASSERT_TRUE(env::WriteFileAtomically(env_, env::kBootIdPath, base::AsBytes(id)).ok());
  }
  void Note(uint64_t durable) { marks_.Note(env_.Now(), Seq(durable), kLag); }
  uint64_t Matured() const { return marks_.Matured(env_.clock().Now(), kLag).value; }
  void Pass(base::Duration time) { env_.clock().Advance(time); }
  // As a daemon does that is stopped, and started after `away`.
  void Restart(base::Duration away, uint64_t durable) {
    ASSERT_TRUE(marks_.Save(env_, kPath).ok());
    Pass(away);
    marks_ = LagMarks();
    marks_.Load(env_, kPath, Seq(durable));
  }

  mutable test::MemEnv env_;
  LagMarks marks_;
};

TEST_F(LagMarksTest, ARecordIsHeldForTheLag) {
  Note(10);
  Pass(minutes(10));
  Note(20);
  EXPECT_EQ(Matured(), 0U);
  EXPECT_EQ(marks_.NextMaturity(env_.Now(), kLag), env_.Now() + hours(2) - minutes(10));
  Pass(kLag - minutes(10) - milliseconds(1));
  EXPECT_EQ(Matured(), 0U);
  Pass(milliseconds(1));
  EXPECT_EQ(Matured(), 10U);
  Pass(minutes(10));
  EXPECT_EQ(Matured(), 20U);
  EXPECT_EQ(marks_.NextMaturity(env_.Now(), kLag), base::SteadyTime::max());
}

TEST_F(LagMarksTest, IsNeverEarlyAndAtMostA128thLate) {
  constexpr int kRecords = 20'000;
  std::vector<base::SteadyTime> came(kRecords + 1);
  uint64_t released = 0;
  for (int i = 1; i <= 3 * kRecords; ++i) {
    Pass(seconds(1));
    if (i <= kRecords) {
      came[static_cast<size_t>(i)] = env_.Now();
      Note(static_cast<uint64_t>(i));
    }
    marks_.Trim(env_.Now(), Seq(released), kLag);
    for (; released < Matured(); ++released) {
      const base::Duration held = env_.Now() - came[released + 1];
      ASSERT_GE(held, kLag);
      ASSERT_LE(held, kLag + kLag / LagMarks::kPrecision + seconds(1));
    }
  }
  EXPECT_EQ(released, uint64_t{kRecords});
}

TEST_F(LagMarksTest, TellsHowLongTheFirstHeldRecordHasBeenHere) {
  EXPECT_EQ(marks_.AgeAfter(env_.Now(), Seq(0)), seconds(0));
  Note(10);
  Pass(minutes(5));
  Note(20);
  EXPECT_EQ(marks_.AgeAfter(env_.Now(), Seq(9)), minutes(5));
  EXPECT_EQ(marks_.AgeAfter(env_.Now(), Seq(10)), seconds(0));
  Pass(minutes(1));
  EXPECT_EQ(marks_.AgeAfter(env_.Now(), Seq(10)), minutes(1));
  EXPECT_EQ(marks_.AgeAfter(env_.Now(), Seq(20)), seconds(0));
}

TEST_F(LagMarksTest, ARushOfRecordsDoesNotMakeTheFirstOneYoung) {
  Note(1);
  Pass(minutes(30));
  for (uint64_t i = 2; i < 40; ++i) {  // all within one mark
    Note(i);
    Pass(seconds(1));
  }
  EXPECT_EQ(marks_.AgeAfter(env_.Now(), Seq(1)), seconds(38));
}

TEST_F(LagMarksTest, SurviveARestartWhateverTheWallClockDoesMeanwhile) {
  for (const milliseconds step :
       {milliseconds(0), milliseconds(hours(30)), -milliseconds(hours(30))}) {
    marks_ = LagMarks();
    Note(10);
    Pass(minutes(30));
    env_.clock().StepWall(step);
    Restart(minutes(30), 10);
    EXPECT_EQ(Matured(), 0U);
    Pass(minutes(59));
    EXPECT_EQ(Matured(), 0U);
    Pass(minutes(1));
    EXPECT_EQ(Matured(), 10U);
  }
}

TEST_F(LagMarksTest, AStepOfTheWallClockWhileRunningChangesNothing) {
  Note(10);
  env_.clock().StepWall(hours(100));
  EXPECT_EQ(Matured(), 0U);
  env_.clock().StepWall(-hours(200));
  Pass(kLag);
  EXPECT_EQ(Matured(), 10U);
}

TEST_F(LagMarksTest, OverARebootTheWallClockCountsUnlessItWentBack) {
  Note(10);
  ASSERT_TRUE(marks_.Save(env_, kPath).ok());
  SetBoot("boot-2");
  Pass(minutes(90));
  marks_ = LagMarks();
  marks_.Load(env_, kPath, Seq(10));
  Pass(minutes(29));
  EXPECT_EQ(Matured(), 0U);
  Pass(minutes(1));
  EXPECT_EQ(Matured(), 10U);

  ASSERT_TRUE(marks_.Save(env_, kPath).ok());
  SetBoot("boot-3");
  env_.clock().StepWall(-hours(24 * 365));
  marks_ = LagMarks();
  Note(5);
  marks_.Load(env_, kPath, Seq(10));
  EXPECT_EQ(Matured(), 10U);  // it was old enough when the file was written
}

TEST_F(LagMarksTest, WhatWasNotSavedIsYoung) {
  Note(10);
  ASSERT_TRUE(marks_.Save(env_, kPath).ok());
  EXPECT_FALSE(marks_.changed());
  Pass(minutes(1));
  Note(20);
  EXPECT_TRUE(marks_.changed());
  marks_ = LagMarks();  // a kill -9
  Pass(hours(5));
  marks_.Load(env_, kPath, Seq(20));
  Note(20);
  EXPECT_EQ(Matured(), 10U);
  Pass(kLag);
  EXPECT_EQ(Matured(), 20U);
}

TEST_F(LagMarksTest, MarksOfALongerLogDoNotCount) {
  Note(10);
  Pass(minutes(1));
  Note(20);
  Pass(kLag);
  Restart(seconds(1), 15);  // a power cut: 16 to 20 were not durable after all
  EXPECT_EQ(Matured(), 10U);
  Note(18);  // others of the same numbers
  EXPECT_EQ(Matured(), 10U);
  Note(12);
  EXPECT_EQ(Matured(), 0U);
}

TEST_F(LagMarksTest, ADamagedFileIsNoMarks) {
  Note(10);
  Pass(minutes(1));
  Note(20);
  ASSERT_TRUE(marks_.Save(env_, kPath).ok());
  const base::Bytes good = env::ReadFile(env_, kPath, 1 << 20).value();
  for (size_t i = 0; i < good.size(); ++i) {
    base::Bytes bad = good;
    bad[i] ^= 0x15;
    ASSERT_TRUE(env::WriteFileAtomically(env_, kPath, bad).ok());
    marks_.Load(env_, kPath, Seq(20));
    ASSERT_TRUE(env::WriteFileAtomically(env_, kPath, base::ByteView(good).first(i)).ok());
    marks_.Load(env_, kPath, Seq(20));
    EXPECT_EQ(Matured(), 0U) << i;
  }
}

TEST_F(LagMarksTest, AreNotMoreThanTheLimitAndSurviveThinning) {
  for (uint64_t i = 1; i <= 10'000; ++i) {  // nothing is replayed and nothing trimmed
    Pass(minutes(1));
    Note(i);
  }
  ASSERT_TRUE(marks_.Save(env_, kPath).ok());
  EXPECT_LE(env::ReadFile(env_, kPath, 1 << 20).value().size(), 32U << 10);
  Pass(kLag);
  EXPECT_EQ(Matured(), 10'000U);
}

}  // namespace
}  // namespace understudy::server
