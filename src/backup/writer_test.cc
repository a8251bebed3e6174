// SPDX-License-Identifier: Apache-2.0
#include "backup/writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "testing/mem_env.h"

namespace understudy::backup {
namespace {

using ::testing::HasSubstr;
using E = WriterEvent;
using S = WriterState;

constexpr E kInOrder[] = {E::kPrepareForBackup, E::kPrepareForSnapshot, E::kFreeze, E::kThaw,
                          E::kPostSnapshot,     E::kBackupComplete};

WriterFailure FailureIn(Phase phase, WriterCode code) {
  WriterFailure failure;
  failure.phase = phase;
  failure.code = code;
  failure.message = "it failed";
  return failure;
}

class WriterTest : public ::testing::Test {
 protected:
  void Begin(const std::string& id) {
    WriterSession session;
    session.id = id;
    session.requester = "betest";
    ASSERT_TRUE(writer_.Begin(session).ok());
  }
  test::MemEnv env_;
  Writer writer_{env_};
};

TEST_F(WriterTest, AWholeSessionGoesThroughTheStatesOfVss) {
  Begin("1");
  const S expected[] = {S::kStable,
                        S::kWaitingForFreeze,
                        S::kWaitingForThaw,
                        S::kWaitingForPostSnapshot,
                        S::kWaitingForBackupComplete,
                        S::kStable};
  for (size_t i = 0; i < std::size(kInOrder); ++i) {
    ASSERT_TRUE(writer_.Enter(kInOrder[i]).ok()) << WriterEventName(kInOrder[i]);
    EXPECT_EQ(writer_.view().phase, PhaseOf(kInOrder[i]));
    writer_.Leave();
    EXPECT_EQ(writer_.view().state, expected[i]) << WriterEventName(kInOrder[i]);
  }
  writer_.Shutdown();
  const Writer::View view = writer_.view();
  EXPECT_EQ(view.session, std::nullopt);
  ASSERT_TRUE(view.last.has_value());
  EXPECT_EQ(view.last->steps.size(), std::size(kInOrder));
  EXPECT_FALSE(view.last->failure.has_value());
  EXPECT_EQ(view.last_error, WriterCode::kOk);
}

TEST_F(WriterTest, AFailureInEachEventIsSeenAndTheWriterIsStableAfterwards) {
  const S failed[] = {S::kFailedAtPrepareBackup, S::kFailedAtPrepareSnapshot,
                      S::kFailedAtFreeze,        S::kFailedAtThaw,
                      S::kFailedAtPostSnapshot,  S::kFailedAtBackupComplete};
  for (size_t at = 0; at < std::size(kInOrder); ++at) {
    Begin(std::to_string(at));
    for (size_t i = 0; i < at; ++i) {
      ASSERT_TRUE(writer_.Enter(kInOrder[i]).ok());
      writer_.Leave();
    }
    ASSERT_TRUE(writer_.Enter(kInOrder[at]).ok());
    writer_.Fail(FailureIn(PhaseOf(kInOrder[at]), WriterCode::kRetryable));
    EXPECT_EQ(writer_.view().state, failed[at]);
    EXPECT_FALSE(writer_.Enter(E::kFreeze).ok()) << "nothing goes on after a failure";
    ASSERT_TRUE(writer_.Enter(E::kAbort).ok());
    writer_.Leave();
    EXPECT_EQ(writer_.view().state, failed[at]) << "an abort does not hide it";
    writer_.Shutdown();
    const Writer::View view = writer_.view();
    EXPECT_EQ(view.state, S::kStable);
    EXPECT_EQ(view.last_error, WriterCode::kRetryable);
    ASSERT_TRUE(view.last && view.last->failure);
    EXPECT_EQ(view.last->failure->state, failed[at]);
    EXPECT_EQ(StatusText(view.state, view.last_error),
              "STABLE(0x800423f3 - VSS_E_WRITERERROR_RETRYABLE)");
  }
}

TEST_F(WriterTest, TheFirstFailureIsTheOneThatIsTold) {
  Begin("1");
  ASSERT_TRUE(writer_.Enter(E::kPrepareForBackup).ok());
  writer_.Fail(FailureIn(Phase::kPrepareForBackup, WriterCode::kTimeout));
  writer_.Fail(FailureIn(Phase::kBackupShutdown, WriterCode::kNonRetryable));
  EXPECT_EQ(writer_.view().last_error, WriterCode::kTimeout);
}

TEST_F(WriterTest, EventsOutOfOrderAreRefused) {
  EXPECT_FALSE(writer_.Enter(E::kPrepareForBackup).ok()) << "no session is open";
  Begin("1");
  for (const E event : {E::kFreeze, E::kThaw, E::kPostSnapshot, E::kBackupComplete}) {
    EXPECT_EQ(writer_.Enter(event).code(), base::Code::kInternal) << WriterEventName(event);
  }
  ASSERT_TRUE(writer_.Enter(E::kPrepareForBackup).ok());
  EXPECT_FALSE(writer_.Enter(E::kPrepareForSnapshot).ok()) << "one event at a time";
}

TEST_F(WriterTest, ASecondSessionIsToldWhichOneIsOpen) {
  Begin("17");
  WriterSession second;
  second.id = "18";
  const base::Status refused = writer_.Begin(second);
  EXPECT_EQ(refused.code(), base::Code::kBusy);
  EXPECT_THAT(refused.message(), HasSubstr("session 17 of betest"));
  writer_.Shutdown();
  EXPECT_TRUE(writer_.Begin(second).ok());
  EXPECT_EQ(writer_.view().last->id, "17");
}

TEST_F(WriterTest, AFailureWhileTheRequesterCopiesIsOneOfBackupComplete) {
  Begin("1");
  for (const E event :
       {E::kPrepareForBackup, E::kPrepareForSnapshot, E::kFreeze, E::kThaw, E::kPostSnapshot}) {
    ASSERT_TRUE(writer_.Enter(event).ok());
    writer_.Leave();
  }
  writer_.Fail(FailureIn(Phase::kTransfer, WriterCode::kOutOfResources));
  EXPECT_EQ(writer_.view().state, S::kFailedAtBackupComplete);
}

TEST(WriterWords, AreThoseOfVss) {
  EXPECT_EQ(StatusText(S::kFailedAtFreeze, WriterCode::kTimeout),
            "FAILED_AT_FREEZE(0x800423f2 - VSS_E_WRITERERROR_TIMEOUT)");
  EXPECT_EQ(StatusText(S::kStable, WriterCode::kOk), "STABLE(0x00000000)");
  EXPECT_EQ(VssAdminState(S::kWaitingForThaw), "Frozen");
  EXPECT_EQ(VssAdminState(S::kFailedAtPostSnapshot), "Failed");
  EXPECT_EQ(VssAdminError(WriterCode::kRetryable), "Retryable error");
  EXPECT_EQ(VssAdminError(WriterCode::kOk), "No error");
  for (int i = 0; i < 8; ++i) {
    const auto event = static_cast<E>(i);
    EXPECT_EQ(WriterEventFromName(WriterEventName(event)), event);
  }
  EXPECT_EQ(WriterEventFromName("Melt"), std::nullopt);
  EXPECT_EQ(WriterCodeFromNumber(0x80042319), WriterCode::kNotResponding);
  EXPECT_EQ(WriterCodeFromNumber(0x800423f6), std::nullopt);
}

}  // namespace
}  // namespace understudy::backup
