// SPDX-License-Identifier: Apache-2.0
// CertificateKeeper: keeps this server a member of a group with TLS. It renews the server's
// certificate after two thirds of its life, says so when that fails, ends the daemon when the
// server was removed from the group, and closes the door for joining servers.
//
// Its thread "tls" looks once a second. Connections that are open are not touched by a renewal.
// Threading: thread-safe. Limits: an attempt to renew is bounded by its calls; attempts are
// kRetryMin to kRetryMax apart.
#pragma once

#include <functional>
#include <string>

#include "base/mutex.h"
#include "base/thread.h"
#include "server/context.h"
#include "server/members.h"

namespace understudy::server {

class CertificateKeeper {
 public:
  static constexpr base::Duration kRetryMin = std::chrono::seconds(1);
  static constexpr base::Duration kRetryMax = std::chrono::minutes(10);
  // Records of what has ended are removed this often, and by servers that sign only.
  static constexpr base::Duration kCleanEvery = std::chrono::minutes(1);

  // REQUIRES: context.tls is not null. `removed` is called once, on the thread, when the group has
  // revoked this server's certificate.
  CertificateKeeper(const ServerContext& context, Members& members, std::function<void()> removed);
  ~CertificateKeeper();  // as Stop
  CertificateKeeper(const CertificateKeeper&) = delete;
  CertificateKeeper& operator=(const CertificateKeeper&) = delete;

  void Stop() EXCLUDES_LOCK(mutex_);

 private:
  void Run();
  void RunOnce(base::SteadyTime now);
  void Renew(base::SteadyTime now);
  void ReportFailure(const base::Status& status, const tls::Certificate& certificate);
  void Report(const char* what, const base::Status& status);
  bool stopping() const EXCLUDES_LOCK(mutex_);

  const ServerContext context_;
  Members& members_;
  const std::function<void()> removed_;

  // Confined to the thread.
  bool recorded_ = false;
  bool told_removed_ = false;
  bool told_warning_ = false;
  bool told_error_ = false;
  base::SteadyTime next_attempt_{};
  base::SteadyTime next_clean_{};
  std::string last_error_;

  mutable base::Mutex mutex_;
  base::CondVar changed_;
  bool stop_ GUARDED_BY(mutex_) = false;
  base::Thread thread_;
};

}  // namespace understudy::server
