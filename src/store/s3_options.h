// SPDX-License-Identifier: Apache-2.0
// S3Options: where a bucket is and how it is spoken to; S3Credentials: with what right. The latter
// are never printed, sent anywhere else or part of the options, which everybody may see.
// Threading: values.
#pragma once

#include <string>

#include "base/status.h"
#include "base/time.h"
#include "env/env.h"

namespace understudy::store {

inline constexpr uint64_t kPartBytesMin = 5 << 20;  // S3's own limit
inline constexpr uint64_t kPartBytesMax = 1 << 30;
inline constexpr uint64_t kPartsMax = 10'000;  // S3's own limit

struct S3Options {
  std::string endpoint;  // "https://s3.eu-central-1.amazonaws.com", no slash at the end
  std::string region = "us-east-1";
  std::string bucket;
  std::string prefix = {};            // of all keys, without slashes at its ends; may be empty
  bool path_style = false;            // https://host/bucket/key instead of https://bucket.host/key
  std::string ca_file = {};           // PEM; empty: the system's
  std::string credentials_file = {};  // empty: the environment
  // An upload keeps one part in memory, and an object has at most kPartsMax.
  uint64_t part_bytes = 16 << 20;
  // How long a part of a large object is sent, or read, again and again. Below what the lock among
  // hosts lasts (store/object_lock.h).
  base::Duration patience = std::chrono::minutes(4);

  // "s3://bucket/prefix"
  std::string Name() const;
};

// kInvalidArgument with what is wrong: https, or http to this machine only, a bucket's name, …
base::Status CheckS3Options(const S3Options& options);

struct S3Credentials {
  std::string access_key;
  std::string secret_key;
  std::string session_token = {};
};

// From a file as AWS's tools have it (its [default] section), or else from AWS_ACCESS_KEY_ID,
// AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN.
base::Result<S3Credentials> LoadS3Credentials(env::Env& env, const std::string& file);

}  // namespace understudy::store
