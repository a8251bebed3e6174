// SPDX-License-Identifier: Apache-2.0
// The S3 store against a server in memory: whatever request fails, however often it is repeated, an
// object is whole or not there, and nothing is left that RemoveUnfinished does not find.
#include "store/s3_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store/digest.h"
#include "testing/fake_s3.h"
#include "testing/mem_env.h"

namespace understudy::store {
namespace {

using test::FakeS3;
using test::S3Fault;
using test::S3World;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint64_t kBytesMax = 64 << 20;
const std::string kKey = "a/b/object";

base::Bytes Text(std::string_view text) { return {text.begin(), text.end()}; }

// Larger than two parts.
base::Bytes Large() {
  base::Bytes bytes(2 * kPartBytesMin + 12'345);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 7 + i / 251);
  return bytes;
}

class S3StoreTest : public ::testing::Test {
 protected:
  struct Client {
    FakeS3* network;
    std::unique_ptr<S3Store> store;
  };
  Client Connect() {
    auto http = std::make_unique<FakeS3>(world_, "bucket");
    FakeS3* const network = http.get();
    const S3Options options{.endpoint = "https://s3.test",
                            .bucket = "bucket",
                            .prefix = "pre/fix",
                            .path_style = true,
                            .part_bytes = kPartBytesMin};
    EXPECT_TRUE(CheckS3Options(options).ok());
    return {network, std::make_unique<S3Store>(env_, std::move(http), options,
                                               [this](base::Duration duration) {
                                                 paused_ += duration;
                                                 env_.clock().Advance(duration);
                                               })};
  }
  static base::Status UploadBytes(ObjectStore& store, base::ByteView bytes) {
    ASSIGN_OR_RETURN(const auto upload, store.Begin({.key = kKey, .temporary = "a/p/1.partial"}));
    for (size_t at = 0; at < bytes.size(); at += 100'000) {
      RETURN_IF_ERROR(
          upload->Append(bytes.subspan(at, std::min<size_t>(100'000, bytes.size() - at))));
    }
    ASSIGN_OR_RETURN(const uint64_t readable, upload->Store(bytes.size(), /*whole=*/true));
    EXPECT_EQ(readable, bytes.size());
    return upload->Publish(/*replace=*/false);
  }
  size_t Unfinished() {
    base::MutexLock lock(world_.mutex);
    return world_.uploads.size();
  }

  test::MemEnv env_;
  S3World world_;
  base::Duration paused_{};
};

TEST_F(S3StoreTest, PutsGetsAndDeletes) {
  const auto store = Connect().store;
  EXPECT_EQ(store->NameOf(kKey), "s3://bucket/pre/fix/a/b/object");
  EXPECT_EQ(Get(*store, kKey, kBytesMax).status().code(), base::Code::kNotFound);
  ASSERT_TRUE(store->Put(kKey, Text("one"), PutMode::kNew).ok());
  EXPECT_EQ(store->Put(kKey, Text("two"), PutMode::kNew).code(), base::Code::kAlreadyExists);
  EXPECT_EQ(Get(*store, kKey, kBytesMax).value(), Text("one"));
  ASSERT_TRUE(store->Put(kKey, Text("three"), PutMode::kReplace).ok());
  EXPECT_EQ(store->Stat(kKey)->bytes, 5u);
  base::Bytes some(10);
  EXPECT_EQ(store->Open(kKey).value()->ReadAt(2, some).value(), 3u);
  EXPECT_EQ(store->Open(kKey).value()->ReadAt(9, some).value(), 0u);
  ASSERT_TRUE(store->Delete(kKey).ok());
  EXPECT_FALSE(Exists(*store, kKey));
}

TEST_F(S3StoreTest, ListsFoldersOverManyPages) {
  const auto store = Connect().store;
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(store->Put("a/" + std::to_string(i), Text("x"), PutMode::kNew).ok());
    ASSERT_TRUE(store->Put("a/f" + std::to_string(i) + "/x", Text("x"), PutMode::kNew).ok());
  }
  EXPECT_THAT(store->List("")->folders, ElementsAre("a"));
  const ObjectList list = store->List("a").value();
  EXPECT_EQ(list.objects.size(), 10u);
  EXPECT_EQ(list.folders.size(), 10u);
  EXPECT_THAT(store->List("absent")->objects, IsEmpty());
}

TEST_F(S3StoreTest, ALargeObjectIsUploadedInPartsAndReadInRanges) {
  const auto store = Connect().store;
  const base::Bytes large = Large();
  ASSERT_TRUE(UploadBytes(*store, large).ok());
  EXPECT_EQ(Get(*store, kKey, kBytesMax).value(), large);
  EXPECT_EQ(Unfinished(), 0u);
  EXPECT_THAT(store->List("a/p")->objects, IsEmpty());
}

TEST_F(S3StoreTest, AnUploadThatIsGivenUpLeavesNothing) {
  const auto store = Connect().store;
  {
    const auto upload = store->Begin({.key = kKey, .temporary = "a/p/1.partial"}).value();
    ASSERT_TRUE(upload->Append(Large()).ok());
    EXPECT_EQ(upload->Store(100, /*whole=*/false).value(), 0u);
    EXPECT_EQ(Unfinished(), 1u);
  }
  EXPECT_EQ(Unfinished(), 0u);
  base::MutexLock lock(world_.mutex);
  EXPECT_THAT(world_.objects, IsEmpty());
}

TEST_F(S3StoreTest, WhateverRequestFailsOnceIsRepeated) {
  const base::Bytes large = Large();
  for (const S3Fault fault : {S3Fault::kNotDone, S3Fault::kAnswerLost, S3Fault::kUnavailable}) {
    for (uint64_t nth = 1;; ++nth) {
      ASSERT_LT(nth, 100u);
      Client client = Connect();
      client.network->Arm({.fault = fault, .nth = nth});
      ASSERT_TRUE(UploadBytes(*client.store, large).ok()) << nth;
      ASSERT_EQ(Get(*client.store, kKey, kBytesMax).value(), large);
      ASSERT_TRUE(client.store->Put("a/new", Text("x"), PutMode::kNew).ok()) << nth;
      ASSERT_TRUE(client.store->Delete("a/new").ok());
      ASSERT_TRUE(client.store->Delete(kKey).ok());
      if (!client.network->fired()) break;
      EXPECT_GT(paused_, kRetryWaitMin / 4);
    }
  }
  // An upload that was begun twice because an answer was lost has no parts.
  base::MutexLock lock(world_.mutex);
  EXPECT_THAT(world_.objects, IsEmpty());
  for (const auto& [id, upload] : world_.uploads) EXPECT_THAT(upload.parts, IsEmpty());
}

TEST_F(S3StoreTest, AClientThatIsKilledAtAnyRequestLeavesNothingThatIsNotFound) {
  const base::Bytes large = Large();
  for (uint64_t nth = 1;; ++nth) {
    ASSERT_LT(nth, 100u);
    Client killed = Connect();
    killed.network->Arm({.fault = S3Fault::kAnswerLost, .nth = nth, .for_ever = true});
    const bool done = UploadBytes(*killed.store, large).ok();
    const bool fired = killed.network->fired();
    const auto store = Connect().store;
    const auto there = Get(*store, kKey, kBytesMax);
    EXPECT_TRUE(there.ok() ? *there == large : !done) << nth;
    ASSERT_TRUE(store->RemoveUnfinished({"a/b", "a/p"}).ok());
    ASSERT_TRUE(store->Delete(kKey).ok());
    base::MutexLock lock(world_.mutex);
    EXPECT_THAT(world_.objects, IsEmpty()) << nth;
    for (const auto& [id, upload] : world_.uploads) EXPECT_THAT(upload.parts, IsEmpty());
    if (!fired) break;
  }
}

TEST_F(S3StoreTest, ANetworkThatStaysAwayIsGivenUpWithinTheLimit) {
  Client client = Connect();
  client.network->Arm({.fault = S3Fault::kUnavailable, .nth = 1, .for_ever = true});
  const base::Status status = client.store->Put(kKey, Text("x"), PutMode::kReplace);
  EXPECT_EQ(status.code(), base::Code::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("tried 8 times"));
  EXPECT_THAT(status.message(), HasSubstr("SlowDown"));
  EXPECT_LE(paused_, kRetryForMax);
  EXPECT_GT(paused_, std::chrono::seconds(10));
}

TEST_F(S3StoreTest, AnAnswerThatIsNotUnderstoodIsCorruption) {
  ASSERT_TRUE(Connect().store->Put("a/x", Text("x"), PutMode::kNew).ok());
  Client client = Connect();
  client.network->Arm({.fault = S3Fault::kGarbage, .nth = 1});
  EXPECT_EQ(client.store->List("a").status().code(), base::Code::kCorruption);
}

// The answer to a small range that says what is wrong is larger than the range.
TEST_F(S3StoreTest, AServerThatIsBusyWhileARangeIsReadIsAskedAgain) {
  ASSERT_TRUE(Connect().store->Put("a/x", Text("xyz"), PutMode::kNew).ok());
  Client client = Connect();
  const auto reader = client.store->Open("a/x");
  ASSERT_TRUE(reader.ok());
  client.network->Arm({.fault = S3Fault::kUnavailable, .nth = 1});
  base::Bytes one(1);
  EXPECT_EQ((*reader)->ReadAt(1, one).value(), 1u);
  EXPECT_EQ(one, Text("y"));
}

TEST_F(S3StoreTest, TellsWhetherIfNoneMatchIsKept) {
  EXPECT_TRUE(Connect().store->ChecksIfNoneMatch("probe").value());
  world_.knows_if_none_match = false;
  EXPECT_FALSE(Connect().store->ChecksIfNoneMatch("probe").value());
}

TEST(S3Options, RefuseWhatCannotBe) {
  const S3Options good{.endpoint = "https://s3.example.com", .bucket = "backups"};
  EXPECT_TRUE(CheckS3Options(good).ok());
  const auto refused = [&](const std::function<void(S3Options&)>& change) {
    S3Options options = good;
    change(options);
    return !CheckS3Options(options).ok();
  };
  EXPECT_TRUE(refused([](S3Options& o) { o.endpoint = "http://s3.example.com"; }));
  EXPECT_FALSE(refused([](S3Options& o) { o.endpoint = "http://127.0.0.1:9000"; }));
  EXPECT_TRUE(refused([](S3Options& o) { o.endpoint = "http://127.0.0.1.example.com@x"; }));
  EXPECT_TRUE(refused([](S3Options& o) { o.endpoint = "https://s3.example.com/x"; }));
  EXPECT_TRUE(refused([](S3Options& o) { o.endpoint = "file:///etc/passwd"; }));
  EXPECT_TRUE(refused([](S3Options& o) { o.bucket = "Upper"; }));
  EXPECT_TRUE(refused([](S3Options& o) { o.prefix = "a/../b"; }));
  EXPECT_TRUE(refused([](S3Options& o) { o.prefix = "/a"; }));
  EXPECT_TRUE(refused([](S3Options& o) { o.part_bytes = 1; }));
}

TEST(S3Options, CredentialsComeFromAFileOfAwsTools) {
  test::MemEnv env;
  const std::string file = "/credentials";
  const auto put = [&](std::string_view text) {
    EXPECT_TRUE(env::WriteFileAtomically(env, file, Text(text)).ok());
  };
  put("[other]\naws_access_key_id = no\n[default]\n# x\naws_access_key_id = AK\r\n"
      "aws_secret_access_key=SE/=CRET\n[more]\naws_secret_access_key=no\n");
  const auto credentials = LoadS3Credentials(env, file);
  ASSERT_TRUE(credentials.ok());
  EXPECT_EQ(credentials->access_key, "AK");
  EXPECT_EQ(credentials->secret_key, "SE/=CRET");
  put("[default]\naws_access_key_id = AK\n");
  const base::Status status = LoadS3Credentials(env, file).status();
  EXPECT_EQ(status.code(), base::Code::kInvalidArgument);
  EXPECT_THAT(status.message(), ::testing::Not(HasSubstr("AK")));
}

TEST(S3Encoding, IsThatOfSignatures) {
  EXPECT_EQ(EncodeUri("a b/c~d=ü", true), "a%20b/c~d%3D%C3%BC");
  EXPECT_EQ(EncodeUri("a/b", false), "a%2Fb");
  EXPECT_EQ(Md5Base64(Text("")), "1B2M2Y8AsgTpgAmY7PhCfg==");
  EXPECT_EQ(Sha256Hex(Text("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Xml, IsReadOrRefused) {
  const auto read =
      ReadXml("<?xml version='1.0'?><!-- c --><a x=\"1>\"><b>x&amp;&#x41;</b><c/></a>\n");
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(read->TextOf("b"), "x&A");
  EXPECT_NE(read->Child("c"), nullptr);
  for (const char* bad : {"", "<", "<a>", "<a></b>", "<a/><b/>", "<!DOCTYPE a><a/>", "<a>&x;</a>",
                          "<a><![CDATA[x]]></a>", "<a x=1/>", "<a>&#x110000;</a>", "<a>&#;</a>"}) {
    EXPECT_EQ(ReadXml(bad).status().code(), base::Code::kCorruption) << bad;
  }
  std::string deep;
  for (size_t i = 0; i <= kXmlDepthMax; ++i) deep += "<a>";
  EXPECT_THAT(ReadXml(deep).status().message(), HasSubstr("too many elements in each other"));
}

}  // namespace
}  // namespace understudy::store
