// SPDX-License-Identifier: Apache-2.0
#include "ship/seed_source.h"

#include <fmt/format.h>

#include <algorithm>

#include "ship/position_check.h"
#include "ship/seed_chunk.h"
#include "ship/seed_journal.h"

namespace understudy::ship {
namespace {

constexpr base::Duration kChannelFullRetry = std::chrono::milliseconds(10);
constexpr base::Duration kPagesPoll = std::chrono::milliseconds(2);
constexpr base::Duration kDurablePoll = std::chrono::milliseconds(20);
constexpr base::Duration kBusyRetry = std::chrono::milliseconds(100);
constexpr int kBusyRetriesMax = 600;  // in a row; a minute

bool IsTransient(const base::Status& status) {
  return status.code() == base::Code::kBusy || status.code() == base::Code::kUnavailable;
}

}  // namespace

struct SeedSource::Core {
  Core(env::Env& e, const Options& o, log::LogStore& l, PageSource& p, Channel& c)
      : env(e), options(o), log(l), pages(p), channel(c) {}

  void OnRequest(const SeedRequest& message);
  base::Status CheckTerm(base::Term known);
  base::Status Begin();
  base::Status Resume(const SeedRequest& message);
  base::Status CheckGoesOn(const log::LogEnd& have);
  void OnHashes(SeedHashes&& message);
  void OnAck(const SeedAck& message);
  void Fail(const base::Status& why);
  bool Flush();
  void Hold(const log::LogEnd& from);
  base::Status AskPages(base::SteadyTime now);
  base::Status TakePages(base::SteadyTime now);
  base::Status CheckPages() const;
  bool IsBeforeStart(const SeedPages& read) const {
    return read.at.position.seq < layout.start.position.seq;
  }
  bool MayPack() const { return taken && !ready && (!resync() || !hashes.empty()); }
  void Pack();
  bool WindowIsOpen() const {
    return sent_bytes - consumed_bytes + ready->pages_zstd.size() <= window_bytes;
  }
  void SendChunk(base::SteadyTime now);
  base::Status SendEnd();
  base::Status Step(base::SteadyTime now, RunResult& result);
  void ReleaseHoldIfReplaced();
  // The target has pages already, and says which.
  bool resync() const { return base_page_size == layout.page_size; }

  env::Env& env;
  const Options options;
  log::LogStore& log;
  PageSource& pages;
  Channel& channel;
  SeedPacker packer;
  Status status;
  std::optional<base::Term> fenced_by;

  uint64_t request = 0;
  SeedLayout layout;
  uint64_t window_bytes = 0;
  uint32_t base_page_size = 0;
  bool start_only = false;
  HashQueue hashes;  // the target's, of chunk ask_chunk and those after it
  uint64_t sent_bytes = 0;
  uint64_t consumed_bytes = 0;

  uint32_t ask_chunk = 0;    // the next one to ask pages for
  bool asked = false;        // the PageSource owes an answer …
  bool asked_stale = false;  // … to a question of an earlier SeedRequest
  int busy = 0;
  base::SteadyTime ask_at;
  std::optional<SeedPages> taken;   // waits until its position is durable
  std::optional<SeedChunk> ready;   // waits for the window
  std::optional<Message> outgoing;  // waits for the channel
};

SeedSource::SeedSource(env::Env& env, const Options& options, log::LogStore& log, PageSource& pages,
                       Channel& channel)
    : core_(std::make_unique<Core>(env, options, log, pages, channel)) {}
SeedSource::~SeedSource() = default;

std::string SeedSource::HoldName(std::string_view peer) {
  return fmt::format("seeding of {}", peer);
}
std::optional<base::Term> SeedSource::fenced_by() const { return core_->fenced_by; }
const SeedSource::Status& SeedSource::status() const { return core_->status; }

void SeedSource::OnMessage(Message&& message, base::SteadyTime /*now*/) {
  if (DatabaseOf(message) != core_->options.database) return;
  if (const auto* request = std::get_if<SeedRequest>(&message)) {
    core_->OnRequest(*request);
  } else if (auto* hashes = std::get_if<SeedHashes>(&message)) {
    core_->OnHashes(std::move(*hashes));
  } else if (const auto* ack = std::get_if<SeedAck>(&message)) {
    core_->OnAck(*ack);
  }
}

void SeedSource::Core::Fail(const base::Status& why) {
  status.state = State::kFailed;
  status.failure = why;
  taken.reset();
  ready.reset();
  Refused refused;
  refused.database = options.database;
  refused.seed = true;
  refused.request = request;
  refused.code = why.code();
  refused.message = why.message().substr(0, kRefusedMessageBytesMax);
  refused.term = options.term;
  outgoing = std::move(refused);
}

void SeedSource::Core::OnRequest(const SeedRequest& message) {
  request = message.request;
  taken.reset();
  ready.reset();
  outgoing.reset();
  hashes.Clear();
  asked_stale = asked;
  sent_bytes = consumed_bytes = 0;
  busy = 0;
  ask_at = {};
  const uint64_t bytes_sent = status.bytes_sent;
  status = {};
  status.bytes_sent = bytes_sent;
  base::Status begun = CheckMessage(message);
  if (begun.ok()) begun = CheckTerm(message.term_known);
  if (begun.ok()) begun = message.seed_id == 0 ? Begin() : Resume(message);
  if (!begun.ok()) {
    Fail(begun.WithContext(fmt::format("seeding {} to {}", options.database_name, options.peer)));
    return;
  }
  window_bytes = message.window_bytes;
  base_page_size = message.base_page_size;
  start_only = message.start_only;
  ask_chunk = message.next_chunk;
  status.seed_id = layout.seed_id;
  status.chunks = layout.chunks();
  status.chunks_sent = status.chunks_durable = message.next_chunk;
  status.page_bytes_total = uint64_t{layout.pages} * layout.page_size;
  status.page_bytes_done =
      std::min(status.page_bytes_total,
               uint64_t{message.next_chunk} * layout.chunk_pages * layout.page_size);
}

base::Status SeedSource::Core::CheckTerm(base::Term known) {
  if (known <= options.term) return {};
  if (options.passive) {
    return base::Unavailable(
        fmt::format("this server's copy has heard of term {} at most, but {} knows term {}",
                    options.term.value, options.peer, known.value));
  }
  fenced_by = known;
  return base::Fenced(fmt::format("this server's copy is mounted in term {}, but {} knows term {}",
                                  options.term.value, options.peer, known.value));
}

void SeedSource::Core::Hold(const log::LogEnd& from) {
  log.SetHold(
      {HoldName(options.peer),
       fmt::format("the copy on {} is being seeded and needs the log after {}; goes away when "
                   "the seed is complete or given up",
                   options.peer, ToString(from.position)),
       from.position.seq});
}

base::Status SeedSource::Core::Begin() {
  if (options.passive) {
    return base::InvalidArgument("a passive copy cannot say where a seed starts");
  }
  const base::Position durable = log.durable();
  if (durable.seq.value == 0) {
    return base::Unavailable("nothing was captured from the active copy yet; try again soon");
  }
  ASSIGN_OR_RETURN(const log::LogEnd start, log.StateAt(durable.seq));
  Hold(start);
  layout = {};
  layout.database = options.database;
  layout.seed_id = env.Random() | 1;
  layout.page_size = start.page_size;
  layout.pages = start.pages;
  layout.chunk_pages = static_cast<uint32_t>(
      std::max<size_t>(1, std::min(options.chunk_bytes, kSeedChunkBytesMax) / start.page_size));
  layout.start = start;
  SeedStart message;
  message.database = options.database;
  message.request = request;
  message.seed_id = layout.seed_id;
  message.page_size = layout.page_size;
  message.pages = layout.pages;
  message.chunk_pages = layout.chunk_pages;
  message.start = start;
  outgoing = std::move(message);
  status.state = State::kStarting;
  return {};
}

base::Status SeedSource::Core::Resume(const SeedRequest& message) {
  layout = {};
  layout.database = options.database;
  layout.seed_id = message.seed_id;
  layout.page_size = message.page_size;
  layout.pages = message.pages;
  layout.chunk_pages = message.chunk_pages;
  if (message.next_chunk > layout.chunks()) {
    return base::InvalidArgument(fmt::format("the seed has {} chunks, but chunk {} was asked for",
                                             layout.chunks(), message.next_chunk));
  }
  if (log.end().page_size != message.page_size) {
    return base::Diverged(fmt::format("the seed has pages of {} bytes, the database of {}",
                                      message.page_size, log.end().page_size));
  }
  RETURN_IF_ERROR(CheckGoesOn(message.have));
  status.state = State::kChunks;
  return {};
}

base::Status SeedSource::Core::CheckGoesOn(const log::LogEnd& have) {
  if (options.passive) {
    const base::Status same = CheckCopyPosition(log, have);
    // Log that is no longer here is none that this seed wants from us.
    if (same.ok() || same.code() == base::Code::kLogGap) return {};
    return base::Unavailable("this passive copy cannot give its pages now: " + same.message());
  }
  Hold(have);
  base::Status possible = CheckCopyPosition(log, have);
  if (possible.ok()) return {};
  log.ReleaseHold(HoldName(options.peer));
  return possible.WithContext("this seed cannot go on");
}

void SeedSource::Core::OnHashes(SeedHashes&& message) {
  if (message.request != request || message.seed_id != layout.seed_id ||
      status.state == State::kIdle || status.state == State::kFailed) {
    return;
  }
  if (!resync()) return;
  const base::Status added = hashes.Add(std::move(message), layout, ask_chunk);
  if (!added.ok()) Fail(added);
}

void SeedSource::Core::OnAck(const SeedAck& message) {
  if (message.request != request || message.seed_id != layout.seed_id ||
      status.state == State::kIdle || status.state == State::kFailed) {
    return;
  }
  if (message.consumed_bytes > sent_bytes || message.next_chunk > status.chunks_sent) {
    Fail(base::InvalidArgument(
        fmt::format("a SeedAck says {} bytes and chunk {}, but only {} bytes "
                    "and {} chunks were sent",
                    message.consumed_bytes, message.next_chunk, sent_bytes, status.chunks_sent)));
    return;
  }
  consumed_bytes = std::max(consumed_bytes, message.consumed_bytes);
  status.in_flight_bytes = sent_bytes - consumed_bytes;
  status.chunks_durable = std::max(status.chunks_durable, message.next_chunk);
  status.page_bytes_done =
      std::min(status.page_bytes_total,
               uint64_t{status.chunks_durable} * layout.chunk_pages * layout.page_size);
}

bool SeedSource::Core::Flush() {
  if (!outgoing) return true;
  if (!channel.TrySend(std::move(*outgoing))) return false;
  outgoing.reset();
  if (status.state == State::kStarting) {
    status.state = start_only ? State::kHolding : State::kChunks;
  }
  return true;
}

base::Status SeedSource::Core::AskPages(base::SteadyTime now) {
  if (asked || taken || ask_chunk >= layout.chunks() || now < ask_at) return {};
  const base::Status requested =
      pages.Request(layout.FirstPage(ask_chunk), layout.PagesOf(ask_chunk));
  if (requested.ok()) {
    asked = true;
    return {};
  }
  if (!IsTransient(requested) || ++busy > kBusyRetriesMax) return requested;
  ask_at = now + kBusyRetry;
  return {};
}

base::Status SeedSource::Core::TakePages(base::SteadyTime now) {
  if (!asked || taken) return {};
  auto answer = pages.TryTake();
  if (answer.ok() && !*answer) return {};
  asked = false;
  if (std::exchange(asked_stale, false)) return {};
  if (!answer.ok()) {
    if (!IsTransient(answer.status()) || ++busy > kBusyRetriesMax) return answer.status();
    ask_at = now + kBusyRetry;
    return {};
  }
  if (options.passive && IsBeforeStart(**answer)) {
    const std::string at = ToString((*answer)->at.position);
    if (++busy > kBusyRetriesMax) {
      return base::Unavailable(fmt::format("replay here is at {}, and does not reach {}", at,
                                           ToString(layout.start.position)));
    }
    ask_at = now + kBusyRetry;
    return {};
  }
  busy = 0;
  taken = std::move(**answer);
  return CheckPages();
}

base::Status SeedSource::Core::CheckPages() const {
  if (taken->at.page_size != layout.page_size) {
    return base::Diverged(fmt::format("the database's page size changed from {} to {}",
                                      layout.page_size, taken->at.page_size));
  }
  if (taken->first_page != layout.FirstPage(ask_chunk) ||
      taken->page_count > layout.PagesOf(ask_chunk) ||
      taken->images.size() != size_t{taken->page_count} * layout.page_size ||
      IsBeforeStart(*taken)) {
    return base::Internal(fmt::format(
        "{} pages from page {} at {} are not what was asked for as "
        "chunk {}",
        taken->page_count, taken->first_page.value, ToString(taken->at.position), ask_chunk));
  }
  return {};
}

void SeedSource::Core::Pack() {
  SeedChunk chunk;
  chunk.database = options.database;
  chunk.request = request;
  chunk.seed_id = layout.seed_id;
  chunk.chunk = ask_chunk;
  chunk.first_page = taken->first_page;
  chunk.page_count = taken->page_count;
  chunk.at = taken->at.position;
  const std::vector<uint64_t> theirs = resync() ? hashes.Take() : std::vector<uint64_t>();
  packer.Pack(std::move(taken->images), layout.page_size, theirs, options.zstd_level, chunk);
  ready = std::move(chunk);
  taken.reset();
  ++ask_chunk;
}

void SeedSource::Core::SendChunk(base::SteadyTime now) {
  const uint64_t bytes = ready->pages_zstd.size();
  if (options.rate != nullptr) options.rate->Take(bytes, now);
  sent_bytes += bytes;
  status.bytes_sent += bytes;
  status.in_flight_bytes = sent_bytes - consumed_bytes;
  ++status.chunks_sent;
  outgoing = std::move(*ready);
  ready.reset();
}

base::Status SeedSource::Core::SendEnd() {
  ASSIGN_OR_RETURN(const log::LogEnd at, log.StateAt(log.durable().seq));
  SeedEnd message;
  message.database = options.database;
  message.request = request;
  message.seed_id = layout.seed_id;
  message.at = at;
  outgoing = std::move(message);
  status.state = State::kWaiting;
  return {};
}

// The log copier's hold has taken over: ours would only keep more.
void SeedSource::Core::ReleaseHoldIfReplaced() {
  if (options.passive) {
    status.state = State::kDone;
    return;
  }
  const std::string copier = fmt::format("passive {}", options.peer);
  for (const log::Hold& hold : log.holds()) {
    if (hold.name != copier) continue;
    log.ReleaseHold(HoldName(options.peer));
    status.state = State::kDone;
    return;
  }
}

base::Status SeedSource::Core::Step(base::SteadyTime now, RunResult& result) {
  RETURN_IF_ERROR(TakePages(now));
  if (MayPack()) {
    if (log.durable().seq >= taken->at.position.seq) {
      Pack();
      result.worked = true;
    } else {
      result.Sooner(now + kDurablePoll);
    }
  }
  RETURN_IF_ERROR(AskPages(now));
  if (asked) result.Sooner(now + kPagesPoll);
  if (ask_at > now) result.Sooner(ask_at);
  if (ready && WindowIsOpen()) {
    const base::SteadyTime at = options.rate != nullptr ? options.rate->ReadyAt() : now;
    if (at > now) {
      result.Sooner(at);
    } else {
      SendChunk(now);
      result.worked = true;
    }
  }
  if (!outgoing && !ready && status.chunks_sent == status.chunks) {
    status.state = State::kEnding;
    RETURN_IF_ERROR(SendEnd());
    result.worked = true;
  }
  return {};
}

RunResult SeedSource::RunOnce(base::SteadyTime now) {
  Core& core = *core_;
  RunResult result;
  if (core.channel.closed()) return result;
  if (!core.Flush()) {
    result.Sooner(now + kChannelFullRetry);
    return result;
  }
  if (core.status.state == State::kChunks) {
    if (const base::Status stepped = core.Step(now, result); !stepped.ok()) {
      core.Fail(stepped.WithContext(
          fmt::format("seeding {} to {}", core.options.database_name, core.options.peer)));
      result.worked = true;
    }
    if (!core.Flush()) result.Sooner(now + kChannelFullRetry);
  }
  const bool all_there =
      core.status.state == State::kWaiting && core.status.chunks_durable == core.status.chunks;
  if (all_there || core.status.state == State::kHolding) {
    core.ReleaseHoldIfReplaced();
    if (core.status.state != State::kDone) result.Sooner(now + kBusyRetry);
  }
  return result;
}

}  // namespace understudy::ship
