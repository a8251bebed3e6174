// SPDX-License-Identifier: Apache-2.0
// How the lab's commands speak to its forwarder process: one line of request, one line of answer,
// over a unix socket in the lab's directory.
//
//   cut A B | half-open A B | heal A B | slow A B DELAY_MS BYTES_PER_SECOND | status
//   -> "ok", "ok {json}" for status, or "error: one sentence"
// Threading: ControlServer is confined to the forwarder's thread; the client call is thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/time.h"
#include "cli/forwarder.h"
#include "cli/json.h"

namespace understudy::cli {

inline constexpr size_t kControlLineBytesMax = 256;

// Runs one request line against `forwarder` and returns the answer line, without its newline.
std::string AnswerControl(Forwarder& forwarder, std::string_view line);

Json LinkJson(const LinkReport& report);

class ControlServer {
 public:
  // Listens on `<directory>/forwarder.sock`; a left-over socket there is replaced.
  static base::Result<std::unique_ptr<ControlServer>> Create(const std::string& directory);

  int wait_descriptor() const { return socket_.get(); }
  // Answers one waiting client, if there is one. A client that does not send its line within
  // kClientLimit is dropped.
  void AnswerOne(Forwarder& forwarder);

 private:
  static constexpr std::chrono::milliseconds kClientLimit{200};
  explicit ControlServer(Descriptor socket) : socket_(std::move(socket)) {}
  Descriptor socket_;
};

// Sends `line` to the forwarder of the lab in `directory`; what follows "ok " in its answer.
// kUnavailable when no forwarder answers; the forwarder's own error as kInvalidArgument.
base::Result<std::string> AskForwarder(const std::string& directory, const std::string& line);

}  // namespace understudy::cli
