// SPDX-License-Identifier: Apache-2.0
#include "cluster/event_ring.h"

#include "base/crc32c.h"

namespace understudy::cluster {
namespace {

constexpr uint64_t kHeaderBytes = 8;

void AppendRecord(base::Bytes& out, std::string_view payload) {
  base::Bytes checked;
  base::AppendLe(checked, static_cast<uint32_t>(payload.size()));
  base::AppendBytes(checked, base::AsBytes(payload));
  base::AppendLe(out, base::Crc32c(checked));
  base::AppendBytes(out, checked);
}

base::Result<RingRecords> ReadRing(env::Env& env, const std::string& path, uint64_t bytes_max) {
  const base::Result<base::Bytes> bytes = env::ReadFile(env, path, bytes_max);
  if (bytes.ok()) return ParseRing(*bytes);
  if (bytes.status().code() == base::Code::kNotFound) return RingRecords{};
  return bytes.status();
}

}  // namespace

RingRecords ParseRing(base::ByteView bytes) {
  RingRecords records;
  base::ByteReader reader(bytes);
  while (true) {
    const auto crc = reader.Le<uint32_t>();
    const base::ByteView checked = reader.rest();
    const auto length = reader.Le<uint32_t>();
    if (!reader.ok() || length == 0 || length > EventRing::kPayloadBytesMax) return records;
    const base::ByteView payload = reader.Take(length);
    if (!reader.ok() || base::Crc32c(checked.first(sizeof length + length)) != crc) return records;
    records.payloads.emplace_back(reinterpret_cast<const char*>(payload.data()), payload.size());
    records.whole_bytes += kHeaderBytes + length;
  }
}

base::Result<std::unique_ptr<EventRing>> EventRing::Open(env::Env& env, const std::string& path,
                                                         uint64_t file_bytes_max) {
  std::unique_ptr<EventRing> ring(new EventRing(env, path, file_bytes_max));
  const base::Status begun = ring->Begin();
  if (!begun.ok()) return begun;
  return ring;
}

base::Status EventRing::Begin() {
  base::Result<std::unique_ptr<env::File>> file = env_.Open(path_, env::OpenMode::kCreate);
  if (!file.ok()) return file.status();
  file_ = std::move(*file);
  const base::Status named = env_.SyncDirectory(env::DirectoryOf(path_));
  if (!named.ok()) return named;
  const base::Result<uint64_t> size = file_->Size();
  if (!size.ok()) return size.status();
  size_ = 0;
  if (*size <= file_bytes_max_) {
    const base::Result<RingRecords> records = ReadRing(env_, path_, file_bytes_max_);
    if (!records.ok()) return records.status();
    size_ = records->whole_bytes;
  }
  return *size == size_ ? base::Status() : file_->Truncate(size_);
}

base::Status EventRing::Turn() {
  file_.reset();
  const base::Status moved = env_.Rename(path_, path_ + ".1");
  return moved.ok() ? Begin() : moved;
}

base::Status EventRing::Append(const std::vector<std::string>& payloads) {
  for (const std::string& payload : payloads) {
    if (!payload.empty() && payload.size() <= kPayloadBytesMax) continue;
    return {base::Code::kInvalidArgument,
            path_ + ": an event of " + std::to_string(payload.size()) +
                " bytes does not fit: 1 to " + std::to_string(kPayloadBytesMax) + " are kept"};
  }
  if (failed_.ok()) failed_ = Write(payloads);
  return failed_;
}

base::Status EventRing::Write(const std::vector<std::string>& payloads) {
  for (const std::string& payload : payloads) {
    base::Bytes record;
    AppendRecord(record, payload);
    if (size_ > 0 && size_ + record.size() > file_bytes_max_) {
      const base::Status synced = file_->Sync();
      if (!synced.ok()) return synced;
      const base::Status turned = Turn();
      if (!turned.ok()) return turned;
    }
    const base::Status written = file_->WriteAt(size_, record);
    if (!written.ok()) return written;
    size_ += record.size();
  }
  return file_->Sync();
}

base::Result<std::vector<std::string>> EventRing::Read() const {
  std::vector<std::string> payloads;
  for (const std::string& path : {path_ + ".1", path_}) {
    base::Result<RingRecords> records = ReadRing(env_, path, file_bytes_max_);
    if (!records.ok()) return records.status();
    for (std::string& payload : records->payloads) payloads.push_back(std::move(payload));
  }
  return payloads;
}

std::string EventRingPath(const std::string& data_dir) {
  return env::JoinPath(data_dir, ".events");
}

base::Result<std::vector<Event>> ReadEventRing(env::Env& env, const std::string& data_dir) {
  const std::string path = EventRingPath(data_dir);
  std::vector<Event> events;
  for (const std::string& file : {path + ".1", path}) {
    ASSIGN_OR_RETURN(const RingRecords records, ReadRing(env, file, EventRing::kFileBytesMax));
    for (const std::string& payload : records.payloads) {
      base::Result<Event> event = EventFromJson(file, payload);
      if (event.ok()) events.push_back(std::move(*event));
    }
  }
  return events;
}

}  // namespace understudy::cluster
