// SPDX-License-Identifier: Apache-2.0
// Where a repository is, as people write it: a directory, or a bucket that speaks S3:
//
//   /srv/backups
//   s3://BUCKET/PREFIX?endpoint=https://HOST&region=R&path-style=yes&ca=FILE&credentials=FILE
//
// What is not said of a bucket comes from the environment: UNDERSTUDY_S3_ENDPOINT, _REGION,
// _PATH_STYLE, _CA and _CREDENTIALS. Credentials themselves are never part of a location.
// Threading: pure functions. Errors: kInvalidArgument with what is wrong, those of the stores.
#pragma once

#include <memory>
#include <string>

#include "store/object_store.h"
#include "store/s3_options.h"

namespace understudy::store {

inline constexpr std::string_view kS3Scheme = "s3://";

bool IsBucket(std::string_view location);
base::Result<S3Options> S3OptionsFrom(std::string_view location);
// A directory that is not there: kNotFound, unless `make`.
base::Result<std::unique_ptr<ObjectStore>> OpenStore(env::Env& env, const std::string& location,
                                                     bool make);

}  // namespace understudy::store
