// SPDX-License-Identifier: Apache-2.0
// Membership: who may take part in a group: tokens that let servers in, certificates that were
// issued, and which of them are revoked (docs/design/0007-joining.md).
//
//   tokens/<id>            TokenRecord         until it is used or has expired
//   certificates/<serial>  CertificateRecord   until the certificate has ended
//
// Invariants: (1) a token is used once: it is deleted in the transaction that records the
// certificate. (2) A certificate is recorded before anybody gets it. (3) A server that is being
// removed gets no new one: that is recorded only while the old one is as it was.
// Threading: thread-safe. Errors: the coordinator's; kFenced for a token or certificate that no
// longer counts; kBusy when kTokensMax tokens or kCertificatesMax certificates are there.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "cluster/coordinator.h"
#include "env/env.h"

namespace understudy::cluster {

struct TokenRecord {
  std::string id;
  std::string secret_sha256;
  std::string server;      // the name that it is for; empty: any that the group does not have yet
  bool authority = false;  // who joins with it gets the authority's key, too
  base::WallTime expires;
  std::string made_on;  // the server that listens for it
  Revision modified = 0;
};

struct CertificateRecord {
  std::string serial;
  std::string kind;  // "server" or "client"
  std::string name;
  base::WallTime issued;
  base::WallTime ends;
  base::WallTime revoked;  // 0: it is not
  Revision modified = 0;

  bool is_revoked() const { return revoked.unix_ms != 0; }
};

std::string ToJson(const TokenRecord& record);
std::string ToJson(const CertificateRecord& record);
base::Result<TokenRecord> TokenFromJson(std::string_view key, const std::string& text);
base::Result<CertificateRecord> CertificateFromJson(std::string_view key, const std::string& text);

class Membership {
 public:
  static constexpr const char* kTokensPrefix = "tokens/";
  static constexpr const char* kCertificatesPrefix = "certificates/";
  static constexpr size_t kTokensMax = 256;
  static constexpr size_t kCertificatesMax = 4096;

  // Both are borrowed.
  Membership(env::Env& env, Coordinator& coordinator) : env_(env), coordinator_(coordinator) {}

  base::Status AddToken(const TokenRecord& record);
  base::Result<std::vector<TokenRecord>> Tokens();
  // The token, if it may be used now; it stays. An expired one is removed.
  base::Result<TokenRecord> CheckToken(const std::string& id, const std::string& secret_sha256);
  // Uses it up, records the certificate, and revokes what the holder's name had before.
  base::Status Redeem(const TokenRecord& token, const CertificateRecord& certificate);

  // `successor_of` is the serial of the certificate that asked for this one; empty: nobody's.
  base::Status RecordCertificate(const CertificateRecord& record, const std::string& successor_of);
  base::Result<std::vector<CertificateRecord>> Certificates();
  // Every certificate of that holder; how many there were.
  base::Result<size_t> Revoke(const std::string& kind, const std::string& name);

  // What the group knows of a server that has no copy any more: its record, and its right to come
  // back. REQUIRES: no database has a copy on it.
  base::Status ForgetServer(const std::string& name);

  // Removes the records of tokens and certificates that have ended.
  base::Status RemoveEnded();

 private:
  base::Result<std::vector<Operation>> Revocations(const std::string& kind,
                                                   const std::string& name);

  env::Env& env_;
  Coordinator& coordinator_;
};

}  // namespace understudy::cluster
