// SPDX-License-Identifier: Apache-2.0
#include "rpc/ship_connection.h"

#include <fmt/format.h>

#include "base/thread.h"
#include "base/thread_name.h"
#include "rpc/protocol.h"
#include "rpc/ship_codec.h"

namespace understudy::rpc {
namespace {

// The threads look at their conditions this often even if a notification was missed.
constexpr std::chrono::seconds kWaitSlice{1};

}  // namespace

ShipConnection::ShipConnection(std::unique_ptr<ShipStream> stream, std::shared_ptr<Signal> signal)
    : stream_(std::move(stream)), signal_(std::move(signal)) {}

base::Result<std::unique_ptr<ShipConnection>> ShipConnection::Open(
    std::unique_ptr<ShipStream> stream, const std::string& own_name, std::shared_ptr<Signal> signal,
    base::Duration timeout) {
  std::unique_ptr<ShipConnection> connection(
      new ShipConnection(std::move(stream), std::move(signal)));
  v1::ShipMessage hello;
  hello.mutable_hello()->set_protocol_version(kShipProtocolVersion);
  hello.mutable_hello()->set_server(own_name);
  hello.mutable_hello()->set_version(std::string(kVersion));
  ShipConnection* const raw = connection.get();
  connection->writer_ = base::Thread([raw, hello] { raw->WriteLoop(hello); });
  connection->reader_ = base::Thread([raw] { raw->ReadLoop(); });

  const auto end = base::SteadyNow() + timeout;
  base::MutexLock lock(connection->mutex_);
  while (!connection->hello_ && !connection->over()) {
    const auto left = end - base::SteadyNow();
    if (left <= base::Duration(0)) return base::TimedOut("the peer did not say hello in time");
    connection->changed_.WaitFor(connection->mutex_, left);
  }
  if (!connection->hello_) return base::Unavailable(connection->cause_);
  if (!connection->hello_->ok()) return *connection->hello_;
  connection->peer_ = connection->hello_peer_;
  return connection;
}

ShipConnection::~ShipConnection() {
  Close();
  if (reader_.joinable()) reader_.Join();
  if (writer_.joinable()) writer_.Join();
}

std::optional<ship::Message> ShipConnection::TryReceive() {
  base::MutexLock lock(mutex_);
  if (inbox_.messages.empty()) return std::nullopt;
  ship::Message message = inbox_.Pop();
  changed_.NotifyAll();
  return message;
}

bool ShipConnection::TrySend(ship::Message&& message) {
  const size_t bytes = ship::MessageBytes(message);
  {
    base::MutexLock lock(mutex_);
    if (ended_) return false;
    if (std::holds_alternative<ship::Heartbeat>(message)) {
      heartbeat_ = std::move(message);
    } else if (!outbox_.HasRoom(bytes)) {
      send_refused_ = true;
      return false;
    } else {
      outbox_.Push(std::move(message), bytes);
    }
  }
  changed_.NotifyAll();
  return true;
}

bool ShipConnection::closed() const {
  base::MutexLock lock(mutex_);
  return over();
}

std::string ShipConnection::cause() const {
  base::MutexLock lock(mutex_);
  return cause_;
}

void ShipConnection::Close() { End("closed by this server"); }

void ShipConnection::End(const std::string& cause) {
  bool first = false;
  {
    base::MutexLock lock(mutex_);
    if (!ended_) {
      ended_ = true;
      cause_ = cause;
      first = true;
    }
    changed_.NotifyAll();
  }
  if (!first) return;
  stream_->Cancel();
  signal_->Notify();
}

bool ShipConnection::CheckHello(const v1::ShipMessage& message) {
  base::Status status;
  if (!message.has_hello()) {
    status = base::InvalidArgument("the peer's first message was not a hello");
  } else if (message.hello().protocol_version() != kShipProtocolVersion) {
    status = base::InvalidArgument(fmt::format(
        "server {} (version {}) speaks ship protocol {}, this server (version {}) speaks {}",
        message.hello().server(), message.hello().version(), message.hello().protocol_version(),
        kVersion, kShipProtocolVersion));
  }
  base::MutexLock lock(mutex_);
  hello_ = status;
  hello_peer_ = message.hello().server();
  changed_.NotifyAll();
  return status.ok();
}

bool ShipConnection::PushIncoming(ship::Message&& message) {
  const size_t bytes = ship::MessageBytes(message);
  base::MutexLock lock(mutex_);
  while (!ended_ && !inbox_.HasRoom(bytes)) changed_.WaitFor(mutex_, kWaitSlice);
  if (ended_) return false;
  inbox_.Push(std::move(message), bytes);
  return true;
}

// Every byte counts, whatever it belongs to: it has left the wire.
void ShipConnection::NoteArrival(const v1::ShipMessage& message) {
  ++heard_;
  if (message.has_received()) return;
  base::MutexLock lock(mutex_);
  received_bytes_ += message.ByteSizeLong();
  if (received_bytes_ - told_bytes_ >= FlowWindow::kTellBytes) changed_.NotifyAll();
}

base::Status ShipConnection::Arrived(const v1::ShipMessage& wire) {
  if (wire.has_received()) {
    base::MutexLock lock(mutex_);
    if (!window_.OnReceived(base::SteadyNow(), wire.received().bytes())) {
      return base::InvalidArgument("the peer says that it has received more than was sent");
    }
    changed_.NotifyAll();
    return {};
  }
  const v1::ShipMessage* message = &wire;
  std::optional<v1::ShipMessage> joined;
  if (wire.has_piece()) {
    ASSIGN_OR_RETURN(joined, joiner_.Add(wire.piece()));
    if (!joined) return {};
    message = &*joined;
  }
  ASSIGN_OR_RETURN(ship::Message decoded, FromProto(*message));
  if (PushIncoming(std::move(decoded))) signal_->Notify();
  return {};
}

void ShipConnection::ReadLoop() {
  base::NameThisThread("ship-read");
  std::string cause;
  v1::ShipMessage message;
  if (stream_->Read(message) && !CheckHello(message)) cause = "the hello was refused";
  while (cause.empty() && stream_->Read(message)) {
    NoteArrival(message);
    const base::Status arrived = Arrived(message);
    if (!arrived.ok()) cause = arrived.ToString();
    if (closed()) break;
  }
  if (!cause.empty()) End(cause);
  // A read that failed: the stream's own end says why, once the writer no longer uses it. The
  // writer leaves on ended_, or when its Write fails on the broken stream.
  {
    base::MutexLock lock(mutex_);
    ended_ = true;
    changed_.NotifyAll();
    while (!writer_done_) changed_.WaitFor(mutex_, kWaitSlice);
  }
  const base::Status status = stream_->Finish();
  {
    base::MutexLock lock(mutex_);
    if (cause_.empty()) cause_ = status.message().empty() ? "ended by the peer" : status.message();
    changed_.NotifyAll();
  }
  signal_->Notify();
}

// Nothing: the connection has ended. `cutting`: a message has begun, the next one waits for it.
std::optional<ShipConnection::Next> ShipConnection::WaitForNext(bool cutting) {
  Next next;
  bool tell = false;
  {
    base::MutexLock lock(mutex_);
    while (true) {
      if (ended_) return std::nullopt;
      if (received_bytes_ - told_bytes_ >= FlowWindow::kTellBytes) {
        next.received = told_bytes_ = received_bytes_;
        break;
      }
      if (heartbeat_) {
        next.heartbeat = std::exchange(heartbeat_, std::nullopt);
        break;
      }
      if (window_.HasRoom() && (cutting || !outbox_.messages.empty())) {
        next.piece_bytes = window_.piece_bytes();
        if (!cutting) {
          next.message = outbox_.Pop();
          tell = std::exchange(send_refused_, false);
        }
        break;
      }
      changed_.WaitFor(mutex_, kWaitSlice);
    }
  }
  if (tell) signal_->Notify();
  return next;
}

bool ShipConnection::WriteCounted(const v1::ShipMessage& wire) {
  {
    base::MutexLock lock(mutex_);
    window_.OnSent(base::SteadyNow(), wire.ByteSizeLong());
  }
  return stream_->Write(wire);
}

void ShipConnection::WriteLoop(v1::ShipMessage hello) {
  base::NameThisThread("ship-write");
  bool ok = stream_->Write(hello);
  v1::ShipMessage wire;
  while (ok) {
    std::optional<Next> next = WaitForNext(!cutter_.done());
    if (!next) break;
    if (next->received) {
      wire.Clear();
      wire.mutable_received()->set_bytes(*next->received);
      ok = stream_->Write(wire);
    } else if (next->heartbeat) {
      ToProto(*next->heartbeat, wire);
      ok = WriteCounted(wire);
    } else {
      if (next->message) {
        ToProto(*next->message, wire);
        cutter_.Start(std::move(wire));
      }
      ok = WriteCounted(cutter_.Next(next->piece_bytes));
    }
  }
  base::MutexLock lock(mutex_);
  writer_done_ = true;
  changed_.NotifyAll();
}

}  // namespace understudy::rpc
