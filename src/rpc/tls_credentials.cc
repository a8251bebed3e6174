// SPDX-License-Identifier: Apache-2.0
#include "rpc/tls_credentials.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/security/auth_metadata_processor.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include "rpc/audit.h"
#include "rpc/roles.h"
#include "rpc/status_codec.h"
#include "tls/certificate_authority.h"
#include "tls/client_role.h"

namespace understudy::rpc {
namespace {

using grpc::experimental::ExternalCertificateVerifier;
using grpc::experimental::FileWatcherCertificateProvider;
using grpc::experimental::IdentityKeyCertPair;
using grpc::experimental::StaticDataCertificateProvider;
using grpc::experimental::TlsChannelCredentialsOptions;
using grpc::experimental::TlsCustomVerificationCheckRequest;
using grpc::experimental::TlsServerCredentialsOptions;

// How often a server looks whether its files have changed.
constexpr unsigned kFilesEverySeconds = 1;

std::string Text(grpc::string_ref text) { return std::string(text.data(), text.size()); }

// Runs a check of ours at the end of a handshake, after gRPC's own.
class Verifier final : public ExternalCertificateVerifier {
 public:
  using Check = std::function<base::Status(const std::string& leaf, const std::string& chain)>;
  explicit Verifier(Check check) : check_(std::move(check)) {}

  bool Verify(TlsCustomVerificationCheckRequest* request, std::function<void(grpc::Status)>,
              grpc::Status* result) override {
    const base::Status status =
        check_(Text(request->peer_cert()), Text(request->peer_cert_full_chain()));
    *result = status.ok() ? grpc::Status::OK
                          : grpc::Status(grpc::StatusCode::UNAUTHENTICATED, status.message());
    return true;
  }
  void Cancel(TlsCustomVerificationCheckRequest*) override {}

 private:
  const Check check_;
};

base::Status CheckPolicy(const std::shared_ptr<const PeerPolicy>& policy,
                         const tls::Certificate& peer) {
  return policy == nullptr ? base::Status() : policy->Check(peer);
}

base::Status CheckServer(const ChannelSecurity& security, const std::string& leaf) {
  ASSIGN_OR_RETURN(const tls::Certificate peer, tls::ParseCertificate(leaf));
  if (peer.kind != tls::Kind::kServer || peer.group != security.identity->certificate.group) {
    return base::InvalidArgument(fmt::format("there answers {} of group {}, not a server of {}",
                                             peer.Holder(), peer.group,
                                             security.identity->certificate.group));
  }
  if (!security.server.empty() && peer.name != security.server) {
    return base::InvalidArgument(
        fmt::format("there answers server {}, not {}", peer.name, security.server));
  }
  return CheckPolicy(security.policy, peer);
}

// Refuses, at every call, those whose certificate has come not to count, and clients what their
// role does not include.
class CallGuard final : public grpc::AuthMetadataProcessor {
 public:
  explicit CallGuard(std::shared_ptr<const PeerPolicy> policy) : policy_(std::move(policy)) {}

  bool IsBlocking() const override { return false; }
  grpc::Status Process(const InputMetadata& metadata, grpc::AuthContext* context, OutputMetadata*,
                       OutputMetadata*) override {
    const auto path = metadata.find(":path");
    if (path == metadata.end()) return Refuse("the call has no path");
    const std::vector<grpc::string_ref> pem = context->FindPropertyValues("x509_pem_cert");
    if (pem.size() != 1) return Refuse("the call comes without a certificate");
    const base::Result<tls::Certificate> peer = tls::ParseCertificate(Text(pem.front()));
    if (!peer.ok()) return Refuse(peer.status().message());
    if (const base::Status status = CheckPolicy(policy_, *peer); !status.ok()) {
      return Refuse(status.message());
    }
    const base::Result<base::Role> role = tls::RoleOfCertificate(Text(pem.front()));
    if (!role.ok()) return Refuse(role.status().message());
    if (const base::Status status = CheckRole(*peer, *role, Text(path->second)); !status.ok()) {
      refusals_.Tell(peer->Holder(), Text(path->second), status.message(),
                     std::chrono::steady_clock::now());
      return Refuse(status.message());
    }
    return grpc::Status::OK;
  }

 private:
  static grpc::Status Refuse(const std::string& why) { return ToGrpc(base::Fenced(why)); }

  const std::shared_ptr<const PeerPolicy> policy_;
  Refusals refusals_;
};

void UseOneHost(grpc::ChannelArguments& arguments) {
  arguments.SetSslTargetNameOverride(tls::kServerHost);
}

}  // namespace

std::shared_ptr<grpc::ChannelCredentials> ChannelCredentials(const ChannelSecurity& security,
                                                             grpc::ChannelArguments& arguments) {
  if (security.identity == nullptr) return grpc::InsecureChannelCredentials();
  UseOneHost(arguments);
  const std::string& pem = security.identity->pem;
  TlsChannelCredentialsOptions options;
  options.set_certificate_provider(std::make_shared<StaticDataCertificateProvider>(
      security.identity->authority, std::vector<IdentityKeyCertPair>{{pem, pem}}));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_check_call_host(false);
  options.set_certificate_verifier(ExternalCertificateVerifier::Create<Verifier>(
      [security](const std::string& leaf, const std::string&) {
        return CheckServer(security, leaf);
      }));
  return grpc::experimental::TlsCredentials(options);
}

std::shared_ptr<grpc::ServerCredentials> ServerCredentials(
    const std::optional<ServerSecurity>& security) {
  if (!security) return grpc::InsecureServerCredentials();
  const tls::TlsDirectory& files = security->directory;
  TlsServerCredentialsOptions options(std::make_shared<FileWatcherCertificateProvider>(
      files.identity(), files.identity(), files.ca(), kFilesEverySeconds));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.set_check_call_host(false);
  options.set_certificate_verifier(ExternalCertificateVerifier::Create<Verifier>(
      [policy = security->policy](const std::string& leaf, const std::string&) -> base::Status {
        ASSIGN_OR_RETURN(const tls::Certificate peer, tls::ParseCertificate(leaf));
        return CheckPolicy(policy, peer);
      }));
  auto credentials = grpc::experimental::TlsServerCredentials(options);
  credentials->SetAuthMetadataProcessor(std::make_shared<CallGuard>(security->policy));
  return credentials;
}

Caller CallerOf(const grpc::ServerContextBase& context) {
  Caller caller;
  const auto authenticated = context.auth_context();
  if (authenticated == nullptr) return caller;
  const std::vector<grpc::string_ref> pem = authenticated->FindPropertyValues("x509_pem_cert");
  if (pem.size() != 1) return caller;
  base::Result<tls::Certificate> certificate = tls::ParseCertificate(Text(pem.front()));
  if (certificate.ok()) caller.certificate = std::move(certificate).value();
  return caller;
}

base::Result<base::Role> RoleOf(const grpc::ServerContext& context) {
  const auto authenticated = context.auth_context();
  if (authenticated == nullptr) return base::Role::kAdmin;
  const std::vector<grpc::string_ref> pem = authenticated->FindPropertyValues("x509_pem_cert");
  if (pem.empty()) return base::Role::kAdmin;
  return tls::RoleOfCertificate(Text(pem.front()));
}

std::shared_ptr<grpc::ChannelCredentials> JoinChannelCredentials(
    env::Env& env, const tls::JoinToken& token, grpc::ChannelArguments& arguments) {
  UseOneHost(arguments);
  TlsChannelCredentialsOptions options;
  // gRPC knows no authority yet; the verifier finds the one in the chain that the token names.
  options.set_verify_server_certs(false);
  options.set_check_call_host(false);
  options.set_certificate_verifier(ExternalCertificateVerifier::Create<Verifier>(
      [&env, token](const std::string& leaf, const std::string& chain) -> base::Status {
        ASSIGN_OR_RETURN(const std::vector<std::string> shown, tls::SplitChain(chain));
        for (const std::string& authority : shown) {
          ASSIGN_OR_RETURN(const std::string fingerprint, tls::Fingerprint(authority));
          if (fingerprint != token.fingerprint) continue;
          ASSIGN_OR_RETURN(const tls::Certificate peer,
                           tls::VerifyCertificate(leaf, authority, env.WallNow()));
          if (peer.kind == tls::Kind::kServer && peer.group == token.group) return {};
        }
        return base::InvalidArgument("who listens there is no server of the token's group");
      }));
  return grpc::experimental::TlsCredentials(options);
}

std::shared_ptr<grpc::ServerCredentials> JoinServerCredentials(const tls::TlsDirectory& directory) {
  TlsServerCredentialsOptions options(std::make_shared<FileWatcherCertificateProvider>(
      directory.identity(), directory.identity(), kFilesEverySeconds));
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  options.set_check_call_host(false);
  return grpc::experimental::TlsServerCredentials(options);
}

}  // namespace understudy::rpc
