// SPDX-License-Identifier: Apache-2.0
// Appending and asking. Opening is in log_recovery.cc, reading in log_reader.cc, keeping and
// removing in log_retention.cc.
#include "log/log_store.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/planted.h"
#include "log/log_store_state.h"

namespace understudy::log {

using base::MutexLock;
using base::Result;
using base::Status;

GenerationEntry GenerationEntry::Of(const GenerationHeader& header, uint64_t bytes) {
  return {.number = header.number,
          .created = header.created,
          .before = header.before.end(),
          .seq_before = header.seq_before(),
          .bytes = bytes,
          .durable_bytes = bytes};
}

std::string LogStore::State::PathOf(base::Generation generation) const {
  return env::JoinPath(options.directory, GenerationName(generation));
}

const GenerationEntry* LogStore::State::EntryToReadAfter(base::Seq after) const {
  const auto past = std::upper_bound(
      index.begin(), index.end(), after,
      [](base::Seq seq, const GenerationEntry& entry) { return seq < entry.seq_before; });
  return past == index.begin() ? nullptr : &*std::prev(past);
}

std::optional<size_t> LogStore::State::Find(base::Generation generation) const {
  const auto found = std::lower_bound(
      index.begin(), index.end(), generation,
      [](const GenerationEntry& entry, base::Generation number) { return entry.number < number; });
  if (found == index.end() || found->number != generation) return std::nullopt;
  return static_cast<size_t>(found - index.begin());
}

base::Seq LogStore::State::FirstSeq() const {
  if (index.empty()) return base::Seq();
  const base::Seq first = index.front().seq_before.Next();
  return first > chain.end().position.seq ? base::Seq() : first;
}

Status LogStore::State::Fail(const Status& status) {
  MutexLock lock(mutex);
  if (failed.ok() && !PLANTED("failed-sync-forgotten")) {
    failed = status.WithContext("log " + options.directory +
                                " failed and takes nothing more until it is opened again");
  }
  ++change_count;
  changed.NotifyAll();
  return failed;
}

Status LogStore::State::OpenFile() {
  if (file != nullptr) return Status();
  base::Generation newest;
  {
    MutexLock lock(mutex);
    CHECK(!index.empty());
    newest = index.back().number;
  }
  ASSIGN_OR_RETURN(file, env.Open(PathOf(newest), env::OpenMode::kReadWrite));
  return Status();
}

Status LogStore::State::CreateFile(const GenerationHeader& header) {
  const std::string path = PathOf(header.number);
  ASSIGN_OR_RETURN(file, env.Open(path, env::OpenMode::kCreateNew));
  RETURN_IF_ERROR(file->WriteAt(0, EncodeGenerationHeader(header)));
  RETURN_IF_ERROR(file->Sync());
  if (PLANTED("log-name-not-synced")) return Status();
  return env.SyncDirectory(options.directory);
}

// The file before is synced first, so a torn tail can only be in the newest file; and the new
// file's header is durable before a part follows it, so a file longer than its header has a good
// one.
Status LogStore::State::BeginGeneration(base::Generation number, const RecordChain& before) {
  std::optional<GenerationEntry> current;
  {
    MutexLock lock(mutex);
    if (!index.empty()) current = index.back();
  }
  if (current && current->durable_bytes < current->bytes) RETURN_IF_ERROR(SyncFile());
  const bool replaces = current && !current->has_parts();  // the start of a log, still empty
  GenerationHeader header{
      .database = options.database, .number = number, .created = env.WallNow(), .before = before};
  if (current && !replaces) {
    header.previous = current->number;
    header.previous_bytes = current->bytes;
  }
  RETURN_IF_ERROR(CreateFile(header));
  {
    MutexLock lock(mutex);
    if (replaces) index.pop_back();
    index.push_back(GenerationEntry::Of(header, kGenerationHeaderBytes));
  }
  return replaces ? env.Remove(PathOf(current->number)) : Status();
}

Status LogStore::State::Write(uint64_t offset, const RecordPart& part) {
  RETURN_IF_ERROR(OpenFile());
  RETURN_IF_ERROR(file->WriteAt(offset, part.bytes));
  MutexLock lock(mutex);
  index.back().bytes += part.bytes.size();
  chain.Advance(part.header, PartCrc(part.bytes), index.back().number);
  return Status();
}

Status LogStore::State::Append(std::optional<base::Generation> wanted, base::ByteView bytes) {
  ASSIGN_OR_RETURN(const RecordPart part, ParsePart(bytes));
  if (part.header.database != options.database) {
    return base::InvalidArgument(
        fmt::format("record {} belongs to database {}, this log to {}", part.header.seq_first.value,
                    part.header.database.ToHex(), options.database.ToHex()));
  }
  base::Generation target = wanted.value_or(base::Generation(1));
  bool begins = true;
  uint64_t offset = kGenerationHeaderBytes;
  RecordChain before;
  {
    MutexLock lock(mutex);
    RETURN_IF_ERROR(failed);
    RETURN_IF_ERROR(chain.Check(part.header));
    before = chain.empty() ? RecordChain(StateBefore(part.header), std::nullopt) : chain;
    if (!index.empty()) {
      const GenerationEntry& current = index.back();
      if (!wanted) {
        const bool full = current.bytes >= options.generation_bytes && current.has_parts();
        target = full ? current.number.Next() : current.number;
      } else if (target < current.number) {
        return base::InvalidArgument(fmt::format(
            "record {} came for generation {}, but the log is at {} already",
            part.header.seq_first.value, base::ToString(target), base::ToString(current.number)));
      }
      begins = target != current.number;
      if (!begins) offset = current.bytes;
    }
  }
  if (begins) {
    if (Status status = BeginGeneration(target, before); !status.ok()) return Fail(status);
  }
  const Status status = Write(offset, part);
  return status.ok() ? status : Fail(status);
}

Status LogStore::State::SyncFile() {
  uint64_t bytes = 0;
  {
    MutexLock lock(mutex);
    if (index.empty() || index.back().durable_bytes == index.back().bytes) return Status();
    bytes = index.back().bytes;
  }
  CHECK(file != nullptr);  // what is not durable yet was written through it
  if (!PLANTED("log-not-synced")) RETURN_IF_ERROR(file->Sync());
  MutexLock lock(mutex);
  index.back().durable_bytes = bytes;
  durable = chain.end().position;
  ++change_count;
  changed.NotifyAll();
  return Status();
}

LogStore::LogStore(std::unique_ptr<State> state) : state_(std::move(state)) {}
LogStore::~LogStore() = default;

Result<std::unique_ptr<LogStore>> LogStore::Open(env::Env& env, const Options& options) {
  auto state = std::make_unique<State>(env, options);
  if (Status status = state->Recover(); !status.ok()) {
    return status.WithContext("log " + options.directory);
  }
  return std::unique_ptr<LogStore>(new LogStore(std::move(state)));
}

Status LogStore::Append(base::ByteView part) { return state_->Append(std::nullopt, part); }

Status LogStore::AppendToGeneration(base::Generation generation, base::ByteView part) {
  return state_->Append(generation, part);
}

Status LogStore::StartAt(const LogEnd& end) {
  State& s = *state_;
  {
    MutexLock lock(s.mutex);
    RETURN_IF_ERROR(s.failed);
    if (!s.chain.empty()) {
      return base::InvalidArgument(fmt::format("log {} cannot start at {}: it is not empty",
                                               s.options.directory, base::ToString(end.position)));
    }
  }
  const base::Generation number(std::max<uint64_t>(1, end.generation.value));
  const RecordChain chain(end, std::nullopt);
  if (Status status = s.BeginGeneration(number, chain); !status.ok()) return s.Fail(status);
  MutexLock lock(s.mutex);
  s.chain = chain;
  s.durable = end.position;
  ++s.change_count;
  s.changed.NotifyAll();
  return Status();
}

Status LogStore::Sync() {
  State& s = *state_;
  {
    MutexLock lock(s.mutex);
    RETURN_IF_ERROR(s.failed);
  }
  const Status status = s.SyncFile();
  return status.ok() ? status : s.Fail(status);
}

void LogStore::CloseIdleFile() {
  State& s = *state_;
  MutexLock lock(s.mutex);
  const bool idle = s.index.empty() || s.index.back().durable_bytes == s.index.back().bytes;
  if (idle) s.file.reset();
}

LogEnd LogStore::end() const {
  MutexLock lock(state_->mutex);
  return state_->chain.end();
}

RecordChain LogStore::chain() const {
  MutexLock lock(state_->mutex);
  return state_->chain;
}

base::Position LogStore::durable() const {
  MutexLock lock(state_->mutex);
  return state_->durable;
}

std::optional<IncompleteRecord> LogStore::incomplete() const {
  MutexLock lock(state_->mutex);
  const std::optional<RecordChain::Open>& open = state_->chain.open();
  if (!open) return std::nullopt;
  return IncompleteRecord{
      .seq_first = open->header.seq_first, .parts = open->parts, .last_crc = open->last_crc};
}

base::Seq LogStore::first_seq() const {
  MutexLock lock(state_->mutex);
  return state_->FirstSeq();
}

uint64_t LogStore::bytes() const {
  MutexLock lock(state_->mutex);
  uint64_t sum = 0;
  for (const GenerationEntry& entry : state_->index) sum += entry.bytes;
  return sum;
}

std::vector<GenerationInfo> LogStore::generations() const {
  MutexLock lock(state_->mutex);
  std::vector<GenerationInfo> out;
  out.reserve(state_->index.size());
  for (const GenerationEntry& entry : state_->index) {
    out.push_back({.number = entry.number,
                   .seq_first = entry.seq_before.Next(),
                   .checksum_before = entry.before.checksum,
                   .created = entry.created,
                   .bytes = entry.bytes});
  }
  return out;
}

void LogStore::WaitForChange(uint64_t known_change, base::Duration limit) {
  State& s = *state_;
  const base::SteadyTime deadline = s.env.Now() + limit;
  MutexLock lock(s.mutex);
  while (s.change_count == known_change) {
    const base::Duration left = deadline - s.env.Now();
    if (left <= base::Duration(0)) return;
    if (!s.changed.WaitFor(s.mutex, left)) return;  // also where the clock is simulated
  }
}

uint64_t LogStore::change_count() const {
  MutexLock lock(state_->mutex);
  return state_->change_count;
}

}  // namespace understudy::log
