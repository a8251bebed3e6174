// SPDX-License-Identifier: Apache-2.0
// Gate: what of the web port is for everybody, and who may see the rest (docs/security.md).
//
//   NAME SHA256 [EXPIRES]     a line of the token file; # begins a comment
//
// SHA256 is that of a token, 64 hexadecimal digits; EXPIRES a time such as 2027-01-01T00:00:00Z.
// While there has been no file, everything is for everybody. Once there was one, whoever has no
// token of it gets health and nothing else, also when it cannot be read any more: a gate does not
// open by an accident. The file is read again when a request asks and kFileAge have passed.
//
// A token comes as "Authorization: Bearer TOKEN", or as the password of "Basic", for which a
// browser asks by itself; the user's name does not count. Everything behind the gate only looks, so
// that it does no harm when a browser sends what it was given along with another site's request.
// Threading: thread-safe. Limits: kFileBytesMax, kTokensMax. Errors: of Open only.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/mutex.h"
#include "base/status.h"
#include "base/time.h"
#include "env/env.h"

namespace understudy::web {

class Gate {
 public:
  static constexpr size_t kFileBytesMax = 64 << 10;
  static constexpr size_t kTokensMax = 256;
  static constexpr base::Duration kFileAge = std::chrono::seconds(1);

  Gate(env::Env& env, std::string path) : env_(env), path_(std::move(path)) {}
  // kInvalidArgument: there is a file, and it is not right.
  base::Status Open() EXCLUDES_LOCK(mutex_);

  // Empty: it may see everything; else the sentence that says why not.
  std::string Refusal(std::string_view authorization) EXCLUDES_LOCK(mutex_);

 private:
  struct Token {
    std::string name;
    base::WallTime expires;  // 0: never
  };
  using Tokens = std::map<std::string, Token>;  // by SHA-256
  static base::Result<Tokens> Parse(std::string_view text);
  base::Result<Tokens> Read();
  base::Status ReadAgain() REQUIRES_LOCK(mutex_);

  env::Env& env_;
  const std::string path_;
  base::Mutex mutex_;
  bool closed_ GUARDED_BY(mutex_) = false;  // there was a file
  Tokens tokens_ GUARDED_BY(mutex_);
  std::string broken_ GUARDED_BY(mutex_);  // why the file could not be read
  base::SteadyTime read_at_ GUARDED_BY(mutex_){};
};

// The questions of load balancers: "/health", "/db/orders/primary", …
bool IsHealthPath(std::string_view path);
// Of such an answer what strangers get: whether, and why not.
std::string HealthOnly(const std::string& body);
// "" when there is none.
std::string TokenOf(std::string_view authorization);

}  // namespace understudy::web
