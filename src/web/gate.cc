// SPDX-License-Identifier: Apache-2.0
#include "web/gate.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <sstream>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/diag.h"
#include "tls/certificate.h"

namespace understudy::web {
namespace {

constexpr std::string_view kHealthPaths[] = {"health", "liveness", "readiness"};
constexpr std::string_view kCopyHealthPaths[] = {
    "",      "primary",   "read-write", "leader",   "master",   "replica", "asynchronous",
    "async", "read-only", "health",     "liveness", "readiness"};

template <typename List>
bool Has(const List& list, std::string_view word) {
  return std::find(std::begin(list), std::end(list), word) != std::end(list);
}

bool IsSha256(std::string_view text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return std::isdigit(c) != 0 || (c >= 'a' && c <= 'f');
         });
}

std::string FromBase64(std::string_view text) {
  std::string bytes;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    if (c == '=') break;
    static constexpr std::string_view kDigits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) return "";
    bits = (bits << 6 | static_cast<uint32_t>(digit)) & 0xffffff;
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes += static_cast<char>(bits >> count & 0xff);
  }
  return bytes;
}

bool TakePrefix(std::string_view& text, std::string_view lower) {
  if (text.size() < lower.size()) return false;
  for (size_t i = 0; i < lower.size(); ++i) {
    if (std::tolower(static_cast<unsigned char>(text[i])) != lower[i]) return false;
  }
  text.remove_prefix(lower.size());
  return true;
}

}  // namespace

bool IsHealthPath(std::string_view path) {
  std::vector<std::string> words;
  std::istringstream parts{std::string(path)};
  for (std::string word; std::getline(parts, word, '/');) {
    if (!word.empty()) words.push_back(word);
  }
  if (words.size() == 1) return Has(kHealthPaths, words[0]);
  if (words.size() == 2 && words[0] == "db") return true;
  return words.size() == 3 && words[0] == "db" && Has(kCopyHealthPaths, words[2]);
}

std::string HealthOnly(const std::string& body) {
  const auto json = nlohmann::json::parse(body, nullptr, false);
  nlohmann::ordered_json kept = nlohmann::ordered_json::object();
  for (const char* key : {"answer", "why", "error"}) {
    if (json.is_object() && json.contains(key)) kept[key] = json[key];
  }
  return kept.dump();
}

std::string TokenOf(std::string_view authorization) {
  if (TakePrefix(authorization, "bearer ")) return std::string(authorization);
  if (!TakePrefix(authorization, "basic ")) return "";
  const std::string pair = FromBase64(authorization);
  const size_t colon = pair.find(':');
  return colon == std::string::npos ? "" : pair.substr(colon + 1);
}

base::Result<Gate::Tokens> Gate::Parse(std::string_view text) {
  Tokens tokens;
  std::istringstream lines{std::string(text)};
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    std::istringstream words(line.substr(0, line.find('#')));
    std::string name;
    std::string hash;
    std::string expires;
    std::string more;
    if (!(words >> name)) continue;
    words >> hash >> expires >> more;
    Token token{name, {}};
    const bool timed = !expires.empty();
    if (timed) {
      const base::Result<base::WallTime> time = base::FromRfc3339(expires);
      if (!time.ok()) more = expires;
      if (time.ok()) token.expires = *time;
    }
    if (!IsSha256(hash) || !more.empty()) {
      return base::InvalidArgument(
          fmt::format("line {} is not NAME SHA256 [EXPIRES], with 64 lower case hexadecimal digits "
                      "and a time such as 2027-01-01T00:00:00Z",
                      number));
    }
    tokens[hash] = std::move(token);
  }
  if (tokens.size() <= kTokensMax) return tokens;
  return base::InvalidArgument(
      fmt::format("has {} tokens, at most {} are allowed", tokens.size(), kTokensMax));
}

base::Result<Gate::Tokens> Gate::Read() {
  ASSIGN_OR_RETURN(const base::Bytes bytes, env::ReadFile(env_, path_, kFileBytesMax));
  base::Result<Tokens> tokens = Parse({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  if (!tokens.ok()) return tokens.status().WithContext(path_);
  return tokens;
}

base::Status Gate::ReadAgain() {
  read_at_ = env_.Now();
  if (!closed_ && !env::Exists(env_, path_)) return {};
  closed_ = true;
  base::Result<Tokens> tokens = Read();
  if (tokens.ok()) {
    tokens_ = std::move(tokens).value();
    broken_.clear();
    return {};
  }
  tokens_.clear();
  const base::Status status = tokens.status();
  if (broken_ != status.message()) {
    broken_ = status.message();
    base::Diag(base::DiagLevel::kError, "web", "nobody gets more than health", {{"why", broken_}});
  }
  return status;
}

base::Status Gate::Open() {
  base::MutexLock lock(mutex_);
  return ReadAgain();
}

std::string Gate::Refusal(std::string_view authorization) {
  const std::string token = TokenOf(authorization);
  const std::string hash = token.empty() ? "" : tls::Sha256Hex(token);
  base::MutexLock lock(mutex_);
  if (env_.Now() - read_at_ >= kFileAge) (void)ReadAgain();
  if (!closed_) return "";
  if (!broken_.empty()) return "this server's token file cannot be read; its diagnostics say why";
  if (token.empty()) return "this needs a token of this server: Authorization: Bearer TOKEN";
  const auto found = tokens_.find(hash);
  if (found == tokens_.end()) return "this token is none of this server, or was taken away";
  const base::WallTime expires = found->second.expires;
  if (expires.unix_ms == 0 || env_.WallNow() < expires) return "";
  return fmt::format("the token {} expired at {}", found->second.name, base::ToRfc3339(expires));
}

}  // namespace understudy::web
