// SPDX-License-Identifier: Apache-2.0
// Members: who comes into the group and who leaves it: tokens, joining, certificates, removal
// (docs/design/0007-joining.md).
//
// What needs the authority's key is passed on to a server that has it. Every certificate is in the
// registry before it is given away. Threading: thread-safe.
#pragma once

#include <memory>
#include <string>

#include "cluster/membership.h"
#include "etcd/etcd_members.h"
#include "rpc/membership_backend.h"
#include "rpc/membership_client.h"
#include "server/context.h"
#include "server/join_door.h"

namespace understudy::server {

class Members final : public rpc::MembershipBackend, public rpc::JoinBackend {
 public:
  static constexpr base::Duration kTokenLifetime = std::chrono::hours(1);
  static constexpr base::Duration kTokenLifetimeMax = std::chrono::hours(24 * 7);
  static constexpr base::Duration kClientLifetime = std::chrono::hours(24 * 365);

  // `etcd`: the members of a managed cluster; null where there is none. May be null.
  Members(const ServerContext& context, std::unique_ptr<etcd::EtcdMembers> etcd);

  base::Result<v1::MakeTokenResponse> MakeToken(const v1::MakeTokenRequest&,
                                                const rpc::Caller&) override;
  base::Result<v1::SignResponse> Sign(const v1::SignRequest&, const rpc::Caller&) override;
  base::Result<v1::ListCertificatesResponse> ListCertificates(
      const v1::ListCertificatesRequest&) override;
  base::Result<v1::RemoveServerResponse> RemoveServer(const v1::RemoveServerRequest&,
                                                      const rpc::Caller&) override;
  base::Result<v1::RevokeClientResponse> RevokeClient(const v1::RevokeClientRequest&,
                                                      const rpc::Caller&) override;
  base::Result<v1::JoinResponse> Join(const v1::JoinRequest&, const std::string& peer) override;

  // For this server itself: a new identity, from here or from a server that signs.
  base::Result<tls::Identity> RenewOwn();
  // Records the certificate that this server has, if nobody has done it (group init could not).
  base::Status RecordOwn();

  JoinDoor& door() { return door_; }
  etcd::EtcdMembers* etcd() { return etcd_.get(); }
  cluster::Membership& membership() { return membership_; }

 private:
  base::Result<v1::JoinResponse> LetIn(const v1::JoinRequest& request);
  base::Status CheckNewName(const cluster::TokenRecord& token, const std::string& name);
  base::Result<std::string> SignAndRecord(const std::string& request_pem,
                                          const tls::CertificateAuthority::Order& order,
                                          const std::string& successor_of);
  base::Result<cluster::CertificateRecord> RecordOf(const std::string& chain) const;
  v1::JoinCoordinator CoordinatorFor(const Config& config) const;
  base::Status CheckRemovable(const std::string& server, bool force, v1::RemoveServerResponse& to);
  base::Status TakeOutCopies(const std::string& server, v1::RemoveServerResponse& to);
  base::Status WaitGone(const std::string& server);
  // Asks again while etcd says that it is too early.
  base::Result<bool> RemoveEtcdMember(const std::string& server);
  // The first server that signs and answers; kUnavailable when there is none.
  base::Result<std::unique_ptr<rpc::MembershipClient>> DialAuthority();
  base::Status NeedTls() const;

  const ServerContext context_;
  const std::unique_ptr<etcd::EtcdMembers> etcd_;
  cluster::Membership membership_;
  JoinDoor door_;
};

}  // namespace understudy::server
