// SPDX-License-Identifier: Apache-2.0
// How a server is let in, and what it is told.
#include <fmt/format.h>

#include <algorithm>

#include "base/diag.h"
#include "server/group_tls.h"
#include "server/group_view.h"
#include "server/members.h"

namespace understudy::server {

using cluster::EventNumber;
using cluster::Severity;

base::Result<v1::JoinResponse> Members::Join(const v1::JoinRequest& request,
                                             const std::string& peer) {
  base::Result<v1::JoinResponse> response = LetIn(request);
  if (!response.ok()) {
    // No event: whoever reaches the port could fill the group's list of events.
    base::Diag(base::DiagLevel::kWarning, "tls", "refused a server that wanted to join",
               {{"peer", peer}, {"why", response.status().ToString()}});
  }
  return response;
}

base::Result<v1::JoinResponse> Members::LetIn(const v1::JoinRequest& request) {
  if (request.protocol_version() != rpc::kAdminProtocolVersion) {
    return base::InvalidArgument(fmt::format("server {} speaks protocol {}, not {}",
                                             context_.server, rpc::kAdminProtocolVersion,
                                             request.protocol_version()));
  }
  // Before anything else is looked at or told.
  ASSIGN_OR_RETURN(const cluster::TokenRecord token,
                   membership_.CheckToken(request.token_id(), tls::Sha256Hex(request.secret())));
  RETURN_IF_ERROR(CheckNewName(token, request.server()));
  const Config config = context_.settings.Get();
  tls::CertificateAuthority::Order order;
  order.kind = tls::Kind::kServer;
  order.name = request.server();
  order.hosts.assign(request.hosts().begin(), request.hosts().end());
  order.lifetime = config.tls.lifetime;
  const tls::CertificateAuthority& authority = *context_.tls->authority();
  v1::JoinResponse response;
  ASSIGN_OR_RETURN(const std::string chain,
                   authority.Sign(context_.env, request.request_pem(), order));
  ASSIGN_OR_RETURN(const cluster::CertificateRecord record, RecordOf(chain));
  *response.mutable_coordinator() = CoordinatorFor(config);
  if (etcd_ != nullptr && !request.etcd_peer().empty()) {
    RETURN_IF_ERROR(CheckAddress(request.etcd_peer()));
    ASSIGN_OR_RETURN(const auto members, etcd_->Add(request.server(), request.etcd_peer()));
    auto& to = *response.mutable_coordinator()->mutable_etcd_members();
    for (const auto& [name, peer] : members) to[name] = peer;
  }
  RETURN_IF_ERROR(membership_.Redeem(token, record));
  response.set_chain_pem(chain);
  if (token.authority) response.set_authority_pem(authority.pem());
  response.set_group(authority.group());
  response.set_joined_through(context_.server);
  context_.events.Add(
      EventNumber::kServerJoined, Severity::kInfo, "",
      fmt::format("server {} has joined the group through {}{}", request.server(), context_.server,
                  token.authority ? ", and has the authority's key" : ""));
  return response;
}

base::Status Members::CheckNewName(const cluster::TokenRecord& token, const std::string& name) {
  RETURN_IF_ERROR(base::CheckName("server name", name));
  if (!token.server.empty() && token.server != name) {
    return base::InvalidArgument(
        fmt::format("the token is for server {}, not {}", token.server, name));
  }
  ASSIGN_OR_RETURN(const std::vector<cluster::ServerRecord> servers, context_.registry.Servers());
  for (const cluster::ServerRecord& server : servers) {
    if (server.name != name) continue;
    if (server.alive) {
      return base::AlreadyExists(fmt::format("a server {} is up ({})", name, server.address));
    }
    if (token.server.empty()) {
      return base::AlreadyExists(fmt::format(
          "the group has a server {} already, which is down\nto let it join again, make "
          "a token for it: understudy server token --for {}",
          name, name));
    }
  }
  return {};
}

v1::JoinCoordinator Members::CoordinatorFor(const Config& config) const {
  const CoordinatorConfig& from = config.coordinator;
  v1::JoinCoordinator to;
  to.set_kind(from.kind);
  to.set_path(from.path);
  to.set_group(from.group);
  to.set_user(from.user);
  to.set_lease_ms(from.lease / std::chrono::milliseconds(1));
  if (from.runs_member()) return to;  // each server has its own
  for (const std::string& endpoint : from.endpoints) to.add_endpoints(endpoint);
  const std::pair<const char*, const std::string*> files[] = {
      {"password_file", &from.password_file},
      {"ca_file", &from.ca_file},
      {"cert_file", &from.cert_file},
      {"key_file", &from.key_file}};
  for (const auto& [key, path] : files) {
    if (!path->empty()) to.add_files(fmt::format("{} = \"{}\"", key, *path));
  }
  return to;
}

}  // namespace understudy::server
