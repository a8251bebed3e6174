// SPDX-License-Identifier: Apache-2.0
// What shells and packages ask: completion and the manual page.
#include <fmt/format.h>

#include "cli/completion.h"
#include "cli/groups.h"
#include "cli/manual_page.h"
#include "rpc/protocol.h"

namespace understudy::cli {
namespace {

// A shell waits for it; nobody reads why it has none.
constexpr base::Duration kNamesLimit = std::chrono::milliseconds(500);

std::vector<std::string> Names(Context& context, Wanted wanted) {
  std::vector<std::string> names;
  const auto client = context.Connect();
  if (!client.ok()) return names;
  if (wanted == Wanted::kDatabase) {
    const auto answer = (*client)->ListDatabases({}, kNamesLimit);
    if (!answer.ok()) return names;
    for (const v1::Database& database : answer->databases()) names.push_back(database.name());
  } else {
    const auto answer = (*client)->ListServers({}, kNamesLimit);
    if (!answer.ok()) return names;
    for (const v1::Server& server : answer->servers()) names.push_back(server.name());
  }
  return names;
}

base::Status RunComplete(Context& context, const std::vector<std::string>& words) {
  Completion completion = Complete(words);
  if (completion.wanted == Wanted::kDatabase || completion.wanted == Wanted::kServer) {
    completion.words = Names(context, completion.wanted);
    std::erase_if(completion.words, [&](const std::string& name) {
      return !name.starts_with(words.empty() ? "" : words.back());
    });
  }
  std::string text;
  for (const std::string& word : completion.words) text += word + "\n";
  context.output().Text(text);
  return {};
}

Runner DefineComplete(CLI::App& app) {
  auto words = std::make_shared<std::vector<std::string>>();
  app.add_option("WORDS", *words, "after --: the words after understudy, the last one unfinished");
  return [words](Context& context) { return RunComplete(context, *words); };
}

Runner DefineCompletion(CLI::App& app) {
  auto shell = std::make_shared<std::string>();
  app.add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  return [shell](Context& context) -> base::Status {
    context.output().Text(CompletionScript(*shell));
    return {};
  };
}

Runner DefineManual(CLI::App&) {
  return [](Context& context) -> base::Status {
    context.output().Text(ManualPage());
    return {};
  };
}

}  // namespace

Group CompletionCommands() {
  return {"",
          "",
          {{.name = "completion",
            .summary = "Print the completion script of a shell",
            .example = "eval \"$(understudy completion bash)\"",
            .define = DefineCompletion},
           {.name = "manual",
            .summary = "Print the manual page, in roff",
            .example = "understudy manual | man -l -",
            .define = DefineManual},
           {.name = "complete",
            .summary = "Print what may come next on a command line",
            .example = "understudy complete -- backup r",
            .define = DefineComplete,
            .hidden = true}}};
}

}  // namespace understudy::cli
