// SPDX-License-Identifier: Apache-2.0
#include "backup/backup_document.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "backup/archive.h"
#include "backup/ltx_format.h"
#include "backup/repository.h"
#include "base/hex.h"
#include "log/page_table.h"

namespace understudy::backup {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kFormat = "understudy-backup";
constexpr std::array<std::string_view, 3> kVerificationNames = {"not verified", "good", "failed"};
constexpr size_t kTextBytesMax = 4096;
// "20261122T184500Z-" and "-3f09ac".
constexpr size_t kIdTimeBytes = 16;
constexpr size_t kIdRandomBytes = 6;

std::string Hex64(uint64_t value) { return fmt::format("{:016x}", value); }

uint64_t VersionOf(BackupType type) {
  return IsIncrement(type) ? kIncrementDocumentVersion : kDocumentVersion;
}

Json FileToJson(const BackupFile& file) {
  return {{"path", file.path},          {"bytes", file.bytes},       {"xxh3_128", file.xxh3_128},
          {"crc64", Hex64(file.crc64)}, {"min_txid", file.min_txid}, {"max_txid", file.max_txid},
          {"level", file.level},        {"reused", file.reused}};
}

Json ContentToJson(const BackupDocument& d) {
  Json files = Json::array();
  for (const BackupFile& file : d.files) files.push_back(FileToJson(file));
  Json verification = {{"state", VerificationStateName(d.verification.state)},
                       {"at", base::ToRfc3339(d.verification.at)},
                       {"method", d.verification.method},
                       {"message", d.verification.message}};
  Json json = {{"format", kFormat},
               {"version", VersionOf(d.type)},
               {"id", d.id},
               {"type", BackupTypeName(d.type)}};
  if (IsIncrement(d.type)) json["base"] = d.base;
  json.update(Json{{"consistency", d.consistency},
                   {"provider", d.provider},
                   {"database",
                    {{"name", d.database_name},
                     {"id", d.database.ToHex()},
                     {"page_size", d.page_size},
                     {"pages", d.pages},
                     {"checksum", Hex64(d.checksum)}}},
                   {"source", {{"server", d.server}, {"role", d.role}}},
                   {"position", {{"term", d.position.term.value}, {"seq", d.position.seq.value}}},
                   {"commit_time", base::ToRfc3339(d.commit_time)},
                   {"files", std::move(files)},
                   {"started", base::ToRfc3339(d.started)},
                   {"completed", base::ToRfc3339(d.completed)},
                   {"duration_ms", d.duration_ms},
                   {"bytes_pages", d.bytes_pages},
                   {"bytes_stored", d.bytes_stored},
                   {"bytes_per_second", d.bytes_per_second},
                   {"result",
                    {{"phase", PhaseName(d.phase)},
                     {"state", static_cast<int>(d.state)},
                     {"state_name", WriterStateName(d.state)},
                     {"code", WriterCodeHex(d.code)},
                     {"code_name", WriterCodeName(d.code)}}},
                   {"verification", std::move(verification)},
                   {"software", d.software}});
  return json;
}

std::string ChecksumOf(const Json& content) {
  // Invalid UTF-8 (an error text with an odd path in it) is replaced, never thrown about.
  const std::string text = content.dump(-1, ' ', false, Json::error_handler_t::replace);
  return Hex64(XXH3_64bits(text.data(), text.size()));
}

// Reads the members of one object; the first that is missing or of a wrong kind is remembered, and
// everything reads as zero or empty then.
class Fields {
 public:
  Fields(const Json& object, std::string where) : object_(object), where_(std::move(where)) {}

  base::Status status() const { return status_; }

  const Json* Member(const char* key, Json::value_t kind) {
    const auto found = object_.is_object() ? object_.find(key) : object_.end();
    if (!object_.is_object() || found == object_.end() || found->type() != kind) {
      return Fail(key), nullptr;
    }
    return &*found;
  }
  std::string Text(const char* key) {
    const Json* member = Member(key, Json::value_t::string);
    if (member == nullptr) return {};
    const auto& text = member->get_ref<const std::string&>();
    if (text.size() > kTextBytesMax) return Fail(key), std::string();
    return text;
  }
  uint64_t Number(const char* key, uint64_t max = UINT64_MAX) {
    const Json* member = Member(key, Json::value_t::number_unsigned);
    const uint64_t number = member == nullptr ? 0 : member->get<uint64_t>();
    if (number > max) return Fail(key), 0;
    return number;
  }
  bool Flag(const char* key) {
    const Json* member = Member(key, Json::value_t::boolean);
    return member != nullptr && member->get<bool>();
  }
  uint64_t Hex(const char* key) {
    std::array<uint8_t, 8> bytes{};
    if (!base::HexDecode(Text(key), bytes)) Fail(key);
    return base::LoadBe64(bytes.data());
  }
  base::WallTime Time(const char* key) {
    const auto time = base::FromRfc3339(Text(key));
    if (!time.ok()) return Fail(key), base::WallTime();
    return *time;
  }
  template <typename Value>
  Value Known(const char* key, const std::optional<Value>& value) {
    if (!value) Fail(key);
    return value.value_or(Value());
  }
  void Fail(const char* key) {
    if (status_.ok()) {
      status_ = base::Corruption(fmt::format("member {}{} is missing or wrong", where_, key));
    }
  }

 private:
  const Json& object_;
  const std::string where_;
  base::Status status_;
};

std::optional<VerificationState> VerificationStateFromName(std::string_view name) {
  const auto found = std::find(kVerificationNames.begin(), kVerificationNames.end(), name);
  if (found == kVerificationNames.end()) return std::nullopt;
  return static_cast<VerificationState>(found - kVerificationNames.begin());
}

base::Result<BackupFile> FileFromJson(const Json& object, const BackupDocument& d) {
  Fields fields(object, "files.");
  BackupFile file{.path = fields.Text("path"),
                  .bytes = fields.Number("bytes"),
                  .xxh3_128 = fields.Text("xxh3_128"),
                  .crc64 = fields.Hex("crc64"),
                  .min_txid = fields.Number("min_txid"),
                  .max_txid = fields.Number("max_txid"),
                  .level = static_cast<uint32_t>(fields.Number("level", kLtxSnapshotLevel)),
                  .reused = fields.Flag("reused")};
  RETURN_IF_ERROR(fields.status());
  // A document cannot name a file outside its own database.
  const std::string expected =
      LtxFilePath(d.database_name, file.level, file.min_txid, file.max_txid);
  const bool right = d.type == BackupType::kLog ? IsArchiveDataKey(file.path, d.database_name, d.id)
                                                : file.path == expected;
  if (!right) return base::Corruption(fmt::format("file {} should be {}", file.path, expected));
  return file;
}

base::Status ReadDatabase(const Json& root, BackupDocument& d) {
  Fields top(root, "");
  const Json* database = top.Member("database", Json::value_t::object);
  const Json* source = top.Member("source", Json::value_t::object);
  const Json* position = top.Member("position", Json::value_t::object);
  RETURN_IF_ERROR(top.status());

  Fields fields(*database, "database.");
  d.database_name = fields.Text("name");
  const auto id = base::DatabaseId::FromHex(fields.Text("id"));
  if (!id.ok()) fields.Fail("id");
  d.page_size = static_cast<uint32_t>(fields.Number("page_size", log::kPageSizeMax));
  d.pages = static_cast<uint32_t>(fields.Number("pages", UINT32_MAX));
  d.checksum = fields.Hex("checksum");
  RETURN_IF_ERROR(fields.status());
  d.database = *id;
  RETURN_IF_ERROR(base::CheckName("database name", d.database_name));
  if (!log::IsPageSize(d.page_size) || d.pages == 0) {
    return base::Corruption("member database.page_size or database.pages is impossible");
  }

  Fields from(*source, "source.");
  d.server = from.Text("server");
  d.role = from.Text("role");
  RETURN_IF_ERROR(from.status());
  Fields at(*position, "position.");
  d.position = {base::Term(at.Number("term")), base::Seq(at.Number("seq"))};
  return at.status();
}

base::Status ReadOutcome(const Json& root, BackupDocument& d) {
  Fields top(root, "");
  const Json* result = top.Member("result", Json::value_t::object);
  const Json* verification = top.Member("verification", Json::value_t::object);
  RETURN_IF_ERROR(top.status());

  Fields outcome(*result, "result.");
  d.phase = outcome.Known("phase", PhaseFromName(outcome.Text("phase")));
  d.state = outcome.Known("state", WriterStateFromNumber(outcome.Number("state")));
  const std::string code = outcome.Text("code");
  std::array<uint8_t, 4> bytes{};
  if (!code.starts_with("0x") || !base::HexDecode(std::string_view(code).substr(2), bytes)) {
    outcome.Fail("code");
  }
  d.code = outcome.Known("code", WriterCodeFromNumber(base::LoadBe32(bytes.data())));
  RETURN_IF_ERROR(outcome.status());

  Fields check(*verification, "verification.");
  d.verification.state = check.Known("state", VerificationStateFromName(check.Text("state")));
  d.verification.at = check.Time("at");
  d.verification.method = check.Text("method");
  d.verification.message = check.Text("message");
  return check.status();
}

base::Status ReadTop(const Json& root, BackupDocument& d) {
  Fields top(root, "");
  d.id = top.Text("id");
  d.type = top.Known("type", BackupTypeFromName(top.Text("type")));
  d.consistency = top.Text("consistency");
  d.provider = top.Text("provider");
  d.software = top.Text("software");
  d.commit_time = top.Time("commit_time");
  d.started = top.Time("started");
  d.completed = top.Time("completed");
  d.duration_ms = top.Number("duration_ms");
  d.bytes_pages = top.Number("bytes_pages");
  d.bytes_stored = top.Number("bytes_stored");
  d.bytes_per_second = top.Number("bytes_per_second");
  const Json* files = top.Member("files", Json::value_t::array);
  if (!IsBackupId(d.id)) top.Fail("id");
  if (IsIncrement(d.type)) {
    d.base = top.Text("base");
    if (!IsBackupId(d.base) || d.base == d.id) top.Fail("base");
  }
  RETURN_IF_ERROR(top.status());
  const size_t files_min = IsIncrement(d.type) ? 0 : 1;
  if (files->size() < files_min || files->size() > kDocumentFilesMax) {
    return base::Corruption(
        fmt::format("{} files are not {} to {}", files->size(), files_min, kDocumentFilesMax));
  }
  for (const Json& file : *files) {
    ASSIGN_OR_RETURN(BackupFile parsed, FileFromJson(file, d));
    d.files.push_back(std::move(parsed));
  }
  return base::Status();
}

}  // namespace

std::string_view VerificationStateName(VerificationState state) {
  return kVerificationNames[static_cast<size_t>(state)];
}

std::string ToJson(const BackupDocument& document) {
  Json json = ContentToJson(document);
  json["checksum"] = ChecksumOf(json);
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

base::Result<BackupDocument> DocumentFromJson(std::string_view text) {
  if (text.size() > kDocumentBytesMax) return base::Corruption("larger than a backup document is");
  const Json root = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (root.is_discarded() || !root.is_object()) return base::Corruption("not a JSON object");
  Fields top(root, "");
  if (top.Text("format") != kFormat) return base::Corruption("not a backup document");
  const uint64_t version = top.Number("version");
  RETURN_IF_ERROR(top.status());
  if (version != kDocumentVersion && version != kIncrementDocumentVersion) {
    return base::InvalidArgument(fmt::format(
        "backup document version {} is not known to this program, which knows {} and {}", version,
        kDocumentVersion, kIncrementDocumentVersion));
  }
  BackupDocument document;
  RETURN_IF_ERROR(ReadDatabase(root, document));
  RETURN_IF_ERROR(ReadTop(root, document));
  if (version != VersionOf(document.type)) {
    return base::Corruption("its version does not fit its type");
  }
  RETURN_IF_ERROR(ReadOutcome(root, document));
  const std::string checksum = top.Text("checksum");
  RETURN_IF_ERROR(top.status());
  // Summed over what was understood, not over the text: white space may change, values may not.
  if (checksum != ChecksumOf(ContentToJson(document))) {
    return base::Corruption("its checksum does not fit its content");
  }
  return document;
}

std::string MakeBackupId(base::WallTime started, BackupType type, uint64_t random) {
  std::string time = base::ToRfc3339(started);  // "2026-11-22T18:45:00.125Z"
  time.resize(time.find('.') == std::string::npos ? time.size() - 1 : time.find('.'));
  std::erase_if(time, [](char c) { return c == '-' || c == ':'; });
  return fmt::format("{}Z-{}-{:06x}", time, BackupTypeName(type), random & 0xffffff);
}

bool IsBackupId(std::string_view text) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const auto is_hex = [&](char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); };
  const size_t last_dash = text.rfind('-');
  if (text.size() < kIdTimeBytes + 2 + kIdRandomBytes || text[kIdTimeBytes] != '-' ||
      last_dash == kIdTimeBytes || last_dash != text.size() - kIdRandomBytes - 1) {
    return false;
  }
  const std::string_view time = text.substr(0, kIdTimeBytes);
  const std::string_view type = text.substr(kIdTimeBytes + 1, last_dash - kIdTimeBytes - 1);
  const std::string_view random = text.substr(last_dash + 1);
  return std::all_of(time.begin(), time.begin() + 8, is_digit) && time[8] == 'T' &&
         std::all_of(time.begin() + 9, time.begin() + 15, is_digit) && time[15] == 'Z' &&
         BackupTypeFromName(type).has_value() && std::all_of(random.begin(), random.end(), is_hex);
}

}  // namespace understudy::backup
