// SPDX-License-Identifier: Apache-2.0
// base::Code from its name on the wire (base::CodeName is the other way). Threading: pure function.
#pragma once

#include <string_view>

#include "base/status.h"

namespace understudy::rpc {

// kInternal for a name that this version does not know.
base::Code CodeFromName(std::string_view name);

}  // namespace understudy::rpc
