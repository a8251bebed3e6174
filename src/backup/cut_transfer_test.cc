// SPDX-License-Identifier: Apache-2.0
// Backups into a bucket, and back, over a network that cuts every transfer: each cut costs at most
// one part, and what is stored is what it would have been.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backup/backup_engine.h"
#include "backup/restore.h"
#include "backup/verify.h"
#include "store/s3_store.h"
#include "testing/fake_s3.h"
#include "testing/mem_env.h"
#include "testing/snapshot_in_memory.h"

namespace understudy::backup {
namespace {

constexpr uint64_t kPart = 32 << 10;
constexpr uint32_t kPageSize = 4096;
constexpr uint32_t kPages = 1500;
constexpr uint64_t kCuts = 100;

// Cuts every other large request, in turn before the server has it and after.
struct Cuts {
  uint64_t left = 0;
  uint64_t made = 0;
  uint64_t sent = 0;  // bytes of bodies, those that were cut too
  bool last_was_cut = false;
};

class CuttingHttp final : public store::HttpClient {
 public:
  CuttingHttp(std::unique_ptr<store::HttpClient> below, Cuts& cuts)
      : below_(std::move(below)), cuts_(cuts) {}

  base::Result<store::HttpAnswer> Send(const store::HttpRequest& request) override {
    const bool large = request.body.size() > kPart / 2 || request.answer_bytes_max > kPart / 2;
    const bool cut = large && request.method != "HEAD" && cuts_.left > 0 && !cuts_.last_was_cut;
    if (large) cuts_.last_was_cut = cut;
    cuts_.sent += request.body.size();
    if (!cut) return below_->Send(request);
    --cuts_.left;
    if (++cuts_.made % 2 == 0) below_->Send(request).status().IgnoreError();  // its answer is lost
    return base::Unavailable("the connection was cut");
  }

 private:
  const std::unique_ptr<store::HttpClient> below_;
  Cuts& cuts_;
};

class CutTransfer : public ::testing::Test {
 protected:
  CutTransfer() { EXPECT_TRUE(env_.MakeDirectories("/out").ok()); }

  std::unique_ptr<Repository> Connect(test::S3World& world) {
    world.names_per_page = 1000;
    const auto pause = [this](base::Duration length) { env_.clock().Advance(length); };
    auto http = std::make_unique<CuttingHttp>(std::make_unique<test::FakeS3>(world, "b"), cuts_);
    return Repository::OpenOrCreate(env_, std::make_unique<store::S3Store>(
                                              env_, std::move(http),
                                              store::S3Options{.endpoint = "https://s3.test",
                                                               .bucket = "b",
                                                               .path_style = true,
                                                               .part_bytes = kPart},
                                              pause))
        .value();
  }
  BackupDocument Take(Repository& repository, uint64_t seq, BackupType type) {
    test::SnapshotInMemory source(kPageSize, kPages, seq, {base::Term(1), base::Seq(seq)});
    const BackupResult result = RunBackup(env_, executor_, repository, source, {.type = type});
    EXPECT_TRUE(result.status.ok()) << result.status.ToString();
    return result.document;
  }
  static base::Bytes Stored(test::S3World& world, const BackupDocument& document) {
    base::MutexLock lock(world.mutex);
    return world.objects.at(document.files.at(0).path);
  }

  test::MemEnv env_;
  InlineExecutor executor_;
  Cuts cuts_;
};

TEST_F(CutTransfer, OfEachTypeCostsAPartForEachCutAndIsByteIdentical) {
  test::S3World whole;
  test::S3World cut;
  const auto uncut = Connect(whole);
  const auto repository = Connect(cut);
  uint64_t seq = 10;
  for (const BackupType type :
       {BackupType::kFull, BackupType::kIncremental, BackupType::kDifferential}) {
    seq += 10;
    cuts_ = {};
    const BackupDocument expected = Take(*uncut, seq, type);
    const uint64_t needed = cuts_.sent;
    cuts_ = {.left = kCuts};
    const BackupDocument document = Take(*repository, seq, type);
    EXPECT_EQ(cuts_.made, kCuts) << BackupTypeName(type);
    EXPECT_GT(cuts_.sent, needed);
    EXPECT_LE(cuts_.sent, needed + kCuts * kPart) << BackupTypeName(type);
    EXPECT_EQ(document.files.at(0).xxh3_128, expected.files.at(0).xxh3_128);
    EXPECT_EQ(Stored(cut, document), Stored(whole, expected)) << BackupTypeName(type);
  }
}

TEST_F(CutTransfer, RestoreAndVerificationGoOnWhereTheyWere) {
  test::S3World world;
  const auto repository = Connect(world);
  const BackupDocument document = Take(*repository, 10, BackupType::kFull);
  cuts_ = {.left = kCuts};
  const auto restored =
      Restore(env_, executor_, *repository, {.database = "orders", .output = "/out/orders.db"});
  ASSERT_TRUE(restored.ok()) << restored.status().ToString();
  EXPECT_GT(cuts_.made, 0u);
  const test::SnapshotInMemory source(kPageSize, kPages, 10, {base::Term(1), base::Seq(10)});
  EXPECT_EQ(env::ReadFile(env_, "/out/orders.db", 1 << 30).value(), source.images());
  cuts_ = {.left = kCuts};
  EXPECT_TRUE(VerifyBackup(env_, executor_, *repository, "orders", document.id, {}).status.ok());
  EXPECT_GT(cuts_.made, 0u);
}

// Longer than small requests wait, not longer than the bucket's patience.
TEST_F(CutTransfer, AnOutageWithinThePatienceFailsNothing) {
  test::S3World world;
  const auto repository = Connect(world);
  class Outage final : public store::HttpClient {
   public:
    Outage(env::Env& env, test::S3World& world) : env_(env), below_(world, "b") {}
    base::Result<store::HttpAnswer> Send(const store::HttpRequest& request) override {
      if (request.body.size() > kPart / 2 && begun_ == base::SteadyTime()) begun_ = env_.Now();
      if (begun_ != base::SteadyTime() && env_.Now() - begun_ < std::chrono::minutes(3)) {
        return base::Unavailable("no route to host");
      }
      return below_.Send(request);
    }

   private:
    env::Env& env_;
    test::FakeS3 below_;
    base::SteadyTime begun_{};
  };
  const auto pause = [this](base::Duration length) { env_.clock().Advance(length); };
  const store::S3Options options{
      .endpoint = "https://s3.test", .bucket = "b", .path_style = true, .part_bytes = kPart};
  const auto cut_off = Repository::OpenOrCreate(
                           env_, std::make_unique<store::S3Store>(
                                     env_, std::make_unique<Outage>(env_, world), options, pause))
                           .value();
  Take(*cut_off, 10, BackupType::kFull);
}

}  // namespace
}  // namespace understudy::backup
