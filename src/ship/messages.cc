// SPDX-License-Identifier: Apache-2.0
#include "ship/messages.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace understudy::ship {
namespace {

constexpr size_t kFixedBytes = 128;  // what a message without payload counts

struct BytesOf {
  size_t operator()(const Parts& m) const {
    size_t sum = kFixedBytes;
    for (const base::Bytes& part : m.parts) sum += part.size() + 8;
    return sum;
  }
  size_t operator()(const Refused& m) const { return kFixedBytes + m.message.size(); }
  size_t operator()(const SeedHashes& m) const {
    return kFixedBytes + m.hashes.size() * sizeof(uint64_t);
  }
  size_t operator()(const SeedChunk& m) const {
    return kFixedBytes + m.unchanged.size() + m.pages_zstd.size();
  }
  size_t operator()(const Heartbeat& m) const {
    return kFixedBytes + m.ends.size() * sizeof(Heartbeat::End);
  }
  template <typename Fixed>
  size_t operator()(const Fixed&) const {
    return kFixedBytes;
  }
};

struct NameOf {
  std::string_view operator()(const Subscribe&) const { return "Subscribe"; }
  std::string_view operator()(const Unsubscribe&) const { return "Unsubscribe"; }
  std::string_view operator()(const Ack&) const { return "Ack"; }
  std::string_view operator()(const Parts&) const { return "Parts"; }
  std::string_view operator()(const Refused&) const { return "Refused"; }
  std::string_view operator()(const SeedRequest&) const { return "SeedRequest"; }
  std::string_view operator()(const SeedStart&) const { return "SeedStart"; }
  std::string_view operator()(const SeedHashes&) const { return "SeedHashes"; }
  std::string_view operator()(const SeedChunk&) const { return "SeedChunk"; }
  std::string_view operator()(const SeedAck&) const { return "SeedAck"; }
  std::string_view operator()(const SeedEnd&) const { return "SeedEnd"; }
  std::string_view operator()(const Heartbeat&) const { return "Heartbeat"; }
};

base::Status Bad(std::string_view message, std::string_view field, uint64_t value,
                 std::string_view rule) {
  return base::InvalidArgument(
      fmt::format("message {}: {} is {}, but must be {}", message, field, value, rule));
}

base::Status CheckWindow(std::string_view name, uint64_t bytes) {
  if (bytes < kWindowBytesMin || bytes > kWindowBytesMax) {
    return Bad(name, "window_bytes", bytes,
               fmt::format("from {} to {}", kWindowBytesMin, kWindowBytesMax));
  }
  return {};
}

// chunk_pages of page_size fit a chunk, and the chunks can be counted.
base::Status CheckLayout(std::string_view name, uint32_t page_size, uint32_t chunk_pages) {
  if (!log::IsPageSize(page_size)) {
    return Bad(name, "page_size", page_size, "a power of two from 512 to 65536");
  }
  if (chunk_pages == 0 || uint64_t{chunk_pages} * page_size > kSeedChunkBytesMax) {
    return Bad(name, "chunk_pages", chunk_pages,
               fmt::format("at least 1, and a chunk at most {} bytes", kSeedChunkBytesMax));
  }
  return {};
}

struct Check {
  base::Status operator()(const Subscribe& m) const {
    if (m.request == 0) return Bad("Subscribe", "request", 0, "at least 1");
    return CheckWindow("Subscribe", m.window_bytes);
  }
  base::Status operator()(const Unsubscribe&) const { return {}; }
  base::Status operator()(const Ack& m) const {
    if (m.durable.seq > m.received.seq) {
      return Bad("Ack", "durable", m.durable.seq.value, "at most received");
    }
    return {};
  }
  base::Status operator()(const Parts& m) const {
    if (m.parts.size() > kPartsCountMax) {
      return Bad("Parts", "count of parts", m.parts.size(), fmt::format("<= {}", kPartsCountMax));
    }
    size_t sum = 0;
    for (const base::Bytes& part : m.parts) {
      if (part.empty() || part.size() > log::kPartBytesMax) {
        return Bad("Parts", "length of a part", part.size(),
                   fmt::format("from 1 to {}", log::kPartBytesMax));
      }
      sum += part.size();
    }
    if (sum > kPartsBytesMax) {
      return Bad("Parts", "length", sum, fmt::format("<= {}", kPartsBytesMax));
    }
    return {};
  }
  base::Status operator()(const Refused& m) const {
    if (m.message.size() > kRefusedMessageBytesMax) {
      return Bad("Refused", "length of the text", m.message.size(),
                 fmt::format("<= {}", kRefusedMessageBytesMax));
    }
    if (m.code == base::Code::kOk) return Bad("Refused", "code", 0, "an error");
    return {};
  }
  base::Status operator()(const SeedRequest& m) const {
    if (m.request == 0) return Bad("SeedRequest", "request", 0, "at least 1");
    if (m.seed_id != 0) RETURN_IF_ERROR(CheckLayout("SeedRequest", m.page_size, m.chunk_pages));
    if (m.seed_id != 0 && m.start_only) {
      return Bad("SeedRequest", "start_only", 1, "0 when a seed goes on");
    }
    if (m.seed_id == 0 && m.next_chunk != 0) {
      return Bad("SeedRequest", "next_chunk", m.next_chunk, "0 in a new seed");
    }
    if (m.base_page_size != 0 && !log::IsPageSize(m.base_page_size)) {
      return Bad("SeedRequest", "base_page_size", m.base_page_size,
                 "0 or a power of two from 512 to 65536");
    }
    return CheckWindow("SeedRequest", m.window_bytes);
  }
  base::Status operator()(const SeedStart& m) const {
    RETURN_IF_ERROR(CheckLayout("SeedStart", m.page_size, m.chunk_pages));
    if (m.seed_id == 0) return Bad("SeedStart", "seed_id", 0, "at least 1");
    if (m.start.page_size != m.page_size) {
      return Bad("SeedStart", "start.page_size", m.start.page_size, "page_size");
    }
    if (m.start.pages != m.pages) return Bad("SeedStart", "start.pages", m.start.pages, "pages");
    if (m.start.position.seq.value == 0) {
      return Bad("SeedStart", "start.position.seq", 0, "at least 1");
    }
    return {};
  }
  base::Status operator()(const SeedHashes& m) const {
    if (m.seed_id == 0) return Bad("SeedHashes", "seed_id", 0, "at least 1");
    if (m.hashes.size() > kSeedChunkPagesMax) {
      return Bad("SeedHashes", "count of hashes", m.hashes.size(),
                 fmt::format("<= {}", kSeedChunkPagesMax));
    }
    return {};
  }
  base::Status operator()(const SeedChunk& m) const {
    if (m.pages_zstd.size() > kSeedChunkZstdBytesMax) {
      return Bad("SeedChunk", "length", m.pages_zstd.size(),
                 fmt::format("<= {}", kSeedChunkZstdBytesMax));
    }
    if (m.page_count > kSeedChunkPagesMax) {
      return Bad("SeedChunk", "page_count", m.page_count, fmt::format("<= {}", kSeedChunkPagesMax));
    }
    if (!m.unchanged.empty() && (m.unchanged.size() != (m.page_count + 7) / 8 ||
                                 m.unchanged.back() >> ((m.page_count + 7) % 8 + 1) != 0)) {
      return Bad("SeedChunk", "length of unchanged", m.unchanged.size(),
                 "none, or one bit for each page");
    }
    if ((m.images() == 0) != m.pages_zstd.empty()) {
      return Bad("SeedChunk", "count of images", m.images(), "0 exactly when there is no image");
    }
    return {};
  }
  base::Status operator()(const SeedAck&) const { return {}; }
  base::Status operator()(const SeedEnd&) const { return {}; }
  base::Status operator()(const Heartbeat& m) const {
    if (m.ends.size() > kHeartbeatEndsMax) {
      return Bad("Heartbeat", "count of ends", m.ends.size(),
                 fmt::format("<= {}", kHeartbeatEndsMax));
    }
    return {};
  }
};

}  // namespace

uint32_t SeedChunk::images() const {
  uint32_t left_out = 0;
  for (const uint8_t byte : unchanged) left_out += static_cast<uint32_t>(std::popcount(byte));
  return page_count - std::min(left_out, page_count);
}

size_t MessageBytes(const Message& message) { return std::visit(BytesOf{}, message); }

std::optional<base::DatabaseId> DatabaseOf(const Message& message) {
  return std::visit(
      [](const auto& m) -> std::optional<base::DatabaseId> {
        if constexpr (requires { m.database; }) {
          return m.database;
        } else {
          return std::nullopt;
        }
      },
      message);
}

bool IsOfSeed(const Message& message) {
  if (const auto* refused = std::get_if<Refused>(&message)) return refused->seed;
  return std::holds_alternative<SeedRequest>(message) ||
         std::holds_alternative<SeedStart>(message) ||
         std::holds_alternative<SeedHashes>(message) ||
         std::holds_alternative<SeedChunk>(message) || std::holds_alternative<SeedAck>(message) ||
         std::holds_alternative<SeedEnd>(message);
}

std::optional<uint64_t> IncarnationOf(const Message& message) {
  if (const auto* subscribe = std::get_if<Subscribe>(&message)) return subscribe->incarnation;
  if (const auto* seed = std::get_if<SeedRequest>(&message)) return seed->incarnation;
  return std::nullopt;
}

std::string_view MessageName(const Message& message) { return std::visit(NameOf{}, message); }

base::Status CheckMessage(const Message& message) { return std::visit(Check{}, message); }

}  // namespace understudy::ship
