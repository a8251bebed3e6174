// SPDX-License-Identifier: Apache-2.0
// Output: where a command's result and its failure go, as a table for people or JSON for programs.
//
// Standard output carries the result and nothing else: a table, or with `-o json` one document (or
// one line per item where a command follows something), or with `-o yaml` the same as YAML.
// Standard error carries everything else: progress, notes and the failure, which is one sentence
// and a hint, or with `-o json` one line
// {"error":{"code","message","hint"}}. So a program can always parse standard output whole.
// Threading: confined to the thread that runs the command. The streams must outlive it.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "cli/json.h"
#include "cli/table.h"

namespace understudy::cli {

enum class Format { kTable, kJson, kYaml };

// The exit codes of every command (docs/reference/cli.md).
enum class ExitCode : int {
  kDone = 0,
  kFailed = 1,
  kUsage = 2,
  kNotReachable = 3,
};

struct OutputOptions {
  Format format = Format::kTable;
  bool colour = false;          // on standard output
  bool out_terminal = false;    // standard output is a terminal
  bool error_terminal = false;  // standard error is a terminal: progress may redraw its line
  size_t terminal_columns = 80;
};

// What the process's own streams are: colour only on a terminal and not with NO_COLOR.
OutputOptions DetectTerminal(Format format);

class Output {
 public:
  Output(std::ostream& out, std::ostream& error, const OutputOptions& options)
      : out_(out), error_(error), options_(options) {}

  const OutputOptions& options() const { return options_; }
  // For programs: JSON, or the same as YAML. Failures and progress are JSON in both.
  bool json() const { return options_.format != Format::kTable; }
  TableStyle style() const { return {.colour = options_.colour}; }

  // Prints {key: rows}, as a table in `columns` or as JSON. Without rows, people read `when_empty`.
  void Rows(const std::string& key, const Json& rows, const std::vector<Column>& columns,
            std::string_view when_empty);

  // Prints `document` as JSON, or `text` (whole lines) for people.
  void Document(const Json& document, std::string_view text);

  // What comes is what the server knew so long ago, because it does not reach the coordinator: a
  // note, and with JSON a member "coordinator_silence_ms" of the next document. 0: it does.
  void FromMemory(int64_t silence_ms);

  // One item of something that is followed: a line of JSON, or `text` with a newline.
  void Line(const Json& item, std::string_view text);

  // Raw text in both formats (help, exports to eval, dumps).
  void Text(std::string_view text);

  // A remark for people, on standard error; nothing with JSON.
  void Note(std::string_view text);

  // A line of progress on standard error, in either format.
  void ErrorText(std::string_view text);

  // Standard output takes no more: whoever read it has gone away.
  bool broken() const;

  void Failure(const base::Status& status, std::string_view hint);

 private:
  void Print(const Json& document);

  std::ostream& out_;
  std::ostream& error_;
  const OutputOptions options_;
  int64_t silence_ms_ = 0;  // for the next document
};

// A failure's message may carry its own hint as a second line (rpc/admin_client.h); both, trimmed.
struct SplitMessage {
  std::string sentence;
  std::string hint;
};
SplitMessage SplitHint(std::string_view message);

}  // namespace understudy::cli
