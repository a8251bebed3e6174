// SPDX-License-Identifier: Apache-2.0
#include "sqlite/integrity.h"

#include <fmt/format.h>

#include "sqlite/connection.h"

namespace understudy::sqlite {

base::Status CheckIntegrity(const std::string& path) {
  ASSIGN_OR_RETURN(const auto connection, Connection::Open(path, {}));
  ASSIGN_OR_RETURN(const std::string said, connection->QueryText("PRAGMA integrity_check"));
  if (said == "ok") return {};
  return base::Corruption(fmt::format(
      "{} is what the backup has, but SQLite finds it damaged: {}; it was so when it was backed up",
      path, said));
}

}  // namespace understudy::sqlite
