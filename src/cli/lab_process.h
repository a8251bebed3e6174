// SPDX-License-Identifier: Apache-2.0
// Processes of a lab: started detached, told apart from strangers, signalled, waited for.
//
// Signals go through a pidfd that is opened first and checked (start time) afterwards, so that a
// signal can never reach a process that took over the id in between.
// Threading: thread-compatible. Linux only (/proc, pidfd).
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "cli/lab_state.h"

namespace understudy::cli {

// Owns a file descriptor.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() { Reset(); }
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (this != &other) {
      Reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  void Reset();

 private:
  int fd_ = -1;
};

enum class ProcessState { kRunning, kPaused, kGone };
// kGone also for a zombie and for a process that merely has the same id.
ProcessState StateOf(const ProcessId& process);
std::string_view Name(ProcessState state);  // "running", "paused", "dead"

// Where a process says READY=1 to whoever started it (the protocol of systemd's sd_notify).
class ReadySocket {
 public:
  static base::Result<ReadySocket> Create();
  const std::string& address() const { return address_; }  // for NOTIFY_SOCKET

  // Returns when `process` said that it is ready. kUnavailable when it ended before, kTimedOut
  // after `limit`.
  base::Status Wait(const ProcessId& process, base::Duration limit);

 private:
  ReadySocket(Descriptor socket, std::string address)
      : socket_(std::move(socket)), address_(std::move(address)) {}
  Descriptor socket_;
  std::string address_;
};

// The other end: says READY=1 if NOTIFY_SOCKET is set.
void SayReady();

struct SpawnOptions {
  std::vector<std::string> command;                              // command[0] is the program's path
  std::vector<std::pair<std::string, std::string>> environment;  // added to our own
  std::string output_path;  // standard output and error are appended to it
};
// Starts a process in a session of its own, so that it survives us and our terminal.
base::Result<ProcessId> Spawn(const SpawnOptions& options);

// The processes that this one started and that still run.
std::vector<ProcessId> ChildrenOf(const ProcessId& process);

// kNotFound when the process is gone.
base::Status Signal(const ProcessId& process, int signal);
// kTimedOut when it is still there after `limit`.
base::Status WaitGone(const ProcessId& process, base::Duration limit);

// A port of 127.0.0.1 that nobody uses now, from the kernel.
base::Result<std::vector<uint16_t>> FreePorts(size_t count);

// The last lines of a process's output, for a message about its end.
std::string TailOf(const std::string& path, size_t bytes_max);

}  // namespace understudy::cli
