// SPDX-License-Identifier: Apache-2.0
#include "cli/forwarder_control.h"

#include <dirent.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <sstream>

#include "env/env.h"

namespace understudy::cli {
namespace {

constexpr std::string_view kSocketName = "forwarder.sock";
constexpr size_t kAnswerBytesMax = 64 * 1024;
constexpr std::chrono::seconds kAnswerLimit{5};
constexpr int64_t kDelayMsMax = 60'000;

struct DirectoryCloser {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

// The lab's directory opened, and the socket's name below it: a path by way of /proc/self/fd fits
// into sun_path (108 bytes) however deep the lab lies.
struct SocketName {
  std::unique_ptr<DIR, DirectoryCloser> directory;
  sockaddr_un address{};
};

base::Result<SocketName> NameIn(const std::string& directory) {
  SocketName name;
  name.directory.reset(::opendir(directory.c_str()));
  if (!name.directory) {
    return base::Unavailable(fmt::format("{}: {}", directory, std::strerror(errno)));
  }
  const std::string path =
      fmt::format("/proc/self/fd/{}/{}", ::dirfd(name.directory.get()), kSocketName);
  name.address.sun_family = AF_UNIX;
  std::memcpy(name.address.sun_path, path.c_str(), path.size() + 1);
  return name;
}

void SetLimit(int fd, std::chrono::milliseconds limit) {
  const timeval time = {.tv_sec = limit.count() / 1000,
                        .tv_usec = static_cast<suseconds_t>(limit.count() % 1000 * 1000)};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time));
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time));
}

// Up to and without the newline; empty if none came in time.
std::string ReceiveLine(int fd, size_t bytes_max) {
  std::string line;
  std::array<char, 4096> buffer;
  while (line.size() < bytes_max) {
    const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return "";
    line.append(buffer.data(), static_cast<size_t>(got));
    const size_t end = line.find('\n');
    if (end != std::string::npos) return line.substr(0, end);
  }
  return "";
}

void SendAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return;
    text.remove_prefix(static_cast<size_t>(sent));
  }
}

std::string Answer(const base::Status& status) {
  return status.ok() ? "ok" : "error: " + status.message();
}

}  // namespace

Json LinkJson(const LinkReport& report) {
  Json row;
  row["from"] = report.from;
  row["to"] = report.to;
  row["port"] = report.port;
  row["state"] = std::string(Name(report.mode));
  row["delay_ms"] = std::chrono::duration_cast<std::chrono::milliseconds>(report.delay).count();
  row["rate"] = report.bytes_per_second == 0 ? Json(nullptr) : Json(report.bytes_per_second);
  row["connections"] = report.connections;
  row["passed"] = report.bytes_passed;
  row["swallowed"] = report.bytes_swallowed;
  return row;
}

std::string AnswerControl(Forwarder& forwarder, std::string_view line) {
  std::istringstream words{std::string(line)};
  std::string verb, a, b;
  words >> verb >> a >> b;
  if (verb == "status") {
    Json links = Json::array();
    for (const LinkReport& report : forwarder.Report()) links.push_back(LinkJson(report));
    return "ok " + ToText(links);
  }
  if (verb == "cut") return Answer(forwarder.SetMode(a, b, LinkMode::kCut));
  if (verb == "half-open") return Answer(forwarder.SetMode(a, b, LinkMode::kHalfOpen));
  if (verb == "heal") {
    const base::Status status = forwarder.SetLimits(a, b, base::Duration(0), 0);
    return Answer(status.ok() ? forwarder.SetMode(a, b, LinkMode::kOpen) : status);
  }
  if (verb == "slow") {
    int64_t delay_ms = -1;
    uint64_t rate = 0;
    words >> delay_ms >> rate;
    if (!words || delay_ms < 0 || delay_ms > kDelayMsMax) {
      return fmt::format("error: slow A B DELAY_MS BYTES_PER_SECOND, with a delay of 0 to {} ms",
                         kDelayMsMax);
    }
    return Answer(forwarder.SetLimits(a, b, std::chrono::milliseconds(delay_ms), rate));
  }
  return fmt::format("error: the forwarder does not know '{}'", verb);
}

base::Result<std::unique_ptr<ControlServer>> ControlServer::Create(const std::string& directory) {
  ASSIGN_OR_RETURN(const SocketName name, NameIn(directory));
  Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // A left-over of a forwarder that was killed; if there is none, so much the better.
  env::PosixEnv().Remove(env::JoinPath(directory, kSocketName)).IgnoreError();
  if (!socket.valid() ||
      ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&name.address),
             sizeof(name.address)) != 0 ||
      ::listen(socket.get(), 16) != 0) {
    return base::IoError(
        fmt::format("cannot listen on {}/{}: {}", directory, kSocketName, std::strerror(errno)));
  }
  return std::unique_ptr<ControlServer>(new ControlServer(std::move(socket)));
}

void ControlServer::AnswerOne(Forwarder& forwarder) {
  const Descriptor client(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!client.valid()) return;
  SetLimit(client.get(), kClientLimit);
  const std::string line = ReceiveLine(client.get(), kControlLineBytesMax);
  if (!line.empty()) SendAll(client.get(), AnswerControl(forwarder, line) + "\n");
}

base::Result<std::string> AskForwarder(const std::string& directory, const std::string& line) {
  ASSIGN_OR_RETURN(const SocketName name, NameIn(directory));
  const Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (socket.valid()) SetLimit(socket.get(), kAnswerLimit);
  if (!socket.valid() || ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&name.address),
                                   sizeof(name.address)) != 0) {
    return base::Unavailable(
        fmt::format("the lab's forwarder does not answer: {}\n'understudy lab down' and 'lab up' "
                    "make the lab whole again",
                    std::strerror(errno)));
  }
  SendAll(socket.get(), line + "\n");
  const std::string answer = ReceiveLine(socket.get(), kAnswerBytesMax);
  if (answer == "ok") return std::string();
  if (answer.starts_with("ok ")) return answer.substr(3);
  if (answer.starts_with("error: ")) return base::InvalidArgument(answer.substr(7));
  return base::Unavailable("the lab's forwarder did not answer in time");
}

}  // namespace understudy::cli
