// SPDX-License-Identifier: Apache-2.0
#include "store/location.h"

#include <gmock/gmock.h>

#include "testing/mem_env.h"

namespace understudy::store {
namespace {

using testing::HasSubstr;

TEST(Location, OfABucketHasEverythingButCredentials) {
  const auto options = S3OptionsFrom(
      "s3://our-backups/some/where?endpoint=https://s3.example.com:9000&region=eu-1&path-style=yes&"
      "ca=/etc/ca.pem&credentials=/etc/s3");
  ASSERT_TRUE(options.ok()) << options.status().ToString();
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
      {"s3://our-backups/../x?endpoint=https://h", "prefix"}};
  for (const auto& [location, why] : cases) {
    const auto options = S3OptionsFrom(location);
    ASSERT_EQ(options.status().code(), base::Code::kInvalidArgument) << location;
    EXPECT_THAT(options.status().message(), HasSubstr(why)) << location;
  }
}

TEST(Location, ADirectoryIsMadeOnlyWhenAskedTo) {
  test::MemEnv env;
  EXPECT_EQ(OpenStore(env, "/srv/backups", false).status().code(), base::Code::kNotFound);
  EXPECT_TRUE(OpenStore(env, "/srv/backups", true).ok());
}

}  // namespace
}  // namespace understudy::store
