// SPDX-License-Identifier: Apache-2.0
// AbsoluteLocation: a repository as it was typed, as a server understands it: the path of a
// directory becomes absolute, a bucket ("s3://…") stays, and nothing stays nothing (the server's
// configured one). Threading: pure function.
#pragma once

#include <string>

namespace understudy::cli {

std::string AbsoluteLocation(const std::string& typed);

}  // namespace understudy::cli
