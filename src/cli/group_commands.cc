// SPDX-License-Identifier: Apache-2.0
// A group with TLS begins; the certificates it has issued.
#include <fmt/format.h>

#include "base/ids.h"
#include "cli/groups.h"
#include "cli/join_commands.h"
#include "cli/views.h"
#include "rpc/membership_client.h"
#include "tls/certificate_authority.h"
#include "tls/tls_directory.h"

namespace understudy::cli {
namespace {

constexpr base::Duration kLifetimeDefault = std::chrono::hours(24 * 90);

struct InitArguments {
  ServerOptions server;
  std::string name;
};

CoordinatorText TextOf(const ServerFile& file, const InitArguments& arguments) {
  CoordinatorText to;
  to.group = arguments.name;
  to.kind = "etcd";
  if (!arguments.server.coordinator_path.empty()) {
    to.kind = "embedded";
    to.path = arguments.server.coordinator_path;
    return to;
  }
  to.members[file.name] = file.etcd_peer;
  to.etcd_client = file.etcd_client;
  to.etcd_peer = file.etcd_peer;
  return to;
}

base::Result<tls::Identity> SignServer(env::Env& env, const tls::CertificateAuthority& authority,
                                       const std::string& name,
                                       const std::vector<std::string>& hosts,
                                       base::Duration lifetime) {
  ASSIGN_OR_RETURN(const std::string key, tls::NewKey());
  ASSIGN_OR_RETURN(const std::string request, tls::NewRequest(key));
  tls::CertificateAuthority::Order order;
  order.kind = tls::Kind::kServer;
  order.name = name;
  order.hosts = hosts;
  order.lifetime = lifetime;
  ASSIGN_OR_RETURN(const std::string chain, authority.Sign(env, request, order));
  return tls::ParseIdentity(key + chain);
}

base::Status Init(Context& context, const InitArguments& arguments) {
  env::Env& env = context.env();
  ASSIGN_OR_RETURN(const ServerFile file, ReadServerFile(env, arguments.server));
  const tls::TlsDirectory directory(file.tls_directory);
  if (env::Exists(env, directory.identity()) || env::Exists(env, directory.authority())) {
    return base::AlreadyExists(fmt::format(
        "{} has a certificate or an authority already: this server is in a group\nto begin anew, "
        "move that directory away first",
        file.tls_directory));
  }
  ASSIGN_OR_RETURN(const auto authority, tls::CertificateAuthority::Create(env, arguments.name));
  ASSIGN_OR_RETURN(const tls::Identity identity,
                   SignServer(env, authority, file.name, tls::HostsOf(file.Addresses()),
                              file.lifetime.value_or(kLifetimeDefault)));
  ASSIGN_OR_RETURN(const std::string fingerprint, tls::Fingerprint(authority.certificate_pem()));
  RETURN_IF_ERROR(CompleteServerFile(env, file, TextOf(file, arguments)));
  RETURN_IF_ERROR(tls::SaveAuthority(env, directory, authority));
  RETURN_IF_ERROR(tls::SaveIdentity(env, directory, identity));
  context.output().Document(
      Json{{"group", arguments.name},
           {"server", file.name},
           {"fingerprint", fingerprint},
           {"tls_directory", file.tls_directory},
           {"config", file.path}},
      fmt::format("group {} begins with server {}\n"
                  "its certificate authority has the fingerprint {}\n"
                  "the authority's key is {}: a secret; keep a copy of it off this machine\n",
                  arguments.name, file.name, fingerprint, directory.authority()));
  context.output().Note(
      fmt::format("next: understudyd --config {}\n"
                  "then: export UNDERSTUDY_IDENTITY={} UNDERSTUDY_SERVER={}\n"
                  "      understudy server token --authority",
                  file.path, directory.identity(), file.advertise));
  return {};
}

Runner DefineInit(CLI::App& app) {
  auto arguments = std::make_shared<InitArguments>();
  app.add_option("--name", arguments->name, "the group's name")
      ->required()
      ->check(ServerName())
      ->type_name("GROUP");
  AddServerOptions(app, arguments->server);
  app.add_option(
         "--coordinator-path", arguments->server.coordinator_path,
         "keep the group's state in this file, for servers that share a machine, instead of "
         "an etcd member")
      ->type_name("FILE");
  return [arguments](Context& context) { return Init(context, *arguments); };
}

struct IdentityArguments {
  std::string config;
  std::string server;
  std::vector<std::string> hosts;
  std::string output;
};

// Without a daemon: for a group that cannot come up because its certificates have ended.
base::Status MakeIdentity(Context& context, const IdentityArguments& arguments) {
  env::Env& env = context.env();
  ServerOptions options;
  options.config = arguments.config;
  ASSIGN_OR_RETURN(const ServerFile file, ReadServerFile(env, options));
  ASSIGN_OR_RETURN(const auto authority,
                   tls::LoadAuthority(env, tls::TlsDirectory(file.tls_directory)));
  if (!authority) {
    return base::NotFound(
        fmt::format("the authority's key is not in {}\ngive the command on a server that has it",
                    file.tls_directory));
  }
  std::vector<std::string> hosts = tls::HostsOf({});
  hosts.insert(hosts.end(), arguments.hosts.begin(), arguments.hosts.end());
  ASSIGN_OR_RETURN(const tls::Identity identity,
                   SignServer(env, *authority, arguments.server, hosts,
                              file.lifetime.value_or(kLifetimeDefault)));
  RETURN_IF_ERROR(
      env::WritePrivateFileAtomically(env, arguments.output, base::AsBytes(identity.pem)));
  const std::string ends = base::ToRfc3339(identity.certificate.ends);
  context.output().Document(
      Json{{"server", arguments.server}, {"file", arguments.output}, {"ends", ends}},
      fmt::format("{} is an identity of server {} until {}: a secret\n", arguments.output,
                  arguments.server, ends));
  context.output().Note("next: bring it there as .tls/server.pem, and start understudyd");
  return {};
}

Runner DefineIdentity(CLI::App& app) {
  auto arguments = std::make_shared<IdentityArguments>();
  app.add_option("SERVER", arguments->server, "who will have it")->required()->check(ServerName());
  app.add_option("--config", arguments->config, "of this server, which has the authority's key")
      ->required()
      ->type_name("FILE");
  app.add_option("--host", arguments->hosts, "an address of that server; may be given again")
      ->type_name("HOST");
  app.add_option("--output", arguments->output, "the file for key and certificate")
      ->required()
      ->type_name("FILE");
  return [arguments](Context& context) { return MakeIdentity(context, *arguments); };
}

const std::vector<Column>& CertificateColumns() {
  static const std::vector<Column> kColumns = {{"kind"}, {"name"},    {"issued"},
                                               {"ends"}, {"revoked"}, {"serial"}};
  return kColumns;
}

base::Status Certificates(Context& context) {
  ASSIGN_OR_RETURN(const auto client, context.Connect());
  ASSIGN_OR_RETURN(const rpc::ChannelSecurity security, context.Security());
  rpc::MembershipClient members(client->address(), security);
  ASSIGN_OR_RETURN(const v1::ListCertificatesResponse answer, members.ListCertificates({}));
  Json rows = Json::array();
  for (const auto& each : answer.certificates()) {
    rows.push_back(Json{{"kind", each.kind()},
                        {"name", each.name()},
                        {"issued", TimeJson(each.issued_ms())},
                        {"ends", TimeJson(each.ends_ms())},
                        {"revoked", TimeJson(each.revoked_ms())},
                        {"serial", each.serial()}});
  }
  context.output().Rows("certificates", rows, CertificateColumns(), "No certificate is known.");
  return {};
}

}  // namespace

Group GroupCommands() {
  return {"group",
          "The group as a whole, and its certificates",
          {{.name = "init",
            .summary = "Begin a group with TLS: its certificate authority and its first server",
            .example =
                "understudy group init --name shop --config /etc/understudy/understudyd.toml \\\n"
                "    --server-name s1 --listen 192.0.2.1:7400",
            .define = DefineInit},
           {.name = "identity",
            .summary = "Make a server's identity where the authority's key is, without a daemon",
            .example = "understudy group identity s2 --host 192.0.2.2 --output s2.pem \\\n"
                       "    --config /etc/understudy/understudyd.toml",
            .define = DefineIdentity},
           {.name = "certificates",
            .summary = "List the certificates that were issued and have not ended",
            .example = "understudy group certificates",
            .define = [](CLI::App&) -> Runner { return Certificates; }}}};
}

}  // namespace understudy::cli
