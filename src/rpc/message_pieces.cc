// SPDX-License-Identifier: Apache-2.0
#include "rpc/message_pieces.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "rpc/protocol.h"

namespace understudy::rpc {

void PieceCutter::Start(v1::ShipMessage&& message) {
  CHECK(done());
  bytes_.clear();
  offset_ = 0;
  whole_ = std::move(message);
}

v1::ShipMessage PieceCutter::Next(uint64_t bytes_max) {
  CHECK(!done());
  if (whole_) {
    v1::ShipMessage message = std::move(*whole_);
    whole_.reset();
    if (message.ByteSizeLong() <= bytes_max) return message;
    bytes_ = message.SerializeAsString();
  }
  const size_t length = std::min<size_t>(bytes_max, bytes_.size() - offset_);
  v1::ShipMessage wire;
  v1::ShipPiece* const piece = wire.mutable_piece();
  piece->set_bytes(bytes_.substr(offset_, length));
  offset_ += length;
  piece->set_last(offset_ == bytes_.size());
  return wire;
}

base::Result<std::optional<v1::ShipMessage>> PieceJoiner::Add(const v1::ShipPiece& piece) {
  if (piece.bytes().empty() || bytes_.size() + piece.bytes().size() > size_t{kMessageBytesMax}) {
    return base::InvalidArgument(
        fmt::format("a piece of {} bytes after {} of its message; a message has at most {}",
                    piece.bytes().size(), bytes_.size(), kMessageBytesMax));
  }
  bytes_ += piece.bytes();
  if (!piece.last()) return std::optional<v1::ShipMessage>();
  v1::ShipMessage message;
  const bool parsed = message.ParseFromString(bytes_);
  bytes_.clear();
  if (!parsed || message.has_piece() || message.has_received() || message.has_hello()) {
    return base::InvalidArgument("pieces that are not a message");
  }
  return std::optional(std::move(message));
}

}  // namespace understudy::rpc
