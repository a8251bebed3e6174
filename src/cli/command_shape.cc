// SPDX-License-Identifier: Apache-2.0
#include "cli/command_shape.h"

#include <algorithm>

namespace understudy::cli {
namespace {

// "TYPE:{full,copy}" -> full, copy; CLI11 writes an option's validators behind its type.
std::vector<std::string> ChoicesIn(const std::string& type) {
  const size_t open = type.find('{');
  const size_t close = type.find('}', open == std::string::npos ? 0 : open);
  if (open == std::string::npos || close == std::string::npos) return {};
  return CLI::detail::split(type.substr(open + 1, close - open - 1), ',');
}

ArgumentShape ShapeOf(const CLI::Option& option) {
  ArgumentShape shape;
  shape.positional = option.get_positional();
  shape.flag = !shape.positional && option.get_items_expected_max() == 0;
  shape.required = option.get_required();
  shape.description = option.get_description();
  const std::string type = option.get_type_name();
  shape.choices = ChoicesIn(type);
  if (!shape.flag) shape.value = type.substr(0, type.find(':'));
  if (shape.positional) {
    shape.names = {option.get_name(/*positional=*/true)};
    return shape;
  }
  for (const std::string& name : option.get_lnames()) shape.names.push_back("--" + name);
  for (const std::string& name : option.get_snames()) shape.names.push_back("-" + name);
  return shape;
}

CommandShape ShapeOf(const Group& group, const Command& command) {
  CommandShape shape{.group = group.name,
                     .name = command.name,
                     .summary = command.summary,
                     .example = command.example,
                     .arguments = {}};
  CLI::App app;
  app.set_help_flag();
  const Runner unused = command.define(app);
  for (const CLI::Option* const option : app.get_options()) {
    shape.arguments.push_back(ShapeOf(*option));
  }
  return shape;
}

}  // namespace

const std::vector<CommandShape>& AllShapes() {
  static const std::vector<CommandShape> kShapes = [] {
    std::vector<CommandShape> shapes;
    for (const Group& group : AllGroups()) {
      for (const Command& command : group.commands) {
        if (!command.hidden) shapes.push_back(ShapeOf(group, command));
      }
    }
    return shapes;
  }();
  return kShapes;
}

const std::vector<ArgumentShape>& GlobalShapes() {
  static const std::vector<ArgumentShape> kShapes = {
      {.names = {"--server"},
       .value = "ADDRESS",
       .description = "server to talk to: HOST:PORT, or a server's name inside a lab"},
      {.names = {"--identity"},
       .value = "FILE",
       .description = "PEM file with key and certificate, for a group with TLS"},
      {.names = {"--format", "-o"},
       .value = "table|json|yaml",
       .choices = {"table", "json", "yaml"},
       .description = "table for people, json or yaml for programs"},
      {.names = {"--timeout"},
       .value = "DURATION",
       .description = "give up after so long, such as 10s or 500ms"},
      {.names = {"--help", "-h"},
       .flag = true,
       .description = "show usage, options and an example"},
  };
  return kShapes;
}

}  // namespace understudy::cli
