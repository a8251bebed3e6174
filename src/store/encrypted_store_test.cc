// SPDX-License-Identifier: Apache-2.0
// What is read from an encrypted store is what was put there, or an error: whatever is changed,
// moved, swapped or cut off below it.
#include "store/encrypted_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store/directory_store.h"
#include "store/sealed_format.h"
#include "testing/mem_env.h"

namespace understudy::store {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr uint64_t kObjectMax = 1 << 20;

base::Bytes Content(size_t size) {
  base::Bytes content(size);
  for (size_t i = 0; i < size; ++i) content[i] = static_cast<uint8_t>(i * 7 + i / 251);
  return content;
}

class EncryptedStoreTest : public ::testing::Test {
 protected:
  EncryptedStoreTest() { EXPECT_TRUE(env_.MakeDirectories("/store").ok()); }

  RepositoryKeys NewKeys() { return RepositoryKeys::Parse(MakeKeyFile(env_), "/etc/key").value(); }
  std::unique_ptr<EncryptedStore> StoreWith(const RepositoryKeys& keys) {
    return std::make_unique<EncryptedStore>(env_, DirectoryStore::Open(env_, "/store").value(),
                                            keys);
  }
  base::Result<base::Bytes> Read(const std::string& key) { return Get(*store_, key, kObjectMax); }
  base::Bytes Raw(const std::string& key) {
    return env::ReadFile(env_, "/store/" + key, kObjectMax).value();
  }
  void PutRaw(const std::string& key, base::ByteView bytes) {
    auto file = env_.Open("/store/" + key, env::OpenMode::kCreateTruncate).value();
    ASSERT_TRUE(file->WriteAt(0, bytes).ok());
  }

  test::MemEnv env_;
  RepositoryKeys keys_ = NewKeys();
  std::unique_ptr<EncryptedStore> store_ = StoreWith(keys_);
};

TEST_F(EncryptedStoreTest, GivesBackWhatWasPutAtAllSizes) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{100}, kSealedChunk - 1, kSealedChunk,
                            kSealedChunk + 1, 3 * kSealedChunk, 3 * kSealedChunk + 17}) {
    const base::Bytes content = Content(size);
    ASSERT_TRUE(store_->Put("a", content, PutMode::kReplace).ok());
    const auto read = Read("a");
    ASSERT_TRUE(read.ok()) << size << read.status().ToString();
    EXPECT_EQ(*read, content) << size;
    EXPECT_EQ(store_->Stat("a")->bytes, size);
    EXPECT_EQ(store_->List("")->objects[0].bytes, size);
    EXPECT_EQ(Raw("a").size(), SealedStored(size));
    EXPECT_EQ(SealedContent(SealedStored(size)), size);
  }
}

TEST_F(EncryptedStoreTest, NothingOfTheContentIsStored) {
  ASSERT_TRUE(store_->Put("a", base::AsBytes("the secret of the rows"), PutMode::kNew).ok());
  const base::Bytes raw = Raw("a");
  EXPECT_THAT(std::string(raw.begin(), raw.end()), Not(HasSubstr("secret")));
  EXPECT_EQ(store_->Put("a", {}, PutMode::kNew).code(), base::Code::kAlreadyExists);
  // The same twice is stored as something else each time.
  ASSERT_TRUE(store_->Put("a", base::AsBytes("the secret of the rows"), PutMode::kReplace).ok());
  EXPECT_NE(Raw("a"), raw);
}

TEST_F(EncryptedStoreTest, ReadsAtAnyOffset) {
  const base::Bytes content = Content(2 * kSealedChunk + 5000);
  ASSERT_TRUE(store_->Put("a", content, PutMode::kNew).ok());
  const auto reader = store_->Open("a").value();
  EXPECT_EQ(*reader->Size(), content.size());
  for (uint64_t offset = 0; offset < content.size() + 3000; offset += 2477) {
    for (const size_t length : {size_t{1}, size_t{4096}, size_t{kSealedChunk}, content.size()}) {
      base::Bytes out(length);
      const auto got = reader->ReadAt(offset, out);
      ASSERT_TRUE(got.ok()) << got.status().ToString();
      const size_t there = offset < content.size() ? content.size() - offset : 0;
      ASSERT_EQ(*got, std::min(length, there));
      ASSERT_TRUE(std::equal(out.begin(), out.begin() + *got,
                             content.begin() + std::min<size_t>(offset, content.size())));
    }
  }
}

TEST_F(EncryptedStoreTest, UploadIsReadBackWhileItGoesOn) {
  const base::Bytes content = Content(5 * kSealedChunk + 99);
  auto upload = store_->Begin({.key = "big", .temporary = "partial/big.partial"}).value();
  uint64_t readable = 0;
  std::unique_ptr<ObjectReader> reader;
  for (size_t at = 0; at < content.size(); at += 30'000) {
    const size_t some = std::min<size_t>(30'000, content.size() - at);
    ASSERT_TRUE(upload->Append(base::ByteView(content).subspan(at, some)).ok());
    const bool whole = at + some == content.size();
    readable = upload->Store(at + some, whole).value();
    ASSERT_LE(readable, at + some);
    if (whole) {
      ASSERT_EQ(readable, content.size());
    }
    if (readable == 0) continue;
    if (reader == nullptr) reader = upload->OpenStored().value();
    base::Bytes out(readable);
    const auto got = reader->ReadAt(0, out);
    ASSERT_TRUE(got.ok()) << got.status().ToString();
    ASSERT_EQ(*got, readable);
    ASSERT_TRUE(std::equal(out.begin(), out.end(), content.begin()));
  }
  ASSERT_NE(reader, nullptr);
  ASSERT_TRUE(upload->Publish(false).ok());
  EXPECT_EQ(*Read("big"), content);
}

TEST_F(EncryptedStoreTest, EveryChangedByteIsAnError) {
  const base::Bytes content = Content(300);
  ASSERT_TRUE(store_->Put("a", content, PutMode::kNew).ok());
  const base::Bytes raw = Raw("a");
  for (size_t i = 0; i < raw.size(); ++i) {
    for (const int bit : {0, 7}) {
      base::Bytes changed = raw;
      changed[i] = static_cast<uint8_t>(changed[i] ^ (1 << bit));
      PutRaw("a", changed);
      ASSERT_FALSE(Read("a").ok()) << "byte " << i;
    }
  }
}

TEST_F(EncryptedStoreTest, EveryCutIsAnError) {
  const base::Bytes content = Content(2 * kSealedChunk);
  ASSERT_TRUE(store_->Put("a", content, PutMode::kNew).ok());
  const base::Bytes raw = Raw("a");
  std::vector<size_t> sizes;
  for (size_t size = 0; size < 200; ++size) sizes.push_back(size);
  sizes.push_back(kSealedHeaderBytes + kSealedChunkStored);  // just at a chunk's end
  for (size_t size = raw.size() - 40; size < raw.size(); ++size) sizes.push_back(size);
  for (const size_t size : sizes) {
    PutRaw("a", base::ByteView(raw).first(size));
    ASSERT_FALSE(Read("a").ok()) << size;
  }
  base::Bytes longer = raw;
  longer.insert(longer.end(), raw.end() - kSealedChunkStored, raw.end());
  PutRaw("a", longer);
  EXPECT_FALSE(Read("a").ok());
}

TEST_F(EncryptedStoreTest, WhatIsCutOffAfterItWasOpenedIsNoShortRead) {
  const base::Bytes content = Content(3 * kSealedChunk);
  ASSERT_TRUE(store_->Put("a", content, PutMode::kNew).ok());
  const base::Bytes raw = Raw("a");
  const auto reader = store_->Open("a").value();
  base::Bytes out(content.size());
  for (const uint64_t chunks : {0, 1, 2}) {
    PutRaw("a", base::ByteView(raw).first(kSealedHeaderBytes + chunks * kSealedChunkStored));
    EXPECT_EQ(reader->ReadAt(0, out).status().code(), base::Code::kCorruption) << chunks;
  }
  PutRaw("a", raw);
  EXPECT_EQ(*reader->ReadAt(0, out), content.size());
}

TEST_F(EncryptedStoreTest, ChunksAndObjectsStayWhereTheyBelong) {
  ASSERT_TRUE(store_->Put("a", Content(3 * kSealedChunk), PutMode::kNew).ok());
  base::Bytes swapped = Raw("a");
  const auto first = swapped.begin() + kSealedHeaderBytes;
  std::swap_ranges(first, first + kSealedChunkStored, first + kSealedChunkStored);
  PutRaw("b", Raw("a"));
  EXPECT_THAT(Read("b").status().message(), HasSubstr("b: chunk 0 is not what was encrypted"));
  PutRaw("a", swapped);
  EXPECT_EQ(Read("a").status().code(), base::Code::kCorruption);
}

TEST_F(EncryptedStoreTest, AnotherKeyReadsNothingAndSaysWhichIsWanted) {
  ASSERT_TRUE(store_->Put("a", Content(10), PutMode::kNew).ok());
  store_ = StoreWith(NewKeys());
  const base::Status refused = Read("a").status();
  EXPECT_EQ(refused.code(), base::Code::kInvalidArgument);
  EXPECT_THAT(refused.message(), HasSubstr(ToHex(keys_.first().id())));
}

TEST_F(EncryptedStoreTest, KeysAreChangedByPuttingANewOneOnTop) {
  ASSERT_TRUE(store_->Put("old", Content(10), PutMode::kNew).ok());
  const std::string old_text = MakeKeyFile(env_);
  const RepositoryKeys old = RepositoryKeys::Parse(old_text, "old").value();
  store_ = StoreWith(old);
  ASSERT_TRUE(store_->Put("a", Content(10), PutMode::kNew).ok());
  const RepositoryKeys both = RepositoryKeys::Parse(MakeKeyFile(env_) + old_text, "both").value();
  store_ = StoreWith(both);
  EXPECT_TRUE(Read("a").ok());
  ASSERT_TRUE(store_->Put("b", Content(20), PutMode::kNew).ok());
  store_ = StoreWith(old);
  EXPECT_FALSE(Read("b").ok());
}

TEST_F(EncryptedStoreTest, TheMarkIsForEverybody) {
  const std::string key(kClearObject);
  ASSERT_TRUE(store_->Put(key, base::AsBytes("{}"), PutMode::kNew).ok());
  EXPECT_EQ(Raw(key), base::Bytes({'{', '}'}));
  EXPECT_EQ(*Read(key), base::Bytes({'{', '}'}));
  EXPECT_EQ(store_->Stat(key)->bytes, 2u);
}

TEST(RepositoryKeys, TypingErrorsAreFoundAndNeverPrinted) {
  test::MemEnv env;
  const std::string text = MakeKeyFile(env);
  ASSERT_TRUE(RepositoryKeys::Parse(text, "key").ok());
  const size_t at = text.find("understudy-key-1 ");
  const std::string secret = text.substr(at + 17, 64);
  for (size_t i = at; i + 1 < text.size(); ++i) {
    std::string changed = text;
    changed[i] = changed[i] == '0' ? '1' : '0';
    const base::Status refused = RepositoryKeys::Parse(changed, "key").status();
    ASSERT_EQ(refused.code(), base::Code::kInvalidArgument) << i;
    ASSERT_THAT(refused.message(), Not(HasSubstr(secret.substr(0, 16))));
  }
  EXPECT_FALSE(RepositoryKeys::Parse("# nothing\n", "key").ok());
  std::string many;
  for (size_t i = 0; i <= kRepositoryKeysMax; ++i) many += MakeKeyFile(env);
  EXPECT_FALSE(RepositoryKeys::Parse(many, "key").ok());
}

TEST(SealedFormat, NoOtherSizeIsOneOfAnObject) {
  for (uint64_t stored = 0; stored < 3 * kSealedChunkStored; stored += 7) {
    const auto content = SealedContent(stored);
    if (content) {
      EXPECT_EQ(SealedStored(*content), stored);
    }
  }
  EXPECT_FALSE(SealedContent(kSealedHeaderBytes));
  EXPECT_EQ(SealedContent(kSealedHeaderBytes + kSealedTag), 0u);
  EXPECT_FALSE(SealedContent(kSealedHeaderBytes + kSealedChunkStored + kSealedTag));
}

}  // namespace
}  // namespace understudy::store
