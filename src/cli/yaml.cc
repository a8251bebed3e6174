// SPDX-License-Identifier: Apache-2.0
#include "cli/yaml.h"

#include <algorithm>
#include <array>

namespace understudy::cli {
namespace {

// Words of YAML 1.1 and 1.2 that are no strings.
constexpr std::array<std::string_view, 9> kReserved = {"true", "false", "null", "yes", "no",
                                                       "on",   "off",   "y",    "n"};

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// A word that every reader takes for a string.
bool IsPlain(const std::string& text) {
  if (text.empty() || !IsLetter(text[0])) return false;
  const bool safe = std::ranges::all_of(text, [](char c) {
    return IsLetter(c) || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.' || c == '/';
  });
  std::string lower = text;
  std::ranges::transform(lower, lower.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return safe && std::ranges::find(kReserved, lower) == kReserved.end();
}

std::string Scalar(const Json& value) {
  if (value.is_object()) return "{}";
  if (value.is_array()) return "[]";
  if (!value.is_string()) return ToText(value);
  const auto& text = value.get_ref<const std::string&>();
  return IsPlain(text) ? text : ToText(value);
}

std::string Key(const std::string& name) { return IsPlain(name) ? name : ToText(Json(name)); }

bool IsNested(const Json& value) { return value.is_structured() && !value.empty(); }

// `first`: its first line goes on a line that has begun ("- ").
void Append(const Json& value, size_t indent, bool first, std::string& to) {
  const std::string spaces(indent, ' ');
  if (!IsNested(value)) {
    to += Scalar(value) + "\n";
    return;
  }
  if (value.is_array()) {
    for (const Json& item : value) {
      to += (first ? "" : spaces) + "- ";
      first = false;
      Append(item, indent + 2, /*first=*/true, to);
    }
    return;
  }
  for (const auto& [name, item] : value.items()) {
    to += (first ? "" : spaces) + Key(name) + ":";
    first = false;
    if (IsNested(item)) {
      to += "\n";
      Append(item, indent + 2, /*first=*/false, to);
    } else {
      to += " " + Scalar(item) + "\n";
    }
  }
}

}  // namespace

std::string ToYaml(const Json& document) {
  std::string text;
  Append(document, 0, /*first=*/false, text);
  return text;
}

}  // namespace understudy::cli
