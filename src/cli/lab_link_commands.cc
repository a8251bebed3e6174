// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "cli/forwarder_control.h"
#include "cli/human.h"
#include "cli/lab_commands.h"
#include "cli/lab_state.h"

namespace understudy::cli {
namespace {

struct Arguments {
  std::string directory;
  std::string a;
  std::string b;
  std::optional<base::Duration> delay;
  std::optional<uint64_t> rate;
};

base::Status Ask(Context& context, const Arguments& arguments, const std::string& request,
                 const std::string& done) {
  ASSIGN_OR_RETURN(const std::string directory, LabDirectory(arguments.directory));
  ASSIGN_OR_RETURN(const LabState lab, LoadLabState(context.env(), directory));
  for (const std::string& server : {arguments.a, arguments.b}) {
    RETURN_IF_ERROR(lab.Find(server).status());
  }
  if (arguments.a == arguments.b) {
    return base::InvalidArgument(
        fmt::format("a link joins two servers, and both are {}", arguments.a));
  }
  RETURN_IF_ERROR(AskForwarder(lab.directory, request).status());
  context.output().Document(
      Json{{"link", {arguments.a, arguments.b}}, {"done", done}},
      fmt::format("link between {} and {}: {}\n", arguments.a, arguments.b, done));
  return {};
}

std::shared_ptr<Arguments> Declare(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  app.add_option("A", arguments->a, "a server")->required()->check(ServerName());
  app.add_option("B", arguments->b, "the other server")->required()->check(ServerName());
  AddLabDirectory(app, arguments->directory);
  return arguments;
}

Runner DefineCut(CLI::App& app) {
  auto arguments = Declare(app);
  return [arguments](Context& context) {
    return Ask(context, *arguments, fmt::format("cut {} {}", arguments->a, arguments->b), "cut");
  };
}

Runner DefineHeal(CLI::App& app) {
  auto arguments = Declare(app);
  return [arguments](Context& context) {
    return Ask(context, *arguments, fmt::format("heal {} {}", arguments->a, arguments->b),
               "healed");
  };
}

Runner DefineHalfOpen(CLI::App& app) {
  auto arguments = Declare(app);
  return [arguments](Context& context) {
    return Ask(context, *arguments, fmt::format("half-open {} {}", arguments->a, arguments->b),
               "half-open");
  };
}

// A bare number is milliseconds here, because nobody delays a link by seconds.
base::Result<base::Duration> ParseDelay(const std::string& text) {
  const bool digits = !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isdigit(c) != 0;
  });
  return ParseDuration(digits ? text + "ms" : text);
}

Runner DefineSlow(CLI::App& app) {
  auto arguments = Declare(app);
  app.add_option_function<std::string>(
         "--delay",
         [target = arguments.get()](const std::string& text) {
           auto delay = ParseDelay(text);
           if (!delay.ok()) throw CLI::ValidationError("--delay", delay.status().message());
           target->delay = *delay;
         },
         "how much later every byte arrives, each way")
      ->type_name("MS");
  AddBytes(app, "--rate", arguments->rate, "at most so many bytes a second, each way; 0: no limit");
  return [arguments](Context& context) {
    const base::Duration delay = arguments->delay.value_or(base::Duration(0));
    const uint64_t rate = arguments->rate.value_or(0);
    const auto delay_ms = std::chrono::duration_cast<std::chrono::milliseconds>(delay).count();
    std::string done = fmt::format("{} of delay", FormatDuration(delay));
    if (rate > 0) done += fmt::format(", at most {}", FormatRate(static_cast<double>(rate)));
    return Ask(context, *arguments,
               fmt::format("slow {} {} {} {}", arguments->a, arguments->b, delay_ms, rate), done);
  };
}

}  // namespace

const std::vector<Column>& LabLinkColumns() {
  static const std::vector<Column> kColumns = {{"from"},
                                               {"to"},
                                               {"state", CellKind::kState},
                                               {"delay_ms", CellKind::kDuration},
                                               {"rate", CellKind::kRate},
                                               {"connections", CellKind::kNumber},
                                               {"passed", CellKind::kBytes},
                                               {"swallowed", CellKind::kBytes}};
  return kColumns;
}

std::vector<Command> LabLinkCommands() {
  return {{.name = "cut",
           .summary = "Cut the link between two servers: connections are reset and refused",
           .example = "understudy lab cut s1 s3",
           .define = DefineCut},
          {.name = "half-open",
           .summary = "Swallow every byte between two servers without telling either",
           .example = "understudy lab half-open s1 s3",
           .define = DefineHalfOpen},
          {.name = "slow",
           .summary = "Delay or limit the bytes between two servers",
           .example = "understudy lab slow s1 s3 --delay 50 --rate 10MiB",
           .define = DefineSlow},
          {.name = "heal",
           .summary = "Make a link whole again: no cut, no delay, no limit",
           .example = "understudy lab heal s1 s3",
           .define = DefineHeal}};
}

}  // namespace understudy::cli
