// SPDX-License-Identifier: Apache-2.0
// RedactConfig: a configuration as others may see it. A value whose key says that it may be a
// secret becomes "(removed)", and so does what follows the program in a hook's command; the paths
// of files that have secrets stay. What is no TOML is told as that, never shown. Threading: pure
// function.
#pragma once

#include <string>
#include <string_view>

namespace understudy::server {

std::string RedactConfig(std::string_view text);

}  // namespace understudy::server
