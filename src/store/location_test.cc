// SPDX-License-Identifier: Apache-2.0
#include "store/location.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <cstdlib>

#include "store/repository_key.h"
#include "testing/mem_env.h"
#include "testing/temp_dir.h"

namespace understudy::store {
namespace {

using testing::HasSubstr;

TEST(Location, OfABucketHasEverythingButCredentials) {
  const auto location = ParseLocation(
      "s3://our-backups/some/where?endpoint=https://s3.example.com:9000&region=eu-1&path-style=yes&"
      "ca=/etc/ca.pem&credentials=/etc/s3&rate=20MiB&key=/etc/key&patience=10m");
  ASSERT_TRUE(location.ok()) << location.status().ToString();
  EXPECT_EQ(location->rate, 20u << 20);
  EXPECT_EQ(location->key_file, "/etc/key");
  const std::optional<S3Options>& options = location->bucket;
  ASSERT_TRUE(options);
  EXPECT_EQ(options->patience, std::chrono::minutes(10));
  EXPECT_EQ(options->bucket, "our-backups");
  EXPECT_EQ(options->prefix, "some/where");
  EXPECT_EQ(options->endpoint, "https://s3.example.com:9000");
  EXPECT_EQ(options->region, "eu-1");
  EXPECT_TRUE(options->path_style);
  EXPECT_EQ(options->ca_file, "/etc/ca.pem");
  EXPECT_EQ(options->credentials_file, "/etc/s3");
  EXPECT_EQ(options->Name(), "s3://our-backups/some/where");
}

TEST(Location, WhatIsWrongIsSaid) {
  const std::pair<const char*, const char*> cases[] = {
      {"s3://our-backups", "UNDERSTUDY_S3_ENDPOINT"},
      {"s3://our-backups?endpoint=http://s3.example.com", "not encrypted"},
      {"s3://our-backups?endpoint=https://h&secret=x", "secret=x"},
      {"s3://our-backups?endpoint=https://h&path-style=maybe", "path-style=maybe"},
      {"s3://?endpoint=https://h", "no name of a bucket"},
      {"s3://our-backups/../x?endpoint=https://h", "prefix"},
      {"s3://b?endpoint=https://h&rate=fast", "rate=fast"},
      {"s3://b?endpoint=https://h&patience=2h", "patience=2h"},
      {"s3://b?endpoint=https://h&patience=61m", "patience=61m"},
      {"/srv/backups?rate=0", "rate=0"},
      {"/srv/backups?key=relative", "key=relative"},
      {"/srv/backups?endpoint=https://h", "a directory's location has no"}};
  for (const auto& [location, why] : cases) {
    const auto options = ParseLocation(location);
    ASSERT_EQ(options.status().code(), base::Code::kInvalidArgument) << location;
    EXPECT_THAT(options.status().message(), HasSubstr(why)) << location;
  }
}

TEST(Location, ADirectoryIsMadeOnlyWhenAskedTo) {
  test::MemEnv env;
  EXPECT_EQ(OpenStore(env, "/srv/backups", false).status().code(), base::Code::kNotFound);
  EXPECT_TRUE(OpenStore(env, "/srv/backups", true).ok());
}

TEST(Location, OfADirectoryMayHaveKeyAndRate) {
  const auto location = ParseLocation("/srv/back ups?rate=1000&key=/etc/a key");
  ASSERT_TRUE(location.ok()) << location.status().ToString();
  EXPECT_EQ(location->directory, "/srv/back ups");
  EXPECT_FALSE(location->bucket);
  EXPECT_EQ(location->rate, 1000u);
  EXPECT_EQ(location->key_file, "/etc/a key");
}

TEST(Location, AKeyThatIsNotSaidComesFromTheEnvironment) {
  ASSERT_EQ(setenv("UNDERSTUDY_REPOSITORY_KEY", "/etc/all.key", 1), 0);
  EXPECT_EQ(ParseLocation("/srv/backups")->key_file, "/etc/all.key");
  EXPECT_EQ(ParseLocation("s3://our-backups?endpoint=https://h")->key_file, "/etc/all.key");
  EXPECT_EQ(ParseLocation("/srv/backups?key=/etc/own.key")->key_file, "/etc/own.key");
  ASSERT_EQ(setenv("UNDERSTUDY_REPOSITORY_KEY", "all.key", 1), 0);
  EXPECT_THAT(ParseLocation("/srv/backups").status().message(),
              HasSubstr("UNDERSTUDY_REPOSITORY_KEY is all.key"));
  ASSERT_EQ(unsetenv("UNDERSTUDY_REPOSITORY_KEY"), 0);
  EXPECT_EQ(ParseLocation("/srv/backups")->key_file, "");
}

TEST(Location, AKeyFileThatOthersCanReadIsRefused) {
  test::TempDir directory;
  const std::string key = directory.File("key");
  env::Env& env = env::PosixEnv();
  ASSERT_TRUE(env::WriteFileAtomically(env, key, base::AsBytes(MakeKeyFile(env))).ok());
  const std::string location = directory.File("backups") + "?key=" + key;
  for (const unsigned mode : {0640u, 0604u, 0620u}) {
    ASSERT_EQ(::chmod(key.c_str(), mode), 0);
    EXPECT_THAT(OpenStore(env, location, true).status().message(), HasSubstr("chmod 600 " + key));
  }
  ASSERT_EQ(::chmod(key.c_str(), 0600), 0);
  const auto store = OpenStore(env, location, true);
  ASSERT_TRUE(store.ok()) << store.status().ToString();
  EXPECT_NE((*store)->keys(), nullptr);
  EXPECT_EQ((*store)->name(), directory.File("backups"));
}

}  // namespace
}  // namespace understudy::store
