// SPDX-License-Identifier: Apache-2.0
#include "cluster/membership.h"

#include <fmt/format.h>

#include <algorithm>

#include "cluster/record_fields.h"
#include "cluster/registry.h"

namespace understudy::cluster {
namespace {

std::string TokenKey(const std::string& id) { return Membership::kTokensPrefix + id; }
std::string CertificateKey(const std::string& serial) {
  return Membership::kCertificatesPrefix + serial;
}

base::Status NoSuchToken() {
  return base::Fenced(
      "the group does not know this token: it was used, has expired, or is of another group\n"
      "make a new one on a member: understudy server token");
}

// One after the other where one transaction cannot hold them.
base::Status Apply(Coordinator& coordinator, const std::vector<Operation>& operations) {
  for (size_t i = 0; i < operations.size(); i += kTxnOperationsMax) {
    const auto begin = operations.begin() + static_cast<std::ptrdiff_t>(i);
    const size_t count = std::min(kTxnOperationsMax, operations.size() - i);
    RETURN_IF_ERROR(
        coordinator.Txn({}, {begin, begin + static_cast<std::ptrdiff_t>(count)}).status());
  }
  return {};
}

}  // namespace

std::string ToJson(const TokenRecord& record) {
  return DumpRecord({{"id", record.id},
                     {"secret_sha256", record.secret_sha256},
                     {"server", record.server},
                     {"authority", record.authority},
                     {"expires", base::ToRfc3339(record.expires)},
                     {"made_on", record.made_on}});
}

std::string ToJson(const CertificateRecord& record) {
  Json json = {{"serial", record.serial},
               {"kind", record.kind},
               {"name", record.name},
               {"issued", base::ToRfc3339(record.issued)},
               {"ends", base::ToRfc3339(record.ends)}};
  if (record.is_revoked()) json["revoked"] = base::ToRfc3339(record.revoked);
  return DumpRecord(json);
}

base::Result<TokenRecord> TokenFromJson(std::string_view key, const std::string& text) {
  ASSIGN_OR_RETURN(const Json json, ParseRecord(key, text));
  RecordFields fields(key, json);
  TokenRecord record;
  fields.Get("id", record.id);
  fields.Get("secret_sha256", record.secret_sha256);
  fields.Get("server", record.server);
  fields.Get("authority", record.authority);
  fields.Get("expires", record.expires);
  fields.Get("made_on", record.made_on);
  fields.Require(!record.id.empty() && !record.secret_sha256.empty(), "is no token");
  RETURN_IF_ERROR(fields.status());
  return record;
}

base::Result<CertificateRecord> CertificateFromJson(std::string_view key, const std::string& text) {
  ASSIGN_OR_RETURN(const Json json, ParseRecord(key, text));
  RecordFields fields(key, json);
  CertificateRecord record;
  fields.Get("serial", record.serial);
  fields.Get("kind", record.kind);
  fields.Get("name", record.name);
  fields.Get("issued", record.issued);
  fields.Get("ends", record.ends);
  fields.Get("revoked", record.revoked);
  fields.Require(!record.serial.empty(), "is no certificate");
  RETURN_IF_ERROR(fields.status());
  return record;
}

base::Status Membership::AddToken(const TokenRecord& record) {
  ASSIGN_OR_RETURN(const std::vector<TokenRecord> tokens, Tokens());
  if (tokens.size() >= kTokensMax) {
    return base::Busy(fmt::format(
        "the group has {} tokens that were not used yet, the most that are allowed: wait until "
        "some have expired",
        tokens.size()));
  }
  return coordinator_
      .Txn({{TokenKey(record.id), 0}}, {Operation::Put(TokenKey(record.id), ToJson(record))})
      .status();
}

base::Result<std::vector<TokenRecord>> Membership::Tokens() {
  ASSIGN_OR_RETURN(const std::vector<KeyValue> pairs, coordinator_.List(kTokensPrefix));
  std::vector<TokenRecord> tokens;
  for (const KeyValue& pair : pairs) {
    ASSIGN_OR_RETURN(TokenRecord token, TokenFromJson(pair.key, pair.value));
    token.modified = pair.modified;
    tokens.push_back(std::move(token));
  }
  return tokens;
}

base::Result<TokenRecord> Membership::CheckToken(const std::string& id,
                                                 const std::string& secret_sha256) {
  base::Result<KeyValue> pair = coordinator_.Get(TokenKey(id));
  if (pair.status().code() == base::Code::kNotFound) return NoSuchToken();
  RETURN_IF_ERROR(pair.status());
  ASSIGN_OR_RETURN(TokenRecord token, TokenFromJson(pair->key, pair->value));
  token.modified = pair->modified;
  if (token.secret_sha256 != secret_sha256) return NoSuchToken();
  if (env_.WallNow() >= token.expires) {
    RETURN_IF_ERROR(
        coordinator_.Txn({{pair->key, pair->modified}}, {Operation::Delete(pair->key)}).status());
    return base::Fenced(
        fmt::format("the token expired at {}\nmake a new one on a member: understudy server token",
                    base::ToRfc3339(token.expires)));
  }
  return token;
}

base::Status Membership::Redeem(const TokenRecord& token, const CertificateRecord& certificate) {
  ASSIGN_OR_RETURN(std::vector<Operation> operations,
                   Revocations(certificate.kind, certificate.name));
  if (operations.size() > kTxnOperationsMax / 2) {
    operations.resize(kTxnOperationsMax / 2);  // so many are of a name that joins all the time
  }
  operations.push_back(Operation::Delete(TokenKey(token.id)));
  operations.push_back(Operation::Put(CertificateKey(certificate.serial), ToJson(certificate)));
  ASSIGN_OR_RETURN(const TxnResult result,
                   coordinator_.Txn({{TokenKey(token.id), token.modified}}, operations));
  return result.committed ? base::Status() : NoSuchToken();
}

base::Status Membership::RecordCertificate(const CertificateRecord& record,
                                           const std::string& successor_of) {
  ASSIGN_OR_RETURN(const std::vector<CertificateRecord> all, Certificates());
  if (all.size() >= kCertificatesMax) {
    return base::Busy(fmt::format(
        "the group has issued {} certificates that have not ended, the most that are allowed",
        all.size()));
  }
  std::vector<Compare> compares;
  for (const CertificateRecord& each : all) {
    if (each.serial == record.serial) return {};
    if (each.serial == successor_of && !each.is_revoked()) {
      compares.push_back({CertificateKey(each.serial), each.modified});
    }
  }
  const base::Status revoked = base::Fenced(fmt::format(
      "the certificate of {} {} was revoked, it gets no new one", record.kind, record.name));
  if (!successor_of.empty() && compares.empty()) return revoked;
  const std::string key = CertificateKey(record.serial);
  ASSIGN_OR_RETURN(const TxnResult result,
                   coordinator_.Txn(compares, {Operation::Put(key, ToJson(record))}));
  return result.committed ? base::Status() : revoked;
}

base::Result<std::vector<CertificateRecord>> Membership::Certificates() {
  ASSIGN_OR_RETURN(const std::vector<KeyValue> pairs, coordinator_.List(kCertificatesPrefix));
  std::vector<CertificateRecord> certificates;
  for (const KeyValue& pair : pairs) {
    ASSIGN_OR_RETURN(CertificateRecord certificate, CertificateFromJson(pair.key, pair.value));
    certificate.modified = pair.modified;
    certificates.push_back(std::move(certificate));
  }
  return certificates;
}

base::Result<std::vector<Operation>> Membership::Revocations(const std::string& kind,
                                                             const std::string& name) {
  ASSIGN_OR_RETURN(std::vector<CertificateRecord> all, Certificates());
  std::vector<Operation> operations;
  for (CertificateRecord& each : all) {
    if (each.kind != kind || each.name != name || each.is_revoked()) continue;
    each.revoked = env_.WallNow();
    operations.push_back(Operation::Put(CertificateKey(each.serial), ToJson(each)));
  }
  return operations;
}

base::Result<size_t> Membership::Revoke(const std::string& kind, const std::string& name) {
  ASSIGN_OR_RETURN(const std::vector<Operation> operations, Revocations(kind, name));
  RETURN_IF_ERROR(Apply(coordinator_, operations));
  return operations.size();
}

base::Status Membership::ForgetServer(const std::string& name) {
  // The certificates first: from then on it cannot announce itself again.
  RETURN_IF_ERROR(Revoke("server", name).status());
  return coordinator_
      .Txn({}, {Operation::Delete(Registry::kServersPrefix + name),
                Operation::Delete(Registry::kAlivePrefix + name),
                Operation::Delete(Registry::kMaintenancePrefix + name)})
      .status();
}

base::Status Membership::RemoveEnded() {
  const base::WallTime now = env_.WallNow();
  std::vector<Operation> operations;
  ASSIGN_OR_RETURN(const std::vector<TokenRecord> tokens, Tokens());
  for (const TokenRecord& token : tokens) {
    if (token.expires <= now) operations.push_back(Operation::Delete(TokenKey(token.id)));
  }
  ASSIGN_OR_RETURN(const std::vector<CertificateRecord> certificates, Certificates());
  for (const CertificateRecord& each : certificates) {
    if (each.ends <= now) operations.push_back(Operation::Delete(CertificateKey(each.serial)));
  }
  return Apply(coordinator_, operations);
}

}  // namespace understudy::cluster
