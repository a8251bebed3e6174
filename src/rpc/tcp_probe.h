// SPDX-License-Identifier: Apache-2.0
// TcpProbe: a bare TCP connection to a server's port, to find out what the path does to one: how
// long it may be idle, how large its packets may be.
//
// gRPC pings its connections (protocol.h), so none of its own is ever idle for long. Here nothing
// is sent until Poke, whose one byte begins a TLS handshake or an HTTP/2 preface that never goes
// on; that it arrived is known from the kernel's acknowledgement, so the server answers nothing
// and, for its handshake's limit (two minutes), notices nothing. Threading: confined to one thread.
// Errors: kUnavailable, kTimedOut, kInvalidArgument (an address).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "base/time.h"

namespace understudy::rpc {

// gRPC's server closes a connection that has not begun by then.
inline constexpr base::Duration kTcpProbeIdleMax = std::chrono::seconds(110);

class TcpProbe {
 public:
  // "host:port"
  static base::Result<std::unique_ptr<TcpProbe>> Connect(const std::string& address,
                                                         base::Duration timeout);
  ~TcpProbe();
  TcpProbe(const TcpProbe&) = delete;
  TcpProbe& operator=(const TcpProbe&) = delete;

  // Sends a byte. Once.
  void Poke();
  // What became of it.
  enum class Fate { kUnknown, kAlive, kReset };
  Fate Look() const;
  uint32_t Mtu() const;  // of the path, as far as it is known; 0: not

 private:
  explicit TcpProbe(int descriptor) : descriptor_(descriptor) {}
  const int descriptor_;
  bool refused_ = false;  // the byte could not be sent
};

}  // namespace understudy::rpc
