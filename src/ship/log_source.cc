// SPDX-License-Identifier: Apache-2.0
#include "ship/log_source.h"

#include <fmt/format.h>

#include <algorithm>

#include "ship/position_check.h"

namespace understudy::ship {
namespace {

constexpr base::Duration kChannelFullRetry = std::chrono::milliseconds(10);
constexpr uint32_t kSkipPartsPerRun = 64;

uint32_t CrcOf(base::ByteView part) {
  return base::LoadLe<uint32_t>(part.data() + part.size() - sizeof(uint32_t));
}

}  // namespace

struct LogSource::Core {
  struct Held {
    base::Generation generation;
    base::Bytes bytes;
    base::Position position;  // of the record
    bool last = false;
  };

  Core(const Options& o, log::LogStore& l, Channel& c) : options(o), log(l), channel(c) {}

  void OnSubscribe(const Subscribe& message);
  base::Status Accept(const Subscribe& message);
  void OnAck(const Ack& message);
  void Refuse(const base::Status& why, uint64_t for_request);
  bool Flush();
  base::Result<bool> Skip();
  base::Result<std::optional<Held>> Next();
  base::Result<size_t> Fill();
  void SetMode(ShipMode mode);
  Parts Envelope();
  RunResult Run(base::SteadyTime now);

  const Options options;
  log::LogStore& log;
  Channel& channel;
  Status status;
  std::optional<base::Term> fenced_by;

  // Of the current Subscribe.
  uint64_t request = 0;
  base::Seq after;
  std::unique_ptr<log::LogReader> reader;
  uint32_t skip_parts = 0;  // the copier holds these of its incomplete record already …
  uint32_t skip_crc = 0;    // … if the last of them has this CRC
  uint32_t skipped = 0;
  uint64_t sent_bytes = 0;
  uint64_t consumed_bytes = 0;

  std::optional<Held> held;         // read from the log, not yet in a message
  std::optional<Message> outgoing;  // the channel was full
  base::Position filled;            // what `sent` becomes once `outgoing` is gone
  bool more = false;                // Fill stopped although the log has more
  base::WallTime end_time;
};

LogSource::LogSource(const Options& options, log::LogStore& log, Channel& channel)
    : core_(std::make_unique<Core>(options, log, channel)) {}
LogSource::~LogSource() = default;

std::string LogSource::HoldName(std::string_view peer) { return fmt::format("passive {}", peer); }

log::Hold LogSource::HoldFor(std::string_view peer, base::Position durable) {
  return {HoldName(peer),
          fmt::format("the passive copy on {} has copied up to {}; goes on as it copies more, and "
                      "away when that copy is removed",
                      peer, ToString(durable)),
          durable.seq};
}

std::optional<base::Term> LogSource::fenced_by() const { return core_->fenced_by; }
const LogSource::Status& LogSource::status() const { return core_->status; }

void LogSource::OnMessage(Message&& message, base::SteadyTime /*now*/) {
  if (DatabaseOf(message) != core_->options.database) return;
  if (const auto* subscribe = std::get_if<Subscribe>(&message)) {
    core_->OnSubscribe(*subscribe);
  } else if (const auto* ack = std::get_if<Ack>(&message)) {
    core_->OnAck(*ack);
  } else if (std::holds_alternative<Unsubscribe>(message)) {
    core_->reader.reset();
    core_->held.reset();
    core_->outgoing.reset();
    core_->status.state = State::kIdle;
  }
}

RunResult LogSource::RunOnce(base::SteadyTime now) { return core_->Run(now); }

void LogSource::Core::Refuse(const base::Status& why, uint64_t for_request) {
  reader.reset();
  held.reset();
  status.state = State::kRefused;
  status.last_refusal = why;
  Refused refused;
  refused.database = options.database;
  refused.request = for_request;
  refused.code = why.code();
  refused.message = why.message().substr(0, kRefusedMessageBytesMax);
  refused.term = options.term;
  outgoing = std::move(refused);
}

void LogSource::Core::OnSubscribe(const Subscribe& message) {
  ++status.subscribes;
  reader.reset();
  held.reset();
  outgoing.reset();
  base::Status accepted = CheckMessage(message);
  if (accepted.ok()) accepted = Accept(message);
  if (!accepted.ok()) {
    Refuse(
        accepted.WithContext(fmt::format("copying {} to {}", options.database_name, options.peer)),
        message.request);
    return;
  }
  request = message.request;
  after = message.have.position.seq;
  skip_parts = message.incomplete_parts;
  skip_crc = message.incomplete_last_crc;
  skipped = 0;
  sent_bytes = consumed_bytes = 0;
  more = true;
  status.state = State::kSending;
  status.mode = ShipMode::kFile;
  status.window_bytes = message.window_bytes;
  status.in_flight_bytes = 0;
  status.sent = status.received = status.durable = filled = message.have.position;
  outgoing = Envelope();  // the answer: accepted
}

base::Status LogSource::Core::Accept(const Subscribe& message) {
  if (message.term_known > options.term) {
    fenced_by = message.term_known;
    return base::Fenced(
        fmt::format("this server's copy is mounted in term {}, but {} knows term {}",
                    options.term.value, options.peer, message.term_known.value));
  }
  // The hold comes first: what is checked and opened below must not be truncated in between.
  const log::Hold hold = HoldFor(options.peer, message.have.position);
  std::optional<log::Hold> before;
  for (const log::Hold& existing : log.holds()) {
    if (existing.name == hold.name) before = existing;
  }
  log.SetHold(hold);
  base::Status accepted = CheckCopyPosition(log, message.have);
  if (accepted.ok()) {
    auto opened = log.ReadAfter(message.have.position.seq);
    if (opened.ok()) {
      reader = std::move(opened).value();
      return {};
    }
    accepted = opened.status();
  }
  // A copy that needs a seed has no use for our log; in other cases nothing changes.
  log.ReleaseHold(hold.name);
  if (accepted.code() != base::Code::kLogGap && before) log.SetHold(*before);
  return accepted;
}

void LogSource::Core::OnAck(const Ack& message) {
  if (status.state != State::kSending || message.request != request) return;
  base::Status valid = CheckMessage(message);
  if (valid.ok() && (message.consumed_bytes > sent_bytes || message.received.seq > filled.seq)) {
    valid = base::InvalidArgument(fmt::format(
        "an Ack says {} bytes and {}, but only {} bytes and {} were sent", message.consumed_bytes,
        ToString(message.received), sent_bytes, ToString(filled)));
  }
  if (!valid.ok()) {
    Refuse(valid, request);
    return;
  }
  consumed_bytes = std::max(consumed_bytes, message.consumed_bytes);
  status.in_flight_bytes = sent_bytes - consumed_bytes;
  status.received = std::max(status.received, message.received);
  status.replayed = message.replayed;
  if (message.durable.seq > status.durable.seq) {
    status.durable = message.durable;
    log.SetHold(HoldFor(options.peer, message.durable));
  }
}

void LogSource::Core::SetMode(ShipMode mode) {
  if (status.mode != mode) ++status.mode_switches;
  status.mode = mode;
}

Parts LogSource::Core::Envelope() {
  Parts parts;
  parts.database = options.database;
  parts.request = request;
  parts.mode = status.mode;
  parts.source_term = options.term;
  const log::LogEnd end = log.end();
  parts.source_end = log.durable();
  if (end.position == parts.source_end) end_time = end.commit_time;
  parts.source_end_time = end_time;
  return parts;
}

// True when nothing waits for the channel any more.
bool LogSource::Core::Flush() {
  if (!outgoing) return true;
  if (!channel.TrySend(std::move(*outgoing))) return false;
  outgoing.reset();
  ++status.messages_sent;
  status.sent = filled;
  return true;
}

// Reads over the parts that the copier has. True once done.
base::Result<bool> LogSource::Core::Skip() {
  for (uint32_t i = 0; i < kSkipPartsPerRun && skipped < skip_parts; ++i) {
    ASSIGN_OR_RETURN(const auto item, reader->Next());
    const bool fits = item && item->part.header.part == skipped && !item->part.header.last() &&
                      (skipped + 1 < skip_parts || CrcOf(item->part.bytes) == skip_crc);
    if (!fits) {
      // Not the parts that the copier holds (or fewer): from part 0 on.
      skip_parts = 0;
      ASSIGN_OR_RETURN(reader, log.ReadAfter(after));
      return true;
    }
    ++skipped;
  }
  return skipped >= skip_parts;
}

base::Result<std::optional<LogSource::Core::Held>> LogSource::Core::Next() {
  if (held) return std::exchange(held, std::nullopt);
  ASSIGN_OR_RETURN(const auto item, reader->Next());
  if (!item) return std::optional<Held>();
  Held next;
  next.generation = item->generation;
  next.bytes.assign(item->part.bytes.begin(), item->part.bytes.end());
  next.position = item->part.header.position();
  next.last = item->part.header.last();
  return std::optional(std::move(next));
}

// Makes the next message; returns its bytes of parts, 0 when there is nothing (yet).
base::Result<size_t> LogSource::Core::Fill() {
  Parts message = Envelope();
  size_t bytes = 0;
  more = false;
  base::Position end = filled;
  while (message.parts.size() < kPartsCountMax && bytes < kMessageBytesTarget) {
    ASSIGN_OR_RETURN(auto next, Next());
    if (!next) break;
    const uint64_t in_flight = sent_bytes - consumed_bytes + bytes + next->bytes.size();
    const bool other = !message.parts.empty() && (next->generation != message.generation ||
                                                  bytes + next->bytes.size() > kPartsBytesMax);
    if (in_flight > status.window_bytes || other) {
      held = std::move(next);
      more = true;
      break;
    }
    message.generation = next->generation;
    bytes += next->bytes.size();
    if (next->last) end = next->position;
    message.parts.push_back(std::move(next->bytes));
  }
  if (bytes == 0) return bytes;
  if (bytes >= kMessageBytesTarget || message.parts.size() == kPartsCountMax) more = true;
  sent_bytes += bytes;
  status.bytes_sent += bytes;
  status.in_flight_bytes = sent_bytes - consumed_bytes;
  filled = end;
  outgoing = std::move(message);
  return bytes;
}

RunResult LogSource::Core::Run(base::SteadyTime now) {
  RunResult result;
  if (channel.closed()) return result;
  size_t budget = kRunBytesMax;
  while (true) {
    if (outgoing && !Flush()) {
      if (status.state == State::kSending && more) SetMode(ShipMode::kFile);
      result.Sooner(now + kChannelFullRetry);
      return result;
    }
    if (status.state != State::kSending) return result;
    if (budget == 0) break;
    if (skipped < skip_parts) {
      const auto done = Skip();
      if (!done.ok()) {
        Refuse(done.status(), request);
        continue;
      }
      if (!*done) break;
    }
    const auto filled_bytes = Fill();
    if (!filled_bytes.ok()) {
      Refuse(filled_bytes.status().WithContext(
                 fmt::format("reading the log of {}", options.database_name)),
             request);
      continue;
    }
    if (*filled_bytes == 0) {
      // Nothing to send: caught up, or the window is full.
      SetMode(more ? ShipMode::kFile : ShipMode::kBlock);
      return result;
    }
    result.worked = true;
    budget -= std::min(budget, *filled_bytes);
  }
  result.worked = true;
  return result;
}

}  // namespace understudy::ship
