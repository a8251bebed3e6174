// SPDX-License-Identifier: Apache-2.0
// The group's repositories.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "cli/groups.h"
#include "cli/human.h"
#include "cli/repository_argument.h"
#include "cli/table.h"
#include "cli/text_width.h"
#include "cli/views.h"
#include "rpc/protocol.h"
#include "store/repository_key.h"

namespace understudy::cli {
namespace {

constexpr uint32_t kKeepMax = 100'000;
constexpr const char* kHint = "'understudy repository list' shows the group's";

struct Arguments {
  std::string name;
  std::string location;
  std::string key_file;
  std::optional<uint64_t> rate;
  std::optional<uint32_t> keep_full;
  std::optional<uint32_t> keep_days;
  bool unchecked = false;
};

std::string AbsolutePath(const std::string& typed) {
  return std::filesystem::absolute(typed).lexically_normal().string();
}

Json RowOf(const v1::Repository& repository) {
  return {{"name", repository.name()},
          {"location", repository.location()},
          {"rate", repository.rate() == 0 ? Json() : Json(repository.rate())},
          {"key_file", TextOrNull(repository.key_file())},
          {"keep_full", repository.keep_full() == 0 ? Json() : Json(repository.keep_full())},
          {"keep_days", repository.keep_days() == 0 ? Json() : Json(repository.keep_days())},
          {"created", TimeJson(repository.created_ms())}};
}

void Show(Context& context, const v1::ListRepositoriesResponse& answer) {
  Json rows = Json::array();
  for (const v1::Repository& repository : answer.repositories()) rows.push_back(RowOf(repository));
  context.output().FromMemory(answer.coordinator_silence_ms());
  context.output().Rows("repositories", rows,
                        {{"name"},
                         {"location"},
                         {"rate", CellKind::kRate},
                         {"key_file"},
                         {"keep_full", CellKind::kNumber},
                         {"keep_days", CellKind::kNumber}},
                        "The group has no repository. Add one: understudy repository add NAME "
                        "LOCATION");
}

Json RowOf(const v1::RepositoryCheck& check) {
  const bool good = check.good();
  std::string verdict = good ? check.exists()
                                   ? fmt::format("a repository of {} databases", check.databases())
                                   : "empty: the first backup begins it"
                             : check.error();
  if (good && !check.exclusive()) {
    verdict += "; two servers can take its lock at once: back up each database from one only";
  }
  return {{"server", check.server()},
          {"state", good ? "Good" : "Failed"},
          {"write_ms", good ? Json(static_cast<double>(check.write_us()) / 1000) : Json()},
          {"read_ms", good ? Json(static_cast<double>(check.read_us()) / 1000) : Json()},
          {"free", check.free_known() ? Json(check.free_bytes()) : Json()},
          {"exclusive", good ? Json(check.exclusive()) : Json()},
          {"verdict", verdict},
          {"hint", TextOrNull(check.hint())}};
}

base::Result<v1::CheckRepositoryResponse> AskForCheck(Context& context, rpc::AdminClient& client,
                                                      const std::string& repository) {
  v1::CheckRepositoryRequest request;
  request.set_repository(repository);
  return client.CheckRepository(request, context.TimeoutOr(rpc::kLongCallTimeout));
}

Json RowsOf(const v1::CheckRepositoryResponse& answer) {
  Json rows = Json::array();
  for (const v1::RepositoryCheck& check : answer.checks()) rows.push_back(RowOf(check));
  return rows;
}

const std::vector<Column>& CheckColumns() {
  static const std::vector<Column> kColumns = {
      {"server"},
      {"state", CellKind::kState},
      {"write_ms", CellKind::kDuration},
      {"read_ms", CellKind::kDuration},
      {"free", CellKind::kBytes},
      {"verdict"},
  };
  return kColumns;
}

// The server that was asked must be able to use it; what the others find is told.
base::Status CheckBeforeAdding(Context& context, rpc::AdminClient& client,
                               const std::string& location) {
  ASSIGN_OR_RETURN(const v1::CheckRepositoryResponse answer,
                   AskForCheck(context, client, location));
  for (const v1::RepositoryCheck& check : answer.checks()) {
    if (check.good()) continue;
    const std::string sentence =
        fmt::format("server {} cannot use it: {}", check.server(), check.error());
    if (&check != &answer.checks(0)) {
      context.output().Note(sentence + "\n");
      continue;
    }
    return base::InvalidArgument(fmt::format("{}\n{}{}", sentence,
                                             check.hint().empty() ? "" : check.hint() + "; ",
                                             "--unchecked adds it all the same"));
  }
  return {};
}

v1::Repository ToProto(const Arguments& arguments) {
  v1::Repository repository;
  repository.set_name(arguments.name);
  repository.set_location(AbsoluteLocation(arguments.location));
  repository.set_rate(arguments.rate.value_or(0));
  repository.set_key_file(arguments.key_file);
  repository.set_keep_full(arguments.keep_full.value_or(0));
  repository.set_keep_days(arguments.keep_days.value_or(0));
  return repository;
}

std::string WithKey(const v1::Repository& repository) {
  if (repository.key_file().empty()) return repository.location();
  const char sign = repository.location().find('?') == std::string::npos ? '?' : '&';
  return fmt::format("{}{}key={}", repository.location(), sign, repository.key_file());
}

base::Status Add(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::AddRepositoryRequest request;
  *request.mutable_repository() = ToProto(arguments);
  if (!arguments.unchecked) {
    RETURN_IF_ERROR(CheckBeforeAdding(context, *client, WithKey(request.repository())));
  }
  ASSIGN_OR_RETURN(const v1::ListRepositoriesResponse answer,
                   client->AddRepository(request, context.TimeoutOr(rpc::kCallTimeoutDefault)));
  Show(context, answer);
  return {};
}

base::Status Set(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::SetRepositoryRequest request;
  request.set_name(arguments.name);
  if (!arguments.location.empty()) request.set_location(AbsoluteLocation(arguments.location));
  if (!arguments.key_file.empty()) request.set_key_file(arguments.key_file);
  if (arguments.rate) request.set_rate(*arguments.rate);
  if (arguments.keep_full) request.set_keep_full(*arguments.keep_full);
  if (arguments.keep_days) request.set_keep_days(*arguments.keep_days);
  ASSIGN_OR_RETURN(const v1::ListRepositoriesResponse answer,
                   client->SetRepository(request, context.TimeoutOr(rpc::kCallTimeoutDefault)));
  Show(context, answer);
  return {};
}

base::Status List(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::ListRepositoriesRequest request;
  request.set_name(arguments.name);
  ASSIGN_OR_RETURN(const v1::ListRepositoriesResponse answer,
                   client->ListRepositories(request, context.TimeoutOr(rpc::kCallTimeoutDefault)));
  Show(context, answer);
  return {};
}

base::Status Remove(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::RemoveRepositoryRequest request;
  request.set_name(arguments.name);
  RETURN_IF_ERROR(
      client->RemoveRepository(request, context.TimeoutOr(rpc::kCallTimeoutDefault)).status());
  context.output().Document(
      Json{{"removed", arguments.name}},
      fmt::format("repository {} is not known to the group any more; what is stored there stays\n",
                  arguments.name));
  return {};
}

base::Status Check(Context& context, const Arguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  ASSIGN_OR_RETURN(const v1::CheckRepositoryResponse answer,
                   AskForCheck(context, *client, AbsoluteLocation(arguments.name)));
  context.output().Rows("checks", RowsOf(answer), CheckColumns(), "");
  for (const v1::RepositoryCheck& check : answer.checks()) {
    if (!check.hint().empty()) {
      context.output().Note(fmt::format("{}: {}\n", check.server(), Printable(check.hint())));
    }
  }
  const auto failed = std::count_if(answer.checks().begin(), answer.checks().end(),
                                    [](const auto& check) { return !check.good(); });
  if (failed == 0) return {};
  return base::Unavailable(
      fmt::format("{} of {} servers cannot use it\nwhat each says is in the table", failed,
                  answer.checks_size()));
}

base::Status WriteKeyFile(env::Env& env, const std::string& path) {
  ASSIGN_OR_RETURN(const auto file, env.Open(path, env::OpenMode::kCreateNewPrivate));
  RETURN_IF_ERROR(file->WriteAt(0, base::AsBytes(store::MakeKeyFile(env))));
  RETURN_IF_ERROR(file->Sync());
  RETURN_IF_ERROR(file->Close());
  return env.SyncDirectory(env::DirectoryOf(path));
}

// Without any server.
base::Status MakeKey(Context& context, const Arguments& arguments) {
  const std::string path = AbsolutePath(arguments.key_file);
  RETURN_IF_ERROR(WriteKeyFile(context.env(), path));
  ASSIGN_OR_RETURN(const store::RepositoryKeys keys,
                   store::RepositoryKeys::Load(context.env(), path));
  context.output().Document(
      Json{{"file", path}, {"key", store::ToHex(keys.first().id())}},
      fmt::format(
          "key {} is in {}\nput the same file on every server with a copy, and one where no "
          "server is: without it nothing in the repository can be read again, by anybody\n",
          store::ToHex(keys.first().id()), path));
  return {};
}

base::Status ShowKey(Context& context, const Arguments& arguments) {
  const std::string path = AbsolutePath(arguments.key_file);
  ASSIGN_OR_RETURN(const store::RepositoryKeys keys,
                   store::RepositoryKeys::Load(context.env(), path));
  context.output().Document(
      Json{{"file", path}, {"key", store::ToHex(keys.first().id())}, {"keys", keys.Ids()}},
      fmt::format("{} encrypts with the key {}, and decrypts with {}\n", path,
                  store::ToHex(keys.first().id()), keys.Ids()));
  return {};
}

CLI::Option* AddName(CLI::App& app, Arguments& arguments) {
  return app.add_option("NAME", arguments.name, "its name in the group")->check(ServerName());
}

// What can be set.
void AddOptions(CLI::App& app, Arguments& arguments) {
  AddBytes(app, "--rate", arguments.rate,
           "so many bytes a second are written there, and read, by each server at most (0: no "
           "limit)");
  app.add_option("--key", arguments.key_file,
                 "the file with the key that it is encrypted with, on every server")
      ->type_name("FILE");
  app.add_option("--keep-full", arguments.keep_full,
                 "a prune leaves the newest N good full backups and what is based on them")
      ->check(CLI::Range(uint32_t{0}, kKeepMax))
      ->type_name("N");
  app.add_option("--keep-days", arguments.keep_days,
                 "a prune leaves what was completed less than D days before the newest backup")
      ->check(CLI::Range(uint32_t{0}, kKeepMax))
      ->type_name("D");
}

Runner DefineAdd(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  AddName(app, *arguments)->required();
  app.add_option("LOCATION", arguments->location,
                 "a directory that all servers share, or s3://BUCKET/PREFIX?endpoint=https://HOST")
      ->required();
  AddOptions(app, *arguments);
  app.add_flag("--unchecked", arguments->unchecked, "do not try first whether it can be used");
  return [arguments](Context& context) { return Add(context, *arguments); };
}

Runner DefineSet(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  AddName(app, *arguments)->required();
  app.add_option("--location", arguments->location, "where it is now")->type_name("LOCATION");
  AddOptions(app, *arguments);
  return [arguments](Context& context) { return Set(context, *arguments); };
}

Runner DefineList(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  AddName(app, *arguments);
  return [arguments](Context& context) { return List(context, *arguments); };
}

Runner DefineRemove(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  AddName(app, *arguments)->required();
  return [arguments](Context& context) { return Remove(context, *arguments); };
}

Runner DefineCheck(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  app.add_option("REPO", arguments->name,
                 "its name, or a location (default: what the server takes for one)");
  return [arguments](Context& context) { return Check(context, *arguments); };
}

Runner DefineKey(CLI::App& app, base::Status (*action)(Context&, const Arguments&)) {
  auto arguments = std::make_shared<Arguments>();
  app.add_option("FILE", arguments->key_file, "the key file")->required();
  return [arguments, action](Context& context) { return action(context, *arguments); };
}

}  // namespace

Group RepositoryCommands() {
  return {"repository",
          "Places for backups that every server of the group knows by name",
          {{.name = "add",
            .summary = "Give a place for backups a name in the group",
            .example = "understudy repository add offsite "
                       "'s3://backups/group?endpoint=https://s3.example.com' --keep-days 30",
            .define = DefineAdd},
           {.name = "list",
            .summary = "List the group's repositories",
            .example = "understudy repository list",
            .define = DefineList,
            .not_found_hint = kHint},
           {.name = "set",
            .summary = "Change what holds for a repository",
            .example = "understudy repository set offsite --rate 20MiB --keep-full 4",
            .define = DefineSet,
            .not_found_hint = kHint},
           {.name = "check",
            .summary = "Let every server write, read and delete an object there",
            .example = "understudy repository check offsite",
            .define = DefineCheck,
            .not_found_hint = kHint},
           {.name = "remove",
            .summary = "Forget a repository; what is stored there stays",
            .example = "understudy repository remove offsite",
            .define = DefineRemove,
            .not_found_hint = kHint},
           {.name = "make-key",
            .summary = "Make a key that a repository can be encrypted with (needs no server)",
            .example = "understudy repository make-key /etc/understudy/backup.key",
            .define = [](CLI::App& app) { return DefineKey(app, MakeKey); },
            .exists_hint = "a key is never replaced: what it encrypted could not be read again"},
           {.name = "show-key",
            .summary = "Show the ids of the keys in a key file, never the keys (needs no server)",
            .example = "understudy repository show-key /etc/understudy/backup.key",
            .define = [](CLI::App& app) { return DefineKey(app, ShowKey); },
            .not_found_hint = "'understudy repository make-key FILE' makes one"}}};
}

}  // namespace understudy::cli
