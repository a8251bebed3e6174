// SPDX-License-Identifier: Apache-2.0
#include "rpc/ship_connection.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>

#include "base/bounded_queue.h"
#include "rpc/protocol.h"

namespace understudy::rpc {
namespace {

constexpr std::chrono::seconds kLimit{20};

// Two of them with the queues crossed are a connection without a network.
class QueueStream final : public ShipStream {
 public:
  using Queue = base::BoundedQueue<v1::ShipMessage>;
  QueueStream(std::shared_ptr<Queue> in, std::shared_ptr<Queue> out)
      : in_(std::move(in)), out_(std::move(out)) {}

  bool Read(v1::ShipMessage& message) override {
    std::optional<v1::ShipMessage> next = in_->Pop(std::chrono::hours(1));
    if (!next) return false;
    message = std::move(*next);
    return true;
  }
  bool Write(const v1::ShipMessage& message) override {
    return out_->Push(v1::ShipMessage(message), std::chrono::hours(1));
  }
  void Cancel() override {
    in_->Close();
    out_->Close();
  }
  base::Status Finish() override { return base::Unavailable("the wire was cut"); }

 private:
  const std::shared_ptr<Queue> in_;
  const std::shared_ptr<Queue> out_;
};

class ShipConnectionTest : public testing::Test {
 protected:
  using Opened = base::Result<std::unique_ptr<ShipConnection>>;

  Opened Open(bool left) {
    auto stream = left ? std::make_unique<QueueStream>(to_left_, to_right_)
                       : std::make_unique<QueueStream>(to_right_, to_left_);
    return ShipConnection::Open(std::move(stream), left ? "s1" : "s2",
                                left ? left_signal_ : right_signal_, kLimit);
  }
  void OpenBoth() {
    Opened right = base::Internal("not run");
    std::thread other([&] { right = Open(false); });
    Opened left = Open(true);
    other.join();
    ASSERT_TRUE(left.ok() && right.ok());
    left_ = std::move(left).value();
    right_ = std::move(right).value();
  }
  // Waits for the next message, by the signal.
  static std::optional<ship::Message> Receive(ShipConnection& connection) {
    while (true) {
      const uint64_t seen = connection.signal()->count();
      if (auto message = connection.TryReceive()) return message;
      if (connection.closed()) return std::nullopt;
      connection.signal()->WaitFor(seen, kLimit);
    }
  }

  std::shared_ptr<QueueStream::Queue> to_left_ = std::make_shared<QueueStream::Queue>(4);
  std::shared_ptr<QueueStream::Queue> to_right_ = std::make_shared<QueueStream::Queue>(4);
  std::shared_ptr<Signal> left_signal_ = std::make_shared<Signal>();
  std::shared_ptr<Signal> right_signal_ = std::make_shared<Signal>();
  std::unique_ptr<ShipConnection> left_;
  std::unique_ptr<ShipConnection> right_;
};

ship::Message Beat(uint64_t count) {
  ship::Heartbeat heartbeat;
  heartbeat.count = count;
  return heartbeat;
}

ship::Message Number(uint64_t number) {
  ship::Ack ack;
  ack.request = 1;
  ack.consumed_bytes = number;
  return ack;
}

// One part of `bytes`.
ship::Message Long(size_t bytes) {
  ship::Parts parts;
  parts.request = 1;
  parts.parts.push_back(base::Bytes(bytes, 7));
  return parts;
}

TEST_F(ShipConnectionTest, BothSidesLearnTheOthersName) {
  OpenBoth();
  EXPECT_EQ(left_->peer(), "s2");
  EXPECT_EQ(right_->peer(), "s1");
}

TEST_F(ShipConnectionTest, MessagesArriveInOrder) {
  OpenBoth();
  std::thread sender([&] {
    for (uint64_t i = 0; i < 200;) {
      const uint64_t seen = left_->signal()->count();
      if (left_->TrySend(Number(i))) {
        ++i;
      } else {
        left_->signal()->WaitFor(seen, kLimit);
      }
    }
  });
  for (uint64_t i = 0; i < 200; ++i) {
    const auto message = Receive(*right_);
    ASSERT_TRUE(message.has_value());
    EXPECT_EQ(std::get<ship::Ack>(*message).consumed_bytes, i);
  }
  sender.join();
}

TEST_F(ShipConnectionTest, SendingIsRefusedWhenNobodyReadsAndNotifiedWhenThereIsRoom) {
  OpenBoth();
  ship::Refused big;
  big.message = std::string(ship::kRefusedMessageBytesMax, 'x');
  uint64_t sent = 0;
  while (left_->TrySend(ship::Message(big))) {
    ASSERT_LT(++sent, 4 * ShipConnection::kQueueMessagesMax) << "the queue has no end";
  }
  // Everything that was accepted arrives; then there is room again.
  for (uint64_t i = 0; i < sent; ++i) ASSERT_TRUE(Receive(*right_).has_value());
  EXPECT_TRUE(left_->TrySend(Beat(1)));
}

TEST_F(ShipConnectionTest, ALongMessageGoesInPiecesAndArrivesWhole) {
  OpenBoth();
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(left_->TrySend(Long(700 << 10)));
  for (int i = 0; i < 20; ++i) {
    const auto message = Receive(*right_);
    ASSERT_TRUE(message.has_value()) << right_->cause();
    EXPECT_EQ(std::get<ship::Parts>(*message).parts[0], base::Bytes(700 << 10, 7));
  }
  EXPECT_GT(right_->heard(), 20u * 3) << "each piece is a sign of life";
}

// The right end is played by the test, over the wire.
class SlowPeer : public ShipConnectionTest {
 protected:
  void SetUp() override {
    v1::ShipMessage hello;
    hello.mutable_hello()->set_protocol_version(kShipProtocolVersion);
    hello.mutable_hello()->set_server("s2");
    ASSERT_TRUE(to_left_->TryPush(std::move(hello)));
    Opened left = Open(true);
    ASSERT_TRUE(left.ok()) << left.status().ToString();
    left_ = std::move(left).value();
    ASSERT_TRUE(NextOnWire().has_hello());
  }
  v1::ShipMessage NextOnWire() { return to_right_->Pop(kLimit).value_or(v1::ShipMessage()); }
  void TellReceived(uint64_t bytes) {
    v1::ShipMessage received;
    received.mutable_received()->set_bytes(bytes);
    ASSERT_TRUE(to_left_->Push(std::move(received), kLimit));
  }
};

TEST_F(SlowPeer, GetsNoMoreThanTheWindowAndHeartbeatsPassWhatWaits) {
  ASSERT_TRUE(left_->TrySend(Long(700 << 10)));
  uint64_t bytes = 0;
  PieceJoiner joiner;
  std::optional<v1::ShipMessage> whole;
  while (bytes < FlowWindow::kBytesStart) {
    const v1::ShipMessage wire = NextOnWire();
    ASSERT_TRUE(wire.has_piece());
    bytes += wire.ByteSizeLong();
    ASSERT_TRUE(joiner.Add(wire.piece()).ok());
  }
  ASSERT_TRUE(left_->TrySend(Beat(42)));
  const v1::ShipMessage beat = NextOnWire();
  ASSERT_TRUE(beat.has_heartbeat());
  EXPECT_EQ(beat.heartbeat().count(), 42u);
  bytes += beat.ByteSizeLong();
  while (!whole) {
    TellReceived(bytes);
    const v1::ShipMessage wire = NextOnWire();
    ASSERT_TRUE(wire.has_piece());
    bytes += wire.ByteSizeLong();
    auto added = joiner.Add(wire.piece());
    ASSERT_TRUE(added.ok()) << added.status().ToString();
    whole = std::move(added).value();
  }
  EXPECT_EQ(whole->parts().parts(0).size(), size_t{700 << 10});
}

TEST_F(SlowPeer, WhichHasReceivedMoreThanWasSentIsLeft) {
  TellReceived(1'000'000);
  EXPECT_FALSE(Receive(*left_).has_value());
  EXPECT_NE(left_->cause().find("more than was sent"), std::string::npos) << left_->cause();
}

TEST_F(SlowPeer, WhoseMessageHasNoEndIsLeft) {
  v1::ShipMessage wire;
  wire.mutable_piece()->set_bytes(std::string(1 << 20, 'x'));
  for (int i = 0; i <= kMessageBytesMax >> 20 && !left_->closed(); ++i) {
    to_left_->Push(v1::ShipMessage(wire), kLimit);
  }
  EXPECT_FALSE(Receive(*left_).has_value());
  EXPECT_NE(left_->cause().find("a message has at most"), std::string::npos) << left_->cause();
}

TEST_F(SlowPeer, WhosePiecesAreNoMessageIsLeft) {
  v1::ShipMessage wire;
  wire.mutable_piece()->set_bytes("no message");
  wire.mutable_piece()->set_last(true);
  ASSERT_TRUE(to_left_->Push(std::move(wire), kLimit));
  EXPECT_FALSE(Receive(*left_).has_value());
  EXPECT_NE(left_->cause().find("not a message"), std::string::npos) << left_->cause();
}

TEST_F(ShipConnectionTest, ClosingOneSideEndsTheOtherWithACause) {
  OpenBoth();
  left_->Close();
  EXPECT_FALSE(Receive(*right_).has_value());
  EXPECT_TRUE(right_->closed());
  EXPECT_FALSE(right_->TrySend(Beat(1)));
  EXPECT_EQ(left_->cause(), "closed by this server");
  // It was told as closed while the reason was still being found out, and events had an empty one.
  EXPECT_EQ(right_->cause(), "the wire was cut");
}

TEST_F(ShipConnectionTest, AnotherProtocolVersionIsRefusedInOneSentence) {
  v1::ShipMessage hello;
  hello.mutable_hello()->set_protocol_version(kShipProtocolVersion + 1);
  hello.mutable_hello()->set_server("s9");
  hello.mutable_hello()->set_version("9.0");
  ASSERT_TRUE(to_left_->TryPush(std::move(hello)));
  const Opened left = Open(true);
  EXPECT_EQ(left.status().code(), base::Code::kInvalidArgument);
  EXPECT_NE(left.status().message().find("s9 (version 9.0) speaks ship protocol " +
                                         std::to_string(kShipProtocolVersion + 1)),
            std::string::npos)
      << left.status().message();
}

TEST_F(ShipConnectionTest, AMessageThatNoPeerSendsEndsTheConnection) {
  OpenBoth();
  v1::ShipMessage bad;
  bad.mutable_ack()->set_database("short");
  ASSERT_TRUE(to_right_->Push(std::move(bad), kLimit));
  EXPECT_FALSE(Receive(*right_).has_value());
  EXPECT_NE(right_->cause().find("database id"), std::string::npos) << right_->cause();
}

}  // namespace
}  // namespace understudy::rpc
