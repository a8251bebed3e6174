// SPDX-License-Identifier: Apache-2.0
#include "log/record_dump.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "log/generation_file.h"

namespace understudy::log {
namespace {

using base::Result;
using base::Status;

// Quotes and control characters are all that our messages and paths may need.
std::string JsonText(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string_view EncodingName(Encoding encoding) {
  switch (encoding) {
    case Encoding::kZero: return "zero";
    case Encoding::kRaw: return "raw";
    case Encoding::kZstd: return "zstd";
    case Encoding::kDelta: return "delta";
  }
  return "unknown";
}

std::string FlagNames(uint16_t flags) {
  std::string out;
  const auto add = [&](uint16_t flag, std::string_view name) {
    if ((flags & flag) == 0) return;
    if (!out.empty()) out += '+';
    out += name;
  };
  add(kPartFirst, "first");
  add(kPartLast, "last");
  add(kRecordMount, "mount");
  add(kRecordHealing, "healing");
  return out.empty() ? "-" : out;
}

std::string SourceText(const SourcePosition& s) {
  return fmt::format("{:08x}.{:08x} frame {} sum {:08x}.{:08x}", s.salt1, s.salt2, s.frame,
                     s.checksum1, s.checksum2);
}

class Dumper {
 public:
  Dumper(env::Env& env, const DumpOptions& options, const DumpSink& sink)
      : env_(env), options_(options), sink_(sink) {}

  Status File(const std::string& path);
  bool damaged() const { return damaged_; }

 private:
  void Generation(const std::string& path, const GenerationHeader& header, uint64_t bytes);
  void Part(uint64_t offset, const RecordPart& part);
  void EntryLine(const Entry& entry);
  void Damage(const std::string& path, uint64_t offset, const std::string& reason);
  void CheckContinues(const std::string& path, const GenerationHeader& header);
  Status Parts(const std::string& path, env::File& file, uint64_t size, base::Generation number);

  env::Env& env_;
  const DumpOptions& options_;
  const DumpSink& sink_;
  std::optional<RecordChain> chain_;  // up to the end of the last file
  bool damaged_ = false;
};

void Dumper::Generation(const std::string& path, const GenerationHeader& header, uint64_t bytes) {
  const LogEnd& end = header.before.end();
  const uint32_t open_parts = header.before.open_parts();
  if (options_.json) {
    sink_(fmt::format(
        R"({{"type":"generation","file":{},"generation":"{}","database":"{}","created":"{}",)"
        R"("bytes":{},)"
        R"("after":"{}","checksum":"{:016x}","page_size":{},"pages":{},"open_parts":{}}})",
        JsonText(path), base::ToString(header.number), header.database.ToHex(),
        base::ToRfc3339(header.created), bytes, base::ToString(end.position), end.checksum,
        end.page_size, end.pages, open_parts));
    return;
  }
  sink_(fmt::format(
      "generation {} of database {}: {} bytes, made {}, after {} (checksum {:016x}){}",
      base::ToString(header.number), header.database.ToHex(), bytes,
      base::ToRfc3339(header.created), base::ToString(end.position), end.checksum,
      open_parts > 0 ? fmt::format(" and {} parts of the next record", open_parts) : ""));
}

void Dumper::Part(uint64_t offset, const RecordPart& part) {
  const PartHeader& h = part.header;
  if (options_.json) {
    std::string line = fmt::format(
        R"({{"type":"part","offset":{},"bytes":{},"term":{},"seq_first":{},"seq_last":{},)"
        R"("part":{},"flags":"{}","time":"{}","page_size":{},"pages_after":{},"entries":{},)"
        R"("checksum_before":"{:016x}")",
        offset, part.bytes.size(), h.term.value, h.seq_first.value, h.seq_last.value, h.part,
        FlagNames(h.flags), base::ToRfc3339(h.commit_time), h.page_size, h.pages_after,
        h.entry_count, h.checksum_before);
    if (h.last()) {
      line += fmt::format(R"(,"checksum_after":"{:016x}","source":"{}")", h.checksum_after,
                          SourceText(h.source));
    }
    sink_(line + "}");
  } else {
    const std::string seqs = h.seq_first == h.seq_last
                                 ? fmt::format("{}", h.seq_first.value)
                                 : fmt::format("{}-{}", h.seq_first.value, h.seq_last.value);
    sink_(fmt::format(
        "  @{} {} bytes: {}.{} part {} [{}] {} {} entries, {} pages of {}, checksum {:016x}{}",
        offset, part.bytes.size(), h.term.value, seqs, h.part, FlagNames(h.flags),
        base::ToRfc3339(h.commit_time), h.entry_count, h.pages_after, h.page_size,
        h.checksum_before,
        h.last() ? fmt::format(" -> {:016x}, WAL {}", h.checksum_after, SourceText(h.source))
                 : ""));
  }
  if (!options_.entries) return;
  for (const Entry& entry : part.entries) EntryLine(entry);
}

void Dumper::EntryLine(const Entry& entry) {
  sink_(fmt::format(
      fmt::runtime(
          options_.json
              ? R"({{"type":"entry","page":{},"encoding":"{}","bytes":{},"hash":"{:016x}"}})"
              : "    page {} {} {} bytes, hash {:016x}"),
      entry.page.value, EncodingName(entry.encoding), entry.payload.size(), entry.hash));
}

void Dumper::Damage(const std::string& path, uint64_t offset, const std::string& reason) {
  damaged_ = true;
  const std::string last_good = chain_ ? base::ToString(chain_->end().position) : "none";
  if (options_.json) {
    sink_(fmt::format(R"({{"type":"damage","file":{},"offset":{},"last_good":"{}","reason":{}}})",
                      JsonText(path), offset, last_good, JsonText(reason)));
  } else {
    sink_(fmt::format("  DAMAGED {} at offset {} (last good position {}): {}", path, offset,
                      last_good, reason));
  }
}

void Dumper::CheckContinues(const std::string& path, const GenerationHeader& header) {
  if (chain_ && !chain_->SamePlace(header.before)) {
    Damage(path, 0,
           fmt::format("it continues from {}, which the file before does not end with",
                       base::ToString(header.before.end().position)));
  }
  chain_ = header.before;
}

Status Dumper::Parts(const std::string& path, env::File& file, uint64_t size,
                     base::Generation number) {
  PartStream stream(&file, kGenerationHeaderBytes);
  while (true) {
    const uint64_t offset = stream.offset();
    const auto part = stream.Next(size);
    if (!part.ok() && part.status().code() != base::Code::kCorruption) return part.status();
    if (!part.ok()) {
      Damage(path, offset, part.status().message());
      return Status();
    }
    if (!part->has_value()) return Status();
    Part(offset, **part);
    const PartHeader& header = (*part)->header;
    RecordChain chain = chain_.value_or(RecordChain());
    if (const Status status = chain.Check(header); !status.ok()) {
      Damage(path, offset, status.message());
      chain = RecordChain();
      if (!header.first()) return Status();
    }
    chain.Advance(header, PartCrc((*part)->bytes), number);
    chain_ = chain;
  }
}

Status Dumper::File(const std::string& path) {
  ASSIGN_OR_RETURN(const auto file, env_.Open(path, env::OpenMode::kRead));
  ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  const Result<GenerationHeader> header = ReadGenerationHeader(*file);
  if (!header.ok()) {
    if (header.status().code() == base::Code::kIoError) return header.status();
    Damage(path, 0, header.status().message());
    chain_.reset();
    return Status();
  }
  Generation(path, *header, size);
  CheckContinues(path, *header);
  return Parts(path, *file, size, header->number);
}

}  // namespace

Status DumpLog(env::Env& env, const std::string& path, const DumpOptions& options,
               const DumpSink& sink) {
  ASSIGN_OR_RETURN(const env::FileStat stat, env.Stat(path));
  std::vector<std::string> files;
  if (stat.is_directory) {
    ASSIGN_OR_RETURN(std::vector<std::string> names, env.List(path));
    std::sort(names.begin(), names.end());
    for (const std::string& name : names) {
      if (GenerationOfName(name)) files.push_back(env::JoinPath(path, name));
    }
    if (files.empty()) {
      return base::NotFound(fmt::format("no log files (*{}) in {}", kGenerationSuffix, path));
    }
  } else {
    files.push_back(path);
  }
  Dumper dumper(env, options, sink);
  for (const std::string& file : files) RETURN_IF_ERROR(dumper.File(file));
  return dumper.damaged() ? base::Corruption("log " + path + " is damaged; see above") : Status();
}

}  // namespace understudy::log
