// SPDX-License-Identifier: Apache-2.0
// Json: the one JSON type of the command. Keys keep the order in which they were added, which is
// the order of the table's columns. Threading: values.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace understudy::cli {

using Json = nlohmann::ordered_json;

// Text of a document that never fails: bytes that are not UTF-8 become U+FFFD.
inline std::string ToText(const Json& document, int indent = -1) {
  return document.dump(indent, ' ', false, Json::error_handler_t::replace);
}

inline Json TextOrNull(const std::string& text) {
  return text.empty() ? Json(nullptr) : Json(text);
}

}  // namespace understudy::cli
