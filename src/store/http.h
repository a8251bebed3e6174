// SPDX-License-Identifier: Apache-2.0
// HttpClient: one HTTP request and its answer: the seam between the S3 store and the network, so
// that tests fail any request. CurlHttp is the real one.
//
// The client signs what it sends. It repeats nothing: that is S3Client's.
// Threading: thread-safe. Units: bytes. Errors: kUnavailable (no connection, or it broke),
// kTimedOut, kInvalidArgument (the server's certificate), kCorruption (an answer larger than
// allowed). Any status of HTTP is an answer.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"

namespace understudy::store {

// What an answer may have in any case, because one that says what is wrong was not foreseen.
inline constexpr uint64_t kErrorBytesMax = 64 << 10;

struct HttpRequest {
  std::string method;  // "GET", "HEAD", "PUT", "POST", "DELETE"
  std::string path;    // percent-encoded, with the slash in front
  std::string query;   // "a=1&b=": encoded, sorted by name, without "?"
  std::vector<std::pair<std::string, std::string>> headers;  // lower-case names
  base::ByteView body;
  uint64_t answer_bytes_max = 0;  // or kErrorBytesMax
};

struct HttpAnswer {
  int status = 0;
  std::map<std::string, std::string> headers;  // lower-case names
  base::Bytes body;
};

class HttpClient {
 public:
  virtual ~HttpClient() = default;
  virtual base::Result<HttpAnswer> Send(const HttpRequest& request) = 0;
};

}  // namespace understudy::store
