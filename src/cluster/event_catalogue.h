// SPDX-License-Identifier: Apache-2.0
// The catalogue of events: what each number means, what leads to it and what to do about it.
//
// docs/events.md is printed from it (understudy reference --events); `understudy events --explain`
// needs no server. tests/e2e/cli_test.py checks that every EventNumber is here, the compiler that
// none is twice. Threading: constants.
#pragma once

#include <span>
#include <string_view>

#include "cluster/records.h"

namespace understudy::cluster {

struct EventEntry {
  EventNumber number{};
  std::string_view name;     // two or three words
  std::string_view meaning;  // each of these: whole sentences
  std::string_view cause;
  std::string_view remedy;
};

std::span<const EventEntry> EventCatalogue();  // by number
const EventEntry* FindEvent(uint32_t number);  // null: no such event

}  // namespace understudy::cluster
