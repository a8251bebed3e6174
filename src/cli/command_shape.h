// SPDX-License-Identifier: Apache-2.0
// CommandShape: what a command takes, read from the same declarations that parse it, for those who
// describe commands: completion and the manual page. Threading: pure functions.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"

namespace understudy::cli {

struct ArgumentShape {
  std::vector<std::string> names = {};  // "--to"; of a positional one its name, "DB"
  bool positional = false;
  bool flag = false;  // takes no value
  bool required = false;
  std::string value = {};                 // "REPO"; empty: a flag
  std::vector<std::string> choices = {};  // all that it may be, if these are few
  std::string description = {};
};

struct CommandShape {
  std::string group;  // empty: it stands at the top
  std::string name;
  std::string summary;
  std::string example;
  std::vector<ArgumentShape> arguments;

  std::string Words() const { return group.empty() ? name : group + " " + name; }
};

// All that --help shows, in its order; and the options of every command.
const std::vector<CommandShape>& AllShapes();
const std::vector<ArgumentShape>& GlobalShapes();

}  // namespace understudy::cli
