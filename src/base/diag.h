// SPDX-License-Identifier: Apache-2.0
// Diagnostics: the structured lines that a daemon writes about itself. (The word "log" means only
// the replicated log in this tree.)
//
// One line is "time level area message key=value …". The component that decides writes a line,
// once; everybody else returns a Status. The sink is set once by the composition root; without one,
// lines go to standard error. Threading: thread-safe.
#pragma once

#include <fmt/format.h>

#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace understudy::base {

enum class DiagLevel { kDebug, kInfo, kWarning, kError };

struct DiagField {
  std::string_view key;
  std::string value;

  template <typename Value>
  DiagField(std::string_view k, const Value& v) : key(k), value(fmt::format("{}", v)) {}
};

using DiagSink = std::function<void(DiagLevel level, std::string_view area,
                                    std::string_view message, const std::vector<DiagField>&)>;

// Replaces the sink. Call before the first thread is started.
void SetDiagSink(DiagSink sink);
void SetDiagLevel(DiagLevel lowest);

// Diag(DiagLevel::kInfo, "ship", "connected", {{"peer", name}, {"position", text}});
void Diag(DiagLevel level, std::string_view area, std::string_view message,
          std::initializer_list<DiagField> fields = {});

// message key=value key="value with spaces"
std::string FormatDiag(std::string_view message, const std::vector<DiagField>& fields);

}  // namespace understudy::base
