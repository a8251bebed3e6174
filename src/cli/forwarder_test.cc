// SPDX-License-Identifier: Apache-2.0
// The forwarder between real sockets on loopback, driven from this thread: no threads, no sleeps;
// time is what the test says.
#include "cli/forwarder.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <functional>
#include <string>

#include "cli/forwarder_control.h"
#include "testing/temp_dir.h"

namespace understudy::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Turns of the forwarder before a test gives up on something that should happen at once. Each waits
// for the kernel at most a few milliseconds.
constexpr int kTurnsMax = 2000;

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

class Server {
 public:
  Server() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)) {
    sockaddr_in address = Loopback(0);
    socklen_t length = sizeof(address);
    CHECK(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), length) == 0);
    CHECK(::listen(socket_.get(), 8) == 0);
    CHECK(::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address), &length) == 0);
    port_ = ntohs(address.sin_port);
  }
  uint16_t port() const { return port_; }
  Descriptor Accept() {
    return Descriptor(::accept4(socket_.get(), nullptr, nullptr, SOCK_NONBLOCK));
  }

 private:
  Descriptor socket_;
  uint16_t port_ = 0;
};

class ForwarderTest : public testing::Test {
 protected:
  void SetUp() override {
    auto forwarder = Forwarder::Create({{.from = "s1", .to = "s2", .to_port = s2_.port()},
                                        {.from = "s2", .to = "s1", .to_port = s1_.port()}});
    ASSERT_TRUE(forwarder.ok()) << forwarder.status().ToString();
    forwarder_ = std::move(forwarder).value();
  }

  // Turns the forwarder until `done`, waiting for the kernel in between. False after kTurnsMax.
  bool Until(const std::function<bool()>& done) {
    for (int turn = 0; turn < kTurnsMax; ++turn) {
      forwarder_->RunOnce(now_);
      if (done()) return true;
      pollfd wait = {.fd = forwarder_->wait_descriptor(), .events = POLLIN, .revents = 0};
      ::poll(&wait, 1, 1);
    }
    return false;
  }
  void Turn(int turns = 20) {
    int left = turns;
    (void)Until([&left] { return --left == 0; });
  }

  uint16_t PortFrom(const std::string& from) {
    for (const LinkReport& report : forwarder_->Report()) {
      if (report.from == from) return report.port;
    }
    return 0;
  }
  LinkReport ReportFrom(const std::string& from) {
    for (const LinkReport& report : forwarder_->Report()) {
      if (report.from == from) return report;
    }
    return {};
  }

  Descriptor Dial(uint16_t port) {
    Descriptor socket(::socket(AF_INET, SOCK_STREAM, 0));
    const sockaddr_in address = Loopback(port);
    CHECK(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) ==
          0);
    CHECK(::fcntl(socket.get(), F_SETFL, O_NONBLOCK) == 0);
    return socket;
  }
  // A connection that s1 opened to s2, both ends.
  void Connect() {
    client_ = Dial(PortFrom("s1"));
    ASSERT_TRUE(Until([this] {
      server_ = s2_.Accept();
      return server_.valid();
    }));
  }

  static void Put(const Descriptor& socket, std::string_view text) {
    ASSERT_EQ(::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }
  // What has arrived now; "<end>" and "<reset>" for the ends of a connection.
  static std::string Get(const Descriptor& socket) {
    char buffer[65536];
    const ssize_t got = ::recv(socket.get(), buffer, sizeof(buffer), 0);
    if (got == 0) return "<end>";
    if (got < 0) return errno == ECONNRESET ? "<reset>" : "";
    return std::string(buffer, static_cast<size_t>(got));
  }
  bool Gets(const Descriptor& socket, const std::string& wanted) {
    std::string all;
    return Until([&] {
      all += Get(socket);
      return all == wanted;
    });
  }

  base::SteadyTime now_{seconds(1000)};
  Server s1_;
  Server s2_;
  std::unique_ptr<Forwarder> forwarder_;
  Descriptor client_;
  Descriptor server_;
};

TEST_F(ForwarderTest, PassesBytesBothWaysAndCountsThem) {
  Connect();
  Put(client_, "question");
  EXPECT_TRUE(Gets(server_, "question"));
  Put(server_, "answer");
  EXPECT_TRUE(Gets(client_, "answer"));
  EXPECT_EQ(ReportFrom("s1").bytes_passed, 8u);
  EXPECT_EQ(ReportFrom("s2").bytes_passed, 6u);
  EXPECT_EQ(ReportFrom("s1").connections, 1u);
}

TEST_F(ForwarderTest, PassesTheEndOfOneWayAndKeepsTheOther) {
  Connect();
  Put(client_, "last words");
  ::shutdown(client_.get(), SHUT_WR);
  EXPECT_TRUE(Gets(server_, "last words<end>"));
  Put(server_, "still here");
  EXPECT_TRUE(Gets(client_, "still here"));
  server_.Reset();
  EXPECT_TRUE(Gets(client_, "<end>"));
  EXPECT_TRUE(Until([this] { return ReportFrom("s1").connections == 0; }));
}

TEST_F(ForwarderTest, PassesAReset) {
  Connect();
  const linger hard = {.l_onoff = 1, .l_linger = 0};
  ::setsockopt(client_.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
  client_.Reset();
  EXPECT_TRUE(Gets(server_, "<reset>"));
}

TEST_F(ForwarderTest, ResetsAClientWhoseServerIsDown) {
  auto forwarder = Forwarder::Create({{.from = "s1", .to = "s2", .to_port = 1}});
  ASSERT_TRUE(forwarder.ok());
  forwarder_ = std::move(forwarder).value();
  client_ = Dial(PortFrom("s1"));
  EXPECT_TRUE(Gets(client_, "<reset>"));
}

TEST_F(ForwarderTest, CutResetsWhatIsThereAndWhatComes) {
  Connect();
  ASSERT_TRUE(forwarder_->SetMode("s2", "s1", LinkMode::kCut).ok()) << "the order does not matter";
  EXPECT_TRUE(Gets(client_, "<reset>"));
  EXPECT_TRUE(Gets(server_, "<reset>"));
  const Descriptor late = Dial(PortFrom("s1"));
  EXPECT_TRUE(Gets(late, "<reset>"));
  const Descriptor other_way = Dial(PortFrom("s2"));
  EXPECT_TRUE(Gets(other_way, "<reset>"));
  EXPECT_EQ(ReportFrom("s1").mode, LinkMode::kCut);
}

TEST_F(ForwarderTest, HealedLinkTakesNewConnections) {
  ASSERT_TRUE(forwarder_->SetMode("s1", "s2", LinkMode::kCut).ok());
  ASSERT_TRUE(forwarder_->SetMode("s1", "s2", LinkMode::kOpen).ok());
  Connect();
  Put(client_, "again");
  EXPECT_TRUE(Gets(server_, "again"));
}

TEST_F(ForwarderTest, HalfOpenSwallowsBytesAndTellsNobody) {
  Connect();
  ASSERT_TRUE(forwarder_->SetMode("s1", "s2", LinkMode::kHalfOpen).ok());
  Put(client_, "lost");
  ::shutdown(client_.get(), SHUT_WR);
  ASSERT_TRUE(Until([this] { return ReportFrom("s1").bytes_swallowed == 4; }));
  Turn();
  EXPECT_EQ(Get(server_), "") << "neither bytes nor the end";
  const Descriptor late = Dial(PortFrom("s1"));
  Put(late, "hello?");
  ASSERT_TRUE(Until([this] { return ReportFrom("s1").bytes_swallowed == 10; }));
  EXPECT_EQ(Get(late), "");
}

TEST_F(ForwarderTest, HealingAHalfOpenLinkResetsOnlyWhatLostBytes) {
  Connect();
  const Descriptor quiet_client = std::move(client_);
  const Descriptor quiet_server = std::move(server_);
  Connect();
  ASSERT_TRUE(forwarder_->SetMode("s1", "s2", LinkMode::kHalfOpen).ok());
  Put(client_, "lost");
  ASSERT_TRUE(Until([this] { return ReportFrom("s1").bytes_swallowed == 4; }));
  ASSERT_TRUE(forwarder_->SetMode("s1", "s2", LinkMode::kOpen).ok());
  EXPECT_TRUE(Gets(client_, "<reset>"));
  EXPECT_TRUE(Gets(server_, "<reset>"));
  Put(quiet_client, "alive");
  EXPECT_TRUE(Gets(quiet_server, "alive"));
}

TEST_F(ForwarderTest, DelayHoldsEveryByteForItsTime) {
  Connect();
  ASSERT_TRUE(forwarder_->SetLimits("s1", "s2", milliseconds(50), 0).ok());
  Put(client_, "later");
  ASSERT_TRUE(Until([this] { return forwarder_->NextDue().has_value(); }));
  EXPECT_EQ(*forwarder_->NextDue(), now_ + milliseconds(50));
  now_ += milliseconds(49);
  Turn();
  EXPECT_EQ(Get(server_), "");
  now_ += milliseconds(1);
  EXPECT_TRUE(Gets(server_, "later"));
  EXPECT_FALSE(forwarder_->NextDue().has_value());
}

TEST_F(ForwarderTest, RateBoundsWhatPassesInATime) {
  Connect();
  ASSERT_TRUE(forwarder_->SetLimits("s1", "s2", {}, 100'000).ok());
  Put(client_, std::string(30'000, 'x'));
  size_t got = 0;
  const auto take = [&] {
    const std::string text = Get(server_);
    got += text.size();
    return false;
  };
  const auto turn = [&] {
    int left = 5;
    (void)Until([&] { return take() || --left == 0; });
  };
  turn();
  EXPECT_LE(got, 3000u) << "a burst only, while no time passes";
  for (int i = 0; i < 50; ++i) {
    now_ += milliseconds(2);
    turn();
  }
  EXPECT_GE(got, 9'000u);
  EXPECT_LE(got, 13'000u) << "a tenth of a second at 100,000 bytes a second, and the burst";
  for (int i = 0; i < 100; ++i) {
    now_ += milliseconds(4);
    turn();
  }
  EXPECT_EQ(got, 30'000u) << "nothing is lost";
}

TEST_F(ForwarderTest, MemoryIsBoundedWhenTheReceiverStops) {
  Connect();
  const std::string block(1 << 20, 'x');
  size_t put = 0;
  for (int i = 0; i < 400; ++i) {
    const ssize_t sent = ::send(client_.get(), block.data(), block.size(), MSG_NOSIGNAL);
    if (sent > 0) put += static_cast<size_t>(sent);
    Turn(2);
  }
  // The kernel's own buffers on four sockets and ours; not the 400 MiB that were offered.
  EXPECT_LT(put, 100u << 20);
  size_t got = 0;
  EXPECT_TRUE(Until([&] {
    got += Get(server_).size();
    return got == put;
  })) << got
      << " of " << put;
}

TEST_F(ForwarderTest, UnknownLinksAreNamed) {
  EXPECT_EQ(forwarder_->SetMode("s1", "s9", LinkMode::kCut).code(), base::Code::kNotFound);
  EXPECT_EQ(forwarder_->SetLimits("s1", "s1", {}, 0).code(), base::Code::kNotFound);
}

TEST_F(ForwarderTest, ControlLinesDoWhatTheySay) {
  EXPECT_EQ(AnswerControl(*forwarder_, "cut s1 s2"), "ok");
  EXPECT_EQ(ReportFrom("s2").mode, LinkMode::kCut);
  EXPECT_EQ(AnswerControl(*forwarder_, "slow s1 s2 50 1000000"), "ok");
  EXPECT_EQ(ReportFrom("s1").delay, base::Duration(milliseconds(50)));
  EXPECT_EQ(ReportFrom("s1").bytes_per_second, 1'000'000u);
  EXPECT_EQ(AnswerControl(*forwarder_, "heal s2 s1"), "ok");
  EXPECT_EQ(ReportFrom("s1").mode, LinkMode::kOpen);
  EXPECT_EQ(ReportFrom("s1").bytes_per_second, 0u);
  const std::string status = AnswerControl(*forwarder_, "status");
  ASSERT_TRUE(status.starts_with("ok "));
  EXPECT_EQ(Json::parse(status.substr(3)).size(), 2u);
}

TEST_F(ForwarderTest, BadControlLinesAreErrors) {
  for (const char* line : {"", "frob s1 s2", "cut", "cut s1", "cut s1 s9", "slow s1 s2",
                           "slow s1 s2 -5 0", "slow s1 s2 x y", "slow s1 s2 99999999 0"}) {
    EXPECT_TRUE(AnswerControl(*forwarder_, line).starts_with("error: ")) << line;
  }
}

TEST_F(ForwarderTest, ControlSocketSurvivesALeftOverAndADeepDirectory) {
  const test::TempDir temp;
  std::string deep = temp.path();
  for (int i = 0; i < 10; ++i) deep += "/a-directory-with-a-long-name";
  std::filesystem::create_directories(deep);
  ASSERT_TRUE(ControlServer::Create(deep).ok());
  auto again = ControlServer::Create(deep);
  ASSERT_TRUE(again.ok()) << again.status().ToString();
  (*again)->AnswerOne(*forwarder_);  // nobody is there: returns at once
}

TEST_F(ForwarderTest, AskingWithoutAForwarderIsUnavailable) {
  const test::TempDir temp;
  EXPECT_EQ(AskForwarder(temp.path(), "status").status().code(), base::Code::kUnavailable);
  EXPECT_EQ(AskForwarder("/nowhere", "status").status().code(), base::Code::kUnavailable);
}

}  // namespace
}  // namespace understudy::cli
