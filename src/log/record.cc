// SPDX-License-Identifier: Apache-2.0
#include "log/record.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#define ZSTD_STATIC_LINKING_ONLY  // for ZSTD_d_format; the shared library has it
#include <zstd.h>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/planted.h"
#include "log/record_format.h"

namespace understudy::log {
namespace {

using base::Corruption;
using base::Result;
using base::Status;

// What can be said of a header without its entries; empty text when it is possible.
std::string_view HeaderFault(const PartHeader& header, uint64_t seq_span) {
  if ((header.flags & ~kPartFlagsKnown) != 0) return "unknown flags";
  if (header.first() != (header.part == 0)) return "the first-part flag contradicts the number";
  if (header.seq_first.value == 0) return "its first seq is 0";
  if (seq_span > UINT64_MAX - header.seq_first.value) return "its last seq overflows";
  if (header.term.value == 0) return "its term is 0";
  if (!IsPageSize(header.page_size)) return "its page size is impossible";
  if ((header.flags & kRecordMount) != 0 && header.entry_count != 0) return "a mount with entries";
  return {};
}

std::string_view EntryFault(const Entry& entry, const PartHeader& header, size_t length) {
  if (entry.page.value == 0 || entry.page.value > header.pages_after) {
    return "an entry's page is outside the database";
  }
  switch (entry.encoding) {
    case Encoding::kZero: return length == 0 ? "" : "a zero page with a payload";
    case Encoding::kRaw: return length == header.page_size ? "" : "a raw page of the wrong size";
    case Encoding::kZstd:
    case Encoding::kDelta:
      return length > 0 && length < header.page_size ? "" : "a payload of impossible size";
  }
  return "an unknown encoding";
}

Result<PartHeader> ParseHeader(base::ByteReader& reader) {
  PartHeader header;
  reader.Take(sizeof(uint32_t) + sizeof(uint16_t));  // magic, version: seen by PartLength
  header.flags = reader.Le<uint16_t>();
  reader.Take(sizeof(uint32_t));
  const base::ByteView id = reader.Take(header.database.bytes.size());
  if (!id.empty()) std::copy(id.begin(), id.end(), header.database.bytes.begin());
  header.checksum_before = reader.Le<uint64_t>();
  const uint64_t part = reader.Varint();
  header.term = base::Term(reader.Varint());
  header.seq_first = base::Seq(reader.Varint());
  const uint64_t seq_span = reader.Varint();
  header.seq_last = base::Seq(header.seq_first.value + seq_span);
  header.commit_time.unix_ms = static_cast<int64_t>(reader.Varint());
  const uint64_t page_bits = reader.Varint();
  const uint64_t pages_after = reader.Varint();
  const uint64_t entry_count = reader.Varint();
  if (header.last()) {
    header.checksum_after = reader.Le<uint64_t>();
    header.source.salt1 = reader.Le<uint32_t>();
    header.source.salt2 = reader.Le<uint32_t>();
    header.source.frame = reader.Le<uint32_t>();
    header.source.checksum1 = reader.Le<uint32_t>();
    header.source.checksum2 = reader.Le<uint32_t>();
  }
  if (!reader.ok()) return Corruption("record part: its header is cut short");
  if (part > UINT32_MAX || page_bits > 16 || pages_after > UINT32_MAX) {
    return Corruption("record part: a number in its header is out of range");
  }
  // Also bounds what the list of entries may allocate.
  if (entry_count > reader.remaining() / kEntryBytesMin) {
    return Corruption(fmt::format("record part: {} entries cannot fit in {} bytes", entry_count,
                                  reader.remaining()));
  }
  header.part = static_cast<uint32_t>(part);
  header.page_size = 1U << page_bits;
  header.pages_after = static_cast<uint32_t>(pages_after);
  header.entry_count = static_cast<uint32_t>(entry_count);
  const std::string_view fault = HeaderFault(header, seq_span);
  if (!fault.empty()) return Corruption(fmt::format("record part: {}", fault));
  return header;
}

}  // namespace

Result<uint32_t> PartLength(base::ByteView bytes) {
  if (bytes.size() < kPartLengthPrefix) return Corruption("record part: shorter than its prefix");
  const auto magic = base::LoadLe<uint32_t>(bytes.data());
  if (magic != kPartMagic) {
    return Corruption(fmt::format("record part: bad magic {:08x}", magic));
  }
  const auto version = base::LoadLe<uint16_t>(bytes.data() + 4);
  if (version != kPartVersion) {
    return Corruption(fmt::format("record part: version {}; this program reads version {}", version,
                                  kPartVersion));
  }
  const auto length = base::LoadLe<uint32_t>(bytes.data() + 8);
  if (length < kPartBytesMin || length > kPartBytesMax) {
    return Corruption(
        fmt::format("record part: impossible length {} (at most {})", length, kPartBytesMax));
  }
  return length;
}

Result<RecordPart> ParsePart(base::ByteView bytes) {
  ASSIGN_OR_RETURN(const uint32_t length, PartLength(bytes));
  if (length != bytes.size()) {
    return Corruption(fmt::format("record part: says {} bytes but has {}", length, bytes.size()));
  }
  const base::ByteView body = bytes.first(bytes.size() - kPartCrcBytes);
  const auto crc = base::LoadLe<uint32_t>(body.data() + body.size());
  if (base::Crc32c(body) != crc && !PLANTED("torn-part-accepted")) {
    return Corruption("record part: its CRC does not match its bytes");
  }
  base::ByteReader reader(body);
  RecordPart part;
  ASSIGN_OR_RETURN(part.header, ParseHeader(reader));
  part.bytes = bytes;
  part.entries.reserve(part.header.entry_count);
  for (uint32_t i = 0; i < part.header.entry_count; ++i) {
    const uint64_t page = reader.Varint();
    const uint64_t tag = reader.Varint();
    Entry entry;
    entry.hash = reader.Le<uint64_t>();
    const uint64_t payload_bytes = tag >> 2;
    if (page > UINT32_MAX || payload_bytes > part.header.page_size) {
      return Corruption(fmt::format("record part: entry {}: a number is out of range", i));
    }
    entry.page = base::PageNo(static_cast<uint32_t>(page));
    entry.encoding = static_cast<Encoding>(tag & 3);
    entry.payload = reader.Take(payload_bytes);
    if (!reader.ok()) return Corruption(fmt::format("record part: entry {} is cut short", i));
    const std::string_view fault = EntryFault(entry, part.header, payload_bytes);
    if (!fault.empty()) return Corruption(fmt::format("record part: entry {}: {}", i, fault));
    part.entries.push_back(entry);
  }
  if (reader.remaining() != 0) return Corruption("record part: bytes after its last entry");
  return part;
}

EntryDecoder::EntryDecoder() = default;

EntryDecoder::~EntryDecoder() { ReleaseMemory(); }

void EntryDecoder::ReleaseMemory() {
  ZSTD_freeDCtx(static_cast<ZSTD_DCtx*>(context_));
  context_ = nullptr;
  base_.clear();
  base_.shrink_to_fit();
}

Status EntryDecoder::Decode(const Entry& entry, base::ByteView base, std::span<uint8_t> out) {
  switch (entry.encoding) {
    case Encoding::kZero: std::fill(out.begin(), out.end(), uint8_t{0}); break;
    case Encoding::kRaw:
      if (entry.payload.size() != out.size()) {
        return Corruption(fmt::format("page {}: a raw image of {} bytes for pages of {}",
                                      entry.page.value, entry.payload.size(), out.size()));
      }
      std::copy(entry.payload.begin(), entry.payload.end(), out.begin());
      break;
    case Encoding::kZstd: RETURN_IF_ERROR(Decompress(entry, {}, out)); break;
    case Encoding::kDelta:
      if (base.size() != out.size()) {
        return Corruption(fmt::format("page {}: a delta, but there is no image of the page before",
                                      entry.page.value));
      }
      RETURN_IF_ERROR(Decompress(entry, base, out));
      break;
  }
  if (HashPage(entry.page, out) != entry.hash) {
    return Corruption(fmt::format("page {}: the decoded image's hash is not the record's{}",
                                  entry.page.value,
                                  entry.encoding == Encoding::kDelta
                                      ? " (its base is not the image that the delta was made from)"
                                      : ""));
  }
  return Status();
}

Status EntryDecoder::Decompress(const Entry& entry, base::ByteView base, std::span<uint8_t> out) {
  if (context_ == nullptr) {
    ZSTD_DCtx* const made = ZSTD_createDCtx();
    CHECK(made != nullptr);
    CHECK(!ZSTD_isError(ZSTD_DCtx_setParameter(made, ZSTD_d_format, ZSTD_f_zstd1_magicless)));
    context_ = made;
  }
  auto* const context = static_cast<ZSTD_DCtx*>(context_);
  if (!base.empty()) {
    // Page 1 is in the log with the write version of an active copy, whatever this copy's mark is.
    if (entry.page.value == 1 && base[kWriteVersionOffset] == kWriteVersionReadOnly) {
      base_.assign(base.begin(), base.end());
      base_[kWriteVersionOffset] = kWriteVersionWal;
      base = base_;
    }
    CHECK(!ZSTD_isError(ZSTD_DCtx_refPrefix(context, base.data(), base.size())));
  }
  const size_t got = ZSTD_decompressDCtx(context, out.data(), out.size(), entry.payload.data(),
                                         entry.payload.size());
  if (ZSTD_isError(got) || got != out.size()) {
    // Lets go of the prefix, which is borrowed only until we return.
    ZSTD_DCtx_reset(context, ZSTD_reset_session_only);
    ZSTD_DCtx_refPrefix(context, nullptr, 0);
    return Corruption(
        fmt::format("page {}: its payload cannot be decompressed ({})", entry.page.value,
                    ZSTD_isError(got) ? ZSTD_getErrorName(got) : "it is not a whole page"));
  }
  return Status();
}

}  // namespace understudy::log
