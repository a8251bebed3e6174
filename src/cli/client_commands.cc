// SPDX-License-Identifier: Apache-2.0
// Certificates for people and programs that give commands.
#include <fmt/format.h>

#include "cli/groups.h"
#include "rpc/membership_client.h"
#include "tls/certificate_authority.h"
#include "tls/client_role.h"
#include "tls/identity.h"

namespace understudy::cli {
namespace {

struct Arguments {
  std::string name;
  std::string output;
  std::string role;  // empty: the server decides
  std::optional<base::Duration> lifetime;
};

base::Result<std::unique_ptr<rpc::MembershipClient>> Connect(Context& context) {
  ASSIGN_OR_RETURN(const auto client, context.Connect());
  ASSIGN_OR_RETURN(const rpc::ChannelSecurity security, context.Security());
  return std::make_unique<rpc::MembershipClient>(client->address(), security);
}

base::Status MakeCertificate(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(const auto members, Connect(context));
  ASSIGN_OR_RETURN(const std::string key, tls::NewKey());
  v1::SignRequest request;
  ASSIGN_OR_RETURN(*request.mutable_request_pem(), tls::NewRequest(key));
  request.set_kind("client");
  request.set_name(arguments.name);
  if (const auto role = base::RoleFromName(arguments.role)) request.add_hosts(tls::RoleHost(*role));
  if (arguments.lifetime) {
    request.set_lifetime_ms(*arguments.lifetime / std::chrono::milliseconds(1));
  }
  ASSIGN_OR_RETURN(const v1::SignResponse answer, members->Sign(request));
  ASSIGN_OR_RETURN(const tls::Identity identity, tls::ParseIdentity(key + answer.chain_pem()));
  ASSIGN_OR_RETURN(const base::Role got, tls::RoleOfCertificate(answer.chain_pem()));
  const std::string_view role = base::RoleName(got);
  RETURN_IF_ERROR(env::WritePrivateFileAtomically(context.env(), arguments.output,
                                                  base::AsBytes(identity.pem)));
  const std::string ends = base::ToRfc3339(identity.certificate.ends);
  context.output().Document(
      Json{{"name", arguments.name}, {"role", role}, {"file", arguments.output}, {"ends", ends}},
      fmt::format("client {} has a certificate with the role {} until {}: {}\n", arguments.name,
                  role, ends, arguments.output));
  context.output().Note(fmt::format(
      "use it with --identity or UNDERSTUDY_IDENTITY, or keep it as ~/.understudy/identity.pem"));
  return {};
}

Runner DefineCertificate(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  app.add_option("NAME", arguments->name, "who will have it")->required()->check(ServerName());
  app.add_option("--output", arguments->output, "the file for key and certificate")
      ->required()
      ->type_name("FILE");
  app.add_option("--role", arguments->role,
                 "what its holder may do: viewer, operator or admin (default admin)")
      ->check(CLI::IsMember({"viewer", "operator", "admin"}))
      ->type_name("ROLE");
  AddDuration(app, "--lifetime", arguments->lifetime, "how long it is good (default 365d)");
  return [arguments](Context& context) { return MakeCertificate(context, *arguments); };
}

base::Status Revoke(Context& context, const std::string& name) {
  ASSIGN_OR_RETURN(const auto members, Connect(context));
  v1::RevokeClientRequest request;
  request.set_name(name);
  ASSIGN_OR_RETURN(const v1::RevokeClientResponse answer, members->RevokeClient(request));
  context.output().Document(Json{{"name", name}, {"certificates", answer.certificates()}},
                            fmt::format("client {} is no longer let in; certificates revoked: {}\n",
                                        name, answer.certificates()));
  return {};
}

Runner DefineRevoke(CLI::App& app) {
  auto name = std::make_shared<std::string>();
  app.add_option("NAME", *name, "the client")->required()->check(ServerName());
  return [name](Context& context) { return Revoke(context, *name); };
}

}  // namespace

Group ClientCommands() {
  return {"client",
          "Certificates for people and programs that give commands",
          {{.name = "certificate",
            .summary = "Make a key and a certificate for a person or a program",
            .example = "understudy client certificate ann --role operator --output ann.pem",
            .define = DefineCertificate},
           {.name = "revoke",
            .summary = "Let a client in no longer, whatever certificates it has",
            .example = "understudy client revoke ann",
            .define = DefineRevoke}}};
}

}  // namespace understudy::cli
