// SPDX-License-Identifier: Apache-2.0
#include "server/lag_marks.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/diag.h"
#include "env/boot_id.h"

namespace understudy::server {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kFileBytesMax = 64 << 10;

base::Duration SpacingOf(base::Duration lag) {
  return std::max(lag / LagMarks::kPrecision, LagMarks::kSpacingMin);
}

int64_t Nanoseconds(base::SteadyTime time) { return time.time_since_epoch().count(); }

// How much time has passed since the file was written, as far as that is certain.
base::Duration Elapsed(env::Env& env, const Json& json) {
  const base::Result<std::string> boot = env::BootId(env);
  if (boot.ok() && !boot->empty() && json.value("boot_id", "") == *boot) {
    return base::Duration(Nanoseconds(env.Now()) - json.value("steady_ns", int64_t{0}));
  }
  return std::chrono::milliseconds(env.WallNow().unix_ms - json.value("wall_ms", int64_t{0}));
}

}  // namespace

void LagMarks::Note(base::SteadyTime now, base::Seq durable, base::Duration lag) {
  if (!marks_.empty() && durable < marks_.back().seq) Clear();
  if (!marks_.empty() && durable == marks_.back().seq) return;
  changed_ = true;
  const size_t count = marks_.size();
  if (count >= 2 && marks_[count - 1].time - marks_[count - 2].time < SpacingOf(lag)) {
    marks_.back().time = now;
    marks_.back().seq = durable;
    return;
  }
  marks_.push_back({now, durable, now});
  if (marks_.size() <= kMarksMax) return;
  // Every other one: their records count as younger.
  std::deque<Mark> kept;
  for (size_t i = 0; i < marks_.size(); ++i) {
    if (i % 2 != 0 && i + 1 < marks_.size()) continue;
    kept.push_back(marks_[i]);
    if (i % 2 == 0 && i > 0) kept.back().since = marks_[i - 1].since;
  }
  marks_.swap(kept);
}

void LagMarks::Trim(base::SteadyTime now, base::Seq replayed, base::Duration lag) {
  while (marks_.size() >= 2 && marks_[1].time <= now - lag && marks_[1].seq <= replayed) {
    marks_.pop_front();
  }
}

void LagMarks::Clear() {
  changed_ = changed_ || !marks_.empty();
  marks_.clear();
}

base::Seq LagMarks::Matured(base::SteadyTime now, base::Duration lag) const {
  base::Seq matured;
  for (const Mark& mark : marks_) {
    if (mark.time > now - lag) break;
    matured = mark.seq;
  }
  return matured;
}

base::SteadyTime LagMarks::NextMaturity(base::SteadyTime now, base::Duration lag) const {
  for (const Mark& mark : marks_) {
    if (mark.time > now - lag) return mark.time + lag;
  }
  return base::SteadyTime::max();
}

base::Duration LagMarks::AgeAfter(base::SteadyTime now, base::Seq replayed) const {
  for (const Mark& mark : marks_) {
    if (mark.seq > replayed) return now - mark.since;
  }
  return {};
}

base::Status LagMarks::Save(env::Env& env, const std::string& path) {
  const base::SteadyTime now = env.Now();
  const base::Result<std::string> boot = env::BootId(env);
  Json marks = Json::array();
  for (const Mark& mark : marks_) {
    marks.push_back({mark.seq.value, (now - mark.time) / std::chrono::milliseconds(1)});
  }
  const Json json = {{"boot_id", boot.ok() ? *boot : ""},
                     {"steady_ns", Nanoseconds(now)},
                     {"wall_ms", env.WallNow().unix_ms},
                     {"marks", std::move(marks)}};
  RETURN_IF_ERROR(env::WriteFileAtomically(env, path, base::AsBytes(json.dump() + "\n")));
  changed_ = false;
  return {};
}

void LagMarks::Load(env::Env& env, const std::string& path, base::Seq durable) {
  marks_.clear();
  changed_ = false;
  const auto bytes = env::ReadFile(env, path, kFileBytesMax);
  if (bytes.status().code() == base::Code::kNotFound) return;
  const Json json = bytes.ok() ? Json::parse(bytes->begin(), bytes->end(), nullptr, false) : Json();
  const bool usable = json.is_object() && json.contains("marks") && json["marks"].is_array() &&
                      json.contains("boot_id") && json["boot_id"].is_string() &&
                      json.contains("steady_ns") && json["steady_ns"].is_number_integer() &&
                      json.contains("wall_ms") && json["wall_ms"].is_number_integer();
  if (!usable) {
    base::Diag(base::DiagLevel::kWarning, "server", "a copy's lag begins anew",
               {{"file", path}, {"why", bytes.ok() ? "it is damaged" : bytes.status().ToString()}});
    return;
  }
  const base::SteadyTime now = env.Now();
  const base::Duration since = std::max(Elapsed(env, json), base::Duration(0));
  for (const Json& item : json["marks"]) {
    const bool is_mark = item.is_array() && item.size() == 2 && item[0].is_number_unsigned() &&
                         item[1].is_number_unsigned();
    if (!is_mark || marks_.size() == kMarksMax) break;
    constexpr uint64_t kAgeMsMax = uint64_t{1} << 40;  // some 30 years
    const auto age = std::chrono::milliseconds(std::min(item[1].get<uint64_t>(), kAgeMsMax));
    const base::SteadyTime time = now - since - age;
    const Mark mark{time, base::Seq(item[0].get<uint64_t>()), time};
    const bool rises =
        marks_.empty() || (mark.seq > marks_.back().seq && mark.time >= marks_.back().time);
    if (!rises || mark.seq > durable) break;
    marks_.push_back(mark);
  }
}

}  // namespace understudy::server
