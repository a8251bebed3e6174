// SPDX-License-Identifier: Apache-2.0
#include "server/group_tls.h"

#include <fmt/format.h>

#include "base/diag.h"
#include "cluster/membership.h"

namespace understudy::server {
namespace {

base::Status NoIdentity(const Config& config) {
  return base::InvalidArgument(fmt::format(
      "server.listen is {}, which other machines reach, and there is no certificate in {}\nmake a "
      "group (understudy group init), join one (understudy server join), or set tls.off = true "
      "where the network is trusted",
      config.server.listen, config.tls.directory));
}

// A person may have brought server.pem alone; gRPC and etcd read the authority's certificate from a
// file of its own.
base::Status WriteAuthorityOf(env::Env& env, const tls::TlsDirectory& directory,
                              const tls::Identity& identity) {
  const base::Result<base::Bytes> known = env::ReadFile(env, directory.ca(), tls::kPemBytesMax);
  if (known.ok() && std::string(known->begin(), known->end()) == identity.authority) return {};
  return env::WriteFileAtomically(env, directory.ca(), base::AsBytes(identity.authority));
}

base::Status CheckIdentity(const tls::Identity& identity, const Config& config) {
  const tls::Certificate& certificate = identity.certificate;
  if (certificate.kind == tls::Kind::kServer && certificate.name == config.server.name) return {};
  return base::InvalidArgument(fmt::format("{} has the certificate of {}, but server.name is {}",
                                           config.tls.directory, certificate.Holder(),
                                           config.server.name));
}

}  // namespace

void Revocations::Replace(std::set<std::string> serials) {
  base::MutexLock lock(mutex_);
  serials_.swap(serials);
}

bool Revocations::Has(const std::string& serial) const {
  base::MutexLock lock(mutex_);
  return serials_.contains(serial);
}

base::Status Revocations::Check(const tls::Certificate& peer) const {
  if (!Has(peer.serial)) return {};
  return base::Fenced(fmt::format("the certificate of {} was revoked", peer.Holder()));
}

base::Result<std::unique_ptr<GroupTls>> GroupTls::Open(env::Env& env, const Config& config) {
  if (config.tls.off) return std::unique_ptr<GroupTls>();
  const tls::TlsDirectory directory(config.tls.directory);
  ASSIGN_OR_RETURN(std::optional<tls::Identity> identity, tls::LoadIdentity(env, directory));
  if (!identity) {
    if (!IsLocalAddress(config.server.listen)) return NoIdentity(config);
    return std::unique_ptr<GroupTls>();
  }
  RETURN_IF_ERROR(CheckIdentity(*identity, config).WithContext("tls"));
  RETURN_IF_ERROR(WriteAuthorityOf(env, directory, *identity));
  ASSIGN_OR_RETURN(auto authority, tls::LoadAuthority(env, directory));
  const base::WallTime ends = identity->certificate.ends;
  std::unique_ptr<GroupTls> tls(
      new GroupTls(directory, std::move(*identity), std::move(authority)));
  if (env.WallNow() < ends) return tls;
  if (!tls->authority_) {
    return base::InvalidArgument(fmt::format(
        "the certificate of server {} ended at {}, and it can be renewed only while it is valid\n"
        "make a token for it on a member (understudy server token --for {}) and join again "
        "(understudy server join)",
        config.server.name, base::ToRfc3339(ends), config.server.name));
  }
  ASSIGN_OR_RETURN(tls::Identity renewed, tls->SignOwn(env, config));
  RETURN_IF_ERROR(tls->Install(env, std::move(renewed)));
  return tls;
}

base::Status GroupTls::ReadCertificates(env::Env& env, cluster::Coordinator& coordinator) {
  ASSIGN_OR_RETURN(const std::vector<cluster::CertificateRecord> all,
                   cluster::Membership(env, coordinator).Certificates());
  std::set<std::string> serials;
  for (const cluster::CertificateRecord& each : all) {
    if (each.is_revoked()) serials.insert(each.serial);
  }
  revocations_->Replace(std::move(serials));
  return {};
}

base::Result<tls::Identity> GroupTls::SignOwn(env::Env& env, const Config& config) const {
  ASSIGN_OR_RETURN(const std::string key, tls::NewKey());
  ASSIGN_OR_RETURN(const std::string request, tls::NewRequest(key));
  tls::CertificateAuthority::Order order;
  order.kind = tls::Kind::kServer;
  order.name = config.server.name;
  order.hosts = HostsOf(config);
  order.lifetime = config.tls.lifetime;
  ASSIGN_OR_RETURN(const std::string chain, authority_->Sign(env, request, order));
  return tls::ParseIdentity(key + chain);
}

base::Status GroupTls::Install(env::Env& env, tls::Identity identity) {
  RETURN_IF_ERROR(tls::SaveIdentity(env, directory_, identity));
  identity_.Replace(std::move(identity));
  return {};
}

base::Status GroupTls::Reload(env::Env& env) {
  ASSIGN_OR_RETURN(std::optional<tls::Identity> identity, tls::LoadIdentity(env, directory_));
  if (!identity) return base::NotFound(fmt::format("there is no {}", directory_.identity()));
  RETURN_IF_ERROR(WriteAuthorityOf(env, directory_, *identity));
  identity_.Replace(std::move(*identity));
  return {};
}

rpc::ChannelSecurity SecurityTo(GroupTls* tls, const std::string& server) {
  if (tls == nullptr) return {};
  return {tls->identity().Get(), server, tls->revocations()};
}

std::vector<std::string> HostsOf(const Config& config) {
  const CoordinatorConfig::Managed& managed = config.coordinator.managed;
  std::vector<std::string> addresses = {config.server.advertise, config.server.listen,
                                        managed.client_listen, managed.peer_listen};
  if (const auto own = managed.initial_cluster.find(managed.name);
      own != managed.initial_cluster.end()) {
    addresses.push_back(own->second);
  }
  return tls::HostsOf(addresses);
}

bool IsLocalAddress(const std::string& address) {
  if (address.starts_with("unix:")) return true;
  const std::string host = tls::HostOf(address);
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

}  // namespace understudy::server
