// SPDX-License-Identifier: Apache-2.0
#include "server/diag_sink.h"

#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <deque>
#include <memory>
#include <utility>

#include "base/mutex.h"
#include "base/time.h"
#include "env/env.h"
#include "server/journal.h"

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

class RecentLines {
 public:
  void Add(std::string line) EXCLUDES_LOCK(mutex_) {
    if (line.size() > kRecentBytesMax) line.resize(kRecentBytesMax);
    base::MutexLock lock(mutex_);
    if (lines_.size() >= kRecentLinesMax) lines_.pop_front();
    lines_.push_back(std::move(line));
  }
  std::vector<std::string> All() EXCLUDES_LOCK(mutex_) {
    base::MutexLock lock(mutex_);
    return {lines_.begin(), lines_.end()};
  }

 private:
  base::Mutex mutex_;
  std::deque<std::string> lines_ GUARDED_BY(mutex_);
};

RecentLines& Recent() {
  static RecentLines lines;
  return lines;
}

void Remember(base::DiagLevel level, std::string_view area, const std::string& text) {
  if (level < base::DiagLevel::kWarning) return;
  Recent().Add(fmt::format("{} {} {} {}", base::ToRfc3339(env::PosixEnv().WallNow()),
                           level == base::DiagLevel::kError ? "error" : "warning", area, text));
}

}  // namespace

std::vector<std::string> RecentDiag() { return Recent().All(); }

void InstallDiagSink(base::DiagLevel level) {
  auto logger = std::make_shared<spdlog::logger>("understudyd",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
  logger->set_level(spdlog::level::trace);  // base::SetDiagLevel decides
  const bool journal = IsJournalOurs();
  base::SetDiagSink([logger, journal](base::DiagLevel at, std::string_view area,
                                      std::string_view message,
                                      const std::vector<base::DiagField>& fields) {
    const std::string text = base::FormatDiag(message, fields);
    Remember(at, area, text);
    if (journal && SendToJournal(JournalEntry(at, area, message, fields))) return;
    logger->log(LevelOf(at), "{} {}", area, text);
  });
  base::SetDiagLevel(level);
}

}  // namespace understudy::server
