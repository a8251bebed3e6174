// SPDX-License-Identifier: Apache-2.0
#include "scrub/finding.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/ids.h"

namespace understudy::scrub {
namespace {

using Json = nlohmann::json;
constexpr std::array<std::string_view, 3> kOutcomes = {"new", "waiting", "failed"};

uint64_t Number(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}
bool Flag(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_boolean() && found->get<bool>();
}
std::string Text(const Json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}
base::WallTime Time(const Json& json, const char* name) {
  const base::Result<base::WallTime> time = base::FromRfc3339(Text(json, name));
  return time.ok() ? *time : base::WallTime();
}
const Json& Part(const Json& json, const char* name) {
  static const Json kNone = Json::object();
  const auto found = json.find(name);
  return found != json.end() && (found->is_object() || found->is_array()) ? *found : kNone;
}

Json CountsJson(const PassCounts& counts) {
  return {{"pages", counts.pages}, {"generations", counts.generations}, {"bytes", counts.bytes},
          {"found", counts.found}, {"repaired", counts.repaired},       {"failed", counts.failed}};
}
PassCounts CountsFrom(const Json& json) {
  return {Number(json, "pages"), Number(json, "generations"), Number(json, "bytes"),
          Number(json, "found"), Number(json, "repaired"),    Number(json, "failed")};
}

Json FindingJson(const Finding& finding) {
  return {{"kind", finding.kind == Finding::Kind::kPage ? "page" : "generation"},
          {"number", finding.number},
          {"expected", finding.expected},
          {"found", finding.found},
          {"damage", finding.damage},
          {"since", base::ToRfc3339(finding.since)},
          {"outcome", kOutcomes[static_cast<size_t>(finding.outcome)]},
          {"why", finding.why}};
}
Finding FindingFrom(const Json& json) {
  Finding finding;
  const bool is_page = Text(json, "kind") != "generation";
  finding.kind = is_page ? Finding::Kind::kPage : Finding::Kind::kGeneration;
  finding.number = Number(json, "number");
  finding.expected = Number(json, "expected");
  finding.found = Number(json, "found");
  finding.damage = Text(json, "damage");
  finding.since = Time(json, "since");
  for (size_t i = 0; i < kOutcomes.size(); ++i) {
    if (Text(json, "outcome") == kOutcomes[i]) finding.outcome = static_cast<Finding::Outcome>(i);
  }
  finding.why = Text(json, "why");
  return finding;
}

}  // namespace

std::string Finding::Name() const {
  if (kind == Kind::kPage) return fmt::format("page {}", number);
  return "generation " + base::ToString(base::Generation(number));
}

std::string ToJson(const ScrubState& state) {
  Json json = {{"version", 1},
               {"running", state.running},
               {"asked", state.asked},
               {"started", base::ToRfc3339(state.started)},
               {"next_page", state.next_page},
               {"in_log", state.in_log},
               {"last_generation", state.last_generation},
               {"counts", CountsJson(state.counts)},
               {"last_started", base::ToRfc3339(state.last_started)},
               {"last_finished", base::ToRfc3339(state.last_finished)},
               {"last", CountsJson(state.last)},
               {"stopped", state.stopped},
               {"repaired_total", state.repaired_total}};
  Json findings = Json::array();
  for (const Finding& finding : state.findings) findings.push_back(FindingJson(finding));
  json["findings"] = std::move(findings);
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

ScrubState ScrubStateFromJson(const std::string& text) {
  ScrubState state;
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || Number(json, "version") != 1) return state;
  state.running = Flag(json, "running");
  state.asked = Flag(json, "asked");
  state.started = Time(json, "started");
  const uint64_t next_page = Number(json, "next_page");
  state.next_page = next_page == 0 || next_page > UINT32_MAX ? 1 : static_cast<uint32_t>(next_page);
  state.in_log = Flag(json, "in_log");
  state.last_generation = Number(json, "last_generation");
  state.counts = CountsFrom(Part(json, "counts"));
  state.last_started = Time(json, "last_started");
  state.last_finished = Time(json, "last_finished");
  state.last = CountsFrom(Part(json, "last"));
  state.stopped = Text(json, "stopped");
  state.repaired_total = Number(json, "repaired_total");
  for (const Json& finding : Part(json, "findings")) {
    if (state.findings.size() == kFindingsMax) break;
    if (finding.is_object()) state.findings.push_back(FindingFrom(finding));
  }
  return state;
}

}  // namespace understudy::scrub
