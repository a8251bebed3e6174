// SPDX-License-Identifier: Apache-2.0
// Pieces of a ship message: one that is longer than a slow link carries in a moment goes in pieces,
// so that heartbeats pass between them and every piece is a sign of life.
//
// PieceCutter gives a message's pieces one after the other, each as long as asked for when it is
// its turn; a message that fits goes whole. PieceJoiner puts them together again: it keeps at most
// kMessageBytesMax and refuses what no correct peer sends.
// Threading: thread-compatible.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/status.h"
#include "understudy/v1/replication.pb.h"

namespace understudy::rpc {

class PieceCutter {
 public:
  bool done() const { return !whole_ && offset_ == bytes_.size(); }
  // REQUIRES: done().
  void Start(v1::ShipMessage&& message);
  // REQUIRES: !done(). The next one to send, about `bytes_max` long.
  v1::ShipMessage Next(uint64_t bytes_max);

 private:
  std::optional<v1::ShipMessage> whole_;  // not cut yet
  std::string bytes_;
  size_t offset_ = 0;
};

class PieceJoiner {
 public:
  // The message that is complete with this piece, or nothing. kInvalidArgument: too long, or not a
  // message.
  base::Result<std::optional<v1::ShipMessage>> Add(const v1::ShipPiece& piece);

 private:
  std::string bytes_;
};

}  // namespace understudy::rpc
