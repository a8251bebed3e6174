// SPDX-License-Identifier: Apache-2.0
#include "cli/output.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <fmt/format.h>

#include <cstdlib>
#include <ostream>

#include "cli/human.h"
#include "cli/text_width.h"
#include "cli/yaml.h"

namespace understudy::cli {
namespace {

constexpr std::string_view kHintPrefix = "hint: ";

bool ColourWanted() {
  const char* no_colour = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  return (no_colour == nullptr || *no_colour == '\0') &&
         (term == nullptr || std::string_view(term) != "dumb");
}

}  // namespace

OutputOptions DetectTerminal(Format format) {
  OutputOptions options{.format = format};
  options.colour = format == Format::kTable && ::isatty(STDOUT_FILENO) == 1 && ColourWanted();
  options.out_terminal = ::isatty(STDOUT_FILENO) == 1;
  options.error_terminal = ::isatty(STDERR_FILENO) == 1;
  winsize size{};
  if (options.error_terminal && ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    options.terminal_columns = size.ws_col;
  }
  return options;
}

void Output::Rows(const std::string& key, const Json& rows, const std::vector<Column>& columns,
                  std::string_view when_empty) {
  const std::string text =
      rows.empty() ? std::string(when_empty) + "\n" : RenderTable(rows, columns, style());
  Json document;
  document[key] = rows.is_null() ? Json::array() : rows;
  Document(document, text);
}

void Output::FromMemory(int64_t silence_ms) {
  silence_ms_ = silence_ms;
  if (silence_ms == 0) return;
  Note(fmt::format(
      "the server has not heard the coordinator for {}: who has which copies is what it "
      "knew then; copies that do not answer are shown as they last were",
      FormatDuration(std::chrono::milliseconds(silence_ms))));
}

void Output::Document(const Json& document, std::string_view text) {
  if (json() && silence_ms_ > 0) {
    Json marked = document;
    marked["coordinator_silence_ms"] = std::exchange(silence_ms_, 0);
    Print(marked);
  } else if (json()) {
    Print(document);
  } else {
    out_ << text;
  }
  out_.flush();
}

void Output::Print(const Json& document) {
  if (options_.format == Format::kYaml) {
    out_ << ToYaml(document);
  } else {
    out_ << ToText(document, 2) << '\n';
  }
}

void Output::Line(const Json& item, std::string_view text) {
  if (options_.format == Format::kYaml) {
    out_ << "---\n" << ToYaml(item);
  } else if (json()) {
    out_ << ToText(item) << '\n';
  } else {
    out_ << text << '\n';
  }
  out_.flush();
}

void Output::Text(std::string_view text) {
  out_ << text;
  out_.flush();
}

void Output::Note(std::string_view text) {
  if (!json()) error_ << text << std::endl;
}

void Output::ErrorText(std::string_view text) {
  error_ << text;
  error_.flush();
}

bool Output::broken() const { return !out_.good(); }

void Output::Failure(const base::Status& status, std::string_view hint) {
  SplitMessage message = SplitHint(status.message());
  if (message.hint.empty()) message.hint = hint;
  if (json()) {
    Json error;
    error["code"] = status.ok() ? std::string("usage") : std::string(base::CodeName(status.code()));
    error["message"] = message.sentence;
    if (!message.hint.empty()) error["hint"] = message.hint;
    error_ << ToText(Json{{"error", error}}) << std::endl;
    return;
  }
  error_ << "understudy: " << message.sentence << '\n';
  if (!message.hint.empty()) error_ << "hint: " << message.hint << '\n';
  error_.flush();
}

SplitMessage SplitHint(std::string_view message) {
  SplitMessage split;
  const size_t line_end = message.find('\n');
  split.sentence = message.substr(0, line_end);
  if (line_end != std::string_view::npos) {
    std::string_view hint = message.substr(line_end + 1);
    if (hint.starts_with(kHintPrefix)) hint.remove_prefix(kHintPrefix.size());
    split.hint = hint;
  }
  // One sentence is one line, whatever a server has put into it.
  for (std::string* part : {&split.sentence, &split.hint}) {
    while (!part->empty() && part->back() == '\n') part->pop_back();
    for (char& c : *part) {
      if (c == '\n') c = ' ';
    }
    *part = Printable(*part);
  }
  return split;
}

}  // namespace understudy::cli
