// SPDX-License-Identifier: Apache-2.0
// RestoreInPlace: has a group's active copy get the content of a backup. What is there now is
// backed up first, to the same repository, as a copy. Asks the server three times: what would be
// done, for that backup, and to do it. Threading: pure function.
#pragma once

#include <string>

#include "cli/command.h"
#include "cli/wanted_point.h"

namespace understudy::cli {

struct InPlaceArguments {
  std::string database;
  std::string repository;  // empty: the server's configured one
  WantedPoint wanted;
  std::string from;  // the server whose disk has it; empty: the one that is asked
  bool force = false;
  bool dry_run = false;
  bool yes = false;
  bool no_copy = false;  // nothing is backed up first
};

base::Status RestoreInPlace(Context& context, const InPlaceArguments& arguments);

}  // namespace understudy::cli
