// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "cli/groups.h"
#include "cli/help_formatter.h"
#include "cluster/event_catalogue.h"
#include "web/metrics.h"

namespace understudy::cli {
namespace {

// The command's own part of --help: its usage, options and example, without the options of all.
std::string Section(const std::string& path, const Command& command) {
  CLI::App app("", path);
  app.set_help_flag();
  app.formatter(std::make_shared<HelpFormatter>());
  const Runner unused = command.define(app);
  std::string help = app.help();
  while (!help.empty() && help.front() == '\n') help.erase(0, 1);
  while (!help.empty() && help.back() == '\n') help.pop_back();
  std::string example = command.example;
  return fmt::format("### {}\n\n{}.\n\n```text\n{}\n```\n\nExample:\n\n```sh\n{}\n```\n\n", path,
                     command.summary, help, example);
}

base::Status EventReference(Context& context) {
  std::string text = "| id | name | meaning | cause | what to do |\n|---|---|---|---|---|\n";
  for (const cluster::EventEntry& entry : cluster::EventCatalogue()) {
    text += fmt::format("| {} | {} | {} | {} | {} |\n", static_cast<uint32_t>(entry.number),
                        entry.name, entry.meaning, entry.cause, entry.remedy);
  }
  context.output().Text(text);
  return {};
}

base::Status MetricReference(Context& context) {
  std::string text = "| metric | type | labels | meaning |\n|---|---|---|---|\n";
  for (const web::MetricEntry& entry : web::MetricCatalogue()) {
    text +=
        fmt::format("| `{}` | {} | {} | {} |\n", entry.name, entry.type, entry.labels, entry.help);
  }
  context.output().Text(text);
  return {};
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

Runner DefineReference(CLI::App& app) {
  auto events = std::make_shared<bool>(false);
  auto metrics = std::make_shared<bool>(false);
  app.add_flag("--events", *events, "the catalogue of events instead (docs/events.md)");
  app.add_flag("--metrics", *metrics, "the catalogue of metrics instead (docs/metrics.md)");
  return [events, metrics](Context& context) {
    if (*metrics) return MetricReference(context);
    return *events ? EventReference(context) : Reference(context);
  };
}

}  // namespace

Group ReferenceCommands() {
  return {"",
          "",
          {{.name = "reference",
            .summary = "Print the reference of all commands as Markdown (docs/reference/cli.md)",
            .example = "understudy reference",
            .define = DefineReference,
            .hidden = true}}};
}

}  // namespace understudy::cli
