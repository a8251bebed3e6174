// SPDX-License-Identifier: Apache-2.0
#include "server/point_in_time.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "replay/log_fixture.h"
#include "replay/replayer.h"

namespace understudy::server {
namespace {

using base::Seq;
using ::testing::HasSubstr;

const Continue kGoOn = [] { return true; };

// A copy that holds 40 records of everything back.
class PointInTimeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fixture_.Seed(env_, path_, fixture_.File("copy.checkpoint"));
    for (int i = 0; i < 10; ++i) {
      fixture_.Workload(4);
      kept_[last()] = fixture_.images();
    }
    auto opened = replay::Replayer::Open(env_,
                                         {.path = path_,
                                          .checkpoint_path = fixture_.File("copy.checkpoint"),
                                          .database = fixture_.id()},
                                         fixture_.log());
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    replayer_ = std::move(opened).value();
  }
  void ReplayTo(uint64_t seq) {
    replayer_->SetLimit(Seq(seq));
    while (replayer_->RunOnce(env_.Now()).value().worked) {
    }
  }
  uint64_t last() { return fixture_.log().end().position.seq.value; }
  static base::WallTime TimeOf(uint64_t seq) {
    return {static_cast<int64_t>(1'700'000'000'000 + seq)};
  }
  base::Result<LogPoint> Find(const WantedPoint& wanted, base::WallTime known = {}) {
    return FindPoint(fixture_.log(), replayer_->replayed(), wanted, known, kGoOn);
  }
  base::Status Extract(const LogPoint& point) {
    auto snapshot = replayer_->OpenSnapshot();
    if (!snapshot.ok()) return snapshot.status();
    return ExtractDatabase(env_, {output_, fixture_.id(), snapshot->at, point.at},
                           *snapshot->reader, fixture_.log(),
                           [](const char*, uint64_t, uint64_t) { return true; });
  }
  void ExpectImages(const replay::test::Images& images) {
    const base::Bytes all = env::ReadFile(env_, output_, 1 << 30).value();
    ASSERT_EQ(all.size(), images.size() * 4096);
    for (const auto& [page, expected] : images) {
      const base::ByteView image = base::ByteView(all).subspan((page - 1) * size_t{4096}, 4096);
      const size_t from = page == 1 ? 20 : 0;  // bytes 18 and 19 say "rollback journal"
      ASSERT_TRUE(std::equal(image.begin() + static_cast<std::ptrdiff_t>(from), image.end(),
                             expected.begin() + static_cast<std::ptrdiff_t>(from)))
          << "page " << page;
    }
    EXPECT_EQ(all[18], 1);
    EXPECT_EQ(all[19], 1);
    auto db = sqlite::Connection::Open(output_, {}).value();
    EXPECT_EQ(db->QueryText("PRAGMA integrity_check").value(), "ok");
  }

  env::Env& env_ = env::PosixEnv();
  replay::test::LogFixture fixture_;
  const std::string path_ = fixture_.File("copy.db");
  const std::string output_ = fixture_.File("output.db");
  std::map<uint64_t, replay::test::Images> kept_;
  std::unique_ptr<replay::Replayer> replayer_;
};

TEST_F(PointInTimeTest, EveryPointGivesTheDatabaseAsItWas) {
  for (const uint64_t replayed : {uint64_t{1}, last() / 2}) {
    ReplayTo(replayed);
    for (const auto& [seq, images] : kept_) {
      if (seq < replayed) continue;
      const auto point = Find({.seq = Seq(seq), .time = {}});
      ASSERT_TRUE(point.ok()) << point.status().ToString();
      EXPECT_EQ(point->at.position.seq.value, seq);
      EXPECT_EQ(point->commits_after, last() - seq);
      const base::Status made = Extract(*point);
      ASSERT_TRUE(made.ok()) << made.ToString();
      ExpectImages(images);
    }
  }
  EXPECT_EQ(replayer_->replayed().position.seq.value, last() / 2);
}

TEST_F(PointInTimeTest, ATimeMeansWhatWasCommittedUntilThen) {
  ReplayTo(10);
  const auto point = Find({.seq = {}, .time = TimeOf(20)});
  ASSERT_TRUE(point.ok()) << point.status().ToString();
  EXPECT_EQ(point->at.position.seq, Seq(20));
  EXPECT_EQ(point->first_after, TimeOf(21));
  EXPECT_EQ(point->earliest.position.seq, Seq(10));
  EXPECT_EQ(point->last.position.seq.value, last());
  EXPECT_EQ(point->records_after, last() - 20);
  EXPECT_GT(point->bytes_after, 0U);
  EXPECT_EQ(Find({.seq = {}, .time = TimeOf(10)})->at.position.seq, Seq(10));
}

TEST_F(PointInTimeTest, WhatIsOutOfReachIsRefusedWithWhatIsNot) {
  ReplayTo(10);
  for (const WantedPoint& wanted :
       {WantedPoint{.seq = Seq(9), .time = {}}, WantedPoint{.seq = {}, .time = TimeOf(9)}}) {
    const auto early = Find(wanted);
    EXPECT_EQ(early.status().code(), base::Code::kInvalidArgument);
    EXPECT_THAT(early.status().message(),
                HasSubstr(base::ToString(replayer_->replayed().position)));
    EXPECT_THAT(early.status().message(), HasSubstr(base::ToRfc3339(TimeOf(10))));
  }
  const auto late = Find({.seq = Seq(last() + 1), .time = {}});
  EXPECT_EQ(late.status().code(), base::Code::kInvalidArgument);
  EXPECT_THAT(late.status().message(), HasSubstr("after the end of the copy's log"));
  const base::WallTime later = TimeOf(last() + 1000);
  EXPECT_FALSE(Find({.seq = {}, .time = later}).ok());
  // Unless nothing is missing until then.
  EXPECT_EQ(Find({.seq = {}, .time = later}, later)->at.position.seq.value, last());
}

TEST_F(PointInTimeTest, ItStopsWhenNobodyListens) {
  ReplayTo(1);
  const auto point = Find({.seq = Seq(last()), .time = {}});
  auto snapshot = replayer_->OpenSnapshot();
  int calls = 0;
  const base::Status made =
      ExtractDatabase(env_, {output_, fixture_.id(), snapshot->at, point->at}, *snapshot->reader,
                      fixture_.log(), [&](const char*, uint64_t, uint64_t) { return ++calls < 2; });
  EXPECT_EQ(made.code(), base::Code::kCancelled);
}

TEST_F(PointInTimeTest, AnotherPageThanTheLogSaysIsFound) {
  ReplayTo(1);
  const auto point = Find({.seq = Seq(last()), .time = {}});
  auto snapshot = replayer_->OpenSnapshot();
  log::LogEnd from = snapshot->at;
  from.checksum ^= 1;
  const base::Status made =
      ExtractDatabase(env_, {output_, fixture_.id(), from, point->at}, *snapshot->reader,
                      fixture_.log(), [](const char*, uint64_t, uint64_t) { return true; });
  EXPECT_EQ(made.code(), base::Code::kDiverged);
}

}  // namespace
}  // namespace understudy::server
