// SPDX-License-Identifier: Apache-2.0
// Where a repository is, as people write it: a directory, or a bucket that speaks S3:
//
//   /srv/backups?key=FILE&rate=20MiB
//   s3://BUCKET/PREFIX?endpoint=https://HOST&region=R&path-style=yes&ca=FILE&credentials=FILE&…
//
// Of both: key, the file with the key that objects are encrypted with (store/encrypted_store.h),
// and rate, how many bytes a second of large objects are written, and read, at most. What is not
// said of a bucket comes from the environment: UNDERSTUDY_S3_ENDPOINT, _REGION, _PATH_STYLE, _CA
// and _CREDENTIALS; a key that is not said, of both, from UNDERSTUDY_REPOSITORY_KEY. Credentials
// and keys themselves are never part of a location. Threading: pure functions. Errors:
// kInvalidArgument with what is wrong, those of the stores.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "store/object_store.h"
#include "store/s3_options.h"

namespace understudy::store {

inline constexpr std::string_view kS3Scheme = "s3://";

bool IsBucket(std::string_view location);
// A location that is understood.
struct Location {
  std::string directory = {};            // empty: a bucket
  std::optional<S3Options> bucket = {};  // … this one
  std::string key_file = {};             // empty: not encrypted
  uint64_t rate = 0;                     // bytes a second; 0: no limit
};
base::Result<Location> ParseLocation(std::string_view location);
// A directory that is not there: kNotFound, unless `make`.
base::Result<std::unique_ptr<ObjectStore>> OpenStore(env::Env& env, const std::string& location,
                                                     bool make);

}  // namespace understudy::store
