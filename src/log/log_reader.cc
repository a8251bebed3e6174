// SPDX-License-Identifier: Apache-2.0
// LogReader: follows the durable part of a log while it grows, and while parts are dropped under
// it.
#include <fmt/format.h>

#include "log/log_store_state.h"

namespace understudy::log {
namespace {

// A reader that looked for its place this often without finding it gives up (each miss means that
// Truncate or DropIncomplete ran in between).
constexpr int kPlacesMax = 100;
// Calls of Next with nothing new after which a reader gives its descriptor back.
constexpr int kIdleCallsMax = 16;

}  // namespace

using base::MutexLock;
using base::Result;
using base::Status;

struct LogReader::State {
  State(LogStore::State& s, base::Seq seq) : store(s), after(seq) {}

  // What the store says about the generation that is being read.
  struct View {
    bool present = false;
    uint64_t limit = 0;                    // durable bytes
    std::optional<base::Generation> next;  // the generation after it, if it is closed
    uint64_t drop_count = 0;
  };

  enum class Step { kPart, kAgain, kNothing };

  View Look() const;
  Result<bool> FindPlace();
  Status EnterFile(base::Generation number, RecordChain* before);
  Status EnterNext(base::Generation next);
  Result<Step> Advance(std::optional<Item>& item);
  Status Damaged(const Status& why) const;

  LogStore::State& store;
  base::Seq after;      // records up to here were returned, or were not asked for
  bool placed = false;  // generation, chain, offset and drop_count are set
  base::Generation generation{};
  std::unique_ptr<env::File> file;  // null: open it when needed
  PartStream stream{nullptr, 0};
  uint64_t offset = 0;  // of the next part
  RecordChain chain;
  uint64_t drop_count = 0;
  int idle_calls = 0;
};

LogReader::State::View LogReader::State::Look() const {
  MutexLock lock(store.mutex);
  View view;
  view.drop_count = store.drop_count;
  const std::optional<size_t> at = store.Find(generation);
  if (!at) return view;
  view.present = true;
  view.limit = store.index[*at].durable_bytes;
  if (*at + 1 < store.index.size()) view.next = store.index[*at + 1].number;
  return view;
}

Status LogReader::State::Damaged(const Status& why) const {
  if (why.code() != base::Code::kCorruption) return why;
  return base::Corruption(fmt::format("{} is damaged at offset {} (last good position {}): {}",
                                      store.PathOf(generation), offset,
                                      base::ToString(chain.end().position), why.message()));
}

Status LogReader::State::EnterFile(base::Generation number, RecordChain* before) {
  generation = number;
  offset = kGenerationHeaderBytes;
  ASSIGN_OR_RETURN(file, store.env.Open(store.PathOf(number), env::OpenMode::kRead));
  stream.Seek(file.get(), offset);
  Result<GenerationHeader> header = ReadGenerationHeader(*file);
  if (!header.ok()) return header.status().WithContext(store.PathOf(number));
  if (header->number != number || header->database != store.options.database) {
    return base::Corruption(store.PathOf(number) + ": its header belongs to another file");
  }
  *before = header->before;
  return Status();
}

// Goes to the start of the newest generation from which nothing after `after` is missed. False when
// the log is still empty.
Result<bool> LogReader::State::FindPlace() {
  for (int attempt = 0; attempt < kPlacesMax; ++attempt) {
    base::Generation number;
    {
      MutexLock lock(store.mutex);
      if (store.index.empty()) return false;
      const GenerationEntry* const entry = store.EntryToReadAfter(after);
      if (entry == nullptr) {
        return base::LogGap(fmt::format("log {} begins after record {}; records after {} are gone",
                                        store.options.directory,
                                        store.index.front().seq_before.value, after.value));
      }
      number = entry->number;
      drop_count = store.drop_count;
    }
    const Status status = EnterFile(number, &chain);
    if (status.ok()) {
      placed = true;
      return true;
    }
    const View view = Look();
    if (view.present && view.drop_count == drop_count) return status;
  }
  return base::Unavailable("log " + store.options.directory +
                           " changes faster than a reader can find its place in it");
}

// The current file is read to its end: the next one's header must say the state that we have.
Status LogReader::State::EnterNext(base::Generation next) {
  RecordChain before;
  RETURN_IF_ERROR(EnterFile(next, &before));
  if (before.SamePlace(chain)) return Status();
  return base::Corruption(
      fmt::format("it continues from {}, which the generation before does not end with",
                  base::ToString(before.end().position)));
}

Result<LogReader::State::Step> LogReader::State::Advance(std::optional<Item>& item) {
  if (!placed) {
    ASSIGN_OR_RETURN(const bool found, FindPlace());
    if (!found) return Step::kNothing;
  }
  const View view = Look();
  if (!view.present || view.drop_count != drop_count) {
    placed = false;
    return Step::kAgain;
  }
  if (offset >= view.limit && !view.next) {
    stream.ReleaseMemory();
    if (++idle_calls >= kIdleCallsMax) file.reset();
    return Step::kNothing;
  }
  idle_calls = 0;
  Status status;
  std::optional<RecordPart> part;
  if (file == nullptr) {
    const uint64_t place = offset;
    RecordChain ignored;
    status = EnterFile(generation, &ignored);
    offset = place;
    stream.Seek(file.get(), offset);
  }
  if (status.ok()) {
    auto next = stream.Next(view.limit);
    status = next.status();
    if (next.ok()) part = std::move(next).value();
  }
  const bool ended = status.ok() && !part;
  if (ended && !view.next) status = base::Corruption("zeros where a record part should be");
  if (ended && view.next) status = EnterNext(*view.next);
  if (part) {
    status = part->header.database == store.options.database
                 ? chain.Check(part->header)
                 : base::Corruption("a part of another database");
    if (!status.ok()) status = base::Corruption(status.message());
  }
  // What was read while parts were dropped, or while the file was removed, does not count.
  const View now = Look();
  if (now.drop_count != drop_count || (!status.ok() && !now.present)) {
    placed = false;
    return Step::kAgain;
  }
  if (!status.ok()) {
    placed = false;
    return Damaged(status);
  }
  if (!part) return Step::kAgain;
  chain.Advance(part->header, PartCrc(part->bytes), generation);
  offset = stream.offset();
  if (part->header.seq_last <= after) return Step::kAgain;
  if (part->header.last()) after = part->header.seq_last;
  item = Item{.generation = generation, .part = std::move(*part)};
  return Step::kPart;
}

LogReader::LogReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
LogReader::~LogReader() = default;

Result<std::optional<LogReader::Item>> LogReader::Next() {
  std::optional<Item> item;
  while (
      true) {  // ends: every turn reads a part, enters a later file, or follows a change of the log
    ASSIGN_OR_RETURN(const State::Step step, state_->Advance(item));
    if (step != State::Step::kAgain) return item;
  }
}

Result<std::unique_ptr<LogReader>> LogStore::ReadAfter(base::Seq after) {
  State& s = *state_;
  {
    MutexLock lock(s.mutex);
    const base::Position end = s.chain.end().position;
    if (after > end.seq && !s.chain.empty()) {
      return base::NotFound(fmt::format("log {} ends at {}: there is nothing after seq {} yet",
                                        s.options.directory, base::ToString(end), after.value));
    }
    if (!s.index.empty() && s.EntryToReadAfter(after) == nullptr) {
      return base::LogGap(fmt::format("log {} begins after record {}; records after {} are gone",
                                      s.options.directory, s.index.front().seq_before.value,
                                      after.value));
    }
  }
  auto state = std::make_unique<LogReader::State>(s, after);
  return std::unique_ptr<LogReader>(new LogReader(std::move(state)));
}

}  // namespace understudy::log
