// SPDX-License-Identifier: Apache-2.0
// Real sockets on loopback, spoken to byte by byte.
#include "web/http_server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <vector>

#include "testing/mem_env.h"
#include "tls/certificate.h"
#include "web/listeners.h"
#include "web/source_fixture.h"

namespace understudy::web {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kTestLimit = std::chrono::seconds(20);

class Client {
 public:
  explicit Client(int port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(socket_, reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0;
  }
  ~Client() { ::close(socket_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool connected() const { return connected_; }
  bool Send(const std::string& text) {
    return ::send(socket_, text.data(), text.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(text.size());
  }
  // Up to the end of the connection, or until `enough` is in it.
  std::string Receive(const std::string& enough = "") {
    std::string all;
    const auto end = Clock::now() + kTestLimit;
    while (enough.empty() || all.find(enough) == std::string::npos) {
      pollfd wait = {.fd = socket_, .events = POLLIN, .revents = 0};
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
      if (left <= 0 || ::poll(&wait, 1, static_cast<int>(left)) <= 0) return all + " NO END";
      char bytes[4096];
      const ssize_t length = ::recv(socket_, bytes, sizeof(bytes), 0);
      if (length < 0) return all + " RESET";
      if (length == 0) return all;
      all.append(bytes, static_cast<size_t>(length));
    }
    return all;
  }
  std::string Ask(const std::string& text) { return Send(text) ? Receive() : "NOT SENT"; }

 private:
  const int socket_;
  bool connected_ = false;
};

class HttpServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto server = HttpServer::Start("127.0.0.1:0", source_);
    ASSERT_TRUE(server.ok()) << server.status().ToString();
    server_ = std::move(server).value();
  }
  std::string Ask(const std::string& text) { return Client(server_->port()).Ask(text); }
  std::string Get(const std::string& path) { return Ask("GET " + path + " HTTP/1.0\r\n\r\n"); }

  test::FixedSource source_;
  std::unique_ptr<HttpServer> server_;
};

std::string FirstLine(const std::string& answer) { return answer.substr(0, answer.find('\r')); }
std::string BodyOf(const std::string& answer) {
  const size_t end = answer.find("\r\n\r\n");
  return end == std::string::npos ? "NO HEADERS" : answer.substr(end + 4);
}

TEST_F(HttpServerTest, GetHasABodyHeadAndOptionsHaveNone) {
  EXPECT_EQ(FirstLine(Get("/db/orders/primary")), "HTTP/1.1 200 OK");
  EXPECT_EQ(BodyOf(Get("/db/orders/primary")).substr(0, 15), "{\"answer\":\"yes\"");
  EXPECT_EQ(FirstLine(Get("/db/mail/primary")), "HTTP/1.1 503 Service Unavailable");
  for (const char* method : {"HEAD", "OPTIONS"}) {
    const std::string yes = Ask(fmt::format("{} /db/orders/primary HTTP/1.0\r\n\r\n", method));
    EXPECT_EQ(FirstLine(yes), "HTTP/1.1 200 OK") << method;
    EXPECT_EQ(BodyOf(yes), "") << method;
    const std::string no = Ask(fmt::format("{} /db/mail/primary HTTP/1.0\r\n\r\n", method));
    EXPECT_EQ(FirstLine(no), "HTTP/1.1 503 Service Unavailable") << method;
    EXPECT_EQ(BodyOf(no), "") << method;
  }
}

TEST_F(HttpServerTest, BehindAGateStrangersGetHealthOnly) {
  understudy::test::MemEnv env;
  ASSERT_TRUE(env.MakeDirectories("/d").ok());
  const std::string file = "ann " + tls::Sha256Hex("right") + "\n";
  ASSERT_TRUE(env::WriteFileAtomically(env, "/d/tokens", base::AsBytes(file)).ok());
  Gate gate(env, "/d/tokens");
  auto guarded = HttpServer::Start("127.0.0.1:0", source_, &gate);
  ASSERT_TRUE(guarded.ok()) << guarded.status().ToString();
  const auto ask = [&](const std::string& what, const std::string& token) {
    return Client((*guarded)->port())
        .Ask(fmt::format("{} HTTP/1.0\r\n{}\r\n", what,
                         token.empty() ? "" : "Authorization: Bearer " + token + "\r\n"));
  };
  for (const char* path : {"/", "/metrics", "/api/v1/state", "/cluster", "/databases",
                           "/db/orders/status", "/dashboard/main.js", "/nothing"}) {
    for (const char* token : {"", "wrong"}) {
      const std::string refused = ask(fmt::format("GET {}", path), token);
      EXPECT_EQ(FirstLine(refused), "HTTP/1.1 401 Unauthorized") << path;
      EXPECT_NE(refused.find("WWW-Authenticate: Basic"), std::string::npos) << refused;
      EXPECT_NE(BodyOf(refused).find("token"), std::string::npos) << refused;
      EXPECT_EQ(refused.find("orders"), std::string::npos) << refused;
    }
    const std::string answered = ask(fmt::format("GET {}", path), "right");
    EXPECT_EQ(answered.find(" 401 "), std::string::npos) << path;
  }
  EXPECT_EQ(FirstLine(ask("POST /metrics", "")), "HTTP/1.1 401 Unauthorized");
  EXPECT_EQ(FirstLine(ask("POST /metrics", "right")), "HTTP/1.1 405 Method Not Allowed");
  // The codes that load balancers look at are the same; the rest of the answer is not for them.
  EXPECT_EQ(BodyOf(ask("GET /db/orders/primary", "")), "{\"answer\":\"yes\"}");
  EXPECT_EQ(FirstLine(ask("GET /db/mail/primary", "wrong")), "HTTP/1.1 503 Service Unavailable");
  EXPECT_NE(BodyOf(ask("GET /db/orders/primary", "right")), "{\"answer\":\"yes\"}");
}

TEST_F(HttpServerTest, ParametersAreDecoded) {
  EXPECT_EQ(FirstLine(Get("/db/mail/replica?lag=10")), "HTTP/1.1 200 OK");
  EXPECT_EQ(FirstLine(Get("/db/mail/replica?lag=1%73")), "HTTP/1.1 200 OK");
  EXPECT_EQ(FirstLine(Get("/db/mail/replica?lag=9")), "HTTP/1.1 503 Service Unavailable");
  EXPECT_EQ(FirstLine(Get("/db/mail/replica?lag=10MB")), "HTTP/1.1 400 Bad Request");
}

TEST_F(HttpServerTest, OtherMethodsAreRefusedAndTheirBodiesAreNotRequests) {
  const std::string answer =
      Ask("POST /db/orders/primary HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\n"
          "GET /db/orders/primary HTTP/1.1\r\n\r\n12345678");
  EXPECT_EQ(FirstLine(answer), "HTTP/1.1 405 Method Not Allowed");
  EXPECT_NE(answer.find("Allow: GET, HEAD, OPTIONS"), std::string::npos) << answer;
  EXPECT_NE(answer.find("Connection: close"), std::string::npos) << answer;
  EXPECT_EQ(answer.find("200 OK"), std::string::npos) << answer;
  const std::string get = Ask("GET /db/orders/primary HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello");
  EXPECT_EQ(FirstLine(get), "HTTP/1.1 200 OK");
  EXPECT_EQ(get.find("400"), std::string::npos) << get;
}

TEST_F(HttpServerTest, WhatIsNotHttpIsABadRequest) {
  EXPECT_EQ(FirstLine(Ask("hello\r\n\r\n")), "HTTP/1.1 400 Bad Request");
  EXPECT_EQ(FirstLine(Ask("GET /health HTTP/3.0\r\n\r\n")), "HTTP/1.1 400 Bad Request");
}

TEST_F(HttpServerTest, OverlongRequestsAreRefusedHoweverTheyAreLong) {
  const std::string long_text(kRequestBytesMax, 'x');
  for (const std::string& request :
       {"GET /" + long_text + " HTTP/1.1\r\n\r\n",
        "GET /health HTTP/1.1\r\nX: " + long_text + "\r\n\r\n", "GET " + long_text + long_text}) {
    EXPECT_EQ(FirstLine(Ask(request)), "HTTP/1.1 431 Request Header Fields Too Large");
  }
  std::string many = "GET /health HTTP/1.1\r\n";
  while (many.size() < 2 * kRequestBytesMax) many += "A: b\r\n";
  EXPECT_EQ(FirstLine(Ask(many + "\r\n")), "HTTP/1.1 431 Request Header Fields Too Large");
}

TEST_F(HttpServerTest, RangesAndEncodingsAreIgnored) {
  std::string ranges = "bytes=0-1";
  while (ranges.size() < kRequestBytesMax - 200) ranges += ",0-1";
  const std::string answer = Ask(
      "GET /db/orders/primary HTTP/1.0\r\nAccept-Encoding: gzip\r\nRange: " + ranges + "\r\n\r\n");
  EXPECT_EQ(FirstLine(answer), "HTTP/1.1 200 OK");
  EXPECT_EQ(BodyOf(answer).substr(0, 1), "{");
}

TEST_F(HttpServerTest, AConnectionIsKeptForFurtherRequests) {
  Client client(server_->port());
  const std::string request = "GET /db/orders/history HTTP/1.1\r\nHost: x\r\n\r\n";
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(client.Send(request));
    const std::string answer = client.Receive("]]");
    EXPECT_EQ(FirstLine(answer), "HTTP/1.1 200 OK");
  }
  // Two at once, in one packet.
  ASSERT_TRUE(client.Send(request + "GET /db/mail/primary HTTP/1.1\r\nConnection: close\r\n\r\n"));
  const std::string both = client.Receive();
  EXPECT_NE(both.find("200 OK"), std::string::npos) << both;
  EXPECT_NE(both.find("503 Service Unavailable"), std::string::npos) << both;
}

TEST_F(HttpServerTest, ASlowRequestIsCutOff) {
  Client client(server_->port());
  ASSERT_TRUE(client.Send("GET /health HT"));
  const auto begin = Clock::now();
  client.Receive();
  EXPECT_LT(Clock::now() - begin, kRequestLimit + std::chrono::seconds(4));
}

TEST_F(HttpServerTest, IdleConnectionsMakeRoomForThoseThatAsk) {
  std::vector<std::unique_ptr<Client>> idle;
  for (int i = 0; i < 3 * kWorkers; ++i) {
    idle.push_back(std::make_unique<Client>(server_->port()));
    ASSERT_TRUE(idle.back()->connected());
  }
  const auto begin = Clock::now();
  EXPECT_EQ(FirstLine(Get("/db/orders/primary")), "HTTP/1.1 200 OK");
  EXPECT_LT(Clock::now() - begin, kIdleLimit);
}

TEST_F(HttpServerTest, TooManyConnectionsAreToldSo) {
  std::vector<std::unique_ptr<Client>> slow;
  // Each holds a worker until its request has taken too long.
  for (size_t i = 0; i < kConnectionsWaitingMax + 10 * kWorkers; ++i) {
    slow.push_back(std::make_unique<Client>(server_->port()));
    slow.back()->Send("GET");
  }
  bool refused = false;  // the newest are
  for (; !refused && !slow.empty(); slow.pop_back()) {
    refused = FirstLine(slow.back()->Receive()) == "HTTP/1.1 503 Service Unavailable";
  }
  EXPECT_TRUE(refused);
  slow.clear();
  const auto end = Clock::now() + kTestLimit;
  while (FirstLine(Get("/db/orders/primary")) != "HTTP/1.1 200 OK") ASSERT_LT(Clock::now(), end);
}

TEST_F(HttpServerTest, StopEndsIdleConnections) {
  Client client(server_->port());
  ASSERT_TRUE(client.Send("GET /databases HTTP/1.1\r\nHost: x\r\n\r\n"));
  EXPECT_EQ(FirstLine(client.Receive("]")), "HTTP/1.1 200 OK");
  const auto begin = Clock::now();
  server_->Stop();
  EXPECT_LT(Clock::now() - begin, kIdleLimit);
  EXPECT_EQ(client.Receive(), "");
  EXPECT_FALSE(Client(server_->port()).connected());
}

TEST_F(HttpServerTest, APortInUseIsRefused) {
  const auto second = HttpServer::Start(fmt::format("127.0.0.1:{}", server_->port()), source_);
  EXPECT_EQ(second.status().code(), base::Code::kUnavailable);
  EXPECT_NE(second.status().message().find("web.listen"), std::string::npos);
}

TEST(HttpServer, AddressesThatAreNoneAreRefused) {
  test::FixedSource source;
  for (const char* address :
       {"", "7480", ":7480", "127.0.0.1:", "127.0.0.1:70000", "127.0.0.1:x"}) {
    EXPECT_EQ(HttpServer::Start(address, source).status().code(), base::Code::kInvalidArgument)
        << address;
  }
}

constexpr const char* kListen = "GET /api/v1/state/stream HTTP/1.1\r\nHost: x\r\n";

TEST_F(HttpServerTest, StreamsTheState) {
  Client client(server_->port());
  ASSERT_TRUE(client.Send(std::string(kListen) + "\r\n"));
  const std::string begin = client.Receive("\n\n");
  EXPECT_EQ(FirstLine(begin), "HTTP/1.1 200 OK");
  EXPECT_NE(begin.find("Content-Type: text/event-stream"), std::string::npos) << begin;
  EXPECT_NE(begin.find("no-store"), std::string::npos);
  EXPECT_NE(client.Receive("event: beat").find("event: beat"), std::string::npos);
}

TEST_F(HttpServerTest, ListenersHoldNoWorkerAndAreBounded) {
  std::vector<std::unique_ptr<Client>> clients;
  for (size_t i = 0; i < kListenersMax; ++i) {
    clients.push_back(std::make_unique<Client>(server_->port()));
    ASSERT_TRUE(clients.back()->Send(std::string(kListen) + "\r\n"));
    ASSERT_NE(clients.back()->Receive("event: state").find("event: state"), std::string::npos);
  }
  EXPECT_EQ(FirstLine(Get("/liveness")), "HTTP/1.1 200 OK");
  EXPECT_EQ(FirstLine(Ask(std::string(kListen) + "\r\n")), "HTTP/1.1 503 Service Unavailable");
  clients.pop_back();  // its place is free once the server has seen that it left
  std::string answer;
  const auto end = Clock::now() + kTestLimit;
  while (answer.find("event: state") == std::string::npos && Clock::now() < end) {
    Client again(server_->port());
    ASSERT_TRUE(again.Send(std::string(kListen) + "\r\n"));
    answer = again.Receive("\n\n");
  }
  EXPECT_NE(answer.find("event: state"), std::string::npos);
}

TEST_F(HttpServerTest, ListenerThatSaysMoreIsLetGo) {
  Client client(server_->port());
  ASSERT_TRUE(client.Send(std::string(kListen) + "\r\n"));
  client.Receive("event: state");
  ASSERT_TRUE(client.Send("more"));
  EXPECT_EQ(client.Receive().find("NO END"), std::string::npos);
}

TEST_F(HttpServerTest, StopEndsTheStreams) {
  Client client(server_->port());
  ASSERT_TRUE(client.Send(std::string(kListen) + "\r\n"));
  client.Receive("event: state");
  server_->Stop();
  EXPECT_EQ(client.Receive().find("NO END"), std::string::npos);
}

TEST_F(HttpServerTest, HeadOfTheStreamIsAnswered) {
  EXPECT_EQ(FirstLine(Ask("HEAD /api/v1/state/stream HTTP/1.0\r\n\r\n")), "HTTP/1.1 200 OK");
}

}  // namespace
}  // namespace understudy::web
