// SPDX-License-Identifier: Apache-2.0
// FirstLine: a failure's sentence without the hint that may follow it on a line of its own, for
// texts that go on after it. Threading: pure function.
#pragma once

#include <string>

namespace understudy::base {

inline std::string FirstLine(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace understudy::base
