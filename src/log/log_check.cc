// SPDX-License-Identifier: Apache-2.0
// Reading a generation again to see whether it is still what was written, and putting a good one in
// its place.
#include <fmt/format.h>

#include <algorithm>

#include "log/log_store_state.h"

namespace understudy::log {

using base::MutexLock;
using base::Result;
using base::Status;

namespace {

// What the store knows of a generation and its neighbours.
struct Place {
  GenerationEntry entry;
  std::optional<GenerationEntry> previous;
  std::optional<GenerationEntry> next;  // nothing: it is still being written
  uint64_t drop_count = 0;
};

Status NoSuchGeneration(const std::string& directory, base::Generation generation) {
  return base::NotFound(
      fmt::format("log {} has no generation {}", directory, base::ToString(generation)));
}

}  // namespace

struct LogStore::Checker {
  State& store;

  Result<Place> Find(base::Generation generation) const {
    MutexLock lock(store.mutex);
    const std::optional<size_t> at = store.Find(generation);
    if (!at) return NoSuchGeneration(store.options.directory, generation);
    Place place{
        .entry = store.index[*at], .previous = {}, .next = {}, .drop_count = store.drop_count};
    if (*at > 0) place.previous = store.index[*at - 1];
    if (*at + 1 < store.index.size()) place.next = store.index[*at + 1];
    return place;
  }

  // Whether nothing was cut off or removed since `place` was found.
  bool Stands(const Place& place) const {
    MutexLock lock(store.mutex);
    return store.drop_count == place.drop_count && store.Find(place.entry.number).has_value();
  }

  Status CheckHeader(const Place& place, const GenerationHeader& header) const {
    if (header.number == place.entry.number && header.database == store.options.database &&
        header.before.end().position == place.entry.before.position &&
        header.before.end().checksum == place.entry.before.checksum) {
      return Status();
    }
    return base::Corruption("its header is of another place in the log");
  }

  Status CheckEnd(const Place& place, const RecordChain& end) const {
    if (!place.next) return Status();
    const LogEnd& wanted = place.next->before;
    if (end.end().position == wanted.position && end.end().checksum == wanted.checksum) {
      return Status();
    }
    return base::Corruption(fmt::format(
        "it ends at {}, generation {} goes on from {}", base::ToString(end.end().position),
        base::ToString(place.next->number), base::ToString(wanted.position)));
  }

  Status Scan(const Place& place) const {
    ASSIGN_OR_RETURN(const auto file,
                     store.env.Open(store.PathOf(place.entry.number), env::OpenMode::kRead));
    file->DropFromCache(0, place.entry.durable_bytes);  // what the disk has counts
    ASSIGN_OR_RETURN(const GenerationHeader header, ReadGenerationHeader(*file));
    RETURN_IF_ERROR(CheckHeader(place, header));
    RecordChain chain = header.before;
    PartStream stream(file.get(), kGenerationHeaderBytes);
    while (stream.offset() < place.entry.durable_bytes) {
      const uint64_t offset = stream.offset();
      const auto at = [&](const std::string& what) {
        return base::Corruption(fmt::format("at offset {}: {}", offset, what));
      };
      const auto part = stream.Next(place.entry.durable_bytes);
      if (part.status().code() == base::Code::kCorruption) return at(part.status().message());
      RETURN_IF_ERROR(part.status());
      if (!part->has_value()) return at("zeros where a record part should be");
      const PartHeader& next = (*part)->header;
      const Status follows = chain.Check(next);
      if (next.database != store.options.database) return at("a part of another database");
      if (!follows.ok()) return at(follows.message());
      chain.Advance(next, PartCrc((*part)->bytes), place.entry.number);
    }
    return CheckEnd(place, chain);
  }

  // Our own header where it is whole: it may begin later in the log than another copy's.
  Result<GenerationHeader> HeaderFor(const Place& place, const GenerationHeader& other) const {
    const auto file = store.env.Open(store.PathOf(place.entry.number), env::OpenMode::kRead);
    if (file.ok()) {
      const Result<GenerationHeader> own = ReadGenerationHeader(**file);
      if (own.ok() && CheckHeader(place, *own).ok()) return *own;
    }
    GenerationHeader header = other;
    header.created = place.entry.created;
    header.previous = place.previous ? place.previous->number : base::Generation();
    header.previous_bytes = place.previous ? place.previous->bytes : 0;
    const Status fits = CheckHeader(place, header);
    if (fits.ok()) return header;
    return base::InvalidArgument("our header is damaged, and " + fits.message());
  }

  // The file as it was here, out of another copy's.
  Result<base::Bytes> Rebuild(const Place& place, base::ByteView other) const {
    ASSIGN_OR_RETURN(const GenerationHeader theirs, ParseGenerationHeader(other));
    if (theirs.number != place.entry.number || theirs.database != store.options.database) {
      return base::InvalidArgument(fmt::format("it is generation {} of database {}",
                                               base::ToString(theirs.number),
                                               theirs.database.ToHex()));
    }
    ASSIGN_OR_RETURN(const GenerationHeader header, HeaderFor(place, theirs));
    base::Bytes file = EncodeGenerationHeader(header);
    RecordChain chain = theirs.before;
    bool reached = chain.SamePlace(header.before);
    for (base::ByteView rest = other.subspan(kGenerationHeaderBytes); !rest.empty();) {
      if (file.size() >= place.entry.bytes) break;
      if (rest.size() < kPartLengthPrefix) return base::InvalidArgument("it ends within a part");
      ASSIGN_OR_RETURN(const uint32_t length, PartLength(rest));
      if (length > rest.size()) return base::InvalidArgument("it ends within a part");
      ASSIGN_OR_RETURN(const RecordPart part, ParsePart(rest.first(length)));
      RETURN_IF_ERROR(chain.Check(part.header));
      if (reached) base::AppendBytes(file, part.bytes);
      chain.Advance(part.header, PartCrc(part.bytes), place.entry.number);
      reached = reached || chain.SamePlace(header.before);
      rest = rest.subspan(length);
    }
    RETURN_IF_ERROR(CheckEnd(place, chain));
    if (file.size() == place.entry.bytes) return file;
    return base::InvalidArgument(
        fmt::format("it makes a file of {} bytes, not {}", file.size(), place.entry.bytes));
  }
};

Status LogStore::CheckGeneration(base::Generation generation) {
  const Checker checker{*state_};
  ASSIGN_OR_RETURN(const Place place, checker.Find(generation));
  const Status status = checker.Scan(place);
  if (status.ok()) return status;
  if (!checker.Stands(place)) return NoSuchGeneration(state_->options.directory, generation);
  return status.WithContext(state_->PathOf(generation));
}

Result<LogStore::GenerationBytes> LogStore::ReadGeneration(base::Generation generation,
                                                           uint64_t offset, uint64_t bytes_max) {
  const Checker checker{*state_};
  ASSIGN_OR_RETURN(const Place place, checker.Find(generation));
  if (!place.next) {
    return base::Unavailable(
        fmt::format("generation {} is still being written", base::ToString(generation)));
  }
  if (offset > place.entry.bytes) return base::InvalidArgument("the offset is behind its end");
  ASSIGN_OR_RETURN(const auto file,
                   state_->env.Open(state_->PathOf(generation), env::OpenMode::kRead));
  GenerationBytes answer{.total = place.entry.bytes, .bytes = {}};
  answer.bytes.resize(std::min(bytes_max, place.entry.bytes - offset));
  ASSIGN_OR_RETURN(const size_t got, file->ReadAt(offset, answer.bytes));
  if (got == answer.bytes.size()) return answer;
  return base::Corruption(state_->PathOf(generation) + " is shorter than it was");
}

Status LogStore::ReplaceGeneration(base::Generation generation, base::ByteView other) {
  const Checker checker{*state_};
  ASSIGN_OR_RETURN(const Place place, checker.Find(generation));
  const std::string path = state_->PathOf(generation);
  if (!place.next) {
    return base::Busy(
        fmt::format("{} is still being written; it is replaced once it is closed", path));
  }
  if (other.size() < kGenerationHeaderBytes) return base::InvalidArgument("it has no header");
  Result<base::Bytes> file = checker.Rebuild(place, other);
  if (!file.ok()) {
    return base::InvalidArgument(
        fmt::format("what another copy has does not fit in the place of {}: {}", path,
                    file.status().message()));
  }
  RETURN_IF_ERROR(env::WriteFileAtomically(state_->env, path, *file));
  if (checker.Stands(place)) return Status();
  // Truncated meanwhile: a file that nobody knows would be in the way of the next start.
  Status removed = state_->env.Remove(path);
  return removed.code() == base::Code::kNotFound ? Status() : removed;
}

}  // namespace understudy::log
