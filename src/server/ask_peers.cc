// SPDX-License-Identifier: Apache-2.0
#include "server/ask_peers.h"

#include <thread>
#include <vector>

#include "base/thread_name.h"

namespace understudy::server {

void AskPeers(const std::set<std::string>& servers,
              const std::function<void(const std::string& server)>& question) {
  std::vector<std::thread> threads;
  threads.reserve(servers.size());
  for (const std::string& server : servers) {
    threads.emplace_back([&question, &server] {
      base::NameThisThread("ask-" + server);
      question(server);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace understudy::server
