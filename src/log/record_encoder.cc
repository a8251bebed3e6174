// SPDX-License-Identifier: Apache-2.0
#include "log/record_encoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#define ZSTD_STATIC_LINKING_ONLY  // for ZSTD_c_format; the shared library has it
#include <zstd.h>

#include "base/check.h"
#include "base/crc32c.h"
#include "log/image_cache.h"
#include "log/record_format.h"

namespace understudy::log {
namespace {

using base::Status;

uint8_t* PutVarint(uint8_t* at, uint64_t value) {
  while (value >= 0x80) {
    *at++ = static_cast<uint8_t>(value | 0x80);
    value >>= 7;
  }
  *at++ = static_cast<uint8_t>(value);
  return at;
}

template <typename Number>
uint8_t* PutLe(uint8_t* at, Number value) {
  base::StoreLe(at, value);
  return at + sizeof value;
}

// Writes the header of a part of `entry_bytes` bytes of entries; returns the header's length.
size_t WriteHeader(const PartHeader& header, size_t entry_bytes, uint8_t* out) {
  uint8_t* at = out;
  at = PutLe(at, kPartMagic);
  at = PutLe(at, kPartVersion);
  at = PutLe(at, header.flags);
  at = PutLe(at, uint32_t{0});  // the length, below
  at = std::copy(header.database.bytes.begin(), header.database.bytes.end(), at);
  at = PutLe(at, header.checksum_before);
  at = PutVarint(at, header.part);
  at = PutVarint(at, header.term.value);
  at = PutVarint(at, header.seq_first.value);
  at = PutVarint(at, header.seq_last.value - header.seq_first.value);
  at = PutVarint(at, static_cast<uint64_t>(header.commit_time.unix_ms));
  at = PutVarint(at, static_cast<uint64_t>(std::countr_zero(header.page_size)));
  at = PutVarint(at, header.pages_after);
  at = PutVarint(at, header.entry_count);
  if (header.last()) {
    at = PutLe(at, header.checksum_after);
    at = PutLe(at, header.source.salt1);
    at = PutLe(at, header.source.salt2);
    at = PutLe(at, header.source.frame);
    at = PutLe(at, header.source.checksum1);
    at = PutLe(at, header.source.checksum2);
  }
  const auto length = static_cast<size_t>(at - out);
  base::StoreLe(out + 8, static_cast<uint32_t>(length + entry_bytes + kPartCrcBytes));
  return length;
}

bool IsZero(base::ByteView image) {
  return image[0] == 0 && std::memcmp(image.data(), image.data() + 1, image.size() - 1) == 0;
}

}  // namespace

// A part is built with its entries from kPartHeaderBytesMax on; the header, whose length is known
// only at the end, is then put right before them.
struct RecordEncoder::State {
  State(const Options& o, ReadBase r)
      : options(o), read_base(std::move(r)), cache(o.page_size, o.cache_bytes_max) {}
  ~State() { ZSTD_freeCCtx(context); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  void MakeContext();
  base::ByteView Base(base::PageNo page, uint64_t hash_before);
  size_t Compress(base::ByteView image, base::ByteView base, std::span<uint8_t> out);
  void Encode(Entry& entry, base::ByteView image, base::ByteView base);
  void Append(const Entry& entry);
  Status EmitPart(uint16_t more_flags);

  const Options options;
  const ReadBase read_base;
  ImageCache cache;
  ZSTD_CCtx* context = nullptr;  // made when first needed
  base::Bytes delta;             // scratch: a page compressed against its base
  base::Bytes full;              // scratch: a page compressed alone
  base::Bytes base_image;        // scratch: from read_base
  base::Bytes page_one;          // scratch: page 1 without the read-only mark

  // The open record.
  PageTable* table = nullptr;  // null: no record is open
  PartSink* sink = nullptr;
  RecordInfo info;
  PartHeader header;
  base::Bytes part;  // header space and entries; its size grows and is kept
  size_t used = 0;   // bytes of `part` in use, header space included
};

void RecordEncoder::State::MakeContext() {
  const size_t bound = ZSTD_compressBound(options.page_size);
  delta.resize(bound);
  full.resize(bound);
  context = ZSTD_createCCtx();
  CHECK(context != nullptr);
  const auto set = [this](ZSTD_cParameter parameter, int value) {
    CHECK(!ZSTD_isError(ZSTD_CCtx_setParameter(context, parameter, value)));
  };
  set(ZSTD_c_compressionLevel, options.zstd_level);
  set(ZSTD_c_format, ZSTD_f_zstd1_magicless);
  set(ZSTD_c_contentSizeFlag, 0);
  set(ZSTD_c_checksumFlag, 0);
  set(ZSTD_c_dictIDFlag, 0);
  // The window must reach back over the whole base.
  set(ZSTD_c_windowLog, std::max(10, std::countr_zero(options.page_size) + 1));
}

// The page's image before this record, or nothing when we have none that is surely that.
base::ByteView RecordEncoder::State::Base(base::PageNo page, uint64_t hash_before) {
  if (hash_before == 0) return {};
  const ImageCache::Image* const cached = cache.Find(page);
  if (cached != nullptr && cached->hash == hash_before) return cached->view(options.page_size);
  if (!read_base) return {};
  base_image.resize(options.page_size);
  if (!read_base(page, base_image)) return {};
  if (HashPage(page, base_image) != hash_before) return {};
  // Equal hashes on page 1 do not say that the mark is off.
  if (page.value == 1 && base_image[kWriteVersionOffset] == kWriteVersionReadOnly) {
    base_image[kWriteVersionOffset] = kWriteVersionWal;
  }
  return base_image;
}

// 0 when it does not fit.
size_t RecordEncoder::State::Compress(base::ByteView image, base::ByteView base,
                                      std::span<uint8_t> out) {
  if (context == nullptr) MakeContext();
  if (!base.empty()) {
    CHECK(!ZSTD_isError(ZSTD_CCtx_refPrefix(context, base.data(), base.size())));
  }
  const size_t got = ZSTD_compress2(context, out.data(), out.size(), image.data(), image.size());
  return ZSTD_isError(got) ? 0 : got;
}

void RecordEncoder::State::Encode(Entry& entry, base::ByteView image, base::ByteView base) {
  if (IsZero(image)) {
    entry.encoding = Encoding::kZero;
    return;
  }
  entry.encoding = Encoding::kRaw;
  entry.payload = image;
  if (context == nullptr) MakeContext();
  if (!base.empty()) {
    const size_t bytes = Compress(image, base, delta);
    if (bytes > 0 && bytes < image.size()) {
      entry.encoding = Encoding::kDelta;
      entry.payload = base::ByteView(delta).first(bytes);
      // A page this similar to its base would hardly be smaller alone: save the second attempt.
      if (bytes < image.size() / 4) return;
    }
  }
  const size_t bytes = Compress(image, {}, full);
  if (bytes > 0 && bytes < entry.payload.size()) {
    entry.encoding = Encoding::kZstd;
    entry.payload = base::ByteView(full).first(bytes);
  }
}

void RecordEncoder::State::Append(const Entry& entry) {
  const size_t need = used + kEntryHeaderBytesMax + entry.payload.size() + kPartCrcBytes;
  if (part.size() < need) part.resize(std::max(need, 2 * part.size()));
  uint8_t* at = part.data() + used;
  at = PutVarint(at, entry.page.value);
  at = PutVarint(at, entry.payload.size() << 2 | static_cast<uint8_t>(entry.encoding));
  at = PutLe(at, entry.hash);
  at = std::copy(entry.payload.begin(), entry.payload.end(), at);
  used = static_cast<size_t>(at - part.data());
  ++header.entry_count;
}

Status RecordEncoder::State::EmitPart(uint16_t more_flags) {
  if (part.size() < used + kPartCrcBytes) part.resize(used + kPartCrcBytes);
  const size_t entry_bytes = used - kPartHeaderBytesMax;
  header.flags = static_cast<uint16_t>((info.flags & (kRecordMount | kRecordHealing)) | more_flags |
                                       (header.part == 0 ? kPartFirst : 0));
  uint8_t bytes[kPartHeaderBytesMax];
  const size_t header_bytes = WriteHeader(header, entry_bytes, bytes);
  uint8_t* const start = part.data() + kPartHeaderBytesMax - header_bytes;
  std::memcpy(start, bytes, header_bytes);
  base::StoreLe(part.data() + used, base::Crc32c({start, header_bytes + entry_bytes}));
  const base::ByteView view(start, header_bytes + entry_bytes + kPartCrcBytes);
  CHECK(view.size() <= kPartBytesMax);
  const Status status = sink->OnPart(header, view);
  ++header.part;
  header.entry_count = 0;
  used = kPartHeaderBytesMax;
  return status;
}

RecordEncoder::RecordEncoder(const Options& options, ReadBase read_base)
    : state_(std::make_unique<State>(options, std::move(read_base))) {
  CHECK(IsPageSize(options.page_size));
}

RecordEncoder::~RecordEncoder() = default;

void RecordEncoder::Begin(const RecordInfo& info, PageTable& table, PartSink& sink) {
  State& s = *state_;
  CHECK(s.table == nullptr);
  CHECK(info.seq_first.value >= 1 && info.seq_last >= info.seq_first && info.term.value >= 1);
  s.table = &table;
  s.sink = &sink;
  s.info = info;
  s.header = PartHeader{.database = s.options.database,
                        .term = info.term,
                        .seq_first = info.seq_first,
                        .seq_last = info.seq_last,
                        .commit_time = info.commit_time,
                        .page_size = s.options.page_size,
                        .pages_after = info.pages_after,
                        .checksum_before = table.checksum()};
  s.used = kPartHeaderBytesMax;
  if (s.part.size() < s.used) s.part.resize(s.used);
}

Status RecordEncoder::AddPage(base::PageNo page, base::ByteView image) {
  State& s = *state_;
  CHECK(s.table != nullptr);
  CHECK((s.info.flags & kRecordMount) == 0);
  CHECK(page.value >= 1 && image.size() == s.options.page_size);
  if (page.value > s.info.pages_after) return Status();  // cut off again within the record
  const Entry unencoded{.page = page, .hash = HashPage(page, image)};
  const uint64_t hash_before = s.table->HashOf(page);
  if (unencoded.hash == hash_before) return Status();  // written, but not changed
  if (s.used >= kPartBytesTarget) RETURN_IF_ERROR(s.EmitPart(0));
  if (page.value == 1 && image[kWriteVersionOffset] == kWriteVersionReadOnly) {
    s.page_one.assign(image.begin(), image.end());
    s.page_one[kWriteVersionOffset] = kWriteVersionWal;
    image = s.page_one;
  }
  Entry entry = unencoded;
  s.Encode(entry, image, s.Base(page, hash_before));
  s.Append(entry);
  s.cache.Put(page, entry.hash, image);
  s.table->Set(page, entry.hash);
  return Status();
}

Status RecordEncoder::Finish() {
  State& s = *state_;
  CHECK(s.table != nullptr);
  s.table->Resize(s.info.pages_after);
  s.header.checksum_after = s.table->checksum();
  s.header.source = s.info.source;
  const Status status = s.EmitPart(kPartLast);
  s.table = nullptr;
  return status;
}

void RecordEncoder::Abandon() { state_->table = nullptr; }

void RecordEncoder::ReleaseMemory() {
  State& s = *state_;
  CHECK(s.table == nullptr);
  ZSTD_freeCCtx(s.context);
  s.context = nullptr;
  s.cache.Clear();
  for (base::Bytes* buffer : {&s.delta, &s.full, &s.base_image, &s.page_one, &s.part}) {
    base::Bytes().swap(*buffer);
  }
}

}  // namespace understudy::log
