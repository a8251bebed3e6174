// SPDX-License-Identifier: Apache-2.0
#include "server/lost_view.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

#include "base/crc32c.h"

namespace understudy::server {
namespace {

void SetPosition(const base::Position& from, v1::Position* to) {
  to->set_term(from.term.value);
  to->set_seq(from.seq.value);
}

const char* KindName(sqlite::RowDifference::Kind kind) {
  switch (kind) {
    case sqlite::RowDifference::Kind::kOnlyFirst: return "only in bundle";
    case sqlite::RowDifference::Kind::kOnlySecond: return "only in copy";
    case sqlite::RowDifference::Kind::kChanged: return "changed";
  }
  return "";
}

base::Status NobodyListens() { return base::Cancelled("the client went away"); }

}  // namespace

v1::LostBundle LostToProto(const LostBundle& bundle, const std::string& server) {
  const LostManifest& m = bundle.manifest;
  v1::LostBundle to;
  to.set_id(m.id);
  to.set_database(m.database);
  to.set_server(server);
  to.set_directory(bundle.directory);
  if (!bundle.damaged.ok()) {
    to.set_damaged(bundle.damaged.message());
    return to;
  }
  to.set_created_ms(m.created.unix_ms);
  to.set_reason(m.reason);
  SetPosition(m.after, to.mutable_after());
  SetPosition(m.first, to.mutable_first());
  SetPosition(m.last, to.mutable_last());
  to.set_first_commit_ms(m.first_commit.unix_ms);
  to.set_last_commit_ms(m.last_commit.unix_ms);
  to.set_records(m.records);
  to.set_pages(m.pages);
  to.set_log_bytes(m.log_bytes);
  to.set_missing(m.missing);
  to.set_newer_term(m.newer.term.value);
  to.set_newer_server(m.newer.server);
  for (const LostFile& file : m.files) to.set_bytes(to.bytes() + file.bytes);
  to.set_database_bytes(m.database_bytes);
  to.set_database_left_out(m.database_left_out);
  to.set_database_id(m.database_id.ToHex());
  to.set_page_size(m.page_size);
  return to;
}

void FillLostRecords(const LostRecords& records, v1::ShowLostResponse& to) {
  to.set_log_damage(records.damage);
  for (const LostRecord& record : records.records) {
    v1::LostRecord* const row = to.add_records();
    SetPosition(record.first, row->mutable_first());
    SetPosition(record.last, row->mutable_last());
    row->set_commit_ms(record.commit_time.unix_ms);
    row->set_pages(record.pages);
    row->set_bytes(record.bytes);
  }
}

void FillDifferences(const std::vector<sqlite::TableDifference>& tables,
                     google::protobuf::RepeatedPtrField<v1::TableDifference>& to) {
  for (const sqlite::TableDifference& table : tables) {
    v1::TableDifference* const row = to.Add();
    row->set_table(table.table);
    for (const std::string& column : table.columns) row->add_columns(column);
    row->set_only_in_bundle(table.only_first);
    row->set_only_in_copy(table.only_second);
    row->set_changed(table.changed);
    row->set_not_compared(table.not_compared);
    for (const sqlite::RowDifference& difference : table.rows) {
      v1::RowDifference* const of_row = row->add_rows();
      of_row->set_kind(KindName(difference.kind));
      for (const std::string& value : difference.first) of_row->add_bundle(value);
      for (const std::string& value : difference.second) of_row->add_copy(value);
    }
  }
}

base::Result<v1::LostBundle> ChooseLost(const v1::ListLostResponse& bundles,
                                        const v1::LostName& name) {
  std::vector<const v1::LostBundle*> found;
  for (const v1::LostBundle& bundle : bundles.bundles()) {
    if (bundle.id() != name.id()) continue;
    if (!name.database().empty() && bundle.database() != name.database()) continue;
    if (!name.server().empty() && bundle.server() != name.server()) continue;
    found.push_back(&bundle);
  }
  if (found.size() == 1) return *found[0];
  if (!found.empty()) {
    std::vector<std::string> places;
    for (const auto* one : found) {
      places.push_back(fmt::format("of {} on {}", one->database(), one->server()));
    }
    return base::InvalidArgument(
        fmt::format("there are {} bundles {}: {}\nsay which one is meant with --db and --on",
                    found.size(), name.id(), fmt::join(places, ", ")));
  }
  std::vector<std::string> silent;
  for (const v1::SilentServer& server : bundles.silent()) silent.push_back(server.server());
  return base::NotFound(fmt::format(
      "there is no lost log {}{}\n'understudy lost list' shows what there is", name.id(),
      silent.empty()
          ? ""
          : fmt::format(" on the servers that answer; {} did not", fmt::join(silent, ", "))));
}

base::Result<v1::ExportLostEnd> SendFile(env::Env& env, const std::string& path, uint64_t size,
                                         const std::function<bool(v1::ExportLostChunk&&)>& send) {
  uint32_t crc = base::Crc32c({});
  uint64_t offset = 0;
  // No live database: one in rollback-journal mode, which nobody writes.
  ASSIGN_OR_RETURN(const std::unique_ptr<env::File> file, env.Open(path, env::OpenMode::kRead));
  base::Bytes buffer(kLostChunkBytes);
  while (offset < size) {
    const size_t wanted = static_cast<size_t>(std::min<uint64_t>(buffer.size(), size - offset));
    const std::span<uint8_t> data = std::span(buffer).first(wanted);
    ASSIGN_OR_RETURN(const size_t got, file->ReadAt(offset, data));
    if (got < wanted) {
      return base::Corruption(
          fmt::format("{} ends at {}, but should have {} bytes", path, offset + got, size));
    }
    v1::ExportLostChunk chunk;
    chunk.set_offset(offset);
    chunk.set_data(data.data(), data.size());
    chunk.set_crc32c(base::Crc32c(data));
    if (!send(std::move(chunk))) return NobodyListens();
    crc = base::ExtendCrc32c(crc, data);
    offset += wanted;
  }
  v1::ExportLostEnd end;
  end.set_bytes(offset);
  end.set_crc32c(crc);
  return end;
}

base::Status SendLostDatabase(env::Env& env, const LostBundle& bundle,
                              const std::function<bool(const v1::ExportLostResponse&)>& send) {
  v1::ExportLostResponse response;
  v1::ExportLostEnd end;
  end.set_crc32c(base::Crc32c({}));
  if (bundle.manifest.database_bytes > 0) {
    ASSIGN_OR_RETURN(end, SendFile(env, env::JoinPath(bundle.directory, kLostDatabase),
                                   bundle.manifest.database_bytes, [&](v1::ExportLostChunk&& c) {
                                     *response.mutable_chunk() = std::move(c);
                                     return send(response);
                                   }));
  }
  *response.mutable_end() = end;
  return send(response) ? base::Status() : NobodyListens();
}

}  // namespace understudy::server
