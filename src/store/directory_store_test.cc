// SPDX-License-Identifier: Apache-2.0
// A directory as an object store: objects are whole or not there, at whatever operation it fails or
// the power goes.
#include "store/directory_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "testing/fault_env.h"
#include "testing/mem_env.h"

namespace understudy::store {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr uint64_t kBytesMax = 1 << 20;
const std::string kKey = "a/b/object";

base::Bytes Text(std::string_view text) { return {text.begin(), text.end()}; }

std::unique_ptr<DirectoryStore> OpenStore(env::Env& env) {
  return DirectoryStore::Open(env, "/s/").value();
}

base::Status UploadText(ObjectStore& store, std::string_view text, bool replace) {
  ASSIGN_OR_RETURN(const auto upload, store.Begin({.key = kKey, .temporary = "a/p/1.partial"}));
  for (const char c : text) RETURN_IF_ERROR(upload->Append(Text({&c, 1})));
  ASSIGN_OR_RETURN(const uint64_t readable, upload->Store(text.size(), /*whole=*/true));
  EXPECT_EQ(readable, text.size());
  ASSIGN_OR_RETURN(const auto reader, upload->OpenStored());
  base::Bytes back(text.size());
  ASSIGN_OR_RETURN(const size_t got, reader->ReadAt(0, back));
  EXPECT_EQ(got, text.size());
  EXPECT_EQ(back, Text(text));
  return upload->Publish(replace);
}

TEST(DirectoryStore, PutsGetsListsAndDeletes) {
  test::MemEnv env;
  const auto store = OpenStore(env);
  EXPECT_EQ(store->NameOf(kKey), "/s/a/b/object");
  EXPECT_EQ(Get(*store, kKey, kBytesMax).status().code(), base::Code::kNotFound);
  EXPECT_THAT(store->List("a")->folders, IsEmpty());
  ASSERT_TRUE(store->Put(kKey, Text("one"), PutMode::kReplace).ok());
  EXPECT_EQ(store->Put(kKey, Text("two"), PutMode::kNew).code(), base::Code::kAlreadyExists);
  EXPECT_EQ(Get(*store, kKey, kBytesMax).value(), Text("one"));
  EXPECT_EQ(Get(*store, kKey, 2).status().code(), base::Code::kInvalidArgument);
  EXPECT_THAT(store->List("")->folders, ElementsAre("a"));
  const ObjectList list = store->List("a/b").value();
  ASSERT_EQ(list.objects.size(), 1u);
  EXPECT_EQ(list.objects[0].name, "object");
  EXPECT_EQ(list.objects[0].bytes, 3u);
  EXPECT_FALSE(Exists(*store, "a/b"));  // a folder is no object
  ASSERT_TRUE(store->Delete(kKey).ok());
  ASSERT_TRUE(store->Delete(kKey).ok());
  EXPECT_FALSE(Exists(*store, kKey));
}

TEST(DirectoryStore, AnUploadIsNoObjectBeforeItIsPublished) {
  test::MemEnv env;
  const auto store = OpenStore(env);
  {
    const auto upload = store->Begin({.key = kKey, .temporary = "a/p/1.partial"}).value();
    ASSERT_TRUE(upload->Append(Text("half")).ok());
    EXPECT_FALSE(Exists(*store, kKey));
    EXPECT_THAT(store->List("a/p")->objects, IsEmpty());
  }
  EXPECT_THAT(env.List("/s/a/p").value(), IsEmpty());  // destroyed, it leaves nothing
  const base::WallTime time{123'456};
  const auto upload =
      store->Begin({.key = kKey, .temporary = "a/p/1.partial", .modified = time}).value();
  ASSERT_TRUE(upload->Append(Text("whole")).ok());
  ASSERT_TRUE(upload->Store(5, /*whole=*/true).ok());
  ASSERT_TRUE(upload->Publish(/*replace=*/false).ok());
  EXPECT_EQ(store->Stat(kKey)->modified, time);
  EXPECT_EQ(UploadText(*store, "again", /*replace=*/false).code(), base::Code::kAlreadyExists);
  EXPECT_TRUE(UploadText(*store, "again", /*replace=*/true).ok());
  EXPECT_EQ(Get(*store, kKey, kBytesMax).value(), Text("again"));
}

TEST(DirectoryStore, OnlyWholeBlocksCanBeReadBackBeforeTheEnd) {
  test::MemEnv env;
  const auto store = OpenStore(env);
  const auto upload = store->Begin({.key = kKey, .temporary = "a/p/1.partial"}).value();
  const base::Bytes bytes(100'000, 7);
  ASSERT_TRUE(upload->Append(bytes).ok());
  EXPECT_EQ(upload->Store(100'000, /*whole=*/false).value(), 65'536u);
  EXPECT_EQ(upload->Store(100'000, /*whole=*/true).value(), 100'000u);
}

TEST(DirectoryStore, OneHolderOfALockOnAHost) {
  test::MemEnv env;
  const auto store = OpenStore(env);
  auto lock = store->LockOnHost("a/lock");
  ASSERT_TRUE(lock.ok());
  EXPECT_EQ(store->LockOnHost("a/lock").status().code(), base::Code::kBusy);
  lock->reset();
  EXPECT_TRUE(store->LockOnHost("a/lock").ok());
}

TEST(DirectoryStore, AFileIsNoStore) {
  test::MemEnv env;
  ASSERT_TRUE(env::WriteFileAtomically(env, "/s", Text("x")).ok());
  EXPECT_EQ(DirectoryStore::Open(env, "/s").status().code(), base::Code::kInvalidArgument);
}

// What a change is: from no object or "old" to "new!", and what must be after a power cut.
using Change = std::function<base::Status(ObjectStore&)>;

void CutPowerAtEveryOperation(bool there_before, const Change& change) {
  for (uint64_t seed = 0; seed < 3; ++seed) {
    const uint64_t runs = test::FailEachOperation(
        {.ops = test::kChangingOps, .halt_after = true, .effect = test::Effect::kPartial}, 200,
        [&](const test::FaultPlan& plan) {
          test::MemEnv disk({.seed = plan.nth});
          if (there_before) {
            EXPECT_TRUE(OpenStore(disk)->Put(kKey, Text("old"), PutMode::kNew).ok());
          }
          test::FaultEnv faulty(disk);
          faulty.Arm(plan);
          const bool done = change(*OpenStore(faulty)).ok();
          seed == 0 ? disk.PowerCutDropAll() : disk.PowerCut(seed * 1000 + plan.nth);
          const auto store = OpenStore(disk);
          const auto now = Get(*store, kKey, kBytesMax);
          EXPECT_TRUE(now.ok() || now.status().code() == base::Code::kNotFound);
          if (done) {
            EXPECT_EQ(now.value(), Text("new!"));
          }
          if (now.ok() && *now != Text("new!")) {
            EXPECT_TRUE(there_before);
            EXPECT_EQ(*now, Text("old"));
          }
          EXPECT_EQ(there_before && !now.ok(), false);
          EXPECT_TRUE(store->RemoveUnfinished({"a/b", "a/p"}).ok());
          for (const char* folder : {"/s/a/b", "/s/a/p"}) {
            const auto names = disk.List(folder);
            if (names.ok()) {
              EXPECT_LE(names->size(), now.ok() ? 1u : 0u);
            }
          }
          return faulty.fired();
        });
    EXPECT_GT(runs, 3u);
  }
}

TEST(DirectoryStore, APutIsWholeOrNotThereAfterAPowerCut) {
  for (const bool there_before : {false, true}) {
    CutPowerAtEveryOperation(there_before, [](ObjectStore& store) {
      return store.Put(kKey, Text("new!"), PutMode::kReplace);
    });
  }
  CutPowerAtEveryOperation(
      false, [](ObjectStore& store) { return store.Put(kKey, Text("new!"), PutMode::kNew); });
}

TEST(DirectoryStore, AnUploadIsWholeOrNotThereAfterAPowerCut) {
  for (const bool there_before : {false, true}) {
    CutPowerAtEveryOperation(there_before, [there_before](ObjectStore& store) {
      return UploadText(store, "new!", there_before);
    });
  }
}

}  // namespace
}  // namespace understudy::store
