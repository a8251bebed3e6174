// SPDX-License-Identifier: Apache-2.0
// Identity: what a server or a command proves who it is with, as one PEM text: the private key, its
// certificate, and the certificate of the group's authority. One text, so that it is replaced in
// one step and handed over as one file.
//
// IdentityHolder is the process's own one, which is replaced when it is renewed; connections that
// are open keep what they began with. Threading: Identity is a value; IdentityHolder is
// thread-safe. Errors: kInvalidArgument that names what is missing or does not fit.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/mutex.h"
#include "base/status.h"
#include "env/env.h"
#include "tls/certificate.h"

namespace understudy::tls {

struct Identity {
  std::string pem;        // all of it: a secret
  std::string authority;  // the certificates that others' are checked against
  Certificate certificate;
};

// Checks that key and certificate fit and that the authority signed it; not whether it has ended.
base::Result<Identity> ParseIdentity(std::string_view pem);
base::Result<Identity> ReadIdentity(env::Env& env, const std::string& path);

class IdentityHolder {
 public:
  explicit IdentityHolder(Identity identity)
      : identity_(std::make_shared<const Identity>(std::move(identity))) {}

  std::shared_ptr<const Identity> Get() const EXCLUDES_LOCK(mutex_) {
    base::MutexLock lock(mutex_);
    return identity_;
  }
  void Replace(Identity identity) EXCLUDES_LOCK(mutex_) {
    auto next = std::make_shared<const Identity>(std::move(identity));
    base::MutexLock lock(mutex_);
    identity_.swap(next);
  }

 private:
  mutable base::Mutex mutex_;
  std::shared_ptr<const Identity> identity_ GUARDED_BY(mutex_);
};

}  // namespace understudy::tls
