// SPDX-License-Identifier: Apache-2.0
// When a lease of another server has ended by our own clock.
#include "etcd/lease_marks.h"

#include <gtest/gtest.h>

namespace understudy::etcd {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr base::Duration kTtl = seconds(6);  // grace 2 s, margin 187.5 ms
constexpr base::Duration kEnd = kTtl + milliseconds(188);

class LeaseMarksTest : public testing::Test {
 protected:
  static base::SteadyTime At(base::Duration time) { return base::SteadyTime(seconds(1000) + time); }
  void Saw(cluster::LeaseId lease, cluster::Revision modified, base::Duration when) {
    marks_.Saw(LeaseMarks::Key(lease), LeaseMarks::Value(kTtl), modified, At(when));
  }
  LeaseMarks marks_;
};

TEST_F(LeaseMarksTest, ASilentLeaseEndsAfterItsTimeAndAMargin) {
  Saw(7, 10, seconds(0));
  EXPECT_FALSE(marks_.WantsAnswer(At(milliseconds(3999))));
  EXPECT_TRUE(marks_.WantsAnswer(At(seconds(4))));
  marks_.Answered(At(seconds(4)));
  EXPECT_FALSE(marks_.WantsAnswer(At(seconds(5))));
  EXPECT_TRUE(marks_.Ended(At(kEnd - milliseconds(1))).empty());
  const auto ended = marks_.Ended(At(kEnd));
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended[0].lease, 7);
  EXPECT_EQ(ended[0].modified, 10);
  marks_.Saw(LeaseMarks::Key(7), std::nullopt, 11, At(seconds(7)));
  EXPECT_TRUE(marks_.Ended(At(seconds(100))).empty());
}

TEST_F(LeaseMarksTest, ARenewalBeginsAnew) {
  Saw(7, 10, seconds(0));
  marks_.Answered(At(seconds(5)));
  Saw(7, 11, seconds(6));
  EXPECT_FALSE(marks_.WantsAnswer(At(seconds(8))));
  marks_.Answered(At(seconds(8)));  // too early to count
  EXPECT_TRUE(marks_.WantsAnswer(At(seconds(10))));
  EXPECT_TRUE(marks_.Ended(At(seconds(13))).empty());
}

TEST_F(LeaseMarksTest, AnOlderRevisionOrTheSameIsNoRenewal) {
  Saw(7, 10, seconds(0));
  Saw(7, 10, seconds(3));
  Saw(7, 9, seconds(3));
  marks_.Answered(At(seconds(4)));
  EXPECT_EQ(marks_.Ended(At(kEnd)).size(), 1u);
}

TEST_F(LeaseMarksTest, WhenEtcdWasAwayHoldersHaveAGrace) {
  Saw(7, 10, seconds(0));
  Saw(8, 11, seconds(0));
  EXPECT_TRUE(marks_.Ended(At(seconds(60))).empty()) << "etcd has not answered";
  EXPECT_TRUE(marks_.WantsAnswer(At(seconds(60))));
  marks_.Answered(At(seconds(60)));
  EXPECT_TRUE(marks_.Ended(At(milliseconds(61'999))).empty());
  Saw(8, 12, seconds(61));  // renewed in the grace
  const auto ended = marks_.Ended(At(seconds(62)));
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended[0].lease, 7);
}

TEST_F(LeaseMarksTest, MarksThatAreGoneAreForgotten) {
  Saw(7, 10, seconds(0));
  Saw(8, 11, seconds(0));
  Saw(9, 12, seconds(0));
  marks_.Saw(LeaseMarks::Key(7), std::nullopt, 13, At(seconds(1)));
  marks_.KeepOnly({{LeaseMarks::Key(9), LeaseMarks::Value(kTtl), 12, 12, 9}});
  marks_.Answered(At(seconds(4)));
  const auto ended = marks_.Ended(At(kEnd));
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended[0].lease, 9);
}

TEST_F(LeaseMarksTest, WhatIsNoMarkIsNothing) {
  const auto key = LeaseMarks::Key(7);
  for (const char* value : {"", "0", "-5", "6000x", "99999999999999999999", "86400001"}) {
    marks_.Saw(key, value, 10, At(seconds(0)));
  }
  marks_.Saw("renewed/", "6000", 10, At(seconds(0)));
  marks_.Saw("renewed/xyz", "6000", 10, At(seconds(0)));
  marks_.Saw("alive/s1", "6000", 10, At(seconds(0)));
  EXPECT_FALSE(marks_.WantsAnswer(At(seconds(99))));
}

TEST_F(LeaseMarksTest, HasALimit) {
  for (size_t i = 0; i <= LeaseMarks::kMarksMax; ++i) {
    Saw(static_cast<cluster::LeaseId>(i + 1), 10, seconds(0));
  }
  marks_.Answered(At(seconds(4)));
  EXPECT_EQ(marks_.Ended(At(kEnd)).size(), LeaseMarks::kMarksMax);
}

}  // namespace
}  // namespace understudy::etcd
