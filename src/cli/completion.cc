// SPDX-License-Identifier: Apache-2.0
#include "cli/completion.h"

#include <algorithm>
#include <set>

#include "cli/command_shape.h"

namespace understudy::cli {
namespace {

constexpr const char* kBash = R"(# bash completion for understudy
_understudy() {
  local IFS=$'\n'
  COMPREPLY=($(understudy complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
  [[ ${#COMPREPLY[@]} -eq 0 ]] && compopt -o default
}
complete -F _understudy understudy
)";
constexpr const char* kZsh = R"(#compdef understudy
_understudy() {
  local -a candidates
  candidates=("${(@f)$(understudy complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "${candidates[1]}" ]]; then compadd -a candidates; else _files; fi
}
if [[ "$funcstack[1]" = _understudy ]]; then
  _understudy "$@"
else
  compdef _understudy understudy
fi
)";
constexpr const char* kFish = R"(# fish completion for understudy
function __understudy
  understudy complete -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null
end
complete -c understudy -a '(__understudy)'
)";

bool Begins(const std::string& word, const std::string& typed) { return word.starts_with(typed); }

// The command that is named so far; null: not yet.
const CommandShape* CommandOf(const std::vector<std::string>& plain) {
  for (const CommandShape& shape : AllShapes()) {
    if (shape.group.empty() && !plain.empty() && plain[0] == shape.name) return &shape;
    if (!shape.group.empty() && plain.size() > 1 && plain[0] == shape.group &&
        plain[1] == shape.name) {
      return &shape;
    }
  }
  return nullptr;
}

const ArgumentShape* OptionNamed(const CommandShape* command, const std::string& name) {
  const auto among = [&](const std::vector<ArgumentShape>& all) -> const ArgumentShape* {
    for (const ArgumentShape& each : all) {
      if (!each.positional && std::ranges::find(each.names, name) != each.names.end()) return &each;
    }
    return nullptr;
  };
  const ArgumentShape* const own = command == nullptr ? nullptr : among(command->arguments);
  return own != nullptr ? own : among(GlobalShapes());
}

Completion OfValue(const ArgumentShape& argument, const std::string& typed) {
  if (!argument.choices.empty()) {
    Completion completion;
    for (const std::string& choice : argument.choices) {
      if (Begins(choice, typed)) completion.words.push_back(choice);
    }
    return completion;
  }
  const std::string& what = argument.positional ? argument.names[0] : argument.value;
  if (what == "DB") return {Wanted::kDatabase, {}};
  if (what == "SERVER" || what == "FROM" || what == "TO") return {Wanted::kServer, {}};
  if (what == "FILE" || what == "DIRECTORY" || what == "REPO" || what == "PATH") {
    return {Wanted::kFile, {}};
  }
  return {Wanted::kNothing, {}};
}

Completion OfOptions(const CommandShape* command, const std::string& typed) {
  std::set<std::string> names;
  const auto add = [&](const std::vector<ArgumentShape>& all) {
    for (const ArgumentShape& each : all) {
      if (each.positional) continue;
      for (const std::string& name : each.names) {
        if (name.starts_with("--") && Begins(name, typed)) names.insert(name);
      }
    }
  };
  if (command != nullptr) add(command->arguments);
  add(GlobalShapes());
  return {Wanted::kWords, {names.begin(), names.end()}};
}

Completion OfCommands(const std::vector<std::string>& plain, const std::string& typed) {
  std::set<std::string> names;
  for (const CommandShape& shape : AllShapes()) {
    const std::string& word = plain.empty() ? (shape.group.empty() ? shape.name : shape.group)
                              : shape.group == plain[0] ? shape.name
                                                        : std::string();
    if (!word.empty() && Begins(word, typed)) names.insert(word);
  }
  return {Wanted::kWords, {names.begin(), names.end()}};
}

}  // namespace

Completion Complete(const std::vector<std::string>& words) {
  if (words.empty()) return OfCommands({}, "");
  const std::string& typed = words.back();
  std::vector<std::string> plain;  // without options and their values
  const ArgumentShape* wants_value = nullptr;
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    if (wants_value != nullptr) {
      wants_value = nullptr;
    } else if (words[i].starts_with("-")) {
      const ArgumentShape* const option = OptionNamed(CommandOf(plain), words[i]);
      if (option != nullptr && !option->flag) wants_value = option;
    } else {
      plain.push_back(words[i]);
    }
  }
  if (wants_value != nullptr) return OfValue(*wants_value, typed);
  const CommandShape* const command = CommandOf(plain);
  if (typed.starts_with("-")) return OfOptions(command, typed);
  if (command == nullptr) return OfCommands(plain, typed);
  size_t position = plain.size() - (command->group.empty() ? 1 : 2);
  for (const ArgumentShape& argument : command->arguments) {
    if (argument.positional && position-- == 0) return OfValue(argument, typed);
  }
  return {Wanted::kNothing, {}};
}

std::string CompletionScript(const std::string& shell) {
  if (shell == "bash") return kBash;
  if (shell == "zsh") return kZsh;
  return shell == "fish" ? kFish : "";
}

}  // namespace understudy::cli
