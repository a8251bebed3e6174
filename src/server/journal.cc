// SPDX-License-Identifier: Apache-2.0
#include "server/journal.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define SD_JOURNAL_SUPPRESS_LOCATION  // this file's is of no use to anybody
#include <systemd/sd-journal.h>

#include <algorithm>
#include <cstdlib>

namespace understudy::server {
namespace {

int PriorityOf(base::DiagLevel level) {  // of syslog
  switch (level) {
    case base::DiagLevel::kDebug: return 7;
    case base::DiagLevel::kInfo: return 6;
    case base::DiagLevel::kWarning: return 4;
    case base::DiagLevel::kError: return 3;
  }
  return 3;
}

// The journal knows capitals, digits and underscores.
std::string NameOf(std::string_view key) {
  std::string name = "UNDERSTUDY_";
  for (const char c : key) {
    const bool lower = c >= 'a' && c <= 'z';
    const bool plain = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    name += lower ? static_cast<char>(c - 'a' + 'A') : plain ? c : '_';
  }
  return name;
}

std::string Field(std::string_view name, std::string_view value) {
  return fmt::format("{}={}", name, value.substr(0, kJournalFieldBytesMax));
}

}  // namespace

bool IsJournalOurs() {
  const char* const stream = std::getenv("JOURNAL_STREAM");
  struct stat about{};
  if (stream == nullptr || ::fstat(STDERR_FILENO, &about) != 0) return false;
  return fmt::format("{}:{}", about.st_dev, about.st_ino) == stream;
}

std::vector<std::string> JournalEntry(base::DiagLevel level, std::string_view area,
                                      std::string_view message,
                                      const std::vector<base::DiagField>& fields) {
  std::vector<std::string> entry = {
      Field("MESSAGE", fmt::format("{} {}", area, base::FormatDiag(message, fields))),
      fmt::format("PRIORITY={}", PriorityOf(level)),
      "SYSLOG_IDENTIFIER=understudyd",
      Field("UNDERSTUDY_AREA", area),
  };
  for (const base::DiagField& field : fields)
    entry.push_back(Field(NameOf(field.key), field.value));
  return entry;
}

bool SendToJournal(const std::vector<std::string>& entry) {
  std::vector<iovec> pieces;
  for (const std::string& field : entry) {
    pieces.push_back({const_cast<char*>(field.data()), field.size()});
  }
  return ::sd_journal_sendv(pieces.data(), static_cast<int>(pieces.size())) == 0;
}

}  // namespace understudy::server
