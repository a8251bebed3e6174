// SPDX-License-Identifier: Apache-2.0
#include "ship/seed_journal.h"

#include <fmt/format.h>

#include "base/crc32c.h"

namespace understudy::ship {
namespace {

using base::AppendLe;
using base::ByteReader;
using base::Bytes;
using base::ByteView;

constexpr std::string_view kMagic = "USSEED1\n";
constexpr uint8_t kLayout = 1;
constexpr uint8_t kChunks = 2;
constexpr uint8_t kEnd = 3;
constexpr uint8_t kReady = 4;
constexpr size_t kHeadBytes = 8;
constexpr size_t kCrcBytes = 4;
// 20 bytes a chunk of 1 MiB: room for a database of 10 TiB.
constexpr uint64_t kJournalBytesMax = 256 << 20;

void PutEnd(Bytes& out, const log::LogEnd& end) {
  AppendLe(out, end.position.term.value);
  AppendLe(out, end.position.seq.value);
  AppendLe(out, end.generation.value);
  AppendLe(out, end.page_size);
  AppendLe(out, end.pages);
  AppendLe(out, end.checksum);
  AppendLe(out, end.commit_time.unix_ms);
  AppendLe(out, end.source.salt1);
  AppendLe(out, end.source.salt2);
  AppendLe(out, end.source.frame);
  AppendLe(out, end.source.checksum1);
  AppendLe(out, end.source.checksum2);
}

log::LogEnd GetEnd(ByteReader& in) {
  log::LogEnd end;
  end.position.term.value = in.Le<uint64_t>();
  end.position.seq.value = in.Le<uint64_t>();
  end.generation.value = in.Le<uint64_t>();
  end.page_size = in.Le<uint32_t>();
  end.pages = in.Le<uint32_t>();
  end.checksum = in.Le<uint64_t>();
  end.commit_time.unix_ms = in.Le<int64_t>();
  end.source.salt1 = in.Le<uint32_t>();
  end.source.salt2 = in.Le<uint32_t>();
  end.source.frame = in.Le<uint32_t>();
  end.source.checksum1 = in.Le<uint32_t>();
  end.source.checksum2 = in.Le<uint32_t>();
  return end;
}

Bytes Frame(uint8_t type, ByteView payload) {
  Bytes out{type, 0, 0, 0};
  AppendLe(out, static_cast<uint32_t>(payload.size()));
  base::AppendBytes(out, payload);
  AppendLe(out, base::Crc32c(out));
  return out;
}

Bytes LayoutPayload(const SeedLayout& layout) {
  Bytes out;
  base::AppendBytes(out, layout.database.bytes);
  AppendLe(out, layout.seed_id);
  AppendLe(out, layout.page_size);
  AppendLe(out, layout.pages);
  AppendLe(out, layout.chunk_pages);
  PutEnd(out, layout.start);
  return out;
}

bool TakeLayout(ByteView payload, SeedLayout& layout) {
  ByteReader in(payload);
  const ByteView id = in.Take(layout.database.bytes.size());
  if (!in.ok()) return false;
  std::copy(id.begin(), id.end(), layout.database.bytes.begin());
  layout.seed_id = in.Le<uint64_t>();
  layout.page_size = in.Le<uint32_t>();
  layout.pages = in.Le<uint32_t>();
  layout.chunk_pages = in.Le<uint32_t>();
  layout.start = GetEnd(in);
  return in.ok() && in.remaining() == 0 && log::IsPageSize(layout.page_size) &&
         layout.chunk_pages != 0;
}

}  // namespace

base::Result<std::unique_ptr<SeedJournal>> SeedJournal::Create(env::Env& env,
                                                               const std::string& path,
                                                               const SeedLayout& layout) {
  Bytes content(kMagic.begin(), kMagic.end());
  base::AppendBytes(content, Frame(kLayout, LayoutPayload(layout)));
  RETURN_IF_ERROR(env::WriteFileAtomically(env, path, content));
  return Load(env, path);
}

base::Result<std::unique_ptr<SeedJournal>> SeedJournal::Load(env::Env& env,
                                                             const std::string& path) {
  ASSIGN_OR_RETURN(const Bytes content, env::ReadFile(env, path, kJournalBytesMax));
  const base::Status damaged =
      base::Corruption(fmt::format("{} is not the state of a seed; the seed starts anew", path));
  if (content.size() < kMagic.size() ||
      !std::equal(kMagic.begin(), kMagic.end(), content.begin())) {
    return damaged;
  }
  std::unique_ptr<SeedJournal> journal(new SeedJournal());
  size_t at = kMagic.size();
  bool has_layout = false;
  while (content.size() - at >= kHeadBytes + kCrcBytes) {
    const uint8_t type = content[at];
    const size_t length = base::LoadLe<uint32_t>(&content[at + 4]);
    if (length > content.size() - at - kHeadBytes - kCrcBytes) break;
    const ByteView framed(&content[at], kHeadBytes + length);
    if (base::Crc32c(framed) != base::LoadLe<uint32_t>(&content[at + kHeadBytes + length])) break;
    const ByteView payload = framed.subspan(kHeadBytes);
    const bool taken = has_layout ? journal->Take(type, payload)
                                  : type == kLayout && TakeLayout(payload, journal->state_.layout);
    if (!taken) break;
    has_layout = true;
    at += kHeadBytes + length + kCrcBytes;
  }
  if (!has_layout) return damaged;
  ASSIGN_OR_RETURN(journal->file_, env.Open(path, env::OpenMode::kReadWrite));
  journal->size_ = at;
  // The rest was never promised, and must not come back behind what is appended now.
  if (at < content.size()) RETURN_IF_ERROR(journal->file_->Truncate(at));
  return journal;
}

bool SeedJournal::Take(uint8_t type, ByteView payload) {
  ByteReader in(payload);
  if (type == kChunks) {
    if (in.Le<uint32_t>() != state_.chunk_at.size()) return false;
    if (in.remaining() % 16 != 0) return false;
    if (in.remaining() / 16 + state_.chunk_at.size() > state_.layout.chunks()) return false;
    while (in.remaining() > 0) {
      base::Position position;
      position.term.value = in.Le<uint64_t>();
      position.seq.value = in.Le<uint64_t>();
      state_.chunk_at.push_back(position);
    }
    return in.ok();
  }
  if (state_.chunk_at.size() != state_.layout.chunks()) return false;
  if (type == kEnd) {
    state_.end = GetEnd(in);
    return in.ok() && in.remaining() == 0;
  }
  if (type != kReady || !state_.end) return false;
  state_.ready = true;
  return in.remaining() == 0;
}

base::Status SeedJournal::Append(uint8_t type, ByteView payload) {
  RETURN_IF_ERROR(failure_);
  const Bytes framed = Frame(type, payload);
  base::Status done = file_->WriteAt(size_, framed);
  if (done.ok()) done = file_->Sync();
  if (!done.ok()) {
    failure_ = done;
    return done;
  }
  size_ += framed.size();
  CHECK(Take(type, payload));
  return {};
}

base::Status SeedJournal::AppendChunks(std::span<const base::Position> at) {
  Bytes payload;
  AppendLe(payload, static_cast<uint32_t>(state_.chunk_at.size()));
  for (const base::Position& position : at) {
    AppendLe(payload, position.term.value);
    AppendLe(payload, position.seq.value);
  }
  return Append(kChunks, payload);
}

base::Status SeedJournal::AppendEnd(const log::LogEnd& end) {
  Bytes payload;
  PutEnd(payload, end);
  return Append(kEnd, payload);
}

base::Status SeedJournal::AppendReady() { return Append(kReady, {}); }

}  // namespace understudy::ship
