// SPDX-License-Identifier: Apache-2.0
// The work of SeedTarget::RunOnce.
#include <fmt/format.h>

#include <algorithm>

#include "ship/seed_target_core.h"

namespace understudy::ship {
namespace {

constexpr base::Duration kChannelFullRetry = std::chrono::milliseconds(10);
constexpr base::Duration kLogPoll = std::chrono::milliseconds(50);
constexpr size_t kRehashBytesPerRun = 8 << 20;
constexpr size_t kReplayBytesPerRun = 2 << 20;
constexpr size_t kChunksPerRun = 8;
// Chunks are made durable together: after this many bytes, or this long after the first.
constexpr uint64_t kStoredBytesMax = 64 << 20;
constexpr base::Duration kStoredAgeMax = std::chrono::milliseconds(500);

}  // namespace

RunResult SeedTarget::Core::Run(base::SteadyTime now) {
  RunResult result;
  if (status.state == State::kDone || status.state == State::kFailed) {
    SendAck(now, result);
    return result;
  }
  if (!Wanted()) return result;
  Ask(now, result);
  base::Status done;
  switch (status.state) {
    case State::kRehashing: done = Rehash(now, result); break;
    case State::kWaiting:
    case State::kCopying:
      done = StoreChunks(now, result);
      if (done.ok()) done = PutBase(now, result);
      break;
    case State::kReplaying: done = Replay(now, result); break;
    case State::kDone:
    case State::kFailed: break;
  }
  if (!done.ok()) {
    result.worked = true;
    if (done.code() == base::Code::kDiverged || done.code() == base::Code::kCorruption) {
      Restart(done, now);
    } else {
      Fail(done.WithContext("seeding " + options.database_name));
    }
  }
  SendAck(now, result);
  return result;
}

// Reports progress; false, and cancelled, when nobody wants the seed any more.
bool SeedTarget::Core::Wanted() {
  if (!options.progress) return true;
  const base::Progress progress{"seeding", status.page_bytes_done, status.page_bytes_total};
  if (options.progress(progress)) return true;
  replay.reset();
  file.reset();
  journal.reset();
  Fail(base::Cancelled(fmt::format("the seeding of {} was cancelled; nothing of it is left",
                                   options.database_name)));
  if (const base::Status removed = RemoveFiles(); !removed.ok()) status.failure = removed;
  log.ReleaseHold(std::string(kHoldName));
  return false;
}

void SeedTarget::Core::Ask(base::SteadyTime now, RunResult& result) {
  if (channel == nullptr || end || status.state == State::kRehashing) return;
  if (asked && now >= answer_due) {
    AskAgain(
        fmt::format("{} sent nothing of the seed for {} s (limit answer_limit)", status.source,
                    std::chrono::duration_cast<std::chrono::seconds>(options.answer_limit).count()),
        now);
  }
  if (asked) result.Sooner(answer_due);
  if (!want_request || status.state == State::kFailed) return;
  if (now < ask_at) {
    result.Sooner(ask_at);
    return;
  }
  SeedRequest message;
  message.database = options.database;
  message.request = request + 1;
  message.incarnation = options.incarnation;
  message.term_known = term_known;
  // What is under way when the rate is lowered: no more than a second of it.
  message.window_bytes = options.window_bytes;
  if (rate != nullptr && rate->rate() > 0) {
    message.window_bytes = std::min(message.window_bytes, std::max(kWindowBytesMin, rate->rate()));
  }
  if (journal) {
    const SeedLayout& layout = journal->state().layout;
    message.seed_id = layout.seed_id;
    message.next_chunk = stored_chunks();
    message.page_size = layout.page_size;
    message.pages = layout.pages;
    message.chunk_pages = layout.chunk_pages;
    // A log that has not reached the start yet (it was here before) is no help to a resume.
    message.have = log.end().position.seq < layout.start.position.seq ? layout.start : log.end();
    if (message.have.position.seq > log.durable().seq) message.have = layout.start;
  }
  message.start_only = pages_elsewhere && !journal;
  if (seed_base) {
    message.base_page_size = seed_base->page_size();
    seed_base->Restart(message.next_chunk);
  }
  if (!channel->TrySend(std::move(message))) {
    result.Sooner(now + kChannelFullRetry);
    return;
  }
  if (journal) ++status.resumes;
  ++request;
  want_request = false;
  asked = true;
  consumed_bytes = 0;
  answer_due = now + options.answer_limit;
  result.Sooner(answer_due);
  result.worked = true;
}

base::Status SeedTarget::Core::Rehash(base::SteadyTime /*now*/, RunResult& result) {
  const SeedJournal::State& seed = journal->state();
  const auto count = static_cast<uint32_t>(kRehashBytesPerRun / seed.layout.page_size);
  ASSIGN_OR_RETURN(const uint32_t read, file->Rehash(rehash_next, count));
  rehash_next.value += read;
  result.worked = true;
  // Pages of chunks that are not durable are hashed too, and written and hashed again.
  if (read == count) return {};
  if (end) return BeginReplay();
  status.state = State::kCopying;
  return {};
}

// Of a resync: the pages that are here, ahead of the source.
base::Status SeedTarget::Core::PutBase(base::SteadyTime now, RunResult& result) {
  if (!resync() || !asked || channel == nullptr || end) return {};
  const SeedLayout& layout = journal->state().layout;
  const auto received = stored_chunks() + static_cast<uint32_t>(queue.size());
  for (size_t i = 0; i < kChunksPerRun && seed_base->Due(layout, received); ++i) {
    ASSIGN_OR_RETURN(SeedHashes message, seed_base->Put(layout, *file));
    message.request = request;
    const uint64_t bytes = message.hashes.size() * sizeof(uint64_t);
    if (!channel->TrySend(std::move(message))) {
      result.Sooner(now + kChannelFullRetry);
      return {};
    }
    seed_base->Announced();
    status.hash_bytes_sent += bytes;
    result.worked = true;
  }
  return {};
}

// Why the chunk cannot be the next one; empty when it can.
std::string SeedTarget::Core::FaultOf(const SeedChunk& chunk) const {
  const SeedLayout& layout = journal->state().layout;
  if (chunk.chunk != stored_chunks() || chunk.chunk >= layout.chunks()) {
    return fmt::format("chunk {} of {} came, but chunk {} is next", chunk.chunk, layout.chunks(),
                       stored_chunks());
  }
  if (chunk.first_page != layout.FirstPage(chunk.chunk) ||
      chunk.page_count > layout.PagesOf(chunk.chunk)) {
    return fmt::format("chunk {} has {} pages from page {} on", chunk.chunk, chunk.page_count,
                       chunk.first_page.value);
  }
  if (chunk.at.seq < layout.start.position.seq) {
    return fmt::format("chunk {} was read at {}, before the seed's start", chunk.chunk,
                       ToString(chunk.at));
  }
  if (!chunk.unchanged.empty() && (!resync() || chunk.chunk >= seed_base->announced())) {
    return fmt::format("chunk {} leaves out pages that this copy was not known to have",
                       chunk.chunk);
  }
  return {};
}

base::Status SeedTarget::Core::StoreOne(const SeedChunk& chunk, base::SteadyTime now,
                                        bool& stored) {
  const uint32_t page_size = journal->state().layout.page_size;
  if (chunk.chunk < stored_chunks()) return {};  // a second time: the first one counts
  std::string fault = FaultOf(chunk);
  if (fault.empty()) fault = unpacker.Unpack(chunk, page_size).message();
  if (!fault.empty()) {
    ++status.rejected_chunks;
    AskAgain(fault, now);  // empties the queue
    return {};
  }
  RETURN_IF_ERROR(unpacker.Write(chunk, page_size, *file));
  if (stored_at.empty()) stored_since = now;
  stored_at.push_back(chunk.at);
  stored_bytes += uint64_t{chunk.page_count} * page_size;
  status.pages_fetched += chunk.images();
  stored = true;
  return {};
}

base::Status SeedTarget::Core::StoreChunks(base::SteadyTime now, RunResult& result) {
  for (size_t i = 0; i < kChunksPerRun && !queue.empty(); ++i) {
    if (rate != nullptr && rate->ReadyAt() > now) {
      result.Sooner(rate->ReadyAt());
      answer_due = rate->ReadyAt() + options.answer_limit;  // it is we who hold it up
      break;
    }
    const SeedChunk chunk = std::move(queue.front());
    queue.pop_front();
    const uint64_t bytes = chunk.pages_zstd.size();
    if (rate != nullptr) rate->Take(bytes, now);
    queued_bytes -= bytes;
    result.worked = true;
    answer_due = now + options.answer_limit;
    bool stored = false;
    RETURN_IF_ERROR(StoreOne(chunk, now, stored));
    // A duplicate was never counted by the source.
    if (!stored) continue;
    consumed_bytes += bytes;
    ack_due = true;
  }
  return MakeDurable(now, result);
}

base::Status SeedTarget::Core::MakeDurable(base::SteadyTime now, RunResult& result) {
  if (!journal) return {};
  const bool complete = end && queue.empty() && HasAllChunks();
  if (!stored_at.empty()) {
    const bool due =
        complete || stored_bytes >= kStoredBytesMax || now >= stored_since + kStoredAgeMax;
    if (!due) {
      result.Sooner(stored_since + kStoredAgeMax);
      return {};
    }
    RETURN_IF_ERROR(file->Sync());
    RETURN_IF_ERROR(journal->AppendChunks(stored_at));
    stored_at.clear();
    stored_bytes = 0;
    retries = 0;
    ack_due = asked;
    SetProgress();
    result.worked = true;
  }
  if (!complete) return {};
  for (const base::Position& at : journal->state().chunk_at) {
    if (at.seq <= end->position.seq) continue;
    return base::Diverged(
        fmt::format("a chunk was read at {}, but {} only has {}: the server that "
                    "sent it had commits that are lost now",
                    ToString(at), status.source, ToString(end->position)));
  }
  RETURN_IF_ERROR(journal->AppendEnd(*end));
  return BeginReplay();
}

base::Status SeedTarget::Core::BeginReplay() {
  replay = std::make_unique<SeedReplay>(log, *file, journal->state(), resumed);
  status.state = State::kReplaying;
  status.target = {end->position.term, replay->target()};
  return {};
}

base::Status SeedTarget::Core::Replay(base::SteadyTime now, RunResult& result) {
  ASSIGN_OR_RETURN(const bool done, replay->RunOnce(kReplayBytesPerRun));
  status.replayed = replay->replayed();
  if (done) {
    result.worked = true;
    return Finish();
  }
  if (replay->waiting()) {
    result.Sooner(now + kLogPoll);
  } else {
    result.worked = true;
  }
  return {};
}

base::Status SeedTarget::Core::Finish() {
  const log::LogEnd at = replay->at();
  if (at.pages == 0) {
    return base::Corruption("the seeded database is empty: it has no page to carry the mark");
  }
  RETURN_IF_ERROR(file->Finish());
  checkpoint.emplace();
  checkpoint->database = options.database;
  checkpoint->at = at;
  checkpoint->table = file->TakeTable();
  RETURN_IF_ERROR(log::SaveCheckpoint(env, options.checkpoint_path, *checkpoint));
  RETURN_IF_ERROR(journal->AppendReady());
  replay.reset();
  file.reset();
  return Publish();
}

// From ".seeding" to the database; may be repeated after a crash at any point of it.
base::Status SeedTarget::Core::Publish() {
  seed_base.reset();  // it reads the database that is replaced
  if (env::Exists(env, FilePath())) {
    if (options.replace_existing) {
      // Before the rename: a -wal that stays would be taken for one of the new file.
      for (const char* suffix : {"-wal", "-shm", "-journal"}) {
        base::Status removed = env.Remove(options.path + suffix);
        if (!removed.ok() && removed.code() != base::Code::kNotFound) return removed;
      }
      RETURN_IF_ERROR(env.SyncDirectory(env::DirectoryOf(options.path)));
      RETURN_IF_ERROR(env.Rename(FilePath(), options.path));
    } else {
      RETURN_IF_ERROR(CheckNotInTheWay());
      RETURN_IF_ERROR(env.RenameNew(FilePath(), options.path));
    }
  }
  RETURN_IF_ERROR(env.SyncDirectory(env::DirectoryOf(options.path)));
  journal.reset();
  RETURN_IF_ERROR(env.Remove(JournalPath()));
  status.state = State::kDone;
  status.replayed = checkpoint->at.position;
  return {};
}

void SeedTarget::Core::SendAck(base::SteadyTime now, RunResult& result) {
  if (!ack_due || channel == nullptr || !asked) return;
  SeedAck message;
  message.database = options.database;
  message.request = request;
  message.seed_id = status.seed_id;
  message.next_chunk = status.chunks_durable;
  message.consumed_bytes = consumed_bytes;
  if (!channel->TrySend(std::move(message))) {
    result.Sooner(now + kChannelFullRetry);
    return;
  }
  ack_due = false;
  result.worked = true;
}

}  // namespace understudy::ship
