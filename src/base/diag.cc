// SPDX-License-Identifier: Apache-2.0
#include "base/diag.h"

#include <algorithm>
#include <atomic>
#include <cstdio>

namespace understudy::base {
namespace {

DiagSink& Sink() {
  static DiagSink sink;
  return sink;
}

std::atomic<DiagLevel> lowest_level{DiagLevel::kInfo};

// Bytes that would end the line or play with a terminal. Values come from outside, so none may
// pass.
bool IsControl(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

bool NeedsQuotes(std::string_view value) {
  return value.empty() || value.find_first_of(" \"\\=") != std::string_view::npos ||
         std::any_of(value.begin(), value.end(), IsControl);
}

void AppendQuoted(std::string& line, std::string_view value) {
  line += '"';
  for (const char c : value) {
    if (c == '"' || c == '\\') line += '\\';
    if (c == '\n') {
      line += "\\n";
    } else if (IsControl(c)) {
      line += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      line += c;
    }
  }
  line += '"';
}

}  // namespace

void SetDiagSink(DiagSink sink) { Sink() = std::move(sink); }
void SetDiagLevel(DiagLevel lowest) { lowest_level = lowest; }

std::string FormatDiag(std::string_view message, const std::vector<DiagField>& fields) {
  std::string line(message);
  for (const DiagField& field : fields) {
    line += ' ';
    line += field.key;
    line += '=';
    if (NeedsQuotes(field.value)) {
      AppendQuoted(line, field.value);
    } else {
      line += field.value;
    }
  }
  return line;
}

void Diag(DiagLevel level, std::string_view area, std::string_view message,
          std::initializer_list<DiagField> fields) {
  if (level < lowest_level.load(std::memory_order_relaxed)) return;
  const std::vector<DiagField> list(fields);
  if (Sink()) {
    Sink()(level, area, message, list);
    return;
  }
  static constexpr const char* kNames[] = {"debug", "info", "warning", "error"};
  std::fprintf(stderr, "%s %.*s %s\n", kNames[static_cast<int>(level)],
               static_cast<int>(area.size()), area.data(), FormatDiag(message, list).c_str());
}

}  // namespace understudy::base
