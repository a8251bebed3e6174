// SPDX-License-Identifier: Apache-2.0
#include "server/point_in_time.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "ship/seed_replay.h"

namespace understudy::server {
namespace {

constexpr uint32_t kPagesBytes = 1 << 20;
constexpr size_t kReplayBytes = 4 << 20;
// Bytes 18 and 19 of page 1: both 1 is a database with a rollback journal.
constexpr std::array<uint8_t, 2> kJournalVersions = {1, 1};

std::string At(const log::LogEnd& end) {
  return fmt::format("{} (committed {})", base::ToString(end.position),
                     base::ToRfc3339(end.commit_time));
}

base::Status Stopped() { return base::Cancelled("nobody waits for it any more"); }

bool IsBeyond(const log::PartHeader& header, const WantedPoint& wanted) {
  return wanted.seq ? header.seq_last > *wanted.seq : header.commit_time > wanted.time;
}

std::string Named(const WantedPoint& wanted) {
  return wanted.seq ? fmt::format("seq {}", wanted.seq->value) : base::ToRfc3339(wanted.time);
}

base::Status CheckNotBefore(const log::LogEnd& replayed, const WantedPoint& wanted) {
  const bool before =
      wanted.seq ? *wanted.seq < replayed.position.seq : wanted.time < replayed.commit_time;
  if (!before) return {};
  return base::InvalidArgument(
      fmt::format("{} is before what the copy has replayed already: the earliest that can be had "
                  "from it is {}\na backup may go further back: understudy backup list",
                  Named(wanted), At(replayed)));
}

}  // namespace

base::Result<LogPoint> FindPoint(log::LogStore& log, const log::LogEnd& replayed,
                                 const WantedPoint& wanted, base::WallTime known_until,
                                 const Continue& go_on) {
  RETURN_IF_ERROR(CheckNotBefore(replayed, wanted));
  LogPoint point{.at = replayed, .earliest = replayed, .last = replayed, .first_after = {}};
  const base::Seq end = log.durable().seq;
  bool beyond = false;
  uint64_t bytes = 0;  // of the record's parts so far
  ASSIGN_OR_RETURN(const auto reader, log.ReadAfter(replayed.position.seq));
  while (point.last.position.seq < end) {
    if (!go_on()) return Stopped();
    ASSIGN_OR_RETURN(const auto item, reader->Next());
    if (!item) break;
    const log::PartHeader& header = item->part.header;
    bytes = (header.first() ? 0 : bytes) + item->part.bytes.size();
    if (!header.last()) continue;
    point.last = log::EndAfter(header, item->generation);
    if (!beyond && IsBeyond(header, wanted)) {
      beyond = true;
      point.first_after = header.commit_time;
    }
    if (!beyond) {
      point.at = point.last;
      continue;
    }
    ++point.records_after;
    point.commits_after += header.seq_last.value - header.seq_first.value + 1;
    point.bytes_after += bytes;
  }
  const bool reached =
      beyond || (wanted.seq ? *wanted.seq == point.last.position.seq
                            : wanted.time <= std::max(known_until, point.last.commit_time));
  if (reached) return point;
  return base::InvalidArgument(
      fmt::format("{} is after the end of the copy's log, {}", Named(wanted), At(point.last)));
}

base::Status ExtractDatabase(env::Env& env, const Extraction& what, sqlite::SnapshotReader& pages,
                             log::LogStore& log, const ExtractProgress& progress) {
  if (const base::Status removed = env.Remove(what.path);
      !removed.ok() && removed.code() != base::Code::kNotFound) {
    return removed;
  }
  const uint32_t page_size = what.from.page_size;
  ASSIGN_OR_RETURN(const auto file, ship::SeedFile::Open(env, what.path, page_size));
  const uint64_t total = uint64_t{what.from.pages} * page_size;
  base::Bytes images(std::max(kPagesBytes, page_size));
  for (uint32_t done = 0; done < what.from.pages;) {
    if (!progress("copying pages", uint64_t{done} * page_size, total)) return Stopped();
    const uint32_t count = std::min<uint32_t>(static_cast<uint32_t>(images.size() / page_size),
                                              what.from.pages - done);
    const std::span<uint8_t> some = std::span(images).first(size_t{count} * page_size);
    RETURN_IF_ERROR(pages.ReadPages(base::PageNo(done + 1), count, some));
    RETURN_IF_ERROR(file->WritePages(base::PageNo(done + 1), some));
    done += count;
  }
  // As a seed whose pages are all of one position.
  ship::SeedJournal::State state;
  state.layout = {.database = what.database,
                  .page_size = page_size,
                  .pages = what.from.pages,
                  .chunk_pages = std::max(what.from.pages, 1U),
                  .start = what.from};
  state.chunk_at = {what.from.position};
  state.end = what.to;
  ship::SeedReplay replay(log, *file, state, /*resumed=*/false);
  const uint64_t first = what.from.position.seq.value;
  while (true) {
    if (!progress("replaying log", replay.replayed().seq.value - first,
                  what.to.position.seq.value - first)) {
      return Stopped();
    }
    ASSIGN_OR_RETURN(const bool proven, replay.RunOnce(kReplayBytes));
    if (proven) break;
    if (replay.waiting())
      return base::Internal("the log ends before the point that was found in it");
  }
  RETURN_IF_ERROR(file->Sync());
  ASSIGN_OR_RETURN(const std::unique_ptr<env::File> header,
                   env.Open(what.path, env::OpenMode::kReadWrite));
  RETURN_IF_ERROR(header->WriteAt(log::kWriteVersionOffset, kJournalVersions));
  return header->Close();
}

}  // namespace understudy::server
