// SPDX-License-Identifier: Apache-2.0
// The only file that includes cpp-httplib: it parses requests, writes responses and accepts; the
// limits are Connection's, the answers AnswerTo's.
#include "web/http_server.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <atomic>
#include <charconv>
#include <functional>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <httplib.h>

#include "base/bounded_queue.h"
#include "base/mutex.h"
#include "base/thread_name.h"
#include "web/answer.h"
#include "web/connection.h"
#include "web/dashboard.h"
#include "web/listeners.h"

namespace understudy::web {
namespace {

constexpr base::Duration kPopLimit = std::chrono::seconds(1);
constexpr const char* kTooMany =
    "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
constexpr const char* kTooLong =
    "HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: "
    "0\r\n\r\n";

constexpr const char* kTooManyListen =
    "{\"error\":\"as many pages as allowed listen to this server; /api/v1/state can be asked\"}";

// What a connection is to the library.
class ConnectionStream final : public httplib::Stream {
 public:
  explicit ConnectionStream(Connection& connection) : connection_(connection) {}
  bool is_readable() const override { return true; }
  bool is_writable() const override { return true; }
  ssize_t read(char* to, size_t size) override { return connection_.Read(to, size); }
  ssize_t write(const char* from, size_t size) override {
    if (!begun_) good_ = std::string_view(from, size).starts_with("HTTP/1.1 200 ");
    begun_ = true;
    // The library says "bad request" when it cannot read on; the server has a better word.
    if (connection_.too_long()) return static_cast<ssize_t>(size);
    return connection_.WriteAll({from, size}) ? static_cast<ssize_t>(size) : -1;
  }
  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return connection_.socket(); }
  bool good() const { return good_; }  // the answer was 200

 private:
  Connection& connection_;
  bool begun_ = false;
  bool good_ = false;
};

// The worker threads, and the connections that wait for one.
class Workers final : public httplib::TaskQueue {
 public:
  Workers() {
    for (int i = 0; i < kWorkers; ++i) threads_.emplace_back([this] { Run(); });
  }
  void enqueue(std::function<void()> task) override {
    ++waiting_;
    if (queue_.TryPush(std::move(task))) return;
    --waiting_;
    task();  // it owns its socket; on this thread, which accepts, it refuses without waiting
  }
  void shutdown() override {
    queue_.Close();
    for (std::thread& thread : threads_) thread.join();
  }
  bool others_wait() const { return waiting_ > 0; }

 private:
  void Run() {
    base::NameThisThread("web-worker");
    while (true) {
      std::optional<std::function<void()>> task = queue_.Pop(kPopLimit);
      if (task) {
        --waiting_;
        (*task)();
      } else if (queue_.closed()) {
        return;
      }
    }
  }

  base::BoundedQueue<std::function<void()>> queue_{kConnectionsWaitingMax};
  std::atomic<int> waiting_{0};
  std::vector<std::thread> threads_;
};

struct Address {
  std::string host;
  int port = 0;
};

base::Result<Address> ParseAddress(const std::string& listen) {
  const size_t colon = listen.rfind(':');
  Address address;
  if (colon != std::string::npos && colon > 0) {
    const char* const end = listen.data() + listen.size();
    uint16_t port = 0;
    const auto parsed = std::from_chars(listen.data() + colon + 1, end, port);
    address.host = listen.substr(0, colon);
    address.port = port;
    if (address.host.size() > 2 && address.host.front() == '[' && address.host.back() == ']') {
      address.host = address.host.substr(1, address.host.size() - 2);
    }
    if (parsed.ec == std::errc() && parsed.ptr == end) return address;
  }
  return base::InvalidArgument(
      fmt::format("web.listen is \"{}\", it must be HOST:PORT such as 127.0.0.1:7480", listen));
}

bool HasBody(const httplib::Request& request) {
  if (request.has_header("Transfer-Encoding")) return true;
  const std::string length = request.get_header_value("Content-Length");
  return !length.empty() && length != "0";
}

}  // namespace

class HttpServer::Core final : public httplib::Server {
 public:
  Core(const StatusSource& source, Gate* gate)
      : source_(source), gate_(gate), listeners_(source, history_) {
    new_task_queue = [this] {
      auto* const workers = new Workers;  // NOLINT: the library deletes it
      workers_ = workers;
      Begun();
      return workers;
    };
    // The library's own option, SO_REUSEPORT, would let two daemons share a port unnoticed.
    set_socket_options([](socket_t socket) {
      const int on = 1;
      (void)::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    });
    set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
      Respond(request, response);
      return HandlerResponse::Handled;
    });
  }

  base::Status Listen(const std::string& listen) {
    ASSIGN_OR_RETURN(const Address address, ParseAddress(listen));
    errno = 0;
    port_ = address.port;
    if (address.port == 0) {
      port_ = bind_to_any_port(address.host);
    } else if (!bind_to_port(address.host, address.port)) {
      port_ = -1;
    }
    if (port_ < 0) {
      return base::Unavailable(fmt::format(
          "cannot listen at {} (web.listen): is that address this machine's, and the port free?",
          listen));
    }
    // The library lets 5 wait to be accepted: others of a burst would be a second late.
    (void)::listen(svr_sock_, static_cast<int>(kConnectionsWaitingMax));
    thread_ = std::thread([this] {
      base::NameThisThread("web");
      acceptor_ = std::this_thread::get_id();
      listen_after_bind();
      Begun();  // in case it ended before it began
    });
    const base::Duration limit = std::chrono::seconds(10);
    base::MutexLock lock(mutex_);
    // The library's stop() does nothing before its loop runs.
    while (!begun_ && begun_changed_.WaitFor(mutex_, limit)) {
    }
    return {};
  }

  void Shut() {
    if (!thread_.joinable()) return;
    stopping_ = true;
    stop();
    thread_.join();
    listeners_.Stop();  // now that no worker gives it another one
  }

  int port() const { return port_; }

 private:
  // A stranger gets health only.
  Answer AnswerOf(const httplib::Request& request, httplib::Response& response) {
    const std::string refusal =
        gate_ == nullptr ? "" : gate_->Refusal(request.get_header_value("Authorization"));
    const bool stranger = !refusal.empty();
    if (stranger && !IsHealthPath(request.path)) {
      response.set_header("WWW-Authenticate", "Basic realm=\"Understudy\", charset=\"UTF-8\"");
      return {401, refusal + "\n", "text/plain; charset=utf-8"};
    }
    Answer answer =
        AnswerTo({request.method, request.path, {request.params.begin(), request.params.end()}},
                 source_, &history_);
    if (stranger && !answer.body.empty()) answer.body = HealthOnly(answer.body);
    return answer;
  }

  void Respond(const httplib::Request& request, httplib::Response& response) {
    Answer answer = AnswerOf(request, response);
    const bool stream = std::string_view(answer.type) == kEventStreamType;
    if (stream && listeners_.full()) answer = {503, kTooManyListen};
    response.status = answer.code;
    response.set_header("Cache-Control", "no-store");
    response.set_header("Content-Security-Policy", kContentSecurityPolicy);
    response.set_header("X-Content-Type-Options", "nosniff");
    if (answer.code == 405 || request.method == "OPTIONS") {
      response.set_header("Allow", kAllowedMethods);
    }
    if (stream && answer.code == 200) {
      // The head without a length; what comes after it is the listeners' work.
      response.set_content_provider(answer.type, [](size_t, httplib::DataSink& sink) {
        sink.done();
        return true;
      });
      return;
    }
    response.set_content(answer.body, answer.type);
  }

  // Owns `socket`. The library's own loop has no limit for a whole request.
  bool process_and_close_socket(socket_t socket) override {
    Connection connection(socket);
    if (std::this_thread::get_id() == acceptor_) return connection.Refuse(kTooMany);
    const auto hurry = [this] { return stopping_ || workers_.load()->others_wait(); };
    for (int i = 1; i <= kRequestsPerConnectionMax; ++i) {
      if (!connection.Begin(kIdleLimit, hurry)) return true;
      ConnectionStream stream(connection);
      const bool last = i == kRequestsPerConnectionMax || hurry();
      bool close = false;
      bool has_body = false;
      std::optional<std::string> stream_after;
      const bool answered = process_request(stream, last, close, [&](httplib::Request& request) {
        has_body = HasBody(request);
        const bool listens = request.method == "GET" && request.path == kStateStreamPath;
        if (listens) stream_after = request.get_header_value("Last-Event-ID");
        if (has_body || listens) request.headers.emplace("Connection", "close");
        // Answers are short and whole: neither compressed nor in pieces.
        request.headers.erase("Accept-Encoding");
        request.ranges.clear();
      });
      if (connection.too_long()) return connection.WriteAll(kTooLong);
      if (answered && stream_after && stream.good()) {
        listeners_.Take(connection.Release(), *stream_after);
        return true;
      }
      if (!answered || close || last || has_body) return answered;
    }
    return true;
  }

  void Begun() EXCLUDES_LOCK(mutex_) {
    base::MutexLock lock(mutex_);
    begun_ = true;
    begun_changed_.NotifyAll();
  }

  const StatusSource& source_;
  Gate* const gate_;  // may be null
  LagHistory history_;
  Listeners listeners_;
  std::atomic<bool> stopping_{false};
  std::atomic<Workers*> workers_{nullptr};
  std::atomic<std::thread::id> acceptor_{};
  int port_ = -1;
  base::Mutex mutex_;
  base::CondVar begun_changed_;
  bool begun_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

HttpServer::HttpServer(std::unique_ptr<Core> core) : core_(std::move(core)) {}
HttpServer::~HttpServer() { Stop(); }

base::Result<std::unique_ptr<HttpServer>> HttpServer::Start(const std::string& listen,
                                                            const StatusSource& source,
                                                            Gate* gate) {
  auto core = std::make_unique<Core>(source, gate);
  RETURN_IF_ERROR(core->Listen(listen));
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(core)));
}

int HttpServer::port() const { return core_->port(); }
void HttpServer::Stop() { core_->Shut(); }

}  // namespace understudy::web
