// SPDX-License-Identifier: Apache-2.0
#include "server/lost_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace understudy::server {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kFormat = "understudy-lost-log";
constexpr size_t kIdTimeBytes = 16;  // "20261126T014509Z"

Json PositionToJson(const base::Position& position) {
  return {{"term", position.term.value}, {"seq", position.seq.value}};
}

// Reads fields of one object; the first that does not fit is remembered.
class Fields {
 public:
  Fields(const Json& json, const std::string& path) : json_(json), path_(path) {}

  std::string Text(const char* name) {
    const Json* const found = Find(name);
    if (found == nullptr) return {};
    if (!found->is_string()) return Fail(name, "a text"), std::string();
    return found->get<std::string>();
  }
  uint64_t Number(const char* name) {
    const Json* const found = Find(name);
    if (found == nullptr) return 0;
    if (!found->is_number_unsigned()) return Fail(name, "a number"), 0;
    return found->get<uint64_t>();
  }
  bool Flag(const char* name) {
    const Json* const found = Find(name);
    if (found == nullptr) return false;
    if (!found->is_boolean()) return Fail(name, "true or false"), false;
    return found->get<bool>();
  }
  base::WallTime Time(const char* name) {
    const auto time = base::FromRfc3339(Text(name));
    if (!time.ok()) return Fail(name, "a time"), base::WallTime();
    return *time;
  }
  base::Position Position(const char* name) {
    const Json* const found = Find(name);
    if (found == nullptr || !found->is_object()) return Fail(name, "a position"), base::Position();
    Fields position(*found, path_);
    const base::Position result{base::Term(position.Number("term")),
                                base::Seq(position.Number("seq"))};
    if (!position.status().ok()) status_ = position.status();
    return result;
  }
  const Json* Find(const char* name) {
    const auto found = json_.find(name);
    return found == json_.end() ? nullptr : &*found;
  }
  void Fail(std::string_view name, std::string_view needed) {
    if (!status_.ok()) return;
    status_ =
        base::Corruption(fmt::format("{} is damaged: its field {} is not {}", path_, name, needed));
  }
  const base::Status& status() const { return status_; }

 private:
  const Json& json_;
  const std::string path_;
  base::Status status_;
};

void ReadFiles(Fields& fields, LostManifest& manifest) {
  const Json* const files = fields.Find("files");
  if (files == nullptr || !files->is_array() || files->size() > kLostFilesMax) {
    return fields.Fail("files", "a list");
  }
  for (const Json& file : *files) {
    if (!file.is_object()) return fields.Fail("files", "a list of files");
    Fields of_file(file, "files");
    LostFile entry{of_file.Text("name"), of_file.Number("bytes")};
    const bool plain =
        !entry.name.empty() && entry.name[0] != '.' && entry.name.find('/') == std::string::npos;
    if (!of_file.status().ok() || !plain) return fields.Fail("files", "a list of files");
    manifest.files.push_back(std::move(entry));
  }
}

void ReadNewerTerm(Fields& fields, const std::string& path, LostManifest& manifest) {
  const Json* const newer = fields.Find("newer_term");
  if (newer == nullptr || !newer->is_object()) return fields.Fail("newer_term", "a term");
  Fields of_term(*newer, path);
  manifest.newer.term = base::Term(of_term.Number("term"));
  manifest.newer.server = of_term.Text("server");
  manifest.newer.time = of_term.Time("time");
  manifest.newer.reason = of_term.Text("reason");
  if (!of_term.status().ok()) fields.Fail("newer_term", "a term");
}

}  // namespace

std::optional<LostRange> FindLost(const std::vector<cluster::TermStart>& history,
                                  const log::LogEnd& end, bool diverged) {
  if (end.position.seq.value == 0) return std::nullopt;
  const auto newer =
      std::find_if(history.begin(), history.end(),
                   [&](const cluster::TermStart& start) { return start.term > end.position.term; });
  if (newer == history.end()) {
    return diverged ? std::optional(LostRange()) : std::nullopt;
  }
  // Terms go up by one: whatever began before the oldest one known may have cut off more.
  if (newer->term.value != end.position.term.value + 1) return LostRange();
  const auto cuts = std::find_if(newer, history.end(), [&](const cluster::TermStart& start) {
    return start.after.seq < end.position.seq;
  });
  if (cuts == history.end()) return std::nullopt;
  return LostRange{cuts->after, *cuts};
}

std::string ToJson(const LostManifest& m) {
  Json files = Json::array();
  for (const LostFile& file : m.files) {
    files.push_back(Json{{"name", file.name}, {"bytes", file.bytes}});
  }
  const Json json = {{"format", kFormat},
                     {"version", kLostVersion},
                     {"id", m.id},
                     {"database", m.database},
                     {"database_id", m.database_id.ToHex()},
                     {"server", m.server},
                     {"created", base::ToRfc3339(m.created)},
                     {"reason", m.reason},
                     {"after", PositionToJson(m.after)},
                     {"first", PositionToJson(m.first)},
                     {"last", PositionToJson(m.last)},
                     {"first_commit", base::ToRfc3339(m.first_commit)},
                     {"last_commit", base::ToRfc3339(m.last_commit)},
                     {"records", m.records},
                     {"pages", m.pages},
                     {"log_bytes", m.log_bytes},
                     {"missing", m.missing},
                     {"page_size", m.page_size},
                     {"newer_term",
                      {{"term", m.newer.term.value},
                       {"server", m.newer.server},
                       {"time", base::ToRfc3339(m.newer.time)},
                       {"reason", m.newer.reason}}},
                     {"files", std::move(files)},
                     {"database_bytes", m.database_bytes},
                     {"database_left_out", m.database_left_out}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

base::Result<LostManifest> LostManifestFromJson(const std::string& path, std::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return base::Corruption(path + " is damaged: it is not a JSON object");
  Fields fields(json, path);
  if (fields.Text("format") != kFormat) {
    return base::Corruption(fmt::format("{} does not describe lost log", path));
  }
  if (fields.Number("version") != kLostVersion) {
    return base::InvalidArgument(fmt::format("{} has version {}, this program knows {}", path,
                                             fields.Number("version"), kLostVersion));
  }
  LostManifest m;
  m.id = fields.Text("id");
  if (!IsLostId(m.id)) fields.Fail("id", "the id of lost log");
  m.database = fields.Text("database");
  if (!base::CheckName("database", m.database).ok()) fields.Fail("database", "a database's name");
  const auto id = base::DatabaseId::FromHex(fields.Text("database_id"));
  if (id.ok()) {
    m.database_id = *id;
  } else {
    fields.Fail("database_id", "an id");
  }
  m.server = fields.Text("server");
  m.created = fields.Time("created");
  m.reason = fields.Text("reason");
  m.after = fields.Position("after");
  m.first = fields.Position("first");
  m.last = fields.Position("last");
  m.first_commit = fields.Time("first_commit");
  m.last_commit = fields.Time("last_commit");
  m.records = fields.Number("records");
  m.pages = fields.Number("pages");
  m.log_bytes = fields.Number("log_bytes");
  m.missing = fields.Flag("missing");
  m.page_size = static_cast<uint32_t>(fields.Number("page_size"));
  ReadNewerTerm(fields, path, m);
  ReadFiles(fields, m);
  m.database_bytes = fields.Number("database_bytes");
  m.database_left_out = fields.Text("database_left_out");
  RETURN_IF_ERROR(fields.status());
  return m;
}

base::Result<LostManifest> ReadLostManifest(env::Env& env, const std::string& directory) {
  const std::string path = env::JoinPath(directory, kLostManifest);
  ASSIGN_OR_RETURN(const base::Bytes bytes, env::ReadFile(env, path, kLostManifestBytesMax));
  return LostManifestFromJson(path, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

std::string LostId(base::WallTime now, base::Position first) {
  std::string time;
  for (const char c : base::ToRfc3339(now).substr(0, 19)) {
    if (c != '-' && c != ':') time += c;
  }
  return fmt::format("{}Z-{}", time, base::ToString(first));
}

bool IsLostId(std::string_view text) {
  const auto digits = [](std::string_view part) {
    return !part.empty() &&
           std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
  };
  if (text.size() < kIdTimeBytes + 4 || text.size() > 64) return false;
  const std::string_view position = text.substr(kIdTimeBytes + 1);
  const size_t dot = position.find('.');
  return digits(text.substr(0, 8)) && text[8] == 'T' && digits(text.substr(9, 6)) &&
         text[15] == 'Z' && text[kIdTimeBytes] == '-' && dot != std::string_view::npos &&
         digits(position.substr(0, dot)) && digits(position.substr(dot + 1));
}

base::Result<std::vector<LostBundle>> ListLost(env::Env& env, const std::string& data_dir) {
  std::vector<LostBundle> bundles;
  ASSIGN_OR_RETURN(const std::vector<std::string> databases, env.List(data_dir));
  for (const std::string& database : databases) {
    const std::string lost = env::JoinPath(env::JoinPath(data_dir, database), kLostDirectory);
    const auto names = env.List(lost);
    if (!names.ok()) continue;  // most have none
    for (const std::string& name : *names) {
      if (!IsLostId(name) || bundles.size() >= kLostBundlesMax) continue;
      LostBundle bundle;
      bundle.directory = env::JoinPath(lost, name);
      base::Result<LostManifest> manifest = ReadLostManifest(env, bundle.directory);
      if (manifest.ok()) {
        bundle.manifest = std::move(manifest).value();
      } else {
        bundle.damaged = manifest.status();
        bundle.manifest.id = name;
        bundle.manifest.database = database;
      }
      bundles.push_back(std::move(bundle));
    }
  }
  std::stable_sort(bundles.begin(), bundles.end(), [](const LostBundle& a, const LostBundle& b) {
    return a.manifest.id < b.manifest.id;
  });
  return bundles;
}

base::Status RemoveFlatDirectory(env::Env& env, const std::string& directory) {
  const auto names = env.List(directory);
  if (!names.ok()) {
    return names.status().code() == base::Code::kNotFound ? base::Status() : names.status();
  }
  for (const std::string& name : *names) {
    RETURN_IF_ERROR(env.Remove(env::JoinPath(directory, name)));
  }
  return env.RemoveDirectory(directory);
}

base::Status RemoveLost(env::Env& env, const LostBundle& bundle) {
  const std::string lost = env::DirectoryOf(bundle.directory);
  // First its name: half a bundle must not be listed.
  const std::string aside = env::JoinPath(lost, ".removed");
  RETURN_IF_ERROR(RemoveFlatDirectory(env, aside));
  RETURN_IF_ERROR(env.RenameNew(bundle.directory, aside));
  RETURN_IF_ERROR(env.SyncDirectory(lost));
  return RemoveFlatDirectory(env, aside);
}

}  // namespace understudy::server
