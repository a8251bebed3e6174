// SPDX-License-Identifier: Apache-2.0
// Backups in an encrypted repository: taken, incremented, verified, pruned and restored as in a
// plain one; with the wrong key, or none, it is refused with what is missing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backup/backup_engine.h"
#include "backup/prune.h"
#include "backup/restore.h"
#include "backup/verify.h"
#include "store/directory_store.h"
#include "store/encrypted_store.h"
#include "store/s3_store.h"
#include "testing/fake_s3.h"
#include "testing/mem_env.h"
#include "testing/snapshot_in_memory.h"

namespace understudy::backup {
namespace {

using test::SnapshotInMemory;
using ::testing::HasSubstr;

constexpr uint32_t kPages = 300;  // more than a chunk

class EncryptedRepository : public ::testing::TestWithParam<bool> {
 protected:
  EncryptedRepository() {
    EXPECT_TRUE(env_.MakeDirectories("/place").ok());
    EXPECT_TRUE(env_.MakeDirectories("/out").ok());
  }
  static store::RepositoryKeys KeysOf(const std::string& text) {
    return store::RepositoryKeys::Parse(text, "/etc/key").value();
  }
  store::RepositoryKeys NewKeys() { return KeysOf(store::MakeKeyFile(env_)); }
  std::unique_ptr<store::ObjectStore> Place() {
    if (!GetParam()) return store::DirectoryStore::Open(env_, "/place").value();
    return std::make_unique<store::S3Store>(
        env_, std::make_unique<test::FakeS3>(world_, "bucket"),
        store::S3Options{.endpoint = "https://s3.test",
                         .bucket = "bucket",
                         .path_style = true,
                         .part_bytes = store::kPartBytesMin},
        [this](base::Duration length) { env_.clock().Advance(length); });
  }
  std::unique_ptr<store::ObjectStore> Sealed(const store::RepositoryKeys& keys) {
    return std::make_unique<store::EncryptedStore>(env_, Place(), keys);
  }
  BackupDocument Take(Repository& repository, uint64_t seq, BackupType type) {
    SnapshotInMemory source(512, kPages, seq, {base::Term(1), base::Seq(seq)});
    const BackupResult result = RunBackup(env_, executor_, repository, source, {.type = type});
    EXPECT_TRUE(result.status.ok()) << result.status.ToString();
    env_.clock().Advance(std::chrono::hours(1));
    return result.document;
  }

  test::MemEnv env_;
  test::S3World world_;
  InlineExecutor executor_;
  store::RepositoryKeys keys_ = NewKeys();
};

INSTANTIATE_TEST_SUITE_P(Places, EncryptedRepository, ::testing::Bool(),
                         [](const auto& each) { return each.param ? "Bucket" : "Directory"; });

TEST_P(EncryptedRepository, BackupsAreTakenVerifiedPrunedAndRestored) {
  const auto repository = Repository::OpenOrCreate(env_, Sealed(keys_)).value();
  Take(*repository, 10, BackupType::kFull);
  Take(*repository, 20, BackupType::kIncremental);
  Take(*repository, 30, BackupType::kFull);
  const BackupDocument last = Take(*repository, 40, BackupType::kIncremental);
  const auto again = Repository::Open(env_, Sealed(keys_)).value();
  EXPECT_TRUE(VerifyBackup(env_, executor_, *again, "orders", last.id, {}).status.ok());
  EXPECT_TRUE(Prune(*again, "orders", {.rules = {.keep_full = 1}}).ok());
  EXPECT_EQ(again->List("orders")->backups.size(), 2u);
  const auto restored =
      Restore(env_, executor_, *again, {.database = "orders", .output = "/out/orders.db"});
  ASSERT_TRUE(restored.ok()) << restored.status().ToString();
  EXPECT_EQ(restored->document.id, last.id);
  EXPECT_EQ(env_.Stat("/out/orders.db")->size, 512u * kPages);
}

TEST_P(EncryptedRepository, IsRefusedWithoutItsKeyAndAPlainOneWithAny) {
  const auto repository = Repository::OpenOrCreate(env_, Sealed(keys_)).value();
  Take(*repository, 10, BackupType::kFull);
  const std::string id = store::ToHex(keys_.first().id());
  for (const bool make : {false, true}) {
    const auto open = [&](std::unique_ptr<store::ObjectStore> store) {
      return make ? Repository::OpenOrCreate(env_, std::move(store)).status()
                  : Repository::Open(env_, std::move(store)).status();
    };
    EXPECT_THAT(open(Place()).message(), HasSubstr("is encrypted with the key " + id));
    const base::Status other = open(Sealed(NewKeys()));
    EXPECT_EQ(other.code(), base::Code::kInvalidArgument);
    EXPECT_THAT(other.message(), HasSubstr("is encrypted with the key " + id));
    EXPECT_TRUE(open(Sealed(keys_)).ok());
  }
}

TEST_P(EncryptedRepository, AnOldKeyCanGoOnceNothingIsEncryptedWithItAnyMore) {
  const std::string old_line = store::MakeKeyFile(env_);
  const std::string new_line = store::MakeKeyFile(env_);
  Take(*Repository::OpenOrCreate(env_, Sealed(KeysOf(old_line))).value(), 10, BackupType::kFull);
  const auto both = Repository::OpenOrCreate(env_, Sealed(KeysOf(new_line + old_line))).value();
  EXPECT_EQ(both->List("orders")->backups.size(), 1u);
  const BackupDocument last = Take(*both, 20, BackupType::kFull);
  ASSERT_TRUE(Prune(*both, "orders", {.rules = {.keep_full = 1}}).ok());
  ASSERT_EQ(both->List("orders")->backups.size(), 1u);

  const auto only_new = Repository::OpenOrCreate(env_, Sealed(KeysOf(new_line)));
  ASSERT_TRUE(only_new.ok()) << only_new.status().ToString();
  EXPECT_TRUE(VerifyBackup(env_, executor_, **only_new, "orders", last.id, {}).status.ok());
  Take(**only_new, 30, BackupType::kIncremental);
  EXPECT_EQ((*only_new)->List("orders")->backups.size(), 2u);
  const std::string new_id = store::ToHex(KeysOf(new_line).first().id());
  EXPECT_THAT(Repository::Open(env_, Sealed(KeysOf(old_line))).status().message(),
              HasSubstr("is encrypted with the key " + new_id));
}

TEST_P(EncryptedRepository, TheMarkAsksForTheOldKeyWhileADatabaseNeedsIt) {
  const std::string old_line = store::MakeKeyFile(env_);
  const std::string new_line = store::MakeKeyFile(env_);
  Take(*Repository::OpenOrCreate(env_, Sealed(KeysOf(old_line))).value(), 10, BackupType::kFull);
  const std::string damaged = "orders/understudy-database.json";
  ASSERT_TRUE(Place()->Put(damaged, base::AsBytes("?"), store::PutMode::kReplace).ok());
  ASSERT_TRUE(Repository::OpenOrCreate(env_, Sealed(KeysOf(new_line + old_line))).ok());
  EXPECT_TRUE(Repository::Open(env_, Sealed(KeysOf(old_line))).ok());
  EXPECT_FALSE(Repository::Open(env_, Sealed(KeysOf(new_line))).ok());
}

TEST_P(EncryptedRepository, APlainOneIsRefusedWithAKey) {
  ASSERT_TRUE(Repository::OpenOrCreate(env_, Place()).ok());
  EXPECT_THAT(Repository::Open(env_, Sealed(keys_)).status().message(),
              HasSubstr("is not encrypted, and the key file /etc/key is given"));
}

}  // namespace
}  // namespace understudy::backup
