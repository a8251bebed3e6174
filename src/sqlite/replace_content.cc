// SPDX-License-Identifier: Apache-2.0
#include "sqlite/replace_content.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include "sqlite/connection.h"

namespace understudy::sqlite {
namespace {

constexpr int kAllPages = -1;

}  // namespace

base::Status ReplaceContent(const Replacement& replacement) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Connection> source,
                   Connection::Open(replacement.source, {.read_only = true}));
  ASSIGN_OR_RETURN(
      const std::unique_ptr<Connection> destination,
      Connection::Open(replacement.destination, {.busy_timeout = replacement.busy_timeout}));
  ASSIGN_OR_RETURN(const int64_t from, source->QueryInt("PRAGMA page_size"));
  ASSIGN_OR_RETURN(const int64_t to, destination->QueryInt("PRAGMA page_size"));
  if (from != to) {
    return base::InvalidArgument(
        fmt::format("{} has pages of {} bytes, {} of {}: stop the applications and put the file in "
                    "place by hand",
                    replacement.source, from, replacement.destination, to));
  }
  // Whoever follows the database makes its checkpoints.
  RETURN_IF_ERROR(destination->Execute("PRAGMA wal_autocheckpoint=0"));
  RETURN_IF_ERROR(destination->Execute("PRAGMA synchronous=FULL"));
  sqlite3_backup* const copying =
      sqlite3_backup_init(destination->handle(), "main", source->handle(), "main");
  if (copying == nullptr) {
    return ToStatus(sqlite3_errcode(destination->handle()), destination->handle(),
                    "replacing the content of " + replacement.destination);
  }
  // Waits with the destination's busy timeout.
  const int code = sqlite3_backup_step(copying, kAllPages);
  const int finished = sqlite3_backup_finish(copying);
  if (code == SQLITE_DONE && finished == SQLITE_OK) return {};
  return ToStatus(code == SQLITE_DONE ? finished : code, destination->handle(),
                  "replacing the content of " + replacement.destination);
}

}  // namespace understudy::sqlite
