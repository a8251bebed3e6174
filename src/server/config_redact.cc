// SPDX-License-Identifier: Apache-2.0
#include "server/config_redact.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <sstream>

#include <toml++/toml.h>

namespace understudy::server {
namespace {

constexpr std::string_view kRemoved = "(removed)";
constexpr std::array<std::string_view, 7> kSecretWords = {"password", "secret",     "token", "key",
                                                          "passwd",   "credential", "auth"};
constexpr int kDepthMax = 16;

bool MayBeSecret(std::string_view key) {
  if (key.size() >= 5 && key.substr(key.size() - 5) == "_file") return false;
  return std::any_of(kSecretWords.begin(), kSecretWords.end(), [&](std::string_view word) {
    return key.find(word) != std::string_view::npos;
  });
}

// Of a command, the program.
void KeepFirst(toml::array& command) {
  for (size_t i = 1; i < command.size(); ++i)
    command.replace(command.cbegin() + static_cast<ptrdiff_t>(i), kRemoved);
}

void Redact(toml::table& table, bool hooks, int depth) {
  for (auto&& [key, node] : table) {
    if (depth >= kDepthMax || MayBeSecret(key.str())) {
      table.insert_or_assign(key.str(), kRemoved);
    } else if (toml::table* const inner = node.as_table()) {
      Redact(*inner, hooks || key.str() == "hooks", depth + 1);
    } else if (toml::array* const list = node.as_array(); list != nullptr && hooks) {
      KeepFirst(*list);
    }
  }
}

}  // namespace

std::string RedactConfig(std::string_view text) {
  try {
    toml::table table = toml::parse(text);
    Redact(table, false, 0);
    std::ostringstream out;
    out << table << "\n";
    return out.str();
  } catch (const toml::parse_error& error) {
    return fmt::format("# this is no TOML: {}\n", error.description());
  }
}

}  // namespace understudy::server
