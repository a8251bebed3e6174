// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "cli/groups.h"

namespace understudy::cli {
namespace {

// The command's own part of --help: its usage, options and example, without the options of all.
std::string Section(const std::string& path, const Command& command) {
  CLI::App app("", path);
  app.set_help_flag();
  app.get_formatter()->column_width(34);
  const Runner unused = command.define(app);
  std::string help = app.help();
  while (!help.empty() && help.front() == '\n') help.erase(0, 1);
  while (!help.empty() && help.back() == '\n') help.pop_back();
  std::string example = command.example;
  return fmt::format("### {}\n\n{}.\n\n```text\n{}\n```\n\nExample:\n\n```sh\n{}\n```\n\n", path,
                     command.summary, help, example);
}

base::Status Reference(Context& context) {
  std::string text;
  for (const Group& group : AllGroups()) {
    for (const Command& command : group.commands) {
      if (command.hidden) continue;
      const std::string group_name = group.name.empty() ? "" : " " + group.name;
      text += Section(fmt::format("understudy{} {}", group_name, command.name), command);
    }
  }
  while (text.ends_with("\n\n")) text.pop_back();
  context.output().Text(text);
  return {};
}

}  // namespace

Group ReferenceCommands() {
  return {"",
          "",
          {{.name = "reference",
            .summary = "Print the reference of all commands as Markdown (docs/reference/cli.md)",
            .example = "understudy reference",
            .define = [](CLI::App&) -> Runner { return Reference; },
            .hidden = true}}};
}

}  // namespace understudy::cli
