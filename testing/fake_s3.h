// SPDX-License-Identifier: Apache-2.0
// FakeS3: a server of S3 in memory, behind HttpClient: objects, parts, listings in pages, ranges,
// conditions; it compares MD5 sums as the real one does. It fails the request that you choose.
//
// It checks no signatures: that a real server does (tests/e2e/s3_test.py).
// Threading: thread-safe.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/mutex.h"
#include "store/http.h"

namespace understudy::test {

enum class S3Fault {
  kNotDone,      // the connection breaks before the request was carried out
  kAnswerLost,   // … after it
  kUnavailable,  // 503 with a SlowDown
  kGarbage,      // an answer that is no XML, with status 200
};

// What is in the bucket; several clients may speak to one.
struct S3World {
  base::Mutex mutex;
  std::map<std::string, base::Bytes> objects GUARDED_BY(mutex);
  std::map<std::string, std::string> etags GUARDED_BY(mutex);  // of objects
  struct Unfinished {
    std::string key;
    std::map<int, base::Bytes> parts;
  };
  std::map<std::string, Unfinished> uploads GUARDED_BY(mutex);
  uint64_t next_upload GUARDED_BY(mutex) = 1;
  uint64_t requests GUARDED_BY(mutex) = 0;
  size_t names_per_page = 3;
  bool knows_if_none_match = true;
};

class FakeS3 final : public store::HttpClient {
 public:
  FakeS3(S3World& world, std::string bucket) : world_(world), bucket_(std::move(bucket)) {}

  struct Plan {
    S3Fault fault = S3Fault::kNotDone;
    uint64_t nth = 0;  // 0: none
    // Later ones too: a client that was killed, or a network that is gone.
    bool for_ever = false;
  };
  void Arm(Plan plan);
  bool fired() const;

  base::Result<store::HttpAnswer> Send(const store::HttpRequest& request) override;

 private:
  store::HttpAnswer Carry(const store::HttpRequest& request) REQUIRES_LOCK(world_.mutex);
  store::HttpAnswer OfBucket(const store::HttpRequest& request) REQUIRES_LOCK(world_.mutex);
  store::HttpAnswer Read(const store::HttpRequest& request, const std::string& key)
      REQUIRES_LOCK(world_.mutex);
  store::HttpAnswer Put(const store::HttpRequest& request, const std::string& key)
      REQUIRES_LOCK(world_.mutex);
  store::HttpAnswer Post(const store::HttpRequest& request, const std::string& key)
      REQUIRES_LOCK(world_.mutex);

  S3World& world_;
  const std::string bucket_;
  mutable base::Mutex mutex_;
  Plan plan_ GUARDED_BY(mutex_);
  uint64_t seen_ GUARDED_BY(mutex_) = 0;
  bool fired_ GUARDED_BY(mutex_) = false;
};

}  // namespace understudy::test
