// SPDX-License-Identifier: Apache-2.0
#include "cli/writer_views.h"

#include <fmt/format.h>

#include "backup/writer.h"
#include "base/first_line.h"
#include "cli/human.h"
#include "cli/text_width.h"
#include "cli/views.h"

namespace understudy::cli {
namespace {

// The class of all our writers, for ever the same.
constexpr const char* kWriterId = "{6d8f2c1a-4b0e-4a57-9c3d-5e1f0a7b2c94}";

backup::WriterState ToState(uint32_t number) {
  return backup::WriterStateFromNumber(number).value_or(backup::WriterState::kUnknown);
}
backup::WriterCode ToCode(uint32_t number) {
  return backup::WriterCodeFromNumber(number).value_or(backup::WriterCode::kNonRetryable);
}

std::string WriterName(const std::string& database) {
  return fmt::format("Understudy Writer ({})", database);
}

// 32 hex digits as a GUID.
std::string Guid(std::string digits) {
  if (digits.size() != 32) return digits;
  for (const size_t at : {20, 16, 12, 8}) digits.insert(at, "-");
  return "{" + digits + "}";
}

Json StateJson(uint32_t number) {
  const backup::WriterState state = ToState(number);
  return {{"number", number},
          {"name", backup::WriterStateName(state)},
          {"text", backup::VssAdminState(state)}};
}

Json CodeJson(uint32_t number) {
  const backup::WriterCode code = ToCode(number);
  return {{"code", backup::WriterCodeHex(code)},
          {"symbol", backup::WriterCodeName(code)},
          {"text", backup::VssAdminError(code)}};
}

Json FailureJson(const v1::WriterFailure& failure) {
  Json json{{"phase", failure.phase()},
            {"state", StateJson(failure.state())},
            {"error", CodeJson(failure.code())},
            {"message", failure.message()},
            {"elapsed_ms", failure.elapsed_ms()}};
  json["causes"] = Json::array();
  for (const std::string& cause : failure.causes()) json["causes"].push_back(cause);
  json["peer"] = TextOrNull(failure.peer());
  json["operation"] = TextOrNull(failure.operation());
  json["limit_ms"] = failure.limit_ms() == 0 ? Json() : Json(failure.limit_ms());
  json["setting"] = TextOrNull(failure.setting());
  return json;
}

std::string Millis(int64_t ms) { return FormatDuration(std::chrono::milliseconds(ms)); }

std::string SessionLine(const v1::WriterSession& session) {
  return fmt::format("{} backup {} for {}, begun {}", session.type(), session.id(),
                     Printable(session.requester()),
                     TimeJson(session.began_ms()).get<std::string>());
}

}  // namespace

Json SessionJson(const v1::WriterSession& session) {
  Json json{{"id", session.id()},
            {"requester", session.requester()},
            {"type", session.type()},
            {"began", TimeJson(session.began_ms())},
            {"ended", TimeJson(session.ended_ms())}};
  json["steps"] = Json::array();
  for (const v1::WriterStep& step : session.steps()) {
    json["steps"].push_back({{"event", step.event()},
                             {"began", TimeJson(step.began_ms())},
                             {"took_us", step.took_us()},
                             {"state", StateJson(step.state())},
                             {"error", CodeJson(step.code())}});
  }
  json["failure"] = session.has_failure() ? FailureJson(session.failure()) : Json();
  return json;
}

Json WriterJson(const v1::Writer& writer) {
  Json json{{"name", WriterName(writer.database())}, {"id", kWriterId},
            {"instance", Guid(writer.instance())},   {"server", writer.server()},
            {"database", writer.database()},         {"role", writer.role()},
            {"state", StateJson(writer.state())},    {"last_error", CodeJson(writer.last_error())}};
  json["phase"] = TextOrNull(writer.phase());
  json["session"] = writer.has_session() ? SessionJson(writer.session()) : Json();
  json["last_session"] = writer.has_last() ? SessionJson(writer.last()) : Json();
  return json;
}

std::string StatusLine(const std::string& database, uint32_t state, uint32_t code) {
  return fmt::format("Status for writer {}: {}", WriterName(database),
                     backup::StatusText(ToState(state), ToCode(code)));
}

std::string RenderFailure(const v1::WriterFailure& failure, const std::string& indent) {
  const std::string message = Printable(failure.message());
  std::string text = fmt::format("{}failed in {} after {}: {} ({} - {})\n", indent, failure.phase(),
                                 Millis(failure.elapsed_ms()), base::FirstLine(message),
                                 backup::WriterCodeHex(ToCode(failure.code())),
                                 backup::WriterCodeName(ToCode(failure.code())));
  for (const std::string& cause : failure.causes()) {
    text += fmt::format("{}   caused by: {}\n", indent, Printable(cause));
  }
  if (!failure.peer().empty() || !failure.operation().empty()) {
    text += fmt::format("{}   while asked: {}{}\n", indent,
                        failure.operation().empty() ? "" : failure.operation(),
                        failure.peer().empty() ? "" : " of server " + failure.peer());
  }
  if (failure.limit_ms() > 0) {
    text += fmt::format("{}   the limit was {}", indent, Millis(failure.limit_ms()));
    if (!failure.setting().empty()) {
      text += failure.setting().starts_with("--")
                  ? fmt::format(" ({} changes it)", failure.setting())
                  : fmt::format(" (understudy config set {} MILLISECONDS changes it)",
                                failure.setting());
    }
    text += "\n";
  }
  return text;
}

std::string RenderWriter(const v1::Writer& writer) {
  std::string text = fmt::format(
      "Writer name: '{}'\n   Writer Id: {}\n   Writer Instance Id: {}\n   State: [{}] {}\n   Last "
      "error: {}\n",
      WriterName(Printable(writer.database())), kWriterId, Guid(writer.instance()), writer.state(),
      backup::VssAdminState(ToState(writer.state())),
      backup::VssAdminError(ToCode(writer.last_error())));
  text += fmt::format("   Copy: {} on server {}\n", writer.role(), Printable(writer.server()));
  if (writer.has_session()) {
    text += fmt::format("   Session: {}{}\n", SessionLine(writer.session()),
                        writer.phase().empty() ? "" : ", now in " + writer.phase());
  } else {
    text += "   Session: none\n";
  }
  if (!writer.has_last()) return text + "   Last result: none since the server started\n";
  text += fmt::format("   Last result: {}, ended {}\n", SessionLine(writer.last()),
                      TimeJson(writer.last().ended_ms()).get<std::string>());
  return text + (writer.last().has_failure() ? RenderFailure(writer.last().failure(), "      ")
                                             : "      succeeded\n");
}

}  // namespace understudy::cli
