// SPDX-License-Identifier: Apache-2.0
// CheckIntegrity: SQLite's own opinion of a database file that nobody else uses: `PRAGMA
// integrity_check`. What SQLite puts beside it meanwhile is gone afterwards. Threading: pure
// function. Errors: kCorruption with SQLite's first finding, those of Connection.
#pragma once

#include <string>

#include "base/status.h"

namespace understudy::sqlite {

base::Status CheckIntegrity(const std::string& path);

}  // namespace understudy::sqlite
