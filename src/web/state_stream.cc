// SPDX-License-Identifier: Apache-2.0
#include "web/state_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <optional>

#include "web/status_json.h"

namespace understudy::web {
namespace {

// "set" has what is no list.
constexpr const char* kPartNames[] = {"set", "servers", "databases", "copies"};
constexpr const char* kPartKeys[] = {"", "name", "name", "database"};

void LeaveOut(Json& row) {
  for (const char* const field : {"copied_age_ms", "replayed_age_ms", "last_commit"}) {
    row.erase(field);
  }
  if (row.value("state", "") == "Up") row.erase("last_seen");
  if (const auto members = row.find("members"); members != row.end()) {
    for (Json& member : *members) member.erase("observed");
  }
}

// The number of an id of this run.
std::optional<uint64_t> NumberOf(std::string_view id, std::string_view run) {
  if (!id.starts_with(run) || id.size() <= run.size() + 1 || id[run.size()] != '-') return {};
  uint64_t number = 0;
  const char* const end = id.data() + id.size();
  const auto parsed = std::from_chars(id.data() + run.size() + 1, end, number);
  if (parsed.ec != std::errc() || parsed.ptr != end) return {};
  return number;
}

}  // namespace

StateStream::Parts StateStream::Read(const Snapshot& snapshot, std::string& clock) {
  static_assert(std::size(kPartNames) == kParts && std::size(kPartKeys) == kParts);
  Json whole = StateJson(snapshot);
  clock = fmt::format("\"now\":{},\"coordinator_silence_ms\":{}", ToText(whole["now"]),
                      ToText(whole["coordinator_silence_ms"]));
  whole.erase("now");
  whole.erase("coordinator_silence_ms");
  Parts parts;
  for (size_t i = 1; i < kParts; ++i) {
    const auto list = whole.find(kPartNames[i]);
    if (list == whole.end()) continue;
    for (Json& row : *list) {
      LeaveOut(row);
      parts.at(i).emplace(row[kPartKeys[i]].get<std::string>(), ToText(row));
    }
    whole.erase(list);
  }
  for (const auto& [field, value] : whole.items()) parts[0].emplace(field, ToText(value));
  return parts;
}

std::string StateStream::Write(const char* event, const Parts& parts) const {
  std::string text =
      fmt::format("id: {}-{}\nevent: {}\ndata: {{\"set\":{{{}", run_, number_, event, clock_);
  for (size_t i = 0; i < kParts; ++i) {
    if (i > 0 && parts.at(i).empty()) continue;
    if (i > 0) text += fmt::format("}},\"{}\":{{", kPartNames[i]);
    bool first = i > 0;  // the clock is before the others of "set"
    for (const auto& [name, row] : parts.at(i)) {
      if (!first) text += ',';
      first = false;
      text += ToText(Json(name));
      text += ':';
      text += row;
    }
  }
  text += "}}\n\n";
  return text;
}

std::string StateStream::Next(const Snapshot& snapshot) {
  if (run_.empty()) run_ = std::to_string(snapshot.started.unix_ms);
  Parts now = Read(snapshot, clock_);
  Parts changes;
  bool changed = false;
  for (size_t i = 0; i < kParts; ++i) {
    for (const auto& [name, row] : now.at(i)) {
      const auto before = known_.at(i).find(name);
      if (before == known_.at(i).end() || before->second != row) changes.at(i)[name] = row;
    }
    for (const auto& [name, row] : known_.at(i)) {
      if (!now.at(i).contains(name)) changes.at(i)[name] = "null";
    }
    changed = changed || !changes.at(i).empty();
  }
  known_ = std::move(now);
  if (!changed) return Write("beat", {});
  ++number_;
  std::string text = Write("change", changes);
  Keep(text);
  return text;
}

void StateStream::Keep(std::string text) {
  kept_bytes_ += text.size();
  kept_.push_back({number_, std::move(text)});
  while (!kept_.empty() && (kept_.size() > kFramesMax || kept_bytes_ > kFrameBytesMax)) {
    kept_bytes_ -= kept_.front().text.size();
    kept_.pop_front();
  }
}

std::string StateStream::Since(std::string_view last_event_id) const {
  const std::optional<uint64_t> last = NumberOf(last_event_id, run_);
  if (last && *last == number_) return Write("beat", {});
  if (!last || *last > number_ || kept_.empty() || *last + 1 < kept_.front().number) {
    return Write("state", known_);
  }
  std::string text;
  for (const Frame& frame : kept_) {
    if (frame.number > *last) text += frame.text;
  }
  return text;
}

}  // namespace understudy::web
