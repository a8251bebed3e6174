// SPDX-License-Identifier: Apache-2.0
#include "rpc/tcp_probe.h"

#include <fmt/format.h>
#include <linux/tcp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <utility>

namespace understudy::rpc {
namespace {

// TCP_CLOSE of <netinet/tcp.h>, whose tcp_info is older than the kernel's.
constexpr uint8_t kTcpClose = 7;

int Milliseconds(base::Duration length) {
  return static_cast<int>(length / std::chrono::milliseconds(1));
}

base::Status ConnectTo(int descriptor, const addrinfo& to, base::Duration timeout,
                       const std::string& address) {
  if (::connect(descriptor, to.ai_addr, to.ai_addrlen) == 0) return {};
  if (errno != EINPROGRESS) {
    return base::Unavailable(fmt::format("{}: {}", address, std::strerror(errno)));
  }
  pollfd wait{.fd = descriptor, .events = POLLOUT, .revents = 0};
  if (::poll(&wait, 1, Milliseconds(timeout)) != 1) {
    return base::TimedOut(
        fmt::format("{} did not answer within {} ms", address, Milliseconds(timeout)));
  }
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error == 0) return {};
  return base::Unavailable(fmt::format("{}: {}", address, std::strerror(error)));
}

}  // namespace

base::Result<std::unique_ptr<TcpProbe>> TcpProbe::Connect(const std::string& address,
                                                          base::Duration timeout) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) {
    return base::InvalidArgument(fmt::format("{} is no address of a TCP port", address));
  }
  std::string host = address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int failed =
      ::getaddrinfo(host.c_str(), address.substr(colon + 1).c_str(), &wanted, &found);
  if (failed != 0) {
    return base::Unavailable(fmt::format("{}: {}", address, ::gai_strerror(failed)));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, ::freeaddrinfo);
  const int descriptor = ::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) {
    return base::Unavailable(fmt::format("{}: {}", address, std::strerror(errno)));
  }
  std::unique_ptr<TcpProbe> probe(new TcpProbe(descriptor));
  RETURN_IF_ERROR(ConnectTo(descriptor, *found, timeout, address));
  return probe;
}

TcpProbe::~TcpProbe() { ::close(descriptor_); }

void TcpProbe::Poke() {
  // How a TLS handshake begins, and no more of it.
  const char byte = 0x16;
  refused_ = ::send(descriptor_, &byte, 1, MSG_NOSIGNAL) != 1;
}

TcpProbe::Fate TcpProbe::Look() const {
  if (refused_) return Fate::kReset;
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(descriptor_, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return Fate::kUnknown;
  // The SYN counts as one.
  if (info.tcpi_unacked == 0 && info.tcpi_bytes_acked >= 2) return Fate::kAlive;
  return info.tcpi_state == kTcpClose ? Fate::kReset : Fate::kUnknown;
}

uint32_t TcpProbe::Mtu() const {
  int mtu = 0;
  socklen_t size = sizeof mtu;
  if (::getsockopt(descriptor_, IPPROTO_IP, IP_MTU, &mtu, &size) != 0 || mtu < 0) return 0;
  return static_cast<uint32_t>(mtu);
}

}  // namespace understudy::rpc
