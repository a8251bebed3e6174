// SPDX-License-Identifier: Apache-2.0
// ShipConnection: a ship::Channel over one bidirectional stream; the same class on both ends.
//
// It owns two threads, "ship-read" (stream -> inbox) and "ship-write" (outbox -> stream), so that
// the session thread that calls TrySend and TryReceive never blocks on the network. Both queues are
// bounded by bytes and count: a full inbox stops reading, which the peer's flow control feels; a
// full outbox makes TrySend return false. The session's Signal is notified when a message came in,
// when the outbox has room again, and when the connection ended.
//
// On a slow link no more is under way than it carries in a moment (flow_window.h), long messages go
// in pieces (message_pieces.h), and a heartbeat passes what waits: only the newest one is kept.
//
// ShipStream is the part that knows grpc (ship_dialer.cc, rpc_server.cc) or, in tests, a pair of
// queues. Threading: ShipConnection is thread-safe; Open blocks up to its timeout. ShipStream: one
// thread reads, one writes, any may Cancel; Finish is called once, after both have ended.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "base/status.h"
#include "base/thread.h"
#include "base/time.h"
#include "rpc/channel_security.h"
#include "rpc/flow_window.h"
#include "rpc/message_pieces.h"
#include "rpc/signal.h"
#include "ship/messages.h"
#include "understudy/v1/replication.pb.h"

namespace understudy::rpc {

class ShipStream {
 public:
  virtual ~ShipStream() = default;
  virtual bool Read(v1::ShipMessage& message) = 0;
  virtual bool Write(const v1::ShipMessage& message) = 0;
  virtual void Cancel() = 0;
  virtual base::Status Finish() = 0;
};

class ShipConnection final : public ship::Channel {
 public:
  static constexpr size_t kQueueBytesMax = 16 << 20;  // each way; one message always fits
  static constexpr size_t kQueueMessagesMax = 4096;

  // Sends our hello, waits for the peer's and checks it. kInvalidArgument when the peer speaks
  // another protocol.
  static base::Result<std::unique_ptr<ShipConnection>> Open(std::unique_ptr<ShipStream> stream,
                                                            const std::string& own_name,
                                                            std::shared_ptr<Signal> signal,
                                                            base::Duration timeout);
  ~ShipConnection() override;  // closes and joins the threads
  ShipConnection(const ShipConnection&) = delete;
  ShipConnection& operator=(const ShipConnection&) = delete;

  const std::string& peer() const { return peer_; }  // the server's name, as it said
  const std::shared_ptr<Signal>& signal() const { return signal_; }

  std::optional<ship::Message> TryReceive() EXCLUDES_LOCK(mutex_);
  bool TrySend(ship::Message&& message) override EXCLUDES_LOCK(mutex_);
  bool closed() const override EXCLUDES_LOCK(mutex_);
  uint64_t heard() const override { return heard_; }
  void Close() override;
  // Why it closed, for events; empty while open, and never once closed() is true.
  std::string cause() const EXCLUDES_LOCK(mutex_);

 private:
  ShipConnection(std::unique_ptr<ShipStream> stream, std::shared_ptr<Signal> signal);
  void ReadLoop();
  void WriteLoop(v1::ShipMessage hello);
  bool CheckHello(const v1::ShipMessage& message) EXCLUDES_LOCK(mutex_);
  // What waits to be written, one at a time.
  struct Next {
    std::optional<uint64_t> received;  // to tell the peer
    std::optional<ship::Message> heartbeat;
    std::optional<ship::Message> message;
    uint64_t piece_bytes = 0;  // how long a piece of it, or of the one that has begun, may be
  };
  std::optional<Next> WaitForNext(bool cutting) EXCLUDES_LOCK(mutex_);
  bool WriteCounted(const v1::ShipMessage& wire) EXCLUDES_LOCK(mutex_);
  void NoteArrival(const v1::ShipMessage& message) EXCLUDES_LOCK(mutex_);
  base::Status Arrived(const v1::ShipMessage& wire) EXCLUDES_LOCK(mutex_);
  bool PushIncoming(ship::Message&& message) EXCLUDES_LOCK(mutex_);
  void End(const std::string& cause) EXCLUDES_LOCK(mutex_);
  // Ended, and it is known why: a stream tells that only once nobody uses it any more.
  bool over() const REQUIRES_LOCK(mutex_) { return ended_ && !cause_.empty(); }

  struct Queue {
    std::deque<ship::Message> messages;
    size_t bytes = 0;

    bool HasRoom(size_t more) const {
      return messages.empty() ||
             (messages.size() < kQueueMessagesMax && bytes + more <= kQueueBytesMax);
    }
    void Push(ship::Message&& message, size_t size) {
      messages.push_back(std::move(message));
      bytes += size;
    }
    ship::Message Pop() {
      ship::Message message = std::move(messages.front());
      messages.pop_front();
      bytes -= ship::MessageBytes(message);
      return message;
    }
  };

  const std::unique_ptr<ShipStream> stream_;
  const std::shared_ptr<Signal> signal_;
  std::string peer_;  // written before Open returns

  mutable base::Mutex mutex_;
  base::CondVar changed_;
  Queue inbox_ GUARDED_BY(mutex_);
  Queue outbox_ GUARDED_BY(mutex_);
  std::optional<ship::Message> heartbeat_ GUARDED_BY(mutex_);
  FlowWindow window_ GUARDED_BY(mutex_);
  uint64_t received_bytes_ GUARDED_BY(mutex_) = 0;
  uint64_t told_bytes_ GUARDED_BY(mutex_) = 0;    // of received_bytes_, to the peer
  bool send_refused_ GUARDED_BY(mutex_) = false;  // somebody waits for room in the outbox
  bool ended_ GUARDED_BY(mutex_) = false;
  bool writer_done_ GUARDED_BY(mutex_) = false;
  std::optional<base::Status> hello_ GUARDED_BY(mutex_);
  std::string hello_peer_ GUARDED_BY(mutex_);
  std::string cause_ GUARDED_BY(mutex_);

  std::atomic<uint64_t> heard_ = 0;
  PieceCutter cutter_;  // the writer's
  PieceJoiner joiner_;  // the reader's
  base::Thread writer_;
  base::Thread reader_;
};

// Opens a connection to the server at `address`, which must be the one called `expected_peer`, by
// its certificate where `security` has an identity.
base::Result<std::unique_ptr<ShipConnection>> DialShip(
    const std::string& address, const std::string& expected_peer, const std::string& own_name,
    std::shared_ptr<Signal> signal, base::Duration timeout, ChannelSecurity security = {});

}  // namespace understudy::rpc
