// SPDX-License-Identifier: Apache-2.0
// Life cycle and messages; the work is in seed_target_work.cc.
#include "ship/seed_target.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/diag.h"
#include "ship/seed_target_core.h"

namespace understudy::ship {
namespace {

constexpr base::Duration kRetryDelay = std::chrono::milliseconds(500);
constexpr base::Duration kRetryDelayMax = std::chrono::seconds(30);
constexpr int kRetriesMax = 8;  // without a chunk becoming durable in between

base::Duration RetryDelay(int retries) {
  return retries <= 1
             ? base::Duration(0)
             : std::min<base::Duration>(kRetryDelayMax, kRetryDelay * (1 << (retries - 2)));
}

}  // namespace

SeedTarget::SeedTarget(std::unique_ptr<Core> core) : core_(std::move(core)) {}
SeedTarget::~SeedTarget() = default;

const SeedTarget::Status& SeedTarget::status() const { return core_->status; }
const log::Checkpoint& SeedTarget::checkpoint() const {
  CHECK(core_->checkpoint.has_value());
  return *core_->checkpoint;
}
void SeedTarget::SetTermKnown(base::Term term) {
  core_->term_known = std::max(core_->term_known, term);
}
void SeedTarget::SetPagesElsewhere(bool elsewhere) { core_->pages_elsewhere = elsewhere; }
bool SeedTarget::has_start() const { return core_->journal != nullptr; }
void SeedTarget::ReleaseHold() { core_->log.ReleaseHold(std::string(kHoldName)); }

// --- life cycle ---

base::Result<std::unique_ptr<SeedTarget>> SeedTarget::Open(env::Env& env, const Options& options,
                                                           log::LogStore& log,
                                                           std::unique_ptr<BasePages> base) {
  if (options.window_bytes < kWindowBytesMin || options.window_bytes > kWindowBytesMax) {
    return base::InvalidArgument(fmt::format("window_bytes is {}, but must be from {} to {}",
                                             options.window_bytes, kWindowBytesMin,
                                             kWindowBytesMax));
  }
  auto core = std::make_unique<Core>(env, options, log);
  if (base) core->seed_base = std::make_unique<SeedBase>(std::move(base));
  core->status.resync = core->seed_base != nullptr;
  if (base::Status loaded = core->Load(); !loaded.ok()) {
    return loaded.WithContext("seeding " + options.database_name);
  }
  return std::unique_ptr<SeedTarget>(new SeedTarget(std::move(core)));
}

base::Status SeedTarget::Core::CheckNotInTheWay() const {
  if (options.replace_existing) return {};
  // A -wal of an older database would be taken for one of the new file.
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) {
    const std::string name = options.path + suffix;
    if (env::Exists(env, name)) {
      return base::AlreadyExists(fmt::format(
          "{} exists and a seed does not replace it unless told to; move it away or allow it",
          name));
    }
  }
  return {};
}

base::Status SeedTarget::Core::Load() {
  auto loaded = SeedJournal::Load(env, JournalPath());
  if (!loaded.ok()) {
    const base::Code code = loaded.status().code();
    if (code != base::Code::kNotFound && code != base::Code::kCorruption) return loaded.status();
    RETURN_IF_ERROR(CheckNotInTheWay());
    status.last_event = loaded.status().message();
    return RemoveFiles();
  }
  if ((*loaded)->state().layout.database != options.database) {
    RETURN_IF_ERROR(CheckNotInTheWay());
    status.last_event = fmt::format("{} belonged to database {}", FilePath(),
                                    (*loaded)->state().layout.database.ToHex());
    return RemoveFiles();
  }
  journal = std::move(*loaded);
  const SeedJournal::State& seed = journal->state();
  status.seed_id = seed.layout.seed_id;
  status.chunks = seed.layout.chunks();
  status.start = seed.layout.start.position;
  SetProgress();
  if (seed.ready) return LoadReady();
  RETURN_IF_ERROR(CheckNotInTheWay());
  if (const base::Status fits = FitLog(seed.layout.start); !fits.ok()) {
    // The log was replaced meanwhile: what is here belongs to nothing.
    status.last_event = "the seed starts anew: " + fits.message();
    journal.reset();
    return RemoveFiles();
  }
  SetHold(seed.layout.start);
  ASSIGN_OR_RETURN(file, SeedFile::Open(env, FilePath(), seed.layout.page_size));
  end = seed.end;
  resumed = seed.end.has_value();
  status.state = State::kRehashing;
  return {};
}

// Everything was proved before: only the last steps may be missing.
base::Status SeedTarget::Core::LoadReady() {
  auto loaded = log::LoadCheckpoint(env, options.checkpoint_path);
  if (!loaded.ok()) {
    return loaded.status().WithContext("the checkpoint of a finished seed");
  }
  checkpoint = std::move(*loaded);
  status.replayed = status.target = checkpoint->at.position;
  SetHold(checkpoint->at);
  want_request = false;
  if (env::Exists(env, FilePath())) {
    RETURN_IF_ERROR(CheckNotInTheWay());
  } else if (!env::Exists(env, options.path)) {
    return base::NotFound(fmt::format("{} was seeded, but is gone; remove {} to seed it again",
                                      options.path, JournalPath()));
  }
  return Publish();
}

base::Status SeedTarget::Core::RemoveFiles() {
  for (const std::string& name : {FilePath(), JournalPath(), JournalPath() + ".tmp"}) {
    base::Status removed = env.Remove(name);
    if (!removed.ok() && removed.code() != base::Code::kNotFound) return removed;
  }
  return {};
}

void SeedTarget::Core::SetHold(const log::LogEnd& from) {
  log.SetHold(
      {std::string(kHoldName),
       fmt::format("the database is being seeded and needs the log after {}; goes away when "
                   "replay has taken over",
                   ToString(from.position)),
       from.position.seq});
}

void SeedTarget::Core::StopReceiving() {
  want_request = asked = ack_due = false;
  queue.clear();
  queued_bytes = 0;
  // SeedEnd comes again, after the chunks that were dropped here.
  if (end && journal && !HasAllChunks()) end.reset();
}

bool SeedTarget::Core::HasAllChunks() const {
  return journal->state().chunk_at.size() + stored_at.size() == status.chunks;
}

void SeedTarget::Core::Fail(const base::Status& why) {
  StopReceiving();
  status.state = State::kFailed;
  status.failure = why;
  status.last_event = why.ToString();
  base::Diag(base::DiagLevel::kError, "ship", "seed failed",
             {{"database", options.database_name}, {"why", why.ToString()}});
}

void SeedTarget::Core::Restart(const base::Status& why, base::SteadyTime now) {
  if (status.attempt >= kAttemptsMax) {
    Fail(base::Status(why.code(), fmt::format("seeding {}: given up after {} seeds: {}",
                                              options.database_name, kAttemptsMax, why.message())));
    return;
  }
  base::Diag(base::DiagLevel::kWarning, "ship", "seed starts anew",
             {{"database", options.database_name},
              {"attempt", status.attempt + 1},
              {"why", why.ToString()}});
  StopReceiving();
  replay.reset();
  file.reset();
  journal.reset();
  end.reset();
  resumed = false;
  stored_at.clear();
  stored_bytes = 0;
  if (const base::Status removed = RemoveFiles(); !removed.ok()) {
    Fail(removed);
    return;
  }
  Status fresh;
  fresh.source = status.source;
  fresh.bytes_received = status.bytes_received;
  fresh.hash_bytes_sent = status.hash_bytes_sent;
  fresh.pages_fetched = status.pages_fetched;
  fresh.rejected_chunks = status.rejected_chunks;
  fresh.attempt = status.attempt + 1;
  status = fresh;
  if (status.attempt == kAttemptsMax) seed_base.reset();
  status.resync = seed_base != nullptr;
  status.last_event = "the seed starts anew: " + why.ToString();
  want_request = true;
  ask_at = now + kRetryDelay;
}

// The same seed, from the first chunk that is not durable.
void SeedTarget::Core::AskAgain(const std::string& why, base::SteadyTime now) {
  StopReceiving();
  status.last_event = why;
  if (++retries > kRetriesMax) {
    Fail(base::Unavailable(fmt::format(
        "seeding {}: asked {} times without progress after chunk {} "
        "of {}: {}",
        options.database_name, kRetriesMax, status.chunks_durable, status.chunks, why)));
    return;
  }
  want_request = true;
  ask_at = now + RetryDelay(retries);
}

void SeedTarget::Core::SetProgress() {
  const SeedLayout& layout = journal->state().layout;
  status.resync = resync();
  status.chunks_durable = static_cast<uint32_t>(journal->state().chunk_at.size());
  status.page_bytes_total = uint64_t{layout.pages} * layout.page_size;
  status.page_bytes_done =
      std::min(status.page_bytes_total,
               uint64_t{status.chunks_durable} * layout.chunk_pages * layout.page_size);
}

void SeedTarget::Cancel() {
  Core& core = *core_;
  if (core.status.state == State::kDone) return;
  core.replay.reset();
  core.file.reset();
  core.journal.reset();
  core.Fail(base::Cancelled(fmt::format("the seeding of {} was cancelled; nothing of it is left",
                                        core.options.database_name)));
  if (base::Status removed = core.RemoveFiles(); !removed.ok()) core.status.failure = removed;
  ReleaseHold();
}

// --- connection and messages ---

void SeedTarget::OnConnected(Channel& channel, const std::string& source, base::SteadyTime now) {
  Core& core = *core_;
  core.channel = &channel;
  core.status.source = source;
  core.StopReceiving();
  core.retries = 0;
  core.want_request = true;
  core.ask_at = now;
}

void SeedTarget::OnDisconnected(const std::string& cause, base::SteadyTime /*now*/) {
  Core& core = *core_;
  if (core.channel == nullptr) return;
  core.channel = nullptr;
  core.StopReceiving();
  core.want_request = true;
  core.status.last_event = fmt::format("connection to {} lost: {}", core.status.source, cause);
}

void SeedTarget::OnMessage(Message&& message, base::SteadyTime now) {
  Core& core = *core_;
  if (DatabaseOf(message) != core.options.database || !core.asked) return;
  if (const base::Status valid = CheckMessage(message); !valid.ok()) {
    ++core.status.rejected_chunks;
    core.AskAgain(valid.message(), now);
    return;
  }
  if (auto* chunk = std::get_if<SeedChunk>(&message)) {
    if (chunk->request == core.request) core.OnChunk(std::move(*chunk), now);
  } else if (const auto* start = std::get_if<SeedStart>(&message)) {
    if (start->request == core.request) core.OnStart(*start, now);
  } else if (const auto* seed_end = std::get_if<SeedEnd>(&message)) {
    if (seed_end->request == core.request) core.OnEnd(*seed_end, now);
  } else if (const auto* refused = std::get_if<Refused>(&message)) {
    if (refused->seed && refused->request == core.request) core.OnRefused(*refused, now);
  }
}

// An empty log begins at the seed's start; any other must reach from before it to where the log
// copier brings it.
base::Status SeedTarget::Core::FitLog(const log::LogEnd& start) {
  const log::LogEnd log_end = log.end();
  if (log_end.position.seq.value == 0) return log.StartAt(start);
  if (start.position.seq > log_end.position.seq) return {};
  const auto state = log.StateAt(start.position.seq);
  if (!state.ok() || state->position != start.position || state->checksum != start.checksum) {
    return base::Diverged(
        fmt::format("the seed starts at {} with checksum {:016x}, which this copy's log (up to {}) "
                    "does not have; "
                    "remove the log and seed again",
                    ToString(start.position), start.checksum, ToString(log_end.position)));
  }
  return {};
}

base::Status SeedTarget::Core::BeginSeed(const SeedStart& message) {
  const uint64_t bytes = uint64_t{message.pages} * message.page_size;
  ASSIGN_OR_RETURN(const env::Space space, env.FreeSpace(env::DirectoryOf(options.path)));
  if (bytes > space.free) {
    return base::NoSpace(fmt::format("the database has {} bytes, but {} has only {} free", bytes,
                                     env::DirectoryOf(options.path), space.free));
  }
  RETURN_IF_ERROR(FitLog(message.start));
  SetHold(message.start);
  SeedLayout layout;
  layout.database = options.database;
  layout.seed_id = message.seed_id;
  layout.page_size = message.page_size;
  layout.pages = message.pages;
  layout.chunk_pages = message.chunk_pages;
  layout.start = message.start;
  // Both names are new (RemoveFiles): what is in the file belongs to this journal.
  ASSIGN_OR_RETURN(file, SeedFile::Open(env, FilePath(), layout.page_size));
  ASSIGN_OR_RETURN(journal, SeedJournal::Create(env, JournalPath(), layout));
  status.seed_id = layout.seed_id;
  status.chunks = layout.chunks();
  status.start = layout.start.position;
  status.state = State::kCopying;
  SetProgress();
  return {};
}

void SeedTarget::Core::OnStart(const SeedStart& message, base::SteadyTime now) {
  status.waiting.clear();
  if (journal) return;  // not asked for: we were resuming
  if (const base::Status begun = BeginSeed(message); !begun.ok()) {
    return Fail(begun.WithContext("seeding " + options.database_name));
  }
  if (!pages_elsewhere) return;
  // That was all this source was asked for. Should no other channel come, it is asked for the rest.
  StopReceiving();
  want_request = true;
  ask_at = now + kRetryDelay;
}

void SeedTarget::Core::OnChunk(SeedChunk&& message, base::SteadyTime now) {
  if (!journal || message.seed_id != status.seed_id || end) return;
  if (queued_bytes + message.pages_zstd.size() > options.window_bytes) {
    ++status.rejected_chunks;
    AskAgain(fmt::format("{} sent more than the window of {} bytes", status.source,
                         options.window_bytes),
             now);
    return;
  }
  status.waiting.clear();
  queued_bytes += message.pages_zstd.size();
  status.bytes_received += message.pages_zstd.size();
  queue.push_back(std::move(message));
}

void SeedTarget::Core::OnEnd(const SeedEnd& message, base::SteadyTime now) {
  if (!journal || message.seed_id != status.seed_id || end) return;
  const size_t chunks = journal->state().chunk_at.size() + stored_at.size() + queue.size();
  if (chunks < status.chunks) {
    AskAgain(fmt::format("{} ended the seed after {} of {} chunks", status.source, chunks,
                         status.chunks),
             now);
    return;
  }
  if (pages_elsewhere && IsBehindChunks(message.at.position.seq)) {
    AskAgain(fmt::format("{} has ended the seed at {}, which is before a chunk of another source",
                         status.source, ToString(message.at.position)),
             now);
    return;
  }
  end = message.at;
}

bool SeedTarget::Core::IsBehindChunks(base::Seq seq) const {
  const std::vector<base::Position>& at = journal->state().chunk_at;
  return std::any_of(at.begin(), at.end(), [&](const auto& chunk) { return chunk.seq > seq; });
}

void SeedTarget::Core::OnRefused(const Refused& message, base::SteadyTime now) {
  term_known = std::max(term_known, message.term);
  const base::Status why(message.code,
                         fmt::format("{} refuses to seed (term {}): {}", status.source,
                                     message.term.value, message.message));
  switch (message.code) {
    case base::Code::kLogGap:
    case base::Code::kDiverged: Restart(why, now); return;
    case base::Code::kFenced:
      // The next connection goes to another server.
      StopReceiving();
      status.last_event = why.ToString();
      return;
    case base::Code::kBusy:
    case base::Code::kUnavailable:
    case base::Code::kTimedOut: {
      StopReceiving();
      status.last_event = why.ToString();
      status.waiting = message.code == base::Code::kBusy ? message.message : std::string();
      want_request = true;
      ask_at = now + std::chrono::seconds(1);
      return;
    }
    case base::Code::kOk:
    case base::Code::kNotFound:
    case base::Code::kAlreadyExists:
    case base::Code::kInvalidArgument:
    case base::Code::kIoError:
    case base::Code::kNoSpace:
    case base::Code::kCorruption:
    case base::Code::kCancelled:
    case base::Code::kInternal: Fail(why); return;
  }
}

void SeedTarget::SetRate(base::RateLimit* rate) { core_->rate = rate; }

RunResult SeedTarget::RunOnce(base::SteadyTime now) { return core_->Run(now); }

}  // namespace understudy::ship
