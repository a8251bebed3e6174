// SPDX-License-Identifier: Apache-2.0
// A server comes into the group, and leaves it.
#include "cli/join_commands.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iostream>
#include <utility>

#include "base/first_line.h"
#include "cli/pause.h"
#include "cli/views.h"
#include "rpc/membership_client.h"
#include "rpc/protocol.h"
#include "tls/certificate_authority.h"
#include "tls/tls_directory.h"

namespace understudy::cli {
namespace {

constexpr base::Duration kCatchUpLimit = std::chrono::seconds(30);
constexpr base::Duration kLook = std::chrono::milliseconds(500);

struct TokenArguments {
  std::string server;
  std::optional<base::Duration> ttl;
  bool authority = false;
};

base::Result<std::unique_ptr<rpc::MembershipClient>> ConnectMembership(Context& context) {
  ASSIGN_OR_RETURN(const auto client, context.Connect());
  ASSIGN_OR_RETURN(const rpc::ChannelSecurity security, context.Security());
  return std::make_unique<rpc::MembershipClient>(client->address(), security);
}

base::Status MakeToken(Context& context, const TokenArguments& arguments) {
  ASSIGN_OR_RETURN(const auto client, ConnectMembership(context));
  v1::MakeTokenRequest request;
  request.set_server(arguments.server);
  if (arguments.ttl) request.set_ttl_ms(*arguments.ttl / std::chrono::milliseconds(1));
  request.set_authority(arguments.authority);
  ASSIGN_OR_RETURN(const v1::MakeTokenResponse answer, client->MakeToken(request));
  context.output().Document(Json{{"token", answer.token()},
                                 {"expires", TimeJson(answer.expires_ms())},
                                 {"server", answer.server()}},
                            answer.token() + "\n");
  context.output().Note(fmt::format(
      "good once, until {}; whoever has it can join the group\nnext, on the new server: understudy "
      "server join --token TOKEN --config FILE",
      base::ToRfc3339(base::WallTime{answer.expires_ms()})));
  return {};
}

Runner DefineToken(CLI::App& app) {
  auto arguments = std::make_shared<TokenArguments>();
  app.add_option("--for", arguments->server,
                 "the only name that it is good for; needed for a server that joins again")
      ->check(ServerName())
      ->type_name("SERVER");
  AddDuration(app, "--ttl", arguments->ttl, "how long it is good (default 1h, at most 7d)");
  app.add_flag("--authority", arguments->authority,
               "who joins with it gets the authority's key, and can let in others");
  return [arguments](Context& context) { return MakeToken(context, *arguments); };
}

struct JoinArguments {
  ServerOptions server;
  std::string token;
  bool again = false;
};

base::Result<tls::JoinToken> ReadToken(const std::string& typed) {
  std::string text = typed;
  if (typed == "-") std::getline(std::cin, text);
  return tls::ParseJoinToken(text);
}

// Whether this machine may take the identity of a new member.
base::Status CheckNew(env::Env& env, const ServerFile& file, const JoinArguments& arguments) {
  const tls::TlsDirectory directory(file.tls_directory);
  if (arguments.again || !env::Exists(env, directory.identity())) return {};
  return base::AlreadyExists(fmt::format(
      "{} is the identity of a member already\n--again replaces it, for a server that was removed "
      "or whose certificate has ended",
      directory.identity()));
}

bool HasEtcdData(env::Env& env, const ServerFile& file) {
  return env::Exists(env, env::JoinPath(file.data_dir, ".etcd/data/member"));
}

base::Status Install(env::Env& env, const ServerFile& file, const tls::JoinToken& token,
                     const std::string& key, const v1::JoinResponse& answer) {
  ASSIGN_OR_RETURN(const tls::Identity identity, tls::ParseIdentity(key + answer.chain_pem()));
  ASSIGN_OR_RETURN(const std::string fingerprint, tls::Fingerprint(identity.authority));
  if (fingerprint != token.fingerprint || identity.certificate.name != file.name) {
    return base::Corruption(
        fmt::format("{} answered with a certificate of {} that was not asked "
                    "for",
                    answer.joined_through(), identity.certificate.Holder()));
  }
  const tls::TlsDirectory directory(file.tls_directory);
  if (!answer.authority_pem().empty()) {
    ASSIGN_OR_RETURN(const auto authority,
                     tls::CertificateAuthority::FromPem(answer.authority_pem()));
    RETURN_IF_ERROR(tls::SaveAuthority(env, directory, authority));
  }
  return tls::SaveIdentity(env, directory, identity);
}

CoordinatorText TextOf(const ServerFile& file, const v1::JoinCoordinator& from) {
  CoordinatorText to;
  to.kind = from.kind();
  to.path = from.path();
  to.endpoints.assign(from.endpoints().begin(), from.endpoints().end());
  to.group = from.group();
  to.user = from.user();
  to.lease_ms = from.lease_ms();
  for (const auto& [name, peer] : from.etcd_members()) to.members[name] = peer;
  to.etcd_client = file.etcd_client;
  to.etcd_peer = file.etcd_peer;
  to.join = true;
  return to;
}

// A member of etcd that is new, or was away, has to catch up before the next one is let in.
base::Result<v1::JoinResponse> JoinWhenReady(Context& context, const tls::JoinToken& token,
                                             const v1::JoinRequest& request) {
  const base::SteadyTime end =
      context.env().Now() + context.TimeoutOr(rpc::kCallTimeoutDefault + kCatchUpLimit);
  bool told = false;
  while (true) {
    const base::Duration left = end - context.env().Now();
    base::Result<v1::JoinResponse> answer =
        rpc::JoinGroup(context.env(), token, request,
                       std::clamp<base::Duration>(left, kLook, rpc::kCallTimeoutDefault));
    if (answer.status().code() != base::Code::kBusy || left <= kLook) return answer;
    const std::string why = answer.status().message();
    if (!std::exchange(told, true)) context.output().Note("waiting: " + base::FirstLine(why));
    Pause(kLook);
  }
}

base::Status Join(Context& context, const JoinArguments& arguments) {
  ASSIGN_OR_RETURN(const tls::JoinToken token, ReadToken(arguments.token));
  env::Env& env = context.env();
  ASSIGN_OR_RETURN(const ServerFile file, ReadServerFile(env, arguments.server));
  RETURN_IF_ERROR(CheckNew(env, file, arguments));
  ASSIGN_OR_RETURN(const std::string key, tls::NewKey());
  v1::JoinRequest request;
  request.set_protocol_version(rpc::kAdminProtocolVersion);
  request.set_token_id(token.id);
  request.set_secret(token.secret);
  request.set_server(file.name);
  ASSIGN_OR_RETURN(*request.mutable_request_pem(), tls::NewRequest(key));
  for (const std::string& host : tls::HostsOf(file.Addresses())) request.add_hosts(host);
  if (!file.has_coordinator && !HasEtcdData(env, file)) request.set_etcd_peer(file.etcd_peer);
  ASSIGN_OR_RETURN(const v1::JoinResponse answer, JoinWhenReady(context, token, request));
  RETURN_IF_ERROR(Install(env, file, token, key, answer));
  const v1::JoinCoordinator& coordinator = answer.coordinator();
  RETURN_IF_ERROR(CompleteServerFile(env, file, TextOf(file, coordinator)));
  std::string text =
      fmt::format("server {} is a member of group {} now, let in by {}\nits identity is in {}{}\n",
                  file.name, answer.group(), answer.joined_through(), file.tls_directory,
                  answer.authority_pem().empty() ? "" : ", and so is the authority's key");
  Json files = Json::array();
  for (const std::string& line : coordinator.files()) {
    files.push_back(line);
    text += fmt::format("bring the file that [coordinator] names on {}, and set it here: {}\n",
                        answer.joined_through(), line);
  }
  context.output().Document(Json{{"server", file.name},
                                 {"group", answer.group()},
                                 {"through", answer.joined_through()},
                                 {"tls_directory", file.tls_directory},
                                 {"authority", !answer.authority_pem().empty()},
                                 {"config", file.path},
                                 {"files_to_bring", files}},
                            text);
  context.output().Note(fmt::format("next: understudyd --config {}", file.path));
  return {};
}

Runner DefineJoin(CLI::App& app) {
  auto arguments = std::make_shared<JoinArguments>();
  app.add_option("--token", arguments->token, "what server token printed; - reads it from input")
      ->required()
      ->type_name("TOKEN");
  AddServerOptions(app, arguments->server);
  app.add_flag("--again", arguments->again, "replace the identity that is here");
  return [arguments](Context& context) { return Join(context, *arguments); };
}

struct RemoveArguments {
  std::string server;
  bool force = false;
};

base::Status Remove(Context& context, const RemoveArguments& arguments) {
  ASSIGN_OR_RETURN(const auto client, ConnectMembership(context));
  v1::RemoveServerRequest request;
  request.set_server(arguments.server);
  request.set_force(arguments.force);
  ASSIGN_OR_RETURN(const v1::RemoveServerResponse answer, client->RemoveServer(request));
  Json databases = Json::array();
  for (const std::string& name : answer.databases()) databases.push_back(name);
  std::string text = fmt::format("server {} is no longer in the group; certificates revoked: {}\n",
                                 arguments.server, answer.certificates());
  if (answer.databases_size() > 0) {
    text += fmt::format("databases that lost a copy: {}\n", fmt::join(answer.databases(), ", "));
  }
  if (!answer.etcd().empty()) text += answer.etcd() + "\n";
  context.output().Document(Json{{"server", arguments.server},
                                 {"certificates", answer.certificates()},
                                 {"databases", databases},
                                 {"etcd", answer.etcd()}},
                            text);
  return {};
}

Runner DefineRemove(CLI::App& app) {
  auto arguments = std::make_shared<RemoveArguments>();
  app.add_option("SERVER", arguments->server, "the server")->required()->check(ServerName());
  app.add_flag("--force", arguments->force,
               "also while it runs or has passive copies, which are taken out of their databases");
  return [arguments](Context& context) { return Remove(context, *arguments); };
}

}  // namespace

void AddServerOptions(CLI::App& app, ServerOptions& options) {
  app.add_option("--config", options.config, "the server's configuration; made if it is not there")
      ->required()
      ->type_name("FILE");
  app.add_option("--server-name", options.name, "the server's name, for a new file")
      ->check(ServerName())
      ->type_name("SERVER");
  app.add_option("--listen", options.listen, "where it listens, for a new file")
      ->type_name("HOST:PORT");
  app.add_option("--data-dir", options.data_dir, "for a new file (default /var/lib/understudy)")
      ->type_name("D");
  app.add_option("--etcd-client", options.etcd_client,
                 "where its etcd member serves its daemon, for a new file")
      ->capture_default_str()
      ->type_name("HOST:PORT");
  app.add_option("--etcd-peer", options.etcd_peer,
                 "where its etcd member serves the others, for a new file (default: port 2380)")
      ->type_name("HOST:PORT");
}

std::vector<Command> JoinCommands() {
  return {{.name = "token",
           .summary = "Make a token that lets one new server join the group",
           .example = "understudy server token --for s2 --ttl 1h",
           .define = DefineToken},
          {.name = "join",
           .summary = "Make this machine a server of a group, with a token; before its daemon runs",
           .example =
               "understudy server join --token TOKEN --config /etc/understudy/understudyd.toml \\\n"
               "    --server-name s2 --listen 192.0.2.2:7400",
           .define = DefineJoin},
          {.name = "remove",
           .summary = "Take a server out of the group for good, and revoke its certificates",
           .example = "understudy server remove s3",
           .define = DefineRemove}};
}

}  // namespace understudy::cli
