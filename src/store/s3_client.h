// SPDX-License-Identifier: Apache-2.0
// S3Client: requests to one bucket, repeated while that may help, their answers judged.
//
// Repeated, after a wait that doubles and is random in its upper half: no connection, timeouts,
// 408, 429, 5xx, and what S3 says is temporary; kAttemptsMax times and no longer than
// kRetryForMax; a part of a large object for as long as S3Options::patience, so that a cut costs
// what was under way and not the hours before it. So a request may have been carried out more than
// once: callers must be able to live with that (see Put in s3_store.cc).
// Threading: thread-safe. Errors: kNotFound (404), kAlreadyExists (412), kInvalidArgument (refused
// for good: credentials, region, bucket), kUnavailable and kTimedOut (after the last attempt),
// kCorruption (an answer that is not understood). Messages name request, code and S3's own words.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "env/env.h"
#include "store/http.h"
#include "store/pause.h"
#include "store/s3_options.h"
#include "store/xml_reader.h"

namespace understudy::store {

inline constexpr int kAttemptsMax = 8;
inline constexpr base::Duration kRetryForMax = std::chrono::minutes(2);
inline constexpr base::Duration kRetryWaitMin = std::chrono::milliseconds(200);
inline constexpr base::Duration kRetryWaitMax = std::chrono::seconds(20);
inline constexpr uint64_t kAnswerBytesMax = 8 << 20;  // of one that is XML

struct S3Request {
  std::string method;
  std::string key = {};    // as of ObjectStore; empty: the bucket
  std::string query = {};  // encoded and sorted
  std::vector<std::pair<std::string, std::string>> headers = {};
  base::ByteView body = {};
  uint64_t answer_bytes_max = kAnswerBytesMax;
  bool patient = false;  // repeated for S3Options::patience, however often
};

class S3Client {
 public:
  S3Client(env::Env& env, std::unique_ptr<HttpClient> http, S3Options options, Pause pause)
      : env_(env), http_(std::move(http)), options_(std::move(options)), pause_(std::move(pause)) {}

  const S3Options& options() const { return options_; }
  env::Env& env() const { return env_; }
  std::string FullKey(const std::string& key) const;  // with the prefix

  // The answer to a request that succeeded (2xx). `once`: not repeated.
  base::Result<HttpAnswer> Send(const S3Request& request, bool once = false);
  // The same, of an answer that is XML with this root.
  base::Result<XmlElement> SendForXml(const S3Request& request, std::string_view root);

 private:
  base::Status GiveUp(const base::Status& last, int attempts, bool patient) const;
  base::Result<HttpAnswer> SendOnce(const HttpRequest& request, const std::string& what,
                                    bool& again);

  env::Env& env_;
  const std::unique_ptr<HttpClient> http_;
  const S3Options options_;
  const Pause pause_;
};

// Percent-encoded as S3's signatures want it; slashes too, unless they are to stay.
std::string EncodeUri(std::string_view text, bool keep_slashes);

}  // namespace understudy::store
