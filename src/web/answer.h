// SPDX-License-Identifier: Apache-2.0
// The web server's questions and answers (docs/routing.md has the table), without any HTTP library.
//
//   200 yes   503 no   404 no such path or database   405 not GET, HEAD or OPTIONS
//   400 a parameter that does not exist or does not parse
//
// The body is JSON and says why (/metrics is metrics.h's text, / and /dashboard/ are dashboard.h's
// files, /api/v1/state/stream the head of a state_stream.h); HEAD and OPTIONS get the code alone.
// Threading: pure functions of a request and the snapshot that `source` gives at that moment.
#pragma once

#include <map>
#include <string>

#include "web/lag_history.h"
#include "web/status_source.h"

namespace understudy::web {

inline constexpr const char* kAllowedMethods = "GET, HEAD, OPTIONS";
// The cluster thread may be held up in one call of the coordinator for several seconds; a daemon
// that does not go round for so long is stuck.
inline constexpr base::Duration kRoundAgeMax = std::chrono::seconds(60);

struct Question {
  std::string method;  // "GET"
  std::string path;    // "/db/orders/replica", decoded
  std::multimap<std::string, std::string> parameters;
};

struct Answer {
  int code = 503;
  std::string body;  // empty for OPTIONS
  const char* type = "application/json";
};

// `history` may be null: then there is none.
Answer AnswerTo(const Question& question, const StatusSource& source,
                const LagHistory* history = nullptr);

}  // namespace understudy::web
