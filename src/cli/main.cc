// SPDX-License-Identifier: Apache-2.0
#include "cli/main.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <ostream>

#include "cli/command.h"
#include "cli/help_formatter.h"
#include "cli/suggest.h"

namespace understudy::cli {
namespace {

constexpr std::string_view kSummary =
    "An availability group for SQLite databases: passive copies that follow an active one commit "
    "by commit, and backups taken from a passive copy.";
constexpr std::string_view kFooter =
    "The server to talk to: --server, else UNDERSTUDY_SERVER, else 127.0.0.1:7400.\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 server not reachable.\n"
    "'understudy COMMAND --help' shows a command's options and an example.";

// One command of the tree as CLI11 knows it.
struct Node {
  CLI::App* app = nullptr;
  Command command;
  Runner run;
};

std::optional<Format> FormatFrom(const std::string& text) {
  if (text == "table") return Format::kTable;
  if (text == "json") return Format::kJson;
  if (text == "yaml") return Format::kYaml;
  return std::nullopt;
}

void AddGlobals(CLI::App& app, Globals& globals) {
  app.add_option("--server", globals.server,
                 "server to talk to: HOST:PORT, or a server's name inside a lab")
      ->type_name("ADDRESS")
      ->group("Options of every command");
  app.add_option("--identity", globals.identity,
                 "PEM file with key and certificate, for a group with TLS")
      ->type_name("FILE")
      ->group("Options of every command");
  app.add_option_function<std::string>(
         "-o,--format",
         [&globals](const std::string& text) {
           const std::optional<Format> format = FormatFrom(text);
           if (!format) {
             throw CLI::ValidationError("-o",
                                        fmt::format("'{}' is not one of table, json, yaml", text));
           }
           globals.format = *format;
         },
         "table for people, json or yaml for programs")
      ->type_name("table|json|yaml")
      ->group("Options of every command");
  AddDuration(app, "--timeout", globals.timeout, "give up after so long, such as 10s or 500ms")
      ->group("Options of every command");
}

std::unique_ptr<CLI::App> BuildApp(Globals& globals, std::vector<Node>& nodes) {
  auto root = std::make_unique<CLI::App>(std::string(kSummary), "understudy");
  root->footer(std::string(kFooter));
  root->require_subcommand(1);
  root->formatter(std::make_shared<HelpFormatter>());
  AddGlobals(*root, globals);
  for (const Group& group : AllGroups()) {
    CLI::App* parent = root.get();
    if (!group.name.empty()) {
      parent = root->add_subcommand(group.name, group.summary);
      parent->require_subcommand(1);
      parent->fallthrough();
    }
    for (const Command& command : group.commands) {
      CLI::App* app = parent->add_subcommand(command.name, command.summary);
      app->fallthrough();  // so that "-o json" may stand anywhere
      if (command.hidden) app->group("");
      std::string footer = "EXAMPLE";
      for (const std::string& line : CLI::detail::split(command.example, '\n')) {
        footer += "\n  " + line;
      }
      footer +=
          "\n\nAlso: --server ADDRESS, -o table|json|yaml, --timeout DURATION (understudy --help).";
      app->footer(footer);
      nodes.push_back({app, command, command.define(*app)});
    }
  }
  return root;
}

// The deepest command that was recognised before parsing failed.
CLI::App* Deepest(CLI::App& root) {
  CLI::App* app = &root;
  while (!app->get_subcommands().empty()) app = app->get_subcommands().front();
  return app;
}

std::string FullName(const CLI::App* app) {
  std::string name = app->get_name();
  while ((app = app->get_parent()) != nullptr) name = app->get_name() + " " + name;
  return name;
}

// CLI11's exceptions as one sentence of ours.
base::Status UsageError(CLI::App& root, const std::vector<std::string>& arguments,
                        const CLI::ParseError& error) {
  CLI::App* app = Deepest(root);
  const std::string help = fmt::format("'{} --help' shows the usage and an example", FullName(app));
  const bool wants_command = app->get_require_subcommand_min() > 0;
  if (wants_command) {
    std::vector<std::string> names;
    for (const CLI::App* child : app->get_subcommands({})) {
      if (!child->get_group().empty()) names.push_back(child->get_name());
    }
    const std::string typed = FirstUnknownWord(arguments, FullName(app));
    if (typed.empty()) {
      return base::InvalidArgument(
          fmt::format("'{}' needs a command after it\n{}", FullName(app), help));
    }
    const std::string near = Nearest(typed, names);
    return base::InvalidArgument(fmt::format(
        "'{}' is not a command of '{}'\n{}", typed, FullName(app),
        near.empty() ? help : fmt::format("did you mean '{} {}'?", FullName(app), near)));
  }
  std::string what = error.what();
  std::replace(what.begin(), what.end(), '\n', ' ');
  return base::InvalidArgument(fmt::format("{}: {}\n{}", FullName(app), what, help));
}

// Which format the failure of parsing itself is printed in.
Format FormatWanted(const std::vector<std::string>& arguments) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    if (word == "-ojson" || word == "-o=json" || word == "--format=json") return Format::kJson;
    if ((word == "-o" || word == "--format") && i + 1 < arguments.size() &&
        arguments[i + 1] == "json") {
      return Format::kJson;
    }
  }
  return Format::kTable;
}

ExitCode Execute(const Node& node, Context& context) {
  const base::Status status = node.run(context);
  if (status.ok()) return ExitCode::kDone;
  context.output().Failure(status, HintFor(node.command, status));
  return context.not_reachable() ? ExitCode::kNotReachable : ExitCode::kFailed;
}

}  // namespace

ExitCode Run(const std::vector<std::string>& arguments, std::ostream& out, std::ostream& error,
             env::Env& env) {
  Globals globals;
  std::vector<Node> nodes;
  const std::unique_ptr<CLI::App> root = BuildApp(globals, nodes);
  try {
    root->parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::Success&) {
    out << root->help() << std::flush;  // of the deepest command, under its full name
    return ExitCode::kDone;
  } catch (const CLI::ParseError& failure) {
    Output output(out, error, DetectTerminal(FormatWanted(arguments)));
    output.Failure(UsageError(*root, arguments, failure), "");
    return ExitCode::kUsage;
  }
  Output output(out, error, DetectTerminal(globals.format));
  Context context(globals, output, env);
  const auto chosen =
      std::find_if(nodes.begin(), nodes.end(), [](const Node& node) { return node.app->parsed(); });
  CHECK(chosen != nodes.end());
  return Execute(*chosen, context);
}

}  // namespace understudy::cli
