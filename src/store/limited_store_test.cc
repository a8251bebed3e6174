// SPDX-License-Identifier: Apache-2.0
// A limited store takes as long as its rate says for what is uploaded, for reading that back, and
// for what is read; small objects and what others do take no time.
#include "store/limited_store.h"

#include <gtest/gtest.h>

#include "store/directory_store.h"
#include "testing/mem_env.h"

namespace understudy::store {
namespace {

constexpr size_t kPiece = 100'000;
constexpr size_t kPieces = 30;
constexpr uint64_t kRate = 1'000'000;
// All but the last piece are paid off, and what is saved up when it begins counts.
constexpr base::Duration kShortest =
    std::chrono::milliseconds(1000 * kPiece * (kPieces - 1) / kRate) - base::RateLimit::kBurst;
constexpr base::Duration kLongest = std::chrono::milliseconds(1000 * kPiece * kPieces / kRate);

class LimitedStoreTest : public ::testing::Test {
 protected:
  LimitedStoreTest() { EXPECT_TRUE(env_.MakeDirectories("/store").ok()); }

  void ReadAll(ObjectReader& reader) {
    base::Bytes out(kPiece);
    for (size_t i = 0; i < kPieces; ++i) ASSERT_EQ(reader.ReadAt(i * kPiece, out).value(), kPiece);
  }
  void ExpectLimited(const std::function<void()>& what) {
    const base::SteadyTime begin = env_.Now();
    what();
    EXPECT_GE(env_.Now() - begin, kShortest);
    EXPECT_LE(env_.Now() - begin, kLongest);
  }
  void AppendAll(Upload& upload) {
    for (size_t i = 0; i < kPieces; ++i) ASSERT_TRUE(upload.Append(base::Bytes(kPiece)).ok());
  }

  test::MemEnv env_;
  LimitedStore store_{env_, DirectoryStore::Open(env_, "/store").value(), kRate,
                      [this](base::Duration wait) { env_.clock().Advance(wait); }};
};

TEST_F(LimitedStoreTest, UploadsReadBacksAndReadsTakeAsLongAsTheRateSays) {
  auto upload = store_.Begin({.key = "big", .temporary = "partial/big.partial"}).value();
  ExpectLimited([&] { AppendAll(*upload); });
  ASSERT_EQ(upload->Store(kPiece * kPieces, true).value(), kPiece * kPieces);
  const auto stored = upload->OpenStored().value();
  ExpectLimited([&] { ReadAll(*stored); });
  ASSERT_TRUE(upload->Publish(false).ok());
  env_.clock().Advance(std::chrono::seconds(10));
  const auto reader = store_.Open("big").value();
  ExpectLimited([&] { ReadAll(*reader); });
}

TEST_F(LimitedStoreTest, ReadersShareTheRate) {
  ASSERT_TRUE(store_.Put("a", base::Bytes(kPiece * kPieces), PutMode::kNew).ok());
  const auto one = store_.Open("a").value();
  const auto other = store_.Open("a").value();
  const base::SteadyTime begin = env_.Now();
  ReadAll(*one);
  ReadAll(*other);
  EXPECT_GE(env_.Now() - begin, 2 * kShortest);
}

TEST_F(LimitedStoreTest, SmallObjectsDoNotWait) {
  const base::SteadyTime begin = env_.Now();
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(store_.Put("a", base::Bytes(kPiece), PutMode::kReplace).ok());
  }
  EXPECT_TRUE(store_.Stat("a").ok());
  EXPECT_EQ(env_.Now(), begin);
}

}  // namespace
}  // namespace understudy::store
