// SPDX-License-Identifier: Apache-2.0
#include "server/ask_peers.h"

#include <vector>

#include "base/thread.h"
#include "base/thread_name.h"

namespace understudy::server {

void AskPeers(const std::set<std::string>& servers,
              const std::function<void(const std::string& server)>& question) {
  std::vector<base::Thread> threads;
  threads.reserve(servers.size());
  for (const std::string& server : servers) {
    threads.emplace_back([&question, &server] {
      base::NameThisThread("ask-" + server);
      question(server);
    });
  }
  for (base::Thread& thread : threads) thread.Join();
}

}  // namespace understudy::server
