// SPDX-License-Identifier: Apache-2.0
// Opening a log after whatever happened, finding a record boundary in it, and cutting its end off.
#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/diag.h"
#include "log/log_store_state.h"

namespace understudy::log {

using base::MutexLock;
using base::Result;
using base::Status;

namespace {

constexpr uint64_t kWriteAgainBytes = 1 << 20;

// What an earlier sync has failed to write is still read from the cache, and the kernel takes it
// for written: no later sync writes it. So all that counts as durable from now on is written again.
Status WriteAgain(env::File& file, uint64_t bytes) {
  base::Bytes buffer(static_cast<size_t>(std::min(bytes, kWriteAgainBytes)));
  for (uint64_t at = 0; at < bytes; at += kWriteAgainBytes) {
    const auto some =
        std::span(buffer).first(static_cast<size_t>(std::min(bytes - at, kWriteAgainBytes)));
    ASSIGN_OR_RETURN(const size_t got, file.ReadAt(at, some));
    if (got != some.size()) return base::IoError("the file became shorter while it was read");
    RETURN_IF_ERROR(file.WriteAt(at, some));
  }
  return Status();
}

}  // namespace

// A header names the file before it and that file's length. Where it names another one, the files
// before it are what an interrupted Truncate left; they can no longer be read up to here.
Status LogStore::State::CheckFollows(const GenerationHeader& header,
                                     std::vector<GenerationHeader>& older) {
  if (older.empty()) return Status();
  GenerationEntry before;
  {
    MutexLock lock(mutex);
    before = index.back();
  }
  if (header.previous == before.number) {
    if (before.bytes != header.previous_bytes) {
      return base::Corruption(fmt::format(
          "{} is damaged: it has {} bytes, but had {} when generation {} began (last good position "
          "at most {})",
          PathOf(before.number), before.bytes, header.previous_bytes, base::ToString(header.number),
          base::ToString(header.before.end().position)));
    }
    return Status();
  }
  base::Diag(base::DiagLevel::kWarning, "log", "removing files of an interrupted truncation",
             {{"directory", options.directory},
              {"files", older.size()},
              {"first_kept", base::ToString(header.number)}});
  for (const GenerationHeader& old : older) RETURN_IF_ERROR(env.Remove(PathOf(old.number)));
  older.clear();
  MutexLock lock(mutex);
  index.clear();
  return Status();
}

// The headers of all generation files, oldest first. A newest file that is not longer than a header
// and has none was being made when the power went: it is removed.
Result<std::vector<GenerationHeader>> LogStore::State::ReadHeaders() {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, env.List(options.directory));
  std::vector<base::Generation> numbers;
  for (const std::string& name : names) {
    if (const auto number = GenerationOfName(name)) numbers.push_back(*number);
  }
  std::sort(numbers.begin(), numbers.end());
  std::vector<GenerationHeader> headers;
  for (const base::Generation number : numbers) {
    const std::string path = PathOf(number);
    ASSIGN_OR_RETURN(const auto opened, env.Open(path, env::OpenMode::kRead));
    ASSIGN_OR_RETURN(const uint64_t size, opened->Size());
    Result<GenerationHeader> header = ReadGenerationHeader(*opened);
    if (!header.ok()) {
      const bool unfinished = number == numbers.back() && size <= kGenerationHeaderBytes &&
                              header.status().code() == base::Code::kCorruption;
      if (!unfinished) return header.status().WithContext(path);
      RETURN_IF_ERROR(env.Remove(path));
      break;
    }
    if (header->number != number || header->database != options.database) {
      return base::Corruption(
          fmt::format("{} is generation {} of database {}; its name and place say {} of {}", path,
                      base::ToString(header->number), header->database.ToHex(),
                      base::ToString(number), options.database.ToHex()));
    }
    RETURN_IF_ERROR(CheckFollows(*header, headers));
    headers.push_back(*header);
    MutexLock lock(mutex);
    index.push_back(GenerationEntry::Of(*header, size));
  }
  return headers;
}

// Follows the newest file as far as it is good. `may_be_torn`: what is not good is a torn tail.
Status LogStore::State::ScanNewest(const GenerationHeader& header, bool may_be_torn) {
  const std::string path = PathOf(header.number);
  ASSIGN_OR_RETURN(file, env.Open(path, env::OpenMode::kReadWrite));
  ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  PartStream stream(file.get(), kGenerationHeaderBytes);
  RecordChain scanned = header.before;
  uint64_t good = kGenerationHeaderBytes;
  Status fault;
  while (true) {
    const auto part = stream.Next(size);
    if (!part.ok() && part.status().code() != base::Code::kCorruption) return part.status();
    fault = part.status();
    if (!fault.ok() || !part->has_value()) break;
    const PartHeader& next = (*part)->header;
    fault = next.database == options.database ? scanned.Check(next)
                                              : base::Corruption("a part of another database");
    if (!fault.ok()) break;
    scanned.Advance(next, PartCrc((*part)->bytes), header.number);
    good = stream.offset();
  }
  if (!fault.ok()) {
    const std::string where = fmt::format("{} is damaged at offset {} (last good position {})",
                                          path, good, base::ToString(scanned.end().position));
    if (!may_be_torn) return base::Corruption(where + ": " + fault.message());
    base::Diag(base::DiagLevel::kWarning, "log", "cut a torn tail off",
               {{"file", path},
                {"offset", good},
                {"bytes", size - good},
                {"last_good", base::ToString(scanned.end().position)},
                {"reason", fault.message()}});
  }
  if (size > good) RETURN_IF_ERROR(file->Truncate(good));
  RETURN_IF_ERROR(WriteAgain(*file, good));
  RETURN_IF_ERROR(file->Sync());
  MutexLock lock(mutex);
  index.back().bytes = index.back().durable_bytes = good;
  chain = scanned;
  durable = chain.end().position;
  return Status();
}

Status LogStore::State::Recover() {
  RETURN_IF_ERROR(env.MakeDirectories(options.directory));
  RETURN_IF_ERROR(env.SyncDirectory(env::DirectoryOf(options.directory)));
  ASSIGN_OR_RETURN(std::vector<GenerationHeader> headers, ReadHeaders());
  bool newest_was_removed = false;
  while (!headers.empty()) {
    RETURN_IF_ERROR(ScanNewest(headers.back(), !newest_was_removed));
    MutexLock lock(mutex);
    // A generation without parts is kept only as the start of a log (StartAt).
    const bool starts_log = headers.size() == 1 && !chain.empty();
    if (index.back().has_parts() || starts_log) break;
    index.pop_back();
    chain = RecordChain();
    durable = base::Position();
    file.reset();
    RETURN_IF_ERROR(env.Remove(PathOf(headers.back().number)));
    headers.pop_back();
    newest_was_removed = true;
  }
  file.reset();
  {
    MutexLock lock(mutex);
    // Truncate keeps the start of a record that is not complete, so this is no log of ours.
    if (chain.open_parts() > 0 && index.front().seq_before > chain.end().position.seq) {
      return base::Corruption(
          fmt::format("it begins in the middle of record {}, whose end is not here either (last "
                      "good position {})",
                      chain.end().position.seq.value + 1, base::ToString(chain.end().position)));
    }
  }
  return env.SyncDirectory(options.directory);
}

Result<LogStore::State::Boundary> LogStore::State::FindBoundary(const GenerationEntry& entry,
                                                                uint64_t limit, base::Seq seq) {
  const std::string path = PathOf(entry.number);
  ASSIGN_OR_RETURN(const auto opened, env.Open(path, env::OpenMode::kRead));
  Result<GenerationHeader> header = ReadGenerationHeader(*opened);
  if (!header.ok()) return header.status().WithContext(path);
  RecordChain scanned = header->before;
  PartStream stream(opened.get(), kGenerationHeaderBytes);
  while (scanned.open() || scanned.end().position.seq < seq) {
    auto part = stream.Next(limit);
    if (!part.ok()) return part.status().WithContext(path);
    if (!part->has_value()) break;
    const PartHeader& next = (*part)->header;
    if (Status status = scanned.Check(next); !status.ok()) {
      return base::Corruption(fmt::format("{}: the part before offset {} does not follow: {}", path,
                                          stream.offset(), status.message()));
    }
    scanned.Advance(next, PartCrc((*part)->bytes), entry.number);
  }
  if (scanned.open() || scanned.end().position.seq != seq) {
    return base::NotFound(
        fmt::format("no record of {} ends at seq {}", options.directory, seq.value));
  }
  return Boundary{.end = scanned.end(), .offset = stream.offset()};
}

Status LogStore::State::CutFile(base::Generation generation, uint64_t bytes) {
  file.reset();
  ASSIGN_OR_RETURN(file, env.Open(PathOf(generation), env::OpenMode::kReadWrite));
  RETURN_IF_ERROR(file->Truncate(bytes));
  return file->Sync();
}

// Newest files go first, so that a crash in between leaves a shorter incomplete record.
Status LogStore::DropIncomplete() {
  State& s = *state_;
  std::vector<base::Generation> removed;  // newest first
  std::optional<GenerationEntry> keeps;   // the file that the record starts in, if it stays
  RecordChain chain;
  {
    MutexLock lock(s.mutex);
    RETURN_IF_ERROR(s.failed);
    if (!s.chain.open()) return Status();
    chain = s.chain;
    const base::Seq end = chain.end().position.seq;
    auto entry = s.index.rbegin();
    for (; entry != s.index.rend() && entry->seq_before > end; ++entry) {
      removed.push_back(entry->number);
    }
    CHECK(entry != s.index.rend());
    keeps = *entry;
  }
  uint64_t cut_at = kGenerationHeaderBytes;
  if (keeps->before.position.seq != chain.end().position.seq) {
    auto boundary = s.FindBoundary(*keeps, keeps->bytes, chain.end().position.seq);
    if (!boundary.ok()) return s.Fail(boundary.status());
    cut_at = boundary->offset;
  }
  {
    MutexLock lock(s.mutex);
    // A generation that would be left without parts goes too, unless it is the start of the log.
    if (cut_at == kGenerationHeaderBytes && s.index.size() > removed.size() + 1) {
      removed.push_back(keeps->number);
      keeps.reset();
    }
    for (size_t i = 0; i < removed.size(); ++i) s.index.pop_back();
    if (keeps) {
      s.index.back().bytes = cut_at;
      s.index.back().durable_bytes = std::min(s.index.back().durable_bytes, cut_at);
    }
    s.chain.DropOpen();
    ++s.drop_count;
    ++s.change_count;
    s.changed.NotifyAll();
  }
  s.file.reset();
  const auto cut = [&]() -> Status {
    for (const base::Generation number : removed) RETURN_IF_ERROR(s.env.Remove(s.PathOf(number)));
    if (!removed.empty()) RETURN_IF_ERROR(s.env.SyncDirectory(s.options.directory));
    return keeps ? s.CutFile(keeps->number, cut_at) : Status();
  };
  const Status status = cut();
  if (!status.ok()) return s.Fail(status);
  MutexLock lock(s.mutex);
  s.index.back().durable_bytes = s.index.back().bytes;
  s.durable = s.chain.end().position;
  return Status();
}

Result<LogEnd> LogStore::StateAt(base::Seq seq) {
  State& s = *state_;
  GenerationEntry entry;
  {
    MutexLock lock(s.mutex);
    if (seq > s.durable.seq) {
      return base::NotFound(fmt::format("log {} ends at {}, before seq {}", s.options.directory,
                                        base::ToString(s.durable), seq.value));
    }
    if (seq == s.chain.end().position.seq) return s.chain.end();
    const auto past = std::upper_bound(
        s.index.begin(), s.index.end(), seq,
        [](base::Seq at, const GenerationEntry& e) { return at < e.before.position.seq; });
    if (past == s.index.begin()) {
      return base::NotFound(fmt::format("seq {} is before the oldest record of log {}", seq.value,
                                        s.options.directory));
    }
    entry = *std::prev(past);
    if (entry.before.position.seq == seq) return entry.before;
  }
  ASSIGN_OR_RETURN(const State::Boundary boundary, s.FindBoundary(entry, entry.durable_bytes, seq));
  return boundary.end;
}

}  // namespace understudy::log
