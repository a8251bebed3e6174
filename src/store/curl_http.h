// SPDX-License-Identifier: Apache-2.0
// CurlHttp: HTTP through libcurl, signed for S3 (AWS Signature Version 4). Connections are kept
// and used again, at most kHandlesMax of them idle. Threading and errors: as of HttpClient.
#pragma once

#include <memory>
#include <vector>

#include "base/mutex.h"
#include "store/http.h"
#include "store/s3_options.h"

namespace understudy::store {

struct HttpLimits {
  base::Duration connect = std::chrono::seconds(10);
  // A request that moves less than this in so long is given up.
  uint64_t bytes_per_second_min = 1024;
  base::Duration stalled = std::chrono::seconds(30);
  base::Duration whole = std::chrono::minutes(15);
};

class CurlHttp final : public HttpClient {
 public:
  static constexpr size_t kHandlesMax = 8;

  CurlHttp(S3Options options, S3Credentials credentials, HttpLimits limits = {});
  ~CurlHttp() override;

  base::Result<HttpAnswer> Send(const HttpRequest& request) override;

 private:
  struct Handle;
  std::unique_ptr<Handle> TakeHandle();
  void Prepare(Handle& handle, const HttpRequest& request) const;

  const S3Options options_;
  const S3Credentials credentials_;
  const HttpLimits limits_;
  base::Mutex mutex_;
  std::vector<std::unique_ptr<Handle>> idle_ GUARDED_BY(mutex_);
};

}  // namespace understudy::store
