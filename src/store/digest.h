// SPDX-License-Identifier: Apache-2.0
// Digests as S3 wants them in headers. Threading: pure functions.
#pragma once

#include <string>

#include "base/bytes.h"

namespace understudy::store {

std::string Sha256Hex(base::ByteView bytes);
std::string Md5Base64(base::ByteView bytes);

}  // namespace understudy::store
