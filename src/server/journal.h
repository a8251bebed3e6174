// SPDX-License-Identifier: Apache-2.0
// Diagnostic lines as entries of systemd's journal, with their fields, so that
//
//   journalctl -u understudyd UNDERSTUDY_NUMBER=2153 UNDERSTUDY_DATABASE=orders
//
// finds events without a pattern. Names: UNDERSTUDY_AREA, and UNDERSTUDY_ and the field's key in
// capitals. Threading: thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/diag.h"

namespace understudy::server {

inline constexpr size_t kJournalFieldBytesMax = 48 << 10;  // of a value; more is cut off

// Whether standard error is the journal's (JOURNAL_STREAM of systemd.exec(5)).
bool IsJournalOurs();

// "PRIORITY=4", "MESSAGE=…", …; as sd_journal_sendv(3) takes them.
std::vector<std::string> JournalEntry(base::DiagLevel level, std::string_view area,
                                      std::string_view message,
                                      const std::vector<base::DiagField>& fields);
// False: the journal does not take it.
bool SendToJournal(const std::vector<std::string>& entry);

}  // namespace understudy::server
