// SPDX-License-Identifier: Apache-2.0
#include "rpc/ship_codec.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "rpc/code_name.h"

namespace understudy::rpc {
namespace {

std::string Text(base::ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
base::Bytes FromText(const std::string& text) { return {text.begin(), text.end()}; }
std::string Text(const base::DatabaseId& id) { return Text(base::ByteView(id.bytes)); }

void Put(const base::Position& from, v1::ShipPosition* to) {
  to->set_term(from.term.value);
  to->set_seq(from.seq.value);
}
base::Position Get(const v1::ShipPosition& from) {
  return {base::Term(from.term()), base::Seq(from.seq())};
}

void Put(const log::LogEnd& from, v1::ShipLogEnd* to) {
  Put(from.position, to->mutable_position());
  to->set_generation(from.generation.value);
  to->set_page_size(from.page_size);
  to->set_pages(from.pages);
  to->set_checksum(from.checksum);
  to->set_commit_time_ms(from.commit_time.unix_ms);
  v1::ShipSourcePosition* source = to->mutable_source();
  source->set_salt1(from.source.salt1);
  source->set_salt2(from.source.salt2);
  source->set_frame(from.source.frame);
  source->set_checksum1(from.source.checksum1);
  source->set_checksum2(from.source.checksum2);
}
log::LogEnd Get(const v1::ShipLogEnd& from) {
  log::LogEnd end;
  end.position = Get(from.position());
  end.generation = base::Generation(from.generation());
  end.page_size = from.page_size();
  end.pages = from.pages();
  end.checksum = from.checksum();
  end.commit_time.unix_ms = from.commit_time_ms();
  end.source = {from.source().salt1(), from.source().salt2(), from.source().frame(),
                from.source().checksum1(), from.source().checksum2()};
  return end;
}

base::Status GetDatabase(const std::string& bytes, base::DatabaseId& id) {
  if (bytes.size() != id.bytes.size()) {
    return base::InvalidArgument(
        fmt::format("a ship message has a database id of {} bytes", bytes.size()));
  }
  std::copy(bytes.begin(), bytes.end(), id.bytes.begin());
  return {};
}

// One overload for each message: into its proto, and out of it.
struct Encoder {
  v1::ShipMessage& out;

  void operator()(const ship::Subscribe& m) const {
    v1::ShipSubscribe* to = out.mutable_subscribe();
    to->set_database(Text(m.database));
    to->set_request(m.request);
    to->set_incarnation(m.incarnation);
    to->set_term_known(m.term_known.value);
    Put(m.have, to->mutable_have());
    to->set_incomplete_parts(m.incomplete_parts);
    to->set_incomplete_last_crc(m.incomplete_last_crc);
    to->set_window_bytes(m.window_bytes);
  }
  void operator()(const ship::Unsubscribe& m) const {
    out.mutable_unsubscribe()->set_database(Text(m.database));
  }
  void operator()(const ship::Ack& m) const {
    v1::ShipAck* to = out.mutable_ack();
    to->set_database(Text(m.database));
    to->set_request(m.request);
    Put(m.received, to->mutable_received());
    Put(m.durable, to->mutable_durable());
    Put(m.replayed, to->mutable_replayed());
    to->set_consumed_bytes(m.consumed_bytes);
  }
  void operator()(const ship::Parts& m) const {
    v1::ShipParts* to = out.mutable_parts();
    to->set_database(Text(m.database));
    to->set_request(m.request);
    to->set_generation(m.generation.value);
    to->set_mode(m.mode == ship::ShipMode::kBlock ? v1::ShipParts::BLOCK : v1::ShipParts::FILE);
    for (const base::Bytes& part : m.parts) *to->add_parts() = Text(base::ByteView(part));
    to->set_source_term(m.source_term.value);
    Put(m.source_end, to->mutable_source_end());
    to->set_source_end_time_ms(m.source_end_time.unix_ms);
  }
  void operator()(const ship::Refused& m) const {
    v1::ShipRefused* to = out.mutable_refused();
    to->set_database(Text(m.database));
    to->set_seed(m.seed);
    to->set_request(m.request);
    to->set_code(std::string(base::CodeName(m.code)));
    to->set_message(m.message);
    to->set_term(m.term.value);
  }
  void operator()(const ship::SeedRequest& m) const {
    v1::ShipSeedRequest* to = out.mutable_seed_request();
    to->set_database(Text(m.database));
    to->set_request(m.request);
    to->set_incarnation(m.incarnation);
    to->set_term_known(m.term_known.value);
    to->set_seed_id(m.seed_id);
    to->set_next_chunk(m.next_chunk);
    to->set_page_size(m.page_size);
    to->set_pages(m.pages);
    to->set_chunk_pages(m.chunk_pages);
    Put(m.have, to->mutable_have());
    to->set_window_bytes(m.window_bytes);
    to->set_base_page_size(m.base_page_size);
    to->set_start_only(m.start_only);
  }
  void operator()(const ship::SeedStart& m) const {
    v1::ShipSeedStart* to = out.mutable_seed_start();
    to->set_database(Text(m.database));
    to->set_request(m.request);
    to->set_seed_id(m.seed_id);
    to->set_page_size(m.page_size);
    to->set_pages(m.pages);
    to->set_chunk_pages(m.chunk_pages);
    Put(m.start, to->mutable_start());
  }
  void operator()(const ship::SeedHashes& m) const {
    v1::ShipSeedHashes* to = out.mutable_seed_hashes();
    to->set_database(Text(m.database));
    to->set_request(m.request);
    to->set_seed_id(m.seed_id);
    to->set_chunk(m.chunk);
    to->mutable_hashes()->Add(m.hashes.begin(), m.hashes.end());
  }
  void operator()(const ship::SeedChunk& m) const {
    v1::ShipSeedChunk* to = out.mutable_seed_chunk();
    to->set_database(Text(m.database));
    to->set_request(m.request);
    to->set_seed_id(m.seed_id);
    to->set_chunk(m.chunk);
    to->set_first_page(m.first_page.value);
    to->set_page_count(m.page_count);
    Put(m.at, to->mutable_at());
    to->set_unchanged(Text(base::ByteView(m.unchanged)));
    to->set_pages_zstd(Text(base::ByteView(m.pages_zstd)));
    to->set_hash(m.hash);
  }
  void operator()(const ship::SeedAck& m) const {
    v1::ShipSeedAck* to = out.mutable_seed_ack();
    to->set_database(Text(m.database));
    to->set_request(m.request);
    to->set_seed_id(m.seed_id);
    to->set_next_chunk(m.next_chunk);
    to->set_consumed_bytes(m.consumed_bytes);
  }
  void operator()(const ship::SeedEnd& m) const {
    v1::ShipSeedEnd* to = out.mutable_seed_end();
    to->set_database(Text(m.database));
    to->set_request(m.request);
    to->set_seed_id(m.seed_id);
    Put(m.at, to->mutable_at());
  }
  void operator()(const ship::Heartbeat& m) const {
    v1::ShipHeartbeat* to = out.mutable_heartbeat();
    to->set_count(m.count);
    for (const ship::Heartbeat::End& end : m.ends) {
      v1::ShipHeartbeat::End* e = to->add_ends();
      e->set_database(Text(end.database));
      Put(end.position, e->mutable_position());
      e->set_time_ms(end.time.unix_ms);
      e->set_final_term(end.final_term.value);
    }
  }
};

base::Result<ship::Message> Decode(const v1::ShipSubscribe& from) {
  ship::Subscribe m;
  RETURN_IF_ERROR(GetDatabase(from.database(), m.database));
  m.request = from.request();
  m.incarnation = from.incarnation();
  m.term_known = base::Term(from.term_known());
  m.have = Get(from.have());
  m.incomplete_parts = from.incomplete_parts();
  m.incomplete_last_crc = from.incomplete_last_crc();
  m.window_bytes = from.window_bytes();
  return ship::Message(std::move(m));
}

base::Result<ship::Message> Decode(const v1::ShipUnsubscribe& from) {
  ship::Unsubscribe m;
  RETURN_IF_ERROR(GetDatabase(from.database(), m.database));
  return ship::Message(std::move(m));
}

base::Result<ship::Message> Decode(const v1::ShipAck& from) {
  ship::Ack m;
  RETURN_IF_ERROR(GetDatabase(from.database(), m.database));
  m.request = from.request();
  m.received = Get(from.received());
  m.durable = Get(from.durable());
  m.replayed = Get(from.replayed());
  m.consumed_bytes = from.consumed_bytes();
  return ship::Message(std::move(m));
}

base::Result<ship::Message> Decode(const v1::ShipParts& from) {
  ship::Parts m;
  RETURN_IF_ERROR(GetDatabase(from.database(), m.database));
  m.request = from.request();
  m.generation = base::Generation(from.generation());
  m.mode = from.mode() == v1::ShipParts::BLOCK ? ship::ShipMode::kBlock : ship::ShipMode::kFile;
  m.parts.reserve(static_cast<size_t>(from.parts_size()));
  for (const std::string& part : from.parts()) m.parts.push_back(FromText(part));
  m.source_term = base::Term(from.source_term());
  m.source_end = Get(from.source_end());
  m.source_end_time.unix_ms = from.source_end_time_ms();
  return ship::Message(std::move(m));
}

base::Result<ship::Message> Decode(const v1::ShipRefused& from) {
  ship::Refused m;
  RETURN_IF_ERROR(GetDatabase(from.database(), m.database));
  m.seed = from.seed();
  m.request = from.request();
  m.code = CodeFromName(from.code());
  m.message = from.message();
  m.term = base::Term(from.term());
  return ship::Message(std::move(m));
}

base::Result<ship::Message> Decode(const v1::ShipSeedRequest& from) {
  ship::SeedRequest m;
  RETURN_IF_ERROR(GetDatabase(from.database(), m.database));
  m.request = from.request();
  m.incarnation = from.incarnation();
  m.term_known = base::Term(from.term_known());
  m.seed_id = from.seed_id();
  m.next_chunk = from.next_chunk();
  m.page_size = from.page_size();
  m.pages = from.pages();
  m.chunk_pages = from.chunk_pages();
  m.have = Get(from.have());
  m.window_bytes = from.window_bytes();
  m.base_page_size = from.base_page_size();
  m.start_only = from.start_only();
  return ship::Message(std::move(m));
}

base::Result<ship::Message> Decode(const v1::ShipSeedStart& from) {
  ship::SeedStart m;
  RETURN_IF_ERROR(GetDatabase(from.database(), m.database));
  m.request = from.request();
  m.seed_id = from.seed_id();
  m.page_size = from.page_size();
  m.pages = from.pages();
  m.chunk_pages = from.chunk_pages();
  m.start = Get(from.start());
  return ship::Message(std::move(m));
}

base::Result<ship::Message> Decode(const v1::ShipSeedHashes& from) {
  ship::SeedHashes m;
  RETURN_IF_ERROR(GetDatabase(from.database(), m.database));
  m.request = from.request();
  m.seed_id = from.seed_id();
  m.chunk = from.chunk();
  m.hashes.assign(from.hashes().begin(), from.hashes().end());
  return ship::Message(std::move(m));
}

base::Result<ship::Message> Decode(const v1::ShipSeedChunk& from) {
  ship::SeedChunk m;
  RETURN_IF_ERROR(GetDatabase(from.database(), m.database));
  m.request = from.request();
  m.seed_id = from.seed_id();
  m.chunk = from.chunk();
  m.first_page = base::PageNo(from.first_page());
  m.page_count = from.page_count();
  m.at = Get(from.at());
  m.unchanged = FromText(from.unchanged());
  m.pages_zstd = FromText(from.pages_zstd());
  m.hash = from.hash();
  return ship::Message(std::move(m));
}

base::Result<ship::Message> Decode(const v1::ShipSeedAck& from) {
  ship::SeedAck m;
  RETURN_IF_ERROR(GetDatabase(from.database(), m.database));
  m.request = from.request();
  m.seed_id = from.seed_id();
  m.next_chunk = from.next_chunk();
  m.consumed_bytes = from.consumed_bytes();
  return ship::Message(std::move(m));
}

base::Result<ship::Message> Decode(const v1::ShipSeedEnd& from) {
  ship::SeedEnd m;
  RETURN_IF_ERROR(GetDatabase(from.database(), m.database));
  m.request = from.request();
  m.seed_id = from.seed_id();
  m.at = Get(from.at());
  return ship::Message(std::move(m));
}

base::Result<ship::Message> Decode(const v1::ShipHeartbeat& from) {
  ship::Heartbeat m;
  m.count = from.count();
  for (const v1::ShipHeartbeat::End& e : from.ends()) {
    ship::Heartbeat::End end;
    RETURN_IF_ERROR(GetDatabase(e.database(), end.database));
    end.position = Get(e.position());
    end.time.unix_ms = e.time_ms();
    end.final_term = base::Term(e.final_term());
    m.ends.push_back(end);
  }
  return ship::Message(std::move(m));
}

base::Result<ship::Message> DecodeKind(const v1::ShipMessage& message) {
  using Kind = v1::ShipMessage::KindCase;
  switch (message.kind_case()) {
    case Kind::kSubscribe: return Decode(message.subscribe());
    case Kind::kUnsubscribe: return Decode(message.unsubscribe());
    case Kind::kAck: return Decode(message.ack());
    case Kind::kParts: return Decode(message.parts());
    case Kind::kRefused: return Decode(message.refused());
    case Kind::kSeedRequest: return Decode(message.seed_request());
    case Kind::kSeedStart: return Decode(message.seed_start());
    case Kind::kSeedHashes: return Decode(message.seed_hashes());
    case Kind::kSeedChunk: return Decode(message.seed_chunk());
    case Kind::kSeedAck: return Decode(message.seed_ack());
    case Kind::kSeedEnd: return Decode(message.seed_end());
    case Kind::kHeartbeat: return Decode(message.heartbeat());
    case Kind::kHello: return base::InvalidArgument("a second hello on a ship connection");
    case Kind::kPiece:
    case Kind::kReceived:  // of the connection, ship_connection.h
    case Kind::KIND_NOT_SET: break;
  }
  return base::InvalidArgument("a ship message of a kind that this version does not know");
}

}  // namespace

void ToProto(const ship::Message& message, v1::ShipMessage& out) {
  out.Clear();
  std::visit(Encoder{out}, message);
}

base::Result<ship::Message> FromProto(const v1::ShipMessage& message) {
  ASSIGN_OR_RETURN(ship::Message decoded, DecodeKind(message));
  RETURN_IF_ERROR(ship::CheckMessage(decoded));
  return decoded;
}

}  // namespace understudy::rpc
