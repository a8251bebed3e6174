// SPDX-License-Identifier: Apache-2.0
#include "store/location.h"

#include <gmock/gmock.h>

#include "testing/mem_env.h"

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

}  // namespace
}  // namespace understudy::store
