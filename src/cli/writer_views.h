// SPDX-License-Identifier: Apache-2.0
// What is shown of writers and their sessions: as `vssadmin list writers` and BETest show it, and
// what those leave out. Threading: pure functions.
#pragma once

#include <string>

#include "cli/json.h"
#include "understudy/v1/admin.pb.h"

namespace understudy::cli {

Json WriterJson(const v1::Writer& writer);
std::string RenderWriter(const v1::Writer& writer);
// "Status for writer Understudy Writer (mail): STABLE(0x00000000)"
std::string StatusLine(const std::string& database, uint32_t state, uint32_t code);
// Whole lines: what failed, the causes, the limit and the setting.
std::string RenderFailure(const v1::WriterFailure& failure, const std::string& indent);
Json SessionJson(const v1::WriterSession& session);

}  // namespace understudy::cli
