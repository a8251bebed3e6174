// SPDX-License-Identifier: Apache-2.0
#include "log/checkpoint_file.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/crc32c.h"

namespace understudy::log {
namespace {

using base::Corruption;
using base::Result;
using base::Status;

constexpr uint32_t kMagic = 0x504b4355;  // the bytes "UCKP"
constexpr uint16_t kVersion = 1;
constexpr size_t kHeaderBytes = 104;
constexpr size_t kCrcBytes = 4;
constexpr uint64_t kFileBytesMax = kHeaderBytes + 8 * (uint64_t{1} << 32) + kCrcBytes;

base::Bytes Encode(const Checkpoint& checkpoint) {
  const LogEnd& at = checkpoint.at;
  const std::vector<uint64_t>& hashes = checkpoint.table.hashes();
  base::Bytes out;
  out.reserve(kHeaderBytes + hashes.size() * sizeof(uint64_t) + kCrcBytes);
  base::AppendLe(out, kMagic);
  base::AppendLe(out, kVersion);
  base::AppendLe(out, static_cast<uint16_t>(kHeaderBytes));
  base::AppendBytes(out, checkpoint.database.bytes);
  base::AppendLe(out, at.position.term.value);
  base::AppendLe(out, at.position.seq.value);
  base::AppendLe(out, at.generation.value);
  base::AppendLe(out, at.commit_time.unix_ms);
  base::AppendLe(out, at.checksum);
  base::AppendLe(out, at.page_size);
  base::AppendLe(out, at.pages);
  base::AppendLe(out, at.source.salt1);
  base::AppendLe(out, at.source.salt2);
  base::AppendLe(out, at.source.frame);
  base::AppendLe(out, at.source.checksum1);
  base::AppendLe(out, at.source.checksum2);
  base::AppendLe(out, checkpoint.table.pages());
  out.resize(kHeaderBytes);
  base::AppendBytes(
      out, {reinterpret_cast<const uint8_t*>(hashes.data()), hashes.size() * sizeof(uint64_t)});
  base::AppendLe(out, base::Crc32c(out));
  return out;
}

Result<Checkpoint> Parse(base::ByteView bytes) {
  if (bytes.size() < kHeaderBytes + kCrcBytes) return Corruption("it is shorter than its header");
  const base::ByteView body = bytes.first(bytes.size() - kCrcBytes);
  if (base::Crc32c(body) != base::LoadLe<uint32_t>(body.data() + body.size())) {
    return Corruption("its CRC does not match its bytes");
  }
  base::ByteReader reader(body);
  if (reader.Le<uint32_t>() != kMagic) return Corruption("bad magic");
  const auto version = reader.Le<uint16_t>();
  if (version != kVersion || reader.Le<uint16_t>() != kHeaderBytes) {
    return Corruption(fmt::format("version {}; this program reads {}", version, kVersion));
  }
  Checkpoint checkpoint;
  const base::ByteView id = reader.Take(checkpoint.database.bytes.size());
  std::copy(id.begin(), id.end(), checkpoint.database.bytes.begin());
  LogEnd& at = checkpoint.at;
  at.position.term = base::Term(reader.Le<uint64_t>());
  at.position.seq = base::Seq(reader.Le<uint64_t>());
  at.generation = base::Generation(reader.Le<uint64_t>());
  at.commit_time.unix_ms = reader.Le<int64_t>();
  at.checksum = reader.Le<uint64_t>();
  at.page_size = reader.Le<uint32_t>();
  at.pages = reader.Le<uint32_t>();
  at.source.salt1 = reader.Le<uint32_t>();
  at.source.salt2 = reader.Le<uint32_t>();
  at.source.frame = reader.Le<uint32_t>();
  at.source.checksum1 = reader.Le<uint32_t>();
  at.source.checksum2 = reader.Le<uint32_t>();
  const auto pages = reader.Le<uint32_t>();
  const base::ByteView hashes = body.subspan(kHeaderBytes);
  if (hashes.size() != uint64_t{pages} * sizeof(uint64_t)) {
    return Corruption(fmt::format("{} bytes of hashes for {} pages", hashes.size(), pages));
  }
  if (at.page_size != 0 && !IsPageSize(at.page_size)) return Corruption("impossible page size");
  checkpoint.table.Resize(pages);
  for (uint32_t i = 0; i < pages; ++i) {
    const auto hash = base::LoadLe<uint64_t>(hashes.data() + size_t{i} * sizeof(uint64_t));
    checkpoint.table.Set(base::PageNo(i + 1), hash);
  }
  if (checkpoint.table.checksum() != at.checksum || pages != at.pages) {
    return Corruption("its page table does not have the checksum and size of its position");
  }
  return checkpoint;
}

}  // namespace

Status SaveCheckpoint(env::Env& env, const std::string& path, const Checkpoint& checkpoint) {
  CHECK(checkpoint.table.checksum() == checkpoint.at.checksum);
  CHECK(checkpoint.table.pages() == checkpoint.at.pages);
  return env::WriteFileAtomically(env, path, Encode(checkpoint)).WithContext("checkpoint");
}

Result<Checkpoint> LoadCheckpoint(env::Env& env, const std::string& path) {
  ASSIGN_OR_RETURN(const base::Bytes bytes, env::ReadFile(env, path, kFileBytesMax));
  Result<Checkpoint> checkpoint = ParseCheckpoint(bytes);
  if (!checkpoint.ok()) return checkpoint.status().WithContext("checkpoint " + path);
  return checkpoint;
}

Result<Checkpoint> ParseCheckpoint(base::ByteView bytes) { return Parse(bytes); }

Status RollForward(LogStore& log, Checkpoint& checkpoint, std::optional<base::Seq> to) {
  const base::Position durable = log.durable();
  const base::Seq start = checkpoint.at.position.seq;
  const base::Seq end = to.value_or(durable.seq);
  if (start > end || end > durable.seq) {
    return base::LogGap(
        fmt::format("the checkpoint is at {} and {} is asked for, but the log ends at {}",
                    base::ToString(checkpoint.at.position), end.value, base::ToString(durable)));
  }
  ASSIGN_OR_RETURN(const auto reader, log.ReadAfter(start));
  ASSIGN_OR_RETURN(const LogEnd state, log.StateAt(start));
  if (state.checksum != checkpoint.at.checksum) {
    return base::Diverged(fmt::format(
        "at {} the checkpoint has database checksum {:016x}, the log {:016x}",
        base::ToString(checkpoint.at.position), checkpoint.at.checksum, state.checksum));
  }
  // Records up to `end` are complete, so that a record's entries can be applied part by part.
  while (checkpoint.at.position.seq < end) {
    ASSIGN_OR_RETURN(const auto item, reader->Next());
    if (!item) return base::Internal("the log has no more records before its durable end");
    const PartHeader& header = item->part.header;
    for (const Entry& entry : item->part.entries) checkpoint.table.Set(entry.page, entry.hash);
    if (!header.last()) continue;
    checkpoint.table.Resize(header.pages_after);
    if (checkpoint.table.checksum() != header.checksum_after) {
      return base::Diverged(fmt::format(
          "record {}: the page table's checksum is {:016x} after it, the record says {:016x}",
          base::ToString(header.position()), checkpoint.table.checksum(), header.checksum_after));
    }
    checkpoint.at = EndAfter(header, item->generation);
  }
  return Status();
}

}  // namespace understudy::log
