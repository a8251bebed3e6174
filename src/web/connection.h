// SPDX-License-Identifier: Apache-2.0
// Connection: one accepted socket with the limits of http_server.h: bytes and time for each
// request. Owns the socket until it is released.
//
// Begin() waits for the next request and gives it its limits; Read and Write then fail once one is
// exceeded. Threading: confined to a thread.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <string_view>
#include <utility>

#include "base/time.h"

namespace understudy::web {

class Connection {
 public:
  explicit Connection(int socket);
  ~Connection();  // tells the peer that nothing more comes, reads what it still sends, closes
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Waits for the first byte of a request. False when none came within `idle`, the peer is gone, or
  // `hurry` says so (asked every kSlice).
  bool Begin(base::Duration idle, const std::function<bool()>& hurry);

  // As of a socket: bytes, 0 at the end, -1 when a limit is exceeded or the peer is gone.
  long Read(char* to, size_t size);
  long Write(const char* from, size_t size);
  bool WriteAll(std::string_view text);
  // Sends `text` if that needs no waiting, and closes without listening any more.
  bool Refuse(std::string_view text);

  bool too_long() const { return too_long_; }  // the request had more bytes than allowed
  int socket() const { return socket_; }
  // The socket is the caller's from now on.
  int Release() { return std::exchange(socket_, -1); }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr base::Duration kSlice = std::chrono::milliseconds(50);

  bool WaitFor(short events, Clock::time_point end) const;
  void Linger();

  int socket_;
  std::array<char, 4096> buffer_{};
  size_t begin_ = 0;  // of what was received and not yet read
  size_t end_ = 0;
  size_t left_bytes_ = 0;
  Clock::time_point deadline_{};
  bool too_long_ = false;
  bool peer_gone_ = false;
};

}  // namespace understudy::web
