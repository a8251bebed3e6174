// SPDX-License-Identifier: Apache-2.0
#include "server/members.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "base/diag.h"
#include "server/group_tls.h"
#include "server/group_view.h"
#include "tls/client_role.h"

namespace understudy::server {

using base::Duration;
using cluster::CertificateRecord;
using cluster::EventNumber;
using cluster::Severity;

namespace {

std::string NameOf(const rpc::Caller& caller) {
  return caller.certificate ? caller.certificate->Holder() : "somebody";
}

int64_t Milliseconds(Duration time) { return time / std::chrono::milliseconds(1); }

}  // namespace

Members::Members(const ServerContext& context, std::unique_ptr<etcd::EtcdMembers> etcd)
    : context_(context),
      etcd_(std::move(etcd)),
      membership_(context.env, context.registry.coordinator()),
      door_(context, *this) {}

base::Status Members::NeedTls() const {
  if (context_.tls != nullptr) return {};
  return base::InvalidArgument(
      "this group has no TLS, so that its servers need no token: each is configured with the "
      "coordinator\na group with TLS begins with understudy group init");
}

base::Result<std::unique_ptr<rpc::MembershipClient>> Members::DialAuthority() {
  ASSIGN_OR_RETURN(const std::vector<cluster::ServerRecord> servers, context_.registry.Servers());
  std::vector<std::string> away;
  for (const cluster::ServerRecord& server : servers) {
    if (!server.authority || server.name == context_.server) continue;
    const base::Result<std::unique_ptr<rpc::AdminClient>> reached =
        server.alive ? DialServer(context_, server.name)
                     : base::Result<std::unique_ptr<rpc::AdminClient>>(base::Unavailable("down"));
    if (!reached.ok()) {
      away.push_back(server.name);
      continue;
    }
    return std::make_unique<rpc::MembershipClient>((*reached)->address(),
                                                   SecurityTo(context_.tls, server.name));
  }
  if (away.empty()) {
    return base::Unavailable(
        "no server of the group has the authority's key\n"
        "bring authority.pem back into a server's TLS directory, and restart that server");
  }
  return base::Unavailable(fmt::format(
      "no server that has the authority's key can be reached: {}\nstart understudyd there",
      fmt::join(away, ", ")));
}

base::Result<CertificateRecord> Members::RecordOf(const std::string& chain) const {
  ASSIGN_OR_RETURN(const tls::Certificate certificate, tls::ParseCertificate(chain));
  CertificateRecord record;
  record.serial = certificate.serial;
  record.kind = tls::KindName(certificate.kind);
  record.name = certificate.name;
  record.issued = certificate.issued;
  record.ends = certificate.ends;
  return record;
}

base::Status Members::RecordOwn() {
  const auto identity = context_.tls->identity().Get();
  ASSIGN_OR_RETURN(const CertificateRecord record, RecordOf(identity->pem));
  return membership_.RecordCertificate(record, "");
}

base::Result<std::string> Members::SignAndRecord(const std::string& request_pem,
                                                 const tls::CertificateAuthority::Order& order,
                                                 const std::string& successor_of) {
  ASSIGN_OR_RETURN(std::string chain,
                   context_.tls->authority()->Sign(context_.env, request_pem, order));
  ASSIGN_OR_RETURN(const CertificateRecord record, RecordOf(chain));
  RETURN_IF_ERROR(membership_.RecordCertificate(record, successor_of));
  return chain;
}

base::Result<tls::Identity> Members::RenewOwn() {
  const Config config = context_.settings.Get();
  const std::string serial = context_.tls->identity().Get()->certificate.serial;
  if (context_.tls->authority()) {
    ASSIGN_OR_RETURN(tls::Identity identity, context_.tls->SignOwn(context_.env, config));
    ASSIGN_OR_RETURN(const CertificateRecord record, RecordOf(identity.pem));
    RETURN_IF_ERROR(membership_.RecordCertificate(record, serial));
    return identity;
  }
  ASSIGN_OR_RETURN(const std::string key, tls::NewKey());
  v1::SignRequest request;
  ASSIGN_OR_RETURN(*request.mutable_request_pem(), tls::NewRequest(key));
  request.set_kind("server");
  request.set_name(context_.server);
  request.set_lifetime_ms(Milliseconds(config.tls.lifetime));
  for (const std::string& host : HostsOf(config)) request.add_hosts(host);
  request.set_forwarded(true);
  ASSIGN_OR_RETURN(const auto client, DialAuthority());
  ASSIGN_OR_RETURN(const v1::SignResponse answer, client->Sign(request));
  return tls::ParseIdentity(key + answer.chain_pem());
}

base::Result<v1::SignResponse> Members::Sign(const v1::SignRequest& request,
                                             const rpc::Caller& caller) {
  RETURN_IF_ERROR(NeedTls());
  const auto kind = tls::KindFromName(request.kind());
  if (!kind || !caller.certificate) return base::InvalidArgument("no such kind of certificate");
  // Its own again; or a client's, which is less than what every caller has.
  const bool own = caller.certificate->kind == *kind && caller.certificate->name == request.name();
  if (!own && *kind != tls::Kind::kClient) {
    return base::Fenced(fmt::format("{} may not ask for the certificate of {} {}", NameOf(caller),
                                    request.kind(), request.name()));
  }
  if (!context_.tls->authority()) {
    if (request.forwarded() || *kind == tls::Kind::kServer) {
      return base::Unavailable(
          fmt::format("server {} has not the authority's key", context_.server));
    }
    v1::SignRequest forward = request;
    forward.set_forwarded(true);
    ASSIGN_OR_RETURN(const auto client, DialAuthority());
    return client->Sign(forward);
  }
  tls::CertificateAuthority::Order order;
  order.kind = *kind;
  order.name = request.name();
  order.hosts.assign(request.hosts().begin(), request.hosts().end());
  const Duration asked = std::chrono::milliseconds(request.lifetime_ms());
  const Duration usual =
      *kind == tls::Kind::kServer ? context_.settings.Get().tls.lifetime : kClientLifetime;
  order.lifetime = asked > Duration(0) ? asked : usual;
  v1::SignResponse response;
  ASSIGN_OR_RETURN(*response.mutable_chain_pem(),
                   SignAndRecord(request.request_pem(), order,
                                 own ? caller.certificate->serial : std::string()));
  if (!own) {
    ASSIGN_OR_RETURN(const base::Role role, tls::RoleOfCertificate(response.chain_pem()));
    context_.events.Add(
        EventNumber::kCertificateIssued, Severity::kInfo, "",
        fmt::format("{} got a certificate for client {} with the role {} on server {}",
                    NameOf(caller), request.name(), base::RoleName(role), context_.server));
  }
  return response;
}

base::Result<v1::MakeTokenResponse> Members::MakeToken(const v1::MakeTokenRequest& request,
                                                       const rpc::Caller& caller) {
  RETURN_IF_ERROR(NeedTls());
  if (!context_.tls->authority()) {
    if (request.forwarded()) {
      return base::Unavailable(
          fmt::format("server {} has not the authority's key", context_.server));
    }
    v1::MakeTokenRequest forward = request;
    forward.set_forwarded(true);
    ASSIGN_OR_RETURN(const auto client, DialAuthority());
    return client->MakeToken(forward);
  }
  if (!request.server().empty()) {
    RETURN_IF_ERROR(base::CheckName("server name", request.server()));
  }
  const Duration asked = std::chrono::milliseconds(request.ttl_ms());
  if (asked < Duration(0) || asked > kTokenLifetimeMax) {
    return base::InvalidArgument(fmt::format("a token is valid for at most {} hours",
                                             kTokenLifetimeMax / std::chrono::hours(1)));
  }
  env::Env& env = context_.env;
  tls::JoinToken token;
  token.group = context_.tls->authority()->group();
  token.id = tls::NewTokenId(env);
  token.secret = tls::NewTokenSecret(env);
  const Duration ttl = asked == Duration(0) ? kTokenLifetime : asked;
  token.expires.unix_ms = (env.WallNow().unix_ms + Milliseconds(ttl) + 999) / 1000 * 1000;
  ASSIGN_OR_RETURN(token.fingerprint,
                   tls::Fingerprint(context_.tls->authority()->certificate_pem()));
  cluster::TokenRecord record;
  record.id = token.id;
  record.secret_sha256 = tls::Sha256Hex(token.secret);
  record.server = request.server();
  record.authority = request.authority();
  record.expires = token.expires;
  record.made_on = context_.server;
  RETURN_IF_ERROR(membership_.AddToken(record));
  ASSIGN_OR_RETURN(const std::string address, door_.Open());
  token.addresses = {address};
  context_.events.Add(
      EventNumber::kTokenMade, Severity::kInfo, "",
      fmt::format("{} made a token for {}{}, good until {}; {} listens at {}", NameOf(caller),
                  request.server().empty() ? "a new server" : "server " + request.server(),
                  request.authority() ? ", with the authority's key" : "",
                  base::ToRfc3339(token.expires), context_.server, address));
  v1::MakeTokenResponse response;
  response.set_token(tls::ToText(token));
  response.set_expires_ms(token.expires.unix_ms);
  response.set_server(context_.server);
  return response;
}

base::Result<v1::ListCertificatesResponse> Members::ListCertificates(
    const v1::ListCertificatesRequest&) {
  RETURN_IF_ERROR(NeedTls());
  ASSIGN_OR_RETURN(const std::vector<CertificateRecord> all, membership_.Certificates());
  v1::ListCertificatesResponse response;
  for (const CertificateRecord& each : all) {
    v1::CertificateInfo* const to = response.add_certificates();
    to->set_serial(each.serial);
    to->set_kind(each.kind);
    to->set_name(each.name);
    to->set_issued_ms(each.issued.unix_ms);
    to->set_ends_ms(each.ends.unix_ms);
    to->set_revoked_ms(each.revoked.unix_ms);
  }
  return response;
}

base::Result<v1::RevokeClientResponse> Members::RevokeClient(const v1::RevokeClientRequest& request,
                                                             const rpc::Caller& caller) {
  RETURN_IF_ERROR(NeedTls());
  ASSIGN_OR_RETURN(const size_t revoked, membership_.Revoke("client", request.name()));
  if (revoked == 0) {
    return base::NotFound(
        fmt::format("no certificate of client {} counts\nunderstudy group "
                    "certificates lists those that were issued",
                    request.name()));
  }
  context_.events.Add(EventNumber::kServerRemoved, Severity::kInfo, "",
                      fmt::format("{} revoked {} certificates of client {}", NameOf(caller),
                                  revoked, request.name()));
  v1::RevokeClientResponse response;
  response.set_certificates(revoked);
  return response;
}

}  // namespace understudy::server
