// SPDX-License-Identifier: Apache-2.0
#include "cli/support_bundle.h"

#include <fmt/format.h>

#include <sstream>

#include "cli/main.h"
#include "cli/text_width.h"
#include "rpc/protocol.h"

namespace understudy::cli {
namespace {

constexpr int kSilentMax = 2;
constexpr const char* kEvents = "2000";  // of each server's view of the group

std::string Joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

// The sentence of a failure that a command printed as JSON.
std::string SentenceOf(const std::string& error) {
  const Json json = Json::parse(error, nullptr, false);
  if (!json.is_object() || !json.contains("error")) return error;
  return json["error"].value("message", error);
}

}  // namespace

base::Status SupportBundle::Collect() {
  ASSIGN_OR_RETURN(auto client, context_.Connect());
  ASSIGN_OR_RETURN(const v1::ListServersResponse servers,
                   client->ListServers({}, context_.TimeoutOr(rpc::kCallTimeoutDefault)));
  ASSIGN_OR_RETURN(const v1::ListDatabasesResponse databases,
                   client->ListDatabases({}, context_.TimeoutOr(rpc::kCallTimeoutDefault)));
  AskGroup();
  for (int i = 0; i < databases.databases_size(); ++i) {
    if (static_cast<size_t>(i) < kDatabasesMax) AskDatabase(databases.databases(i).name());
  }
  for (int i = 0; i < servers.servers_size(); ++i) {
    if (static_cast<size_t>(i) >= kServersMax) break;
    Server server{servers.servers(i).name(), servers.servers(i).address()};
    AskServer(server);
  }
  return {};
}

// What the asked server says of the group as a whole.
void SupportBundle::AskGroup() {
  const std::pair<const char*, std::vector<std::string>> questions[] = {
      {"databases", {"db", "list"}},
      {"settings", {"config", "get"}},
      {"activation", {"activation", "status"}},
      {"backups", {"backup", "list"}},
      {"lost", {"lost", "list"}},
      {"writers", {"writers"}},
      {"certificates", {"group", "certificates"}},
      {"version", {"version"}}};
  for (const auto& [file, command] : questions) {
    Ask(fmt::format("group/{}.json", file), command, context_.globals().server);
  }
}

void SupportBundle::AskDatabase(const std::string& name) {
  const std::string& asked = context_.globals().server;
  Ask(fmt::format("databases/{}/failover.json", name), {"failover", "explain", name}, asked);
  Ask(fmt::format("databases/{}/holds.json", name), {"holds", name}, asked);
}

// Each sees the group with its own eyes.
void SupportBundle::AskServer(Server& server) {
  AskFacts(server);
  const std::pair<const char*, std::vector<std::string>> questions[] = {
      {"status", {"status"}},
      {"servers", {"server", "list"}},
      {"health", {"health"}},
      {"events", {"events", "--limit", kEvents}},
      {"own-events", {"events", "--local", "--limit", kEvents}}};
  for (const auto& [name, command] : questions) {
    const std::string file = fmt::format("servers/{}/{}.json", server.name, name);
    if (server.silent >= kSilentMax) {
      Note(file, Joined(command), base::Unavailable("not asked: it had not answered before"));
      continue;
    }
    server.silent = Ask(file, command, server.address) ? 0 : server.silent + 1;
  }
}

void SupportBundle::AskFacts(Server& server) {
  const std::string folder = fmt::format("servers/{}/", server.name);
  const auto client = context_.ConnectTo(server.address);
  auto facts = client.ok() ? (*client)->SupportFacts({}, kAnswerLimit)
                           : base::Result<v1::SupportFactsResponse>(client.status());
  Note(folder + "facts.json", "what it tells of itself", facts.status());
  if (!facts.ok()) {
    ++server.silent;
    return;
  }
  Json json;
  for (const v1::SupportFact& fact : facts->facts()) json[fact.name()] = fact.value();
  Add(folder + "facts.json", ToText(json, 2) + "\n");
  Add(folder + "understudyd.toml", facts->configuration());
  std::string lines;
  for (const std::string& line : facts->diagnostics()) lines += line + "\n";
  Add(folder + "diagnostics.txt", std::move(lines));
}

bool SupportBundle::Ask(const std::string& file, const std::vector<std::string>& command,
                        const std::string& address) {
  std::vector<std::string> words = command;
  words.insert(words.end(), {"-o", "json", "--timeout", "5s"});
  if (!address.empty()) words.insert(words.end(), {"--server", address});
  if (const std::string& identity = context_.globals().identity; !identity.empty()) {
    words.insert(words.end(), {"--identity", identity});
  }
  std::ostringstream out;
  std::ostringstream error;
  const ExitCode code = Run(words, out, error, context_.env());
  Add(file, out.str());
  // A check that failed is an answer; the rest is in what it printed.
  const bool answered = code == ExitCode::kDone || !out.str().empty();
  Note(file, Joined(command),
       answered ? base::Status() : base::Unavailable(SentenceOf(error.str())));
  return code != ExitCode::kNotReachable;
}

void SupportBundle::Add(const std::string& file, std::string text) {
  if (text.empty()) return;
  if (text.size() > kAnswerBytesMax) {
    text.resize(kAnswerBytesMax);
    text += "\n(cut off)\n";
  }
  const base::Status added = tar_.Add(file, text);
  if (!added.ok()) Note(file, "", added);
}

void SupportBundle::Note(const std::string& file, const std::string& what,
                         const base::Status& status) {
  if (!status.ok()) ++failed_;
  std::string why = status.ok() ? "" : status.message();
  while (!why.empty() && why.back() == '\n') why.pop_back();
  entries_.push_back({{"file", file},
                      {"what", what},
                      {"got", status.ok()},
                      {"why", status.ok() ? Json() : Json(why)}});
}

base::Result<base::Bytes> SupportBundle::Finish() {
  const Json manifest{{"bundle", 1},
                      {"made", base::ToRfc3339(context_.env().WallNow())},
                      {"command", std::string(rpc::kVersion)},
                      {"server", context_.globals().server},
                      {"entries", entries_}};
  RETURN_IF_ERROR(tar_.Add("manifest.json", ToText(manifest, 2) + "\n"));
  return tar_.Finish();
}

}  // namespace understudy::cli
