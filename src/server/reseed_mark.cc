// SPDX-License-Identifier: Apache-2.0
#include "server/reseed_mark.h"

#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

namespace understudy::server {
namespace {

using Json = nlohmann::json;

constexpr const char* kName = ".reseed";
constexpr uint64_t kBytesMax = 64 << 10;
constexpr std::array<std::string_view, 3> kStages = {"save", "remove log", "seed"};

std::string TextOf(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}
bool FlagOf(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_boolean() && found->get<bool>();
}

}  // namespace

base::Result<std::optional<ReseedMark>> LoadReseedMark(env::Env& env,
                                                       const std::string& directory) {
  const auto bytes = env::ReadFile(env, env::JoinPath(directory, kName), kBytesMax);
  if (bytes.status().code() == base::Code::kNotFound) return std::optional<ReseedMark>();
  if (!bytes.ok()) return bytes.status();
  ReseedMark mark;
  mark.stage = ReseedMark::Stage::kSeed;
  const Json json = Json::parse(bytes->begin(), bytes->end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return std::optional(mark);
  const std::string stage = TextOf(json, "stage");
  for (size_t i = 0; i < kStages.size(); ++i) {
    if (stage == kStages[i]) mark.stage = static_cast<ReseedMark::Stage>(i);
  }
  mark.full = FlagOf(json, "full");
  mark.diverged = FlagOf(json, "diverged");
  mark.from_replay = FlagOf(json, "from_replay");
  mark.lost_id = TextOf(json, "lost_id");
  mark.why = TextOf(json, "why");
  return std::optional(std::move(mark));
}

base::Status SaveReseedMark(env::Env& env, const std::string& directory, const ReseedMark& mark) {
  const Json json = {{"stage", kStages[static_cast<size_t>(mark.stage)]},
                     {"full", mark.full},
                     {"diverged", mark.diverged},
                     {"from_replay", mark.from_replay},
                     {"lost_id", mark.lost_id},
                     {"why", mark.why}};
  const std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  return env::WriteFileAtomically(env, env::JoinPath(directory, kName), base::AsBytes(text));
}

base::Status RemoveReseedMark(env::Env& env, const std::string& directory) {
  const base::Status removed = env.Remove(env::JoinPath(directory, kName));
  if (!removed.ok() && removed.code() != base::Code::kNotFound) return removed;
  return env.SyncDirectory(directory);
}

}  // namespace understudy::server
