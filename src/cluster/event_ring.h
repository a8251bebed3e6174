// SPDX-License-Identifier: Apache-2.0
// EventRing: the newest events of this server in files of limited size, so that they can be read
// while the coordinator is away and after a restart.
//
// Two files: PATH is appended to; when it is full it replaces PATH.1 and a new one begins. A record
// is crc32c(length, payload) u32, length u32, payload; numbers little-endian. Open cuts a torn tail
// off PATH; what follows a damaged record in a file is not read. A payload is what the owner makes
// of it.
//
// Ownership: one EventRing per path. Threading: confined to a thread. Units: bytes. Errors: the
// first failed write or sync is sticky; open the ring anew.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/records.h"
#include "env/env.h"

namespace understudy::cluster {

class EventRing {
 public:
  static constexpr uint32_t kPayloadBytesMax = 128 << 10;  // a message that is escaped whole fits
  static constexpr uint64_t kFileBytesMax = 1 << 20;       // of each of the two files

  static base::Result<std::unique_ptr<EventRing>> Open(env::Env& env, const std::string& path,
                                                       uint64_t file_bytes_max = kFileBytesMax);
  // ENSURES: when ok, all of `payloads` are on disk.
  base::Status Append(const std::vector<std::string>& payloads);
  // Oldest first.
  base::Result<std::vector<std::string>> Read() const;

 private:
  EventRing(env::Env& env, std::string path, uint64_t file_bytes_max)
      : env_(env), path_(std::move(path)), file_bytes_max_(file_bytes_max) {}
  base::Status Begin();
  base::Status Turn();
  base::Status Write(const std::vector<std::string>& payloads);

  env::Env& env_;
  const std::string path_;
  const uint64_t file_bytes_max_;
  std::unique_ptr<env::File> file_;
  uint64_t size_ = 0;
  base::Status failed_;
};

// The payloads of whole records from the beginning of `bytes`, which nobody vouches for.
struct RingRecords {
  std::vector<std::string> payloads;
  uint64_t whole_bytes = 0;  // how far they go
};
RingRecords ParseRing(base::ByteView bytes);

// A server's ring of events, below its data directory: each payload is an Event as JSON.
std::string EventRingPath(const std::string& data_dir);
// Its events, oldest first; also while a daemon writes them, and when none runs. What cannot be
// read is left out.
base::Result<std::vector<Event>> ReadEventRing(env::Env& env, const std::string& data_dir);

}  // namespace understudy::cluster
