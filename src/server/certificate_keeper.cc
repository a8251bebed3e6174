// SPDX-License-Identifier: Apache-2.0
#include "server/certificate_keeper.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/diag.h"
#include "base/thread.h"
#include "base/thread_name.h"
#include "server/group_tls.h"

namespace understudy::server {

using cluster::EventNumber;
using cluster::Severity;

namespace {

constexpr base::Duration kLook = std::chrono::seconds(1);
// Attempts between the time to renew and the end.
constexpr int kAttempts = 30;
// With less than this part of its life left, a certificate that is not renewed is an error.
constexpr int kLastPart = 10;

}  // namespace

CertificateKeeper::CertificateKeeper(const ServerContext& context, Members& members,
                                     std::function<void()> removed)
    : context_(context), members_(members), removed_(std::move(removed)) {
  thread_ = base::Thread([this] { Run(); });
}

CertificateKeeper::~CertificateKeeper() { Stop(); }

void CertificateKeeper::Stop() {
  {
    base::MutexLock lock(mutex_);
    stop_ = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.Join();
  members_.door().Close();
}

bool CertificateKeeper::stopping() const {
  base::MutexLock lock(mutex_);
  return stop_;
}

void CertificateKeeper::Run() {
  base::NameThisThread("tls");
  while (!stopping()) {
    RunOnce(context_.env.Now());
    base::MutexLock lock(mutex_);
    if (!stop_) changed_.WaitFor(mutex_, kLook);
  }
}

void CertificateKeeper::RunOnce(base::SteadyTime now) {
  if (context_.tls->was_removed()) {
    if (!std::exchange(told_removed_, true)) {
      context_.events.Add(
          EventNumber::kServerRemoved, Severity::kError, "",
          fmt::format("server {} was removed from the group, and stops", context_.server));
      removed_();
    }
    return;
  }
  if (!recorded_) {
    const base::Status status = members_.RecordOwn();
    recorded_ = status.ok();
    Report("recording the certificate", status);
  }
  Renew(now);
  if (etcd::EtcdMembers* const etcd = members_.etcd(); etcd != nullptr) {
    Report("the etcd members", etcd->Promote());
  }
  if (!context_.tls->authority()) return;
  Report("the tokens", members_.door().RunOnce());
  if (now < next_clean_) return;
  next_clean_ = now + kCleanEvery;
  Report("removing what has ended", members_.membership().RemoveEnded());
}

void CertificateKeeper::Renew(base::SteadyTime now) {
  const tls::Certificate certificate = context_.tls->identity().Get()->certificate;
  if (now < next_attempt_ || context_.env.WallNow() < certificate.renew_at()) return;
  base::Result<tls::Identity> identity = members_.RenewOwn();
  base::Status status = identity.status();
  base::WallTime ends;
  if (identity.ok()) {
    ends = identity->certificate.ends;
    status = context_.tls->Install(context_.env, std::move(identity).value());
  }
  if (!status.ok()) {
    next_attempt_ = now + std::clamp<base::Duration>(certificate.lifetime() / (3 * kAttempts),
                                                     kRetryMin, kRetryMax);
    return ReportFailure(status, certificate);
  }
  told_warning_ = told_error_ = false;
  context_.events.Add(EventNumber::kCertificateRenewed, Severity::kInfo, "",
                      fmt::format("the certificate of server {} was renewed, good until {}",
                                  context_.server, base::ToRfc3339(ends)));
}

void CertificateKeeper::ReportFailure(const base::Status& status,
                                      const tls::Certificate& certificate) {
  const base::Duration left =
      std::chrono::milliseconds(certificate.ends.unix_ms - context_.env.WallNow().unix_ms);
  const bool late = left < certificate.lifetime() / kLastPart;
  bool& told = late ? told_error_ : told_warning_;
  if (std::exchange(told, true)) return;
  context_.events.Add(
      EventNumber::kCertificateNotRenewed, late ? Severity::kError : Severity::kWarning, "",
      fmt::format("the certificate of server {} ends at {} and could not be renewed: {}",
                  context_.server, base::ToRfc3339(certificate.ends), status.message()));
}

// Once for each failure; the coordinator's thread tells more of it.
void CertificateKeeper::Report(const char* what, const base::Status& status) {
  if (status.ok() || status.message() == last_error_) return;
  last_error_ = status.message();
  base::Diag(base::DiagLevel::kWarning, "tls", "failed, and is tried again",
             {{"what", what}, {"why", status.ToString()}});
}

}  // namespace understudy::server
