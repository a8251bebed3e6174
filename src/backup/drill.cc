// SPDX-License-Identifier: Apache-2.0
#include "backup/drill.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "backup/restore.h"
#include "sqlite/integrity.h"

namespace understudy::backup {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kFormat = "understudy-drill";
constexpr int kVersion = 1;

std::string Folder(const std::string& database) { return database + "/drills"; }

std::string KeyOf(const DrillRecord& record) {
  return fmt::format("{}/{}-{}.json", Folder(record.database), base::ToRfc3339(record.at),
                     record.backup);
}

// Names begin with the time.
base::Result<std::vector<std::string>> NewestFirst(const Repository& repository,
                                                   const std::string& database) {
  ASSIGN_OR_RETURN(const store::ObjectList list, repository.store().List(Folder(database)));
  std::vector<std::string> keys;
  for (const store::ObjectInfo& object : list.objects) {
    if (object.name.ends_with(".json")) keys.push_back(Folder(database) + "/" + object.name);
  }
  std::ranges::sort(keys, std::greater());
  return keys;
}

base::Status Record(const Repository& repository, const DrillRecord& record) {
  RETURN_IF_ERROR(repository.store().Put(KeyOf(record), base::AsBytes(ToJson(record)),
                                         store::PutMode::kReplace));
  ASSIGN_OR_RETURN(const std::vector<std::string> keys, NewestFirst(repository, record.database));
  for (size_t i = kDrillsKept; i < keys.size(); ++i) {
    RETURN_IF_ERROR(repository.store().Delete(keys[i]));
  }
  return {};
}

// Whether it is the backup that is wrong, and not what is around it.
bool IsVerdict(const base::Status& status) {
  return status.code() == base::Code::kCorruption || status.code() == base::Code::kNotFound;
}

}  // namespace

std::string ToJson(const DrillRecord& record) {
  const Json json = {{"format", kFormat},
                     {"version", kVersion},
                     {"database", record.database},
                     {"backup", record.backup},
                     {"at", base::ToRfc3339(record.at)},
                     {"server", record.server},
                     {"good", record.good},
                     {"message", record.message},
                     {"bytes", record.bytes},
                     {"duration_ms", record.duration_ms}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

base::Result<DrillRecord> DrillFromJson(std::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto is = [&](const char* name, auto fits) {
    return json.contains(name) && (json[name].*fits)();
  };
  if (!json.is_object() || !is("format", &Json::is_string) || json["format"] != kFormat ||
      !is("database", &Json::is_string) || !is("backup", &Json::is_string) ||
      !is("at", &Json::is_string) || !is("server", &Json::is_string) ||
      !is("good", &Json::is_boolean) || !is("message", &Json::is_string) ||
      !is("bytes", &Json::is_number_unsigned) || !is("duration_ms", &Json::is_number_unsigned)) {
    return base::Corruption("it is no record of a drill");
  }
  DrillRecord record{.database = json["database"],
                     .backup = json["backup"],
                     .at = {},
                     .server = json["server"],
                     .good = json["good"],
                     .message = json["message"],
                     .bytes = json["bytes"],
                     .duration_ms = json["duration_ms"]};
  ASSIGN_OR_RETURN(record.at, base::FromRfc3339(json["at"].get_ref<const std::string&>()));
  return record;
}

base::Result<DrillRecord> Drill(env::Env& env, Executor& executor, const Repository& repository,
                                const DrillOptions& options) {
  std::string id = options.backup;
  if (id.empty()) {
    ASSIGN_OR_RETURN(const BackupDocument newest, repository.NewestGood(options.database));
    id = newest.id;
  }
  RETURN_IF_ERROR(repository.Find(options.database, id).status());
  DrillRecord record{.database = options.database, .backup = id, .server = options.server};
  const base::SteadyTime began = env.Now();
  const base::Result<RestoreResult> restored = Restore(env, executor, repository,
                                                       {.database = options.database,
                                                        .backup = id,
                                                        .output = options.scratch,
                                                        .force = true,
                                                        .progress = options.progress});
  base::Status verdict = restored.status();
  if (restored.ok()) {
    record.bytes = restored->bytes;
    verdict =
        options.check ? options.check(options.scratch) : sqlite::CheckIntegrity(options.scratch);
    env.Remove(options.scratch).IgnoreError();  // the next one replaces it
  }
  if (!verdict.ok() && !IsVerdict(verdict)) return verdict;
  record.good = verdict.ok();
  record.message = verdict.message();
  record.at = env.WallNow();
  record.duration_ms = static_cast<uint64_t>((env.Now() - began) / std::chrono::milliseconds(1));
  RETURN_IF_ERROR(Record(repository, record).WithContext("recording the drill"));
  return record;
}

base::Result<std::vector<DrillRecord>> ListDrills(const Repository& repository,
                                                  const std::string& database) {
  ASSIGN_OR_RETURN(const std::vector<std::string> keys, NewestFirst(repository, database));
  std::vector<DrillRecord> drills;
  for (const std::string& key : keys) {
    if (drills.size() == kDrillsListed) break;
    const base::Result<base::Bytes> text = store::Get(repository.store(), key, kDrillBytesMax);
    if (!text.ok()) continue;
    auto drill = DrillFromJson({reinterpret_cast<const char*>(text->data()), text->size()});
    if (drill.ok()) drills.push_back(std::move(drill).value());
  }
  return drills;
}

}  // namespace understudy::backup
