// SPDX-License-Identifier: Apache-2.0
#include "server/lost_records.h"

#include "log/generation_file.h"

namespace understudy::server {
namespace {

class Collector {
 public:
  Collector(base::Seq after, size_t records_max) : after_(after), records_max_(records_max) {}

  void Take(const log::RecordPart& part) {
    const log::PartHeader& header = part.header;
    if (header.first()) {
      record_ = {};
      next_part_ = 0;
    }
    if (header.part != next_part_) return;  // its beginning was damaged
    ++next_part_;
    record_.pages += header.entry_count;
    record_.bytes += part.bytes.size();
    if (!header.last() || header.seq_last <= after_ || full()) return;
    record_.first = {header.term, header.seq_first};
    record_.last = header.position();
    record_.commit_time = header.commit_time;
    found_.records.push_back(record_);
  }
  void Damage(const std::string& path, const std::string& what) {
    if (found_.damage.empty()) found_.damage = path + ": " + what;
    next_part_ = UINT32_MAX;  // until a record begins again
  }
  bool full() const { return found_.records.size() >= records_max_; }
  LostRecords Give() { return std::move(found_); }

 private:
  const base::Seq after_;
  const size_t records_max_;
  LostRecords found_;
  LostRecord record_;
  uint32_t next_part_ = UINT32_MAX;  // which part of it comes next
};

base::Status ReadParts(env::File& file, uint64_t limit, Collector& collector) {
  RETURN_IF_ERROR(log::ReadGenerationHeader(file).status());
  log::PartStream parts(&file, log::kGenerationHeaderBytes);
  while (!collector.full()) {
    ASSIGN_OR_RETURN(const std::optional<log::RecordPart> part, parts.Next(limit));
    if (!part) break;
    collector.Take(*part);
  }
  return {};
}

}  // namespace

base::Result<LostRecords> ReadLostRecords(env::Env& env, const LostBundle& bundle,
                                          size_t records_max) {
  Collector collector(bundle.manifest.after.seq, records_max);
  uint64_t bytes_left = kLostReadBytesMax;
  for (const LostFile& entry : bundle.manifest.files) {
    if (!log::GenerationOfName(entry.name) || collector.full()) continue;
    const std::string path = env::JoinPath(bundle.directory, entry.name);
    const auto file = env.Open(path, env::OpenMode::kRead);
    if (file.status().code() == base::Code::kNotFound) {
      collector.Damage(path, "it is not there");
      continue;
    }
    RETURN_IF_ERROR(file.status());
    ASSIGN_OR_RETURN(const uint64_t size, (*file)->Size());
    if (size > bytes_left) break;
    bytes_left -= size;
    if (size != entry.bytes) collector.Damage(path, "it has another length than the manifest says");
    const base::Status read = ReadParts(**file, size, collector);
    const base::Code code = read.code();
    if (code == base::Code::kCorruption || code == base::Code::kInvalidArgument) {
      collector.Damage(path, read.message());
    } else if (!read.ok()) {
      return read;
    }
  }
  return collector.Give();
}

}  // namespace understudy::server
