// SPDX-License-Identifier: Apache-2.0
// Two hosts and one lock: never both, and never for ever.
#include "store/object_lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "env/boot_id.h"
#include "store/s3_store.h"
#include "testing/fake_s3.h"
#include "testing/mem_env.h"

namespace understudy::store {
namespace {

using ::testing::HasSubstr;

// Two machines, each with its own clock and boot id, and a bucket.
class ObjectLockTest : public ::testing::Test {
 protected:
  struct Host {
    test::MemEnv env;
    std::unique_ptr<S3Store> store;
    std::function<void()> meanwhile = [] {};  // what others do while it waits

    Host(test::S3World& world, std::string_view boot) {
      EXPECT_TRUE(env.MakeDirectories("/proc/sys/kernel/random").ok());
      EXPECT_TRUE(env::WriteFileAtomically(env, env::kBootIdPath, base::AsBytes(boot)).ok());
      store = std::make_unique<S3Store>(
          env, std::make_unique<test::FakeS3>(world, "bucket"),
          S3Options{.endpoint = "https://s3.test", .bucket = "bucket", .path_style = true}, Wait());
    }
    Pause Wait() {
      return [this](base::Duration duration) {
        meanwhile();
        env.clock().Advance(duration);
      };
    }
    base::Result<std::unique_ptr<ObjectLock>> Acquire(LockOptions options = {}) {
      options.folder = "db/lock";
      options.what = "another backup";
      return ObjectLock::Acquire(env, *store, Wait(), options);
    }
  };

  test::S3World world_;
  Host one_{world_, "11111111-2222-3333-4444-555555555555"};
  Host two_{world_, "66666666-7777-8888-9999-000000000000"};
};

TEST_F(ObjectLockTest, IsHeldByOneAndGivenOnWhenReleased) {
  for (int i = 0; i < 3; ++i) {
    auto first = one_.Acquire();
    ASSERT_TRUE(first.ok()) << first.status().ToString();
    EXPECT_TRUE((*first)->Check().ok());
    const auto refused = two_.Acquire({.take_over = false});
    EXPECT_EQ(refused.status().code(), base::Code::kBusy);
    EXPECT_THAT(refused.status().message(), HasSubstr("11111111-2222"));
    first->reset();
    auto second = two_.Acquire({.take_over = false});
    ASSERT_TRUE(second.ok()) << second.status().ToString();
  }
}

TEST_F(ObjectLockTest, AHolderThatRenewsIsLeftAlone) {
  auto first = one_.Acquire();
  ASSERT_TRUE(first.ok());
  two_.meanwhile = [&] {
    one_.env.clock().Advance(kLockLookEvery);
    (*first)->RenewIfDue();
  };
  const base::SteadyTime began = two_.env.Now();
  EXPECT_EQ(two_.Acquire().status().code(), base::Code::kBusy);
  EXPECT_LE(two_.env.Now() - began, kLockRenewEvery + 2 * kLockLookEvery);
  EXPECT_TRUE((*first)->Check().ok());
}

TEST_F(ObjectLockTest, ASilentHolderIsTakenOverAfterTheLeaseByTheTakersClock) {
  auto first = one_.Acquire();
  ASSERT_TRUE(first.ok());
  one_.env.clock().Advance(std::chrono::hours(24));  // says nothing
  const base::SteadyTime began = two_.env.Now();
  auto second = two_.Acquire();
  ASSERT_TRUE(second.ok()) << second.status().ToString();
  EXPECT_GE(two_.env.Now() - began, kLockLease);
  // It learns of it, and neither its renewal nor its end takes anything back.
  (*first)->RenewIfDue();
  EXPECT_EQ((*first)->Check().code(), base::Code::kFenced);
  first->reset();
  EXPECT_TRUE((*second)->Check().ok());
  EXPECT_EQ(one_.Acquire({.take_over = false}).status().code(), base::Code::kBusy);
}

TEST_F(ObjectLockTest, OfManyTakersOneWins) {
  auto first = one_.Acquire();
  ASSERT_TRUE(first.ok());
  std::unique_ptr<ObjectLock> taken;
  bool within = false;
  // While the second host watches, the first one takes it over itself just before it.
  two_.meanwhile = [&] {
    if (within || two_.env.Now() < base::SteadyTime() + kLockLease - kLockLookEvery) return;
    within = true;
    auto other = one_.Acquire();
    if (other.ok()) taken = std::move(*other);
  };
  const auto second = two_.Acquire();
  EXPECT_NE(second.ok(), taken != nullptr);
  EXPECT_EQ((*first)->Check().code(), base::Code::kFenced);
}

TEST_F(ObjectLockTest, AProcessOfThisHostThatIsGoneIsNotWaitedFor) {
  auto first = one_.Acquire();
  ASSERT_TRUE(first.ok());
  const base::SteadyTime began = one_.env.Now();
  const auto second = one_.Acquire({.host_is_ours = true});
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(one_.env.Now(), began);
  EXPECT_EQ((*first)->Check().code(), base::Code::kFenced);
  EXPECT_EQ(two_.Acquire({.host_is_ours = true, .take_over = false}).status().code(),
            base::Code::kBusy);
}

TEST_F(ObjectLockTest, WhoHasTheLockFileOfAProcessThatIsGoneWaitsForNothing) {
  std::optional<HostProof> proof = LockFileOnHost(one_.env, "/data/locks", "db.lock").value();
  const std::string file = proof->file;
  auto first = one_.Acquire({.host_is_ours = true, .host_file = file});
  ASSERT_TRUE(first.ok());
  // As long as it lives nobody else of the host gets the file.
  EXPECT_EQ(LockFileOnHost(one_.env, "/data/locks", "db.lock").status().code(), base::Code::kBusy);
  // One of another directory, or without a file, is not known to be gone, or not by us.
  const HostProof other = LockFileOnHost(one_.env, "/other/locks", "db.lock").value();
  EXPECT_NE(other.file, file);
  EXPECT_EQ(one_.Acquire({.host_is_ours = true, .host_file = other.file, .take_over = false})
                .status()
                .code(),
            base::Code::kBusy);
  EXPECT_EQ(one_.Acquire({.host_is_ours = true, .take_over = false}).status().code(),
            base::Code::kBusy);
  // Nor on another machine, whatever the numbers of its files are.
  EXPECT_EQ(
      two_.Acquire({.host_is_ours = true, .host_file = file, .take_over = false}).status().code(),
      base::Code::kBusy);
  EXPECT_TRUE((*first)->Check().ok());
  proof.reset();  // the process ends, without a word to the store
  proof = LockFileOnHost(one_.env, "/data/locks", "db.lock").value();
  EXPECT_EQ(proof->file, file);
  const base::SteadyTime began = one_.env.Now();
  const auto second =
      one_.Acquire({.host_is_ours = true, .host_file = proof->file, .take_over = false});
  ASSERT_TRUE(second.ok()) << second.status().ToString();
  EXPECT_EQ(one_.env.Now(), began);
  EXPECT_EQ((*first)->Check().code(), base::Code::kFenced);
}

TEST_F(ObjectLockTest, WithoutABootIdNobodyOfThisHostIsKnownToBeGone) {
  ASSERT_TRUE(one_.env.Remove(env::kBootIdPath).ok());
  auto first = one_.Acquire({.host_is_ours = true, .host_file = "1:2"});
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(
      one_.Acquire({.host_is_ours = true, .host_file = "1:2", .take_over = false}).status().code(),
      base::Code::kBusy);
}

TEST_F(ObjectLockTest, NonsenseInTheFolderIsAHolderOfWhomNothingIsKnown) {
  ASSERT_TRUE(
      one_.store->Put("db/lock/0000000000000007", base::AsBytes("{\"host\":7"), PutMode::kNew)
          .ok());
  ASSERT_TRUE(one_.store->Put("db/lock/zzz", base::AsBytes("x"), PutMode::kNew).ok());
  EXPECT_EQ(one_.Acquire({.take_over = false}).status().code(), base::Code::kBusy);
  EXPECT_TRUE(one_.Acquire().ok());
}

}  // namespace
}  // namespace understudy::store
