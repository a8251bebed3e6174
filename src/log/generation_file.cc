// SPDX-License-Identifier: Apache-2.0
#include "log/generation_file.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/hex.h"

namespace understudy::log {
namespace {

using base::Corruption;
using base::Result;

constexpr uint32_t kMagic = 0x4e454755;  // the bytes "UGEN"
constexpr uint16_t kVersion = 1;
constexpr size_t kCrcOffset = kGenerationHeaderBytes - 4;

void AppendSource(base::Bytes& out, const SourcePosition& source) {
  base::AppendLe(out, source.salt1);
  base::AppendLe(out, source.salt2);
  base::AppendLe(out, source.frame);
  base::AppendLe(out, source.checksum1);
  base::AppendLe(out, source.checksum2);
}

SourcePosition ReadSource(base::ByteReader& reader) {
  SourcePosition source;
  source.salt1 = reader.Le<uint32_t>();
  source.salt2 = reader.Le<uint32_t>();
  source.frame = reader.Le<uint32_t>();
  source.checksum1 = reader.Le<uint32_t>();
  source.checksum2 = reader.Le<uint32_t>();
  return source;
}

bool AllZero(base::ByteView bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](uint8_t byte) { return byte == 0; });
}

// The open record of a header's state; its fields follow from the state where they can.
Result<std::optional<RecordChain::Open>> ReadOpen(base::ByteReader& reader, const LogEnd& end) {
  RecordChain::Open open;
  open.parts = reader.Le<uint32_t>();
  open.header.term = base::Term(reader.Le<uint64_t>());
  open.header.seq_last = base::Seq(reader.Le<uint64_t>());
  open.header.commit_time.unix_ms = reader.Le<int64_t>();
  open.header.pages_after = reader.Le<uint32_t>();
  open.last_crc = reader.Le<uint32_t>();
  open.header.flags = reader.Le<uint16_t>();
  if (open.parts == 0) return std::optional<RecordChain::Open>();
  open.header.part = open.parts - 1;
  open.header.seq_first = end.position.seq.Next();
  open.header.page_size = end.page_size;
  open.header.checksum_before = end.checksum;
  if (open.header.seq_last < open.header.seq_first || open.header.term < end.position.term) {
    return Corruption("generation header: its open record contradicts the state before it");
  }
  return std::optional<RecordChain::Open>(open);
}

}  // namespace

base::Seq GenerationHeader::seq_before() const {
  const std::optional<RecordChain::Open>& open = before.open();
  return open ? open->header.seq_last : before.end().position.seq;
}

std::string GenerationName(base::Generation generation) {
  return base::ToString(generation) + std::string(kGenerationSuffix);
}

std::optional<base::Generation> GenerationOfName(std::string_view name) {
  uint8_t bytes[8];
  if (name.size() != 2 * sizeof bytes + kGenerationSuffix.size()) return std::nullopt;
  if (!name.ends_with(kGenerationSuffix)) return std::nullopt;
  if (!base::HexDecode(name.substr(0, 2 * sizeof bytes), bytes)) return std::nullopt;
  const base::Generation generation(base::LoadBe64(bytes));
  if (GenerationName(generation) != name) return std::nullopt;  // upper-case digits
  return generation;
}

base::Bytes EncodeGenerationHeader(const GenerationHeader& header) {
  const LogEnd& end = header.before.end();
  base::Bytes out;
  out.reserve(kGenerationHeaderBytes);
  base::AppendLe(out, kMagic);
  base::AppendLe(out, kVersion);
  base::AppendLe(out, static_cast<uint16_t>(kGenerationHeaderBytes));
  base::AppendBytes(out, header.database.bytes);
  base::AppendLe(out, header.number.value);
  base::AppendLe(out, header.created.unix_ms);
  base::AppendLe(out, end.position.term.value);
  base::AppendLe(out, end.position.seq.value);
  base::AppendLe(out, end.generation.value);
  base::AppendLe(out, end.commit_time.unix_ms);
  base::AppendLe(out, end.checksum);
  base::AppendLe(out, end.page_size);
  base::AppendLe(out, end.pages);
  AppendSource(out, end.source);
  const RecordChain::Open open = header.before.open().value_or(RecordChain::Open());
  base::AppendLe(out, open.parts);
  base::AppendLe(out, open.header.term.value);
  base::AppendLe(out, open.header.seq_last.value);
  base::AppendLe(out, open.header.commit_time.unix_ms);
  base::AppendLe(out, open.header.pages_after);
  base::AppendLe(out, open.last_crc);
  base::AppendLe(out, static_cast<uint16_t>(open.header.flags & ~unsigned{kPartFirst | kPartLast}));
  base::AppendLe(out, uint16_t{0});
  base::AppendLe(out, header.previous.value);
  base::AppendLe(out, header.previous_bytes);
  out.resize(kCrcOffset);
  base::AppendLe(out, base::Crc32c(out));
  CHECK(out.size() == kGenerationHeaderBytes);
  return out;
}

Result<GenerationHeader> ParseGenerationHeader(base::ByteView bytes) {
  if (bytes.size() < kGenerationHeaderBytes) {
    return Corruption(
        fmt::format("generation header: {} bytes, needs {}", bytes.size(), kGenerationHeaderBytes));
  }
  base::ByteReader reader(bytes.first(kGenerationHeaderBytes));
  if (reader.Le<uint32_t>() != kMagic) return Corruption("generation header: bad magic");
  const auto version = reader.Le<uint16_t>();
  if (base::Crc32c(bytes.first(kCrcOffset)) != base::LoadLe<uint32_t>(bytes.data() + kCrcOffset)) {
    return Corruption("generation header: its CRC does not match its bytes");
  }
  if (version != kVersion || reader.Le<uint16_t>() != kGenerationHeaderBytes) {
    return base::InvalidArgument(fmt::format(
        "generation header: version {}; this program reads version {}", version, kVersion));
  }
  GenerationHeader header;
  const base::ByteView id = reader.Take(header.database.bytes.size());
  std::copy(id.begin(), id.end(), header.database.bytes.begin());
  header.number = base::Generation(reader.Le<uint64_t>());
  header.created.unix_ms = reader.Le<int64_t>();
  LogEnd end;
  end.position.term = base::Term(reader.Le<uint64_t>());
  end.position.seq = base::Seq(reader.Le<uint64_t>());
  end.generation = base::Generation(reader.Le<uint64_t>());
  end.commit_time.unix_ms = reader.Le<int64_t>();
  end.checksum = reader.Le<uint64_t>();
  end.page_size = reader.Le<uint32_t>();
  end.pages = reader.Le<uint32_t>();
  end.source = ReadSource(reader);
  if (end.page_size != 0 && !IsPageSize(end.page_size)) {
    return Corruption("generation header: its page size is impossible");
  }
  ASSIGN_OR_RETURN(const auto open, ReadOpen(reader, end));
  header.before = RecordChain(end, open);
  reader.Take(sizeof(uint16_t));
  header.previous = base::Generation(reader.Le<uint64_t>());
  header.previous_bytes = reader.Le<uint64_t>();
  return header;
}

Result<GenerationHeader> ReadGenerationHeader(env::File& file) {
  uint8_t bytes[kGenerationHeaderBytes];
  ASSIGN_OR_RETURN(const size_t got, file.ReadAt(0, bytes));
  return ParseGenerationHeader({bytes, got});
}

void PartStream::Seek(env::File* file, uint64_t offset) {
  file_ = file;
  offset_ = offset;
  buffered_ = 0;
}

void PartStream::ReleaseMemory() {
  base::Bytes().swap(buffer_);
  buffered_ = 0;
}

// Makes the buffer hold at least `bytes` bytes from offset_ on, if there are so many before
// `limit`.
Result<bool> PartStream::Fill(size_t bytes, uint64_t limit) {
  const uint64_t end = buffer_offset_ + buffered_;
  const bool overlaps = buffered_ > 0 && offset_ >= buffer_offset_ && offset_ <= end;
  size_t kept = overlaps ? static_cast<size_t>(end - offset_) : 0;
  if (kept >= bytes) return true;
  const uint64_t available = limit > offset_ ? limit - offset_ : 0;
  if (available < bytes) return false;
  const size_t want = std::min<uint64_t>(available, std::max(bytes, kReadBytesTarget));
  if (kept > 0) {
    std::copy_n(buffer_.begin() + static_cast<ptrdiff_t>(offset_ - buffer_offset_), kept,
                buffer_.begin());
  }
  if (buffer_.size() < want) buffer_.resize(want);
  buffer_offset_ = offset_;
  buffered_ = kept;
  ASSIGN_OR_RETURN(const size_t got,
                   file_->ReadAt(offset_ + kept, std::span(buffer_).subspan(kept, want - kept)));
  buffered_ += got;
  return buffered_ >= bytes;
}

Result<std::optional<RecordPart>> PartStream::Next(uint64_t limit) {
  if (offset_ >= limit) return std::optional<RecordPart>();
  const auto available =
      static_cast<size_t>(std::min<uint64_t>(limit - offset_, kPartLengthPrefix));
  ASSIGN_OR_RETURN(const bool prefix, Fill(available, limit));
  if (!prefix)
    return Corruption(fmt::format("offset {}: the file is shorter than it was", offset_));
  const size_t at = static_cast<size_t>(offset_ - buffer_offset_);
  const base::ByteView start = base::ByteView(buffer_).subspan(at, available);
  if (AllZero(start)) return std::optional<RecordPart>();
  const Result<uint32_t> length = PartLength(start);
  if (!length.ok()) return length.status().WithContext(fmt::format("offset {}", offset_));
  ASSIGN_OR_RETURN(const bool whole, Fill(*length, limit));
  if (!whole) {
    return Corruption(fmt::format("offset {}: record part: cut short, {} of {} bytes are here",
                                  offset_, limit - offset_, *length));
  }
  Result<RecordPart> part = ParsePart(
      base::ByteView(buffer_).subspan(static_cast<size_t>(offset_ - buffer_offset_), *length));
  if (!part.ok()) return part.status().WithContext(fmt::format("offset {}", offset_));
  offset_ += *length;
  return std::optional<RecordPart>(std::move(part).value());
}

}  // namespace understudy::log
