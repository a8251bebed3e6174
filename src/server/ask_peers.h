// SPDX-License-Identifier: Apache-2.0
// AskPeers: the same question to several servers at once, so that those that do not answer cost
// their limit once and not one after the other.
//
// Threads "ask-SERVER", one a server, live as long as the call. `question` runs on them: what it
// shares it must guard. Threading: blocks until every question has ended; each must have a limit.
#pragma once

#include <functional>
#include <set>
#include <string>

namespace understudy::server {

void AskPeers(const std::set<std::string>& servers,
              const std::function<void(const std::string& server)>& question);

}  // namespace understudy::server
