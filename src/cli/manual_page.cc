// SPDX-License-Identifier: Apache-2.0
#include "cli/manual_page.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/command_shape.h"
#include "rpc/protocol.h"

namespace understudy::cli {
namespace {

// Neither a request at a line's begin nor a hyphen where a minus is meant.
std::string Escaped(std::string_view text) {
  std::string escaped;
  bool at_begin = true;
  for (const char c : text) {
    if (at_begin && (c == '.' || c == '\'')) escaped += "\\&";
    if (c == '\\') {
      escaped += "\\e";
    } else if (c == '-') {
      escaped += "\\-";
    } else {
      escaped += c;
    }
    at_begin = c == '\n';
  }
  return escaped;
}

std::string Placeholder(const ArgumentShape& argument) {
  return fmt::format("\\fI{}\\fP",
                     Escaped(argument.positional ? argument.names[0] : argument.value));
}

std::string Usage(const CommandShape& command) {
  std::string usage = fmt::format("\\fBunderstudy {}\\fP", Escaped(command.Words()));
  bool options = false;
  for (const ArgumentShape& argument : command.arguments) options = options || !argument.positional;
  if (options) usage += " [\\fIoptions\\fP]";
  for (const ArgumentShape& argument : command.arguments) {
    if (!argument.positional) continue;
    usage += argument.required ? " " + Placeholder(argument)
                               : fmt::format(" [{}]", Placeholder(argument));
  }
  return usage;
}

std::string Describe(const ArgumentShape& argument) {
  std::string head;
  for (const std::string& name : argument.names) {
    if (!head.empty()) head += ", ";
    head += argument.positional ? Placeholder(argument) : fmt::format("\\fB{}\\fP", Escaped(name));
  }
  if (!argument.positional && !argument.flag) head += " " + Placeholder(argument);
  std::string text = Escaped(argument.description);
  if (!argument.choices.empty()) {
    text += fmt::format(" ({})", Escaped(fmt::format("{}", fmt::join(argument.choices, ", "))));
  }
  return fmt::format(".TP\n{}\n{}\n", head, text.empty() ? "\\&" : text);
}

std::string Section(const CommandShape& command) {
  std::string text = fmt::format(".SS {}\n{}.\n.PP\n{}\n", Escaped(command.Words()),
                                 Escaped(command.summary), Usage(command));
  for (const ArgumentShape& argument : command.arguments) text += Describe(argument);
  return text +
         fmt::format(".PP\nExample:\n.PP\n.nf\n.RS\n{}\n.RE\n.fi\n", Escaped(command.example));
}

}  // namespace

std::string ManualPage() {
  std::string page = fmt::format(
      ".TH UNDERSTUDY 1 \"\" \"understudy {}\" \"User Commands\"\n"
      ".SH NAME\nunderstudy \\- availability groups for SQLite databases\n"
      ".SH SYNOPSIS\n\\fBunderstudy\\fP \\fIcommand\\fP [\\fIoptions\\fP] [\\fIarguments\\fP]\n"
      ".SH DESCRIPTION\nPassive copies of a database on other servers follow an active one commit "
      "by "
      "commit; backups are taken from a passive copy. This is the command for people and programs; "
      "the daemon is \\fBunderstudyd\\fP(8).\n"
      ".SH OPTIONS OF EVERY COMMAND\n",
      rpc::kVersion);
  for (const ArgumentShape& argument : GlobalShapes()) page += Describe(argument);
  page += ".SH COMMANDS\n";
  for (const CommandShape& command : AllShapes()) page += Section(command);
  page +=
      ".SH EXIT STATUS\n0 done, 1 failed, 2 wrong usage, 3 server not reachable.\n"
      ".SH ENVIRONMENT\n.TP\n\\fBUNDERSTUDY_SERVER\\fP\nthe server to talk to, where "
      "\\fB\\-\\-server\\fP "
      "says none\n.TP\n\\fBUNDERSTUDY_IDENTITY\\fP\nthe identity file, where "
      "\\fB\\-\\-identity\\fP says "
      "none\n.TP\n\\fBUNDERSTUDY_LAB\\fP\na lab's directory: names of its servers are addresses "
      "then\n"
      ".TP\n\\fBNO_COLOR\\fP\nno colours, even on a terminal\n"
      ".SH SEE ALSO\n\\fBunderstudyd\\fP(8), \\fBsqlite3\\fP(1)\n";
  return page;
}

}  // namespace understudy::cli
