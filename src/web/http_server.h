// SPDX-License-Identifier: Apache-2.0
// HttpServer: answers questions over HTTP/1.0 and 1.1, for load balancers, monitoring and the
// dashboard.
//
// It owns the thread "web", which accepts, and kWorkers threads "web-worker", each of which serves
// one connection at a time. Nothing a client does can hold one for long: a request has
// kRequestLimit from its first byte to the answer's last, and kRequestBytesMax; a connection is
// idle for kIdleLimit at most, less when others wait. When kConnectionsWaitingMax wait, a new one
// gets 503 at once. A request with a body is answered and its connection closed. One for the stream
// of states is handed to the listeners (listeners.h) and holds no worker.
// Threading: thread-safe. Errors: of Start only.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "base/time.h"
#include "web/gate.h"
#include "web/status_source.h"

namespace understudy::web {

inline constexpr int kWorkers = 4;
inline constexpr size_t kConnectionsWaitingMax = 64;
inline constexpr size_t kRequestBytesMax = 8 << 10;
inline constexpr int kRequestsPerConnectionMax = 1000;
inline constexpr base::Duration kRequestLimit = std::chrono::seconds(1);
inline constexpr base::Duration kIdleLimit = std::chrono::seconds(5);

class HttpServer {
 public:
  // `listen` is "host:port", port 0 takes a free one; kInvalidArgument, kUnavailable when it cannot
  // be bound. `source` and `gate` are borrowed; null: everything is for everybody.
  static base::Result<std::unique_ptr<HttpServer>> Start(const std::string& listen,
                                                         const StatusSource& source,
                                                         Gate* gate = nullptr);
  ~HttpServer();  // as Stop
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  int port() const;
  // Answers what is being asked, closes every connection and joins.
  void Stop();

 private:
  class Core;
  explicit HttpServer(std::unique_ptr<Core> core);
  std::unique_ptr<Core> core_;
};

}  // namespace understudy::web
