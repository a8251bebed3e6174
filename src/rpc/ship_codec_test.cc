// SPDX-License-Identifier: Apache-2.0
#include "rpc/ship_codec.h"

#include <gtest/gtest.h>

#include "log/record.h"

namespace understudy::rpc {
namespace {

base::DatabaseId Id() {
  base::DatabaseId id;
  for (size_t i = 0; i < id.bytes.size(); ++i) id.bytes[i] = static_cast<uint8_t>(i + 240);
  return id;
}

log::LogEnd End() {
  log::LogEnd end;
  end.position = {base::Term(3), base::Seq(1742)};
  end.generation = base::Generation(31);
  end.page_size = 4096;
  end.pages = 77;
  end.checksum = 0xfedcba9876543210;
  end.commit_time = {1'767'225'600'123};
  end.source = {0xffffffff, 2, 3, 0x80000000, 5};
  return end;
}

// Into the wire's bytes and back; the bytes of both must be equal, field by field of the proto.
void ExpectSurvives(const ship::Message& message) {
  v1::ShipMessage wire;
  ToProto(message, wire);
  v1::ShipMessage arrived;
  ASSERT_TRUE(arrived.ParseFromString(wire.SerializeAsString()));
  const auto decoded = FromProto(arrived);
  ASSERT_TRUE(decoded.ok()) << ship::MessageName(message) << ": " << decoded.status().ToString();
  EXPECT_EQ(decoded->index(), message.index());
  v1::ShipMessage again;
  ToProto(*decoded, again);
  EXPECT_EQ(again.SerializeAsString(), wire.SerializeAsString()) << wire.DebugString();
}

TEST(ShipCodec, SubscribeSurvivesTheWire) {
  ship::Subscribe m;
  m.database = Id();
  m.request = 9;
  m.incarnation = 77;
  m.term_known = base::Term(4);
  m.have = End();
  m.incomplete_parts = 2;
  m.incomplete_last_crc = 0xdeadbeef;
  m.window_bytes = ship::kWindowBytesDefault;
  ExpectSurvives(m);
  v1::ShipMessage wire;
  ToProto(m, wire);
  const auto decoded = FromProto(wire);
  ASSERT_TRUE(decoded.ok());
  const auto& back = std::get<ship::Subscribe>(*decoded);
  EXPECT_EQ(back.database, Id());
  EXPECT_EQ(back.have.position, End().position);
  EXPECT_EQ(back.have.checksum, End().checksum);
  EXPECT_EQ(back.have.source, End().source);
  EXPECT_EQ(back.incomplete_last_crc, 0xdeadbeef);
}

TEST(ShipCodec, EveryOtherMessageSurvivesTheWire) {
  ExpectSurvives(ship::Unsubscribe{Id()});
  ship::Ack ack;
  ack.database = Id();
  ack.request = 1;
  ack.durable = ack.received = End().position;
  ack.consumed_bytes = 5;
  ExpectSurvives(ack);
  ship::Parts parts;
  parts.database = Id();
  parts.request = 1;
  parts.generation = base::Generation(2);
  parts.mode = ship::ShipMode::kBlock;
  parts.source_end = End().position;
  ExpectSurvives(parts);
  ship::Refused refused;
  refused.database = Id();
  refused.seed = true;
  refused.code = base::Code::kLogGap;
  refused.message = "needs a seed";
  refused.term = base::Term(7);
  ExpectSurvives(refused);
  ship::SeedRequest resync;
  resync.database = Id();
  resync.request = 1;
  resync.window_bytes = ship::kWindowBytesDefault;
  resync.base_page_size = 4096;
  ExpectSurvives(resync);
  resync.start_only = true;
  ExpectSurvives(resync);
  ship::SeedHashes hashes;
  hashes.database = Id();
  hashes.request = 1;
  hashes.seed_id = 11;
  hashes.chunk = 3;
  hashes.hashes = {0, 0xfedcba9876543210, 1};
  ExpectSurvives(hashes);
  ship::SeedChunk chunk;
  chunk.database = Id();
  chunk.request = 1;
  chunk.seed_id = 11;
  chunk.chunk = 3;
  chunk.page_count = 9;
  chunk.unchanged = {0xff, 0};
  chunk.pages_zstd = {1, 2, 3};
  ExpectSurvives(chunk);
  ship::SeedAck seed_ack;
  seed_ack.database = Id();
  seed_ack.request = 2;
  seed_ack.seed_id = 11;
  seed_ack.next_chunk = 3;
  ExpectSurvives(seed_ack);
  ship::SeedEnd seed_end;
  seed_end.database = Id();
  seed_end.request = 2;
  seed_end.seed_id = 11;
  seed_end.at = End();
  ExpectSurvives(seed_end);
  ship::Heartbeat heartbeat;
  heartbeat.count = 4;
  heartbeat.ends.push_back({Id(), End().position, {5}});
  ExpectSurvives(heartbeat);
}

TEST(ShipCodec, WhatNoCorrectPeerSendsIsRefused) {
  v1::ShipMessage empty;
  EXPECT_EQ(FromProto(empty).status().code(), base::Code::kInvalidArgument);
  v1::ShipMessage short_id;
  short_id.mutable_unsubscribe()->set_database("seven b");
  EXPECT_EQ(FromProto(short_id).status().code(), base::Code::kInvalidArgument);
  v1::ShipMessage hello;
  hello.mutable_hello()->set_protocol_version(1);
  EXPECT_EQ(FromProto(hello).status().code(), base::Code::kInvalidArgument);
  ship::Subscribe subscribe;
  subscribe.database = Id();
  subscribe.window_bytes = ~uint64_t{0};
  v1::ShipMessage window;
  ToProto(subscribe, window);
  EXPECT_EQ(FromProto(window).status().code(), base::Code::kInvalidArgument);
}

TEST(ShipCodec, AChunkSaysForExactlyItsPagesWhatIsUnchanged) {
  const auto code_of = [](uint32_t pages, base::Bytes unchanged, bool images) {
    ship::SeedChunk chunk;
    chunk.database = Id();
    chunk.page_count = pages;
    chunk.unchanged = std::move(unchanged);
    if (images) chunk.pages_zstd = {1};
    v1::ShipMessage wire;
    ToProto(chunk, wire);
    return FromProto(wire).status().code();
  };
  EXPECT_EQ(code_of(8, {0xff}, false), base::Code::kOk);
  EXPECT_EQ(code_of(9, {0xff, 0x01}, false), base::Code::kOk);
  EXPECT_EQ(code_of(9, {0xff, 0x00}, true), base::Code::kOk);
  EXPECT_EQ(code_of(9, {}, true), base::Code::kOk);
  EXPECT_EQ(code_of(8, {0xff}, true), base::Code::kInvalidArgument);         // whose images?
  EXPECT_EQ(code_of(9, {0xff, 0x00}, false), base::Code::kInvalidArgument);  // where is page 9?
  EXPECT_EQ(code_of(9, {0xff}, true), base::Code::kInvalidArgument);
  EXPECT_EQ(code_of(7, {0xff}, false), base::Code::kInvalidArgument);
  EXPECT_EQ(code_of(0, {0x01}, false), base::Code::kInvalidArgument);
}

}  // namespace
}  // namespace understudy::rpc
