// SPDX-License-Identifier: Apache-2.0
// RecordFields: how records of the coordinator are read from JSON and written (private to
// cluster/).
//
// A field of the wrong type is kCorruption that names the coordinator's key and the field; missing
// ones keep their defaults. Threading: thread-compatible; the rest are pure functions.
#pragma once

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/status.h"
#include "base/time.h"

namespace understudy::cluster {

using Json = nlohmann::json;

// Reads fields of one object; the first one of the wrong type is what status() says.
class RecordFields {
 public:
  RecordFields(std::string_view key, const Json& object) : key_(key), object_(object) {
    if (!object_.is_object()) Fail("is not a JSON object");
  }

  const base::Status& status() const { return status_; }

  void Get(const char* name, std::string& out) {
    const Json* field = Find(name);
    if (field == nullptr) return;
    if (!field->is_string()) return Fail(fmt::format("{} is not a string", name));
    out = field->get_ref<const std::string&>();
  }
  void Get(const char* name, uint64_t& out) {
    const Json* field = Find(name);
    if (field == nullptr) return;
    if (!field->is_number_unsigned()) return Fail(fmt::format("{} is not a number", name));
    out = field->get<uint64_t>();
  }
  void Get(const char* name, bool& out) {
    const Json* field = Find(name);
    if (field == nullptr) return;
    if (!field->is_boolean()) return Fail(fmt::format("{} is not true or false", name));
    out = field->get<bool>();
  }
  void Get(const char* name, base::WallTime& out) {
    std::string text;
    Get(name, text);
    if (text.empty()) return;
    const base::Result<base::WallTime> time = base::FromRfc3339(text);
    if (!time.ok()) return Fail(fmt::format("{} is not a time", name));
    out = *time;
  }
  void Get(const char* name, base::Position& out) {
    const Json* field = Find(name);
    if (field == nullptr) return;
    RecordFields position(key_, *field);
    position.Get("term", out.term.value);
    position.Get("seq", out.seq.value);
    if (!position.status().ok()) status_ = position.status();
  }
  void Get(const char* name, base::DatabaseId& out) {
    std::string text;
    Get(name, text);
    const base::Result<base::DatabaseId> id = base::DatabaseId::FromHex(text);
    if (!id.ok()) return Fail(fmt::format("{} is not a database id", name));
    out = *id;
  }
  const Json* Array(const char* name) {
    const Json* field = Find(name);
    if (field == nullptr) return nullptr;
    if (field->is_array()) return field;
    Fail(fmt::format("{} is not a list", name));
    return nullptr;
  }
  const Json* Object(const char* name) {
    const Json* field = Find(name);
    if (field == nullptr || field->is_object()) return field;
    Fail(fmt::format("{} is not an object", name));
    return nullptr;
  }
  void Require(bool condition, std::string_view what) {
    if (!condition) Fail(std::string(what));
  }

 private:
  const Json* Find(const char* name) {
    if (!status_.ok()) return nullptr;
    const auto found = object_.find(name);
    return found == object_.end() ? nullptr : &*found;
  }
  void Fail(const std::string& what) {
    if (status_.ok()) status_ = base::Corruption(fmt::format("coordinator key {}: {}", key_, what));
  }

  const std::string key_;
  const Json& object_;
  base::Status status_;
};

// A replacement character instead of an exception for text that is not UTF-8 (paths may be
// anything).
inline std::string DumpRecord(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

inline Json ToObject(base::Position position) {
  return {{"term", position.term.value}, {"seq", position.seq.value}};
}

inline base::Result<Json> ParseRecord(std::string_view key, const std::string& text) {
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) {
    return base::Corruption(fmt::format("coordinator key {}: is not JSON", key));
  }
  return json;
}

}  // namespace understudy::cluster
