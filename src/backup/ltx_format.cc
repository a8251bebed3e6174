// SPDX-License-Identifier: Apache-2.0
#include "backup/ltx_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/hex.h"
#include "log/page_table.h"

namespace understudy::backup {
namespace {

constexpr std::string_view kMagic = "LTX1";

// Where the fields are.
constexpr size_t kFlagsAt = 4;
constexpr size_t kPageSizeAt = 8;
constexpr size_t kCommitAt = 12;
constexpr size_t kMinTxidAt = 16;
constexpr size_t kMaxTxidAt = 24;
constexpr size_t kTimestampAt = 32;
constexpr size_t kPreApplyAt = 40;  // from here on everything is zero in our files

constexpr size_t kTxidDigits = 16;
constexpr std::string_view kSuffix = ".ltx";

std::optional<uint64_t> ParseTxid(std::string_view digits) {
  uint8_t bytes[8];
  const bool lower = std::none_of(digits.begin(), digits.end(),
                                  [](char digit) { return digit >= 'A' && digit <= 'F'; });
  if (!lower || !base::HexDecode(digits, bytes)) return std::nullopt;
  return base::LoadBe64(bytes);
}

}  // namespace

void EncodeLtxHeader(const LtxHeader& header, std::span<uint8_t, kLtxHeaderBytes> out) {
  CHECK(log::IsPageSize(header.page_size) && header.min_txid >= 1 &&
        header.max_txid >= header.min_txid && header.timestamp_ms >= 0);
  std::fill(out.begin(), out.end(), uint8_t{0});
  std::memcpy(out.data(), kMagic.data(), kMagic.size());
  base::StoreBe32(out.data() + kFlagsAt, kLtxFlagNoChecksum);
  base::StoreBe32(out.data() + kPageSizeAt, header.page_size);
  base::StoreBe32(out.data() + kCommitAt, header.commit);
  base::StoreBe64(out.data() + kMinTxidAt, header.min_txid);
  base::StoreBe64(out.data() + kMaxTxidAt, header.max_txid);
  base::StoreBe64(out.data() + kTimestampAt, static_cast<uint64_t>(header.timestamp_ms));
}

base::Result<LtxHeader> DecodeLtxHeader(base::ByteView bytes) {
  if (bytes.size() < kLtxHeaderBytes ||
      std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0) {
    return base::Corruption("not an LTX file: it does not begin with LTX1");
  }
  const uint8_t* at = bytes.data();
  const uint32_t flags = base::LoadBe32(at + kFlagsAt);
  if (flags != kLtxFlagNoChecksum) {
    return base::InvalidArgument(
        fmt::format("LTX flags {:#x} are not supported, only {:#x} (NoChecksum) is", flags,
                    kLtxFlagNoChecksum));
  }
  const LtxHeader header{.page_size = base::LoadBe32(at + kPageSizeAt),
                         .commit = base::LoadBe32(at + kCommitAt),
                         .min_txid = base::LoadBe64(at + kMinTxidAt),
                         .max_txid = base::LoadBe64(at + kMaxTxidAt),
                         .timestamp_ms = static_cast<int64_t>(base::LoadBe64(at + kTimestampAt))};
  if (!log::IsPageSize(header.page_size)) {
    return base::Corruption(fmt::format("LTX header: {} is not a page size", header.page_size));
  }
  if (header.min_txid < 1 || header.max_txid < header.min_txid) {
    return base::Corruption(fmt::format("LTX header: {:#x} to {:#x} is not a range of transactions",
                                        header.min_txid, header.max_txid));
  }
  if (header.timestamp_ms < 0) return base::Corruption("LTX header: the time is before 1970");
  if (base::LoadBe64(at + kPreApplyAt) != 0) {
    return base::Corruption("LTX header: a pre-apply checksum although NoChecksum is set");
  }
  return header;
}

std::string LtxFileName(TxidRange range) {
  return fmt::format("{:016x}-{:016x}{}", range.min, range.max, kSuffix);
}

std::optional<TxidRange> ParseLtxFileName(std::string_view name) {
  if (name.size() != 2 * kTxidDigits + 1 + kSuffix.size() || name[kTxidDigits] != '-' ||
      !name.ends_with(kSuffix)) {
    return std::nullopt;
  }
  const auto min = ParseTxid(name.substr(0, kTxidDigits));
  const auto max = ParseTxid(name.substr(kTxidDigits + 1, kTxidDigits));
  if (!min || !max) return std::nullopt;
  return TxidRange{*min, *max};
}

}  // namespace understudy::backup
