// SPDX-License-Identifier: Apache-2.0
#include "server/diag_sink.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>

namespace understudy::server {
namespace {

spdlog::level::level_enum LevelOf(base::DiagLevel level) {
  switch (level) {
    case base::DiagLevel::kDebug: return spdlog::level::debug;
    case base::DiagLevel::kInfo: return spdlog::level::info;
    case base::DiagLevel::kWarning: return spdlog::level::warn;
    case base::DiagLevel::kError: return spdlog::level::err;
  }
  return spdlog::level::err;
}

}  // namespace

void InstallDiagSink(base::DiagLevel level) {
  auto logger = std::make_shared<spdlog::logger>("understudyd",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
  logger->set_level(spdlog::level::trace);  // base::SetDiagLevel decides
  base::SetDiagSink([logger](base::DiagLevel at, std::string_view area, std::string_view message,
                             const std::vector<base::DiagField>& fields) {
    logger->log(LevelOf(at), "{} {}", area, base::FormatDiag(message, fields));
  });
  base::SetDiagLevel(level);
}

}  // namespace understudy::server
