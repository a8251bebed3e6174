// SPDX-License-Identifier: Apache-2.0
#include "rpc/membership_service.h"

#include <grpcpp/grpcpp.h>

#include "rpc/roles.h"
#include "rpc/status_codec.h"
#include "rpc/tls_credentials.h"
#include "understudy/v1/membership.grpc.pb.h"

namespace understudy::rpc {
namespace {

template <typename Response>
grpc::Status Give(base::Result<Response> result, Response* response) {
  if (!result.ok()) return ToGrpc(result.status());
  *response = std::move(result).value();
  return grpc::Status::OK;
}

class MembershipService final : public v1::Membership::Service {
 public:
  explicit MembershipService(MembershipBackend& backend) : backend_(backend) {}

  grpc::Status MakeToken(grpc::ServerContext* context, const v1::MakeTokenRequest* request,
                         v1::MakeTokenResponse* response) override {
    return Give(backend_.MakeToken(*request, CallerOf(*context)), response);
  }
  grpc::Status Sign(grpc::ServerContext* context, const v1::SignRequest* request,
                    v1::SignResponse* response) override {
    const Caller caller = CallerOf(*context);
    const base::Result<base::Role> role = RoleOf(*context);
    if (!role.ok()) return ToGrpc(role.status());
    v1::SignRequest order = *request;
    const base::Status decided = DecideRole(caller, *role, order);
    if (!decided.ok()) return ToGrpc(decided);
    return Give(backend_.Sign(order, caller), response);
  }
  grpc::Status ListCertificates(grpc::ServerContext*, const v1::ListCertificatesRequest* request,
                                v1::ListCertificatesResponse* response) override {
    return Give(backend_.ListCertificates(*request), response);
  }
  grpc::Status RemoveServer(grpc::ServerContext* context, const v1::RemoveServerRequest* request,
                            v1::RemoveServerResponse* response) override {
    return Give(backend_.RemoveServer(*request, CallerOf(*context)), response);
  }
  grpc::Status RevokeClient(grpc::ServerContext* context, const v1::RevokeClientRequest* request,
                            v1::RevokeClientResponse* response) override {
    return Give(backend_.RevokeClient(*request, CallerOf(*context)), response);
  }

 private:
  MembershipBackend& backend_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeMembershipService(MembershipBackend& backend) {
  return std::make_unique<MembershipService>(backend);
}

}  // namespace understudy::rpc
