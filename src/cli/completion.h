// SPDX-License-Identifier: Apache-2.0
// Completion: what may come next on a command line, for shells. The shells' scripts are a few lines
// each that ask `understudy complete` (completion_commands.cc), so what is completed is what the
// program that is installed understands. Threading: pure functions.
#pragma once

#include <string>
#include <vector>

namespace understudy::cli {

enum class Wanted { kNothing, kWords, kFile, kDatabase, kServer };

struct Completion {
  Wanted wanted = Wanted::kWords;
  std::vector<std::string> words;  // candidates that begin with what was typed
};

// `words`: after "understudy"; the last one is being typed, and may be empty.
Completion Complete(const std::vector<std::string>& words);

// Of bash, zsh or fish; empty: another shell.
std::string CompletionScript(const std::string& shell);

}  // namespace understudy::cli
