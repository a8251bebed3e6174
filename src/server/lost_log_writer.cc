// SPDX-License-Identifier: Apache-2.0
#include "server/lost_log_writer.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/diag.h"
#include "log/generation_file.h"
#include "log/page_table.h"

namespace understudy::server {
namespace {

constexpr size_t kBufferBytes = 4 << 20;
constexpr uint64_t kScanBytesPerRun = 8 << 20;
// In the header of a database in rollback-journal mode.
constexpr size_t kReadVersionOffset = log::kWriteVersionOffset + 1;
constexpr uint8_t kVersionJournal = 1;

}  // namespace

LostLogWriter::LostLogWriter(env::Env& env, Options options, std::shared_ptr<log::LogStore> log,
                             std::unique_ptr<ship::BasePages> database)
    : env_(env),
      options_(std::move(options)),
      log_(std::move(log)),
      database_(std::move(database)) {
  manifest_.id = options_.id;
  manifest_.database = options_.database;
  manifest_.database_id = options_.database_id;
  manifest_.server = options_.server;
  manifest_.created = env_.WallNow();
  manifest_.reason = options_.reason;
  manifest_.after = options_.range.after;
  manifest_.newer = options_.range.by;
  manifest_.database_left_out = options_.database_left_out;
}

LostLogWriter::~LostLogWriter() = default;

std::string LostLogWriter::bundle_directory() const {
  return env::JoinPath(lost_directory(), options_.id);
}

base::Result<bool> LostLogWriter::RunOnce() {
  base::Status done;
  switch (step_) {
    case Step::kBegin: done = Begin(); break;
    case Step::kScan: done = Scan(); break;
    case Step::kFiles: done = CopyFiles(); break;
    case Step::kDatabase: done = CopyDatabase(); break;
    case Step::kFinish: done = Finish(); break;
    case Step::kDone: break;
  }
  if (!done.ok()) return done.WithContext("saving lost log of " + options_.database);
  return step_ == Step::kDone;
}

base::Status LostLogWriter::Begin() {
  if (env::Exists(env_, bundle_directory())) {  // before a crash
    ASSIGN_OR_RETURN(manifest_, ReadLostManifest(env_, bundle_directory()));
    RETURN_IF_ERROR(env_.SyncDirectory(lost_directory()));
    step_ = Step::kDone;
    return {};
  }
  RETURN_IF_ERROR(env_.MakeDirectories(lost_directory()));
  RETURN_IF_ERROR(RemoveFlatDirectory(env_, temporary()));
  RETURN_IF_ERROR(env_.MakeDirectories(temporary()));
  RETURN_IF_ERROR(ListFiles());
  buffer_.resize(kBufferBytes);
  step_ = log_ ? Step::kScan : Step::kFiles;
  return log_ ? base::Status() : CheckSpace();
}

// The log files that hold lost records, and a reader from the first of them on.
base::Status LostLogWriter::ListFiles() {
  if (log_ == nullptr) {
    ASSIGN_OR_RETURN(const std::vector<std::string> names, env_.List(options_.log_directory));
    for (const std::string& name : names) {
      if (log::GenerationOfName(name)) names_.push_back(name);
    }
    return {};
  }
  const base::Seq first_lost = options_.range.after.seq.Next();
  const std::vector<log::GenerationInfo> generations = log_->generations();
  size_t begin = 0;
  for (size_t i = 1; i < generations.size() && generations[i].seq_first <= first_lost; ++i) {
    begin = i;
  }
  for (size_t i = begin; i < generations.size(); ++i) {
    names_.push_back(log::GenerationName(generations[i].number));
  }
  manifest_.missing = log_->first_seq() > first_lost && options_.range.by.term.value != 0;
  if (generations.empty()) return {};
  manifest_.page_size = log_->end().page_size;
  ASSIGN_OR_RETURN(reader_, log_->ReadAfter(base::Seq(generations[begin].seq_first.value - 1)));
  return {};
}

base::Status LostLogWriter::Scan() {
  for (uint64_t bytes = 0; bytes < kScanBytesPerRun;) {
    std::optional<log::LogReader::Item> item;
    if (reader_) {
      ASSIGN_OR_RETURN(item, reader_->Next());
    }
    if (!item) {
      manifest_.pages = static_cast<uint64_t>(std::count(pages_.begin(), pages_.end(), true));
      reader_.reset();
      step_ = manifest_.records > 0 ? Step::kFiles : Step::kDone;
      return step_ == Step::kDone ? RemoveFlatDirectory(env_, temporary()) : CheckSpace();
    }
    bytes += item->part.bytes.size();
    if (item->part.header.seq_last > options_.range.after.seq) Count(item->part);
  }
  return {};
}

void LostLogWriter::Count(const log::RecordPart& part) {
  manifest_.log_bytes += part.bytes.size();
  for (const log::Entry& entry : part.entries) {
    if (pages_.size() <= entry.page.value) pages_.resize(size_t{entry.page.value} + 1);
    pages_[entry.page.value] = true;
  }
  if (!part.header.last()) return;
  if (manifest_.records == 0) {
    manifest_.first = {part.header.term, part.header.seq_first};
    manifest_.first_commit = part.header.commit_time;
  }
  manifest_.last = part.header.position();
  manifest_.last_commit = part.header.commit_time;
  ++manifest_.records;
}

void LostLogWriter::LeaveDatabaseOut(const std::string& why) {
  manifest_.database_left_out = why;
  manifest_.database_bytes = 0;
  database_.reset();
}

base::Status LostLogWriter::CheckSpace() {
  uint64_t log_bytes = 0;
  for (const std::string& name : names_) {
    ASSIGN_OR_RETURN(const env::FileStat stat,
                     env_.Stat(env::JoinPath(options_.log_directory, name)));
    log_bytes += stat.size;
  }
  ASSIGN_OR_RETURN(const env::Space space, env_.FreeSpace(lost_directory()));
  if (log_bytes > space.free) {
    return base::NoSpace(
        fmt::format("the log files have {} bytes, but {} has only {} free; nothing of the copy is "
                    "replaced before they are saved",
                    log_bytes, lost_directory(), space.free));
  }
  if (!database_) return {};
  const uint64_t bytes = uint64_t{database_->pages()} * database_->page_size();
  if (bytes > options_.database_bytes_max) {
    LeaveDatabaseOut(fmt::format("it has {} bytes, more than lost.database_bytes_max = {}", bytes,
                                 options_.database_bytes_max));
  } else if (log_bytes + bytes > space.free) {
    LeaveDatabaseOut(fmt::format("it has {} bytes, but only {} were free", bytes, space.free));
  } else if (bytes == 0) {
    LeaveDatabaseOut("it has no page");
  }
  return {};
}

// A buffer of one file.
base::Status LostLogWriter::CopyFiles() {
  if (next_file_ == names_.size()) {
    step_ = database_ ? Step::kDatabase : Step::kFinish;
    return {};
  }
  const std::string& name = names_[next_file_];
  if (!to_) {
    ASSIGN_OR_RETURN(from_,
                     env_.Open(env::JoinPath(options_.log_directory, name), env::OpenMode::kRead));
    ASSIGN_OR_RETURN(to_,
                     env_.Open(env::JoinPath(temporary(), name), env::OpenMode::kCreateTruncate));
    offset_ = 0;
  }
  ASSIGN_OR_RETURN(const size_t got, from_->ReadAt(offset_, buffer_));
  RETURN_IF_ERROR(to_->WriteAt(offset_, base::ByteView(buffer_).first(got)));
  offset_ += got;
  if (got == buffer_.size()) return {};
  RETURN_IF_ERROR(to_->Sync());
  RETURN_IF_ERROR(to_->Close());
  to_.reset();
  from_.reset();
  manifest_.files.push_back({name, offset_});
  ++next_file_;
  return {};
}

// A buffer of pages.
base::Status LostLogWriter::CopyDatabase() {
  const uint32_t page_size = database_->page_size();
  const std::string path = env::JoinPath(temporary(), kLostDatabase);
  if (!to_) {
    ASSIGN_OR_RETURN(to_, env_.Open(path, env::OpenMode::kCreateTruncate));
  }
  const uint32_t count = std::min<uint32_t>(static_cast<uint32_t>(kBufferBytes / page_size),
                                            database_->pages() - next_page_.value + 1);
  const std::span<uint8_t> images = std::span(buffer_).first(size_t{count} * page_size);
  if (const base::Status read = database_->ReadPages(next_page_, count, images); !read.ok()) {
    to_.reset();
    RETURN_IF_ERROR(env_.Remove(path));
    LeaveDatabaseOut("it cannot be read: " + read.message());
    step_ = Step::kFinish;
    return {};
  }
  if (next_page_.value == 1) {
    images[log::kWriteVersionOffset] = images[kReadVersionOffset] = kVersionJournal;
  }
  RETURN_IF_ERROR(to_->WriteAt(uint64_t{next_page_.value - 1} * page_size, images));
  next_page_.value += count;
  if (next_page_.value <= database_->pages()) return {};
  RETURN_IF_ERROR(to_->Sync());
  RETURN_IF_ERROR(to_->Close());
  to_.reset();
  manifest_.database_bytes = uint64_t{database_->pages()} * page_size;
  manifest_.files.push_back({std::string(kLostDatabase), manifest_.database_bytes});
  step_ = Step::kFinish;
  return {};
}

base::Status LostLogWriter::Finish() {
  RETURN_IF_ERROR(env::WriteFileAtomically(env_, env::JoinPath(temporary(), kLostManifest),
                                           base::AsBytes(ToJson(manifest_))));
  RETURN_IF_ERROR(env_.SyncDirectory(temporary()));
  RETURN_IF_ERROR(env_.RenameNew(temporary(), bundle_directory()));
  RETURN_IF_ERROR(env_.SyncDirectory(lost_directory()));
  database_.reset();
  step_ = Step::kDone;
  return {};
}

}  // namespace understudy::server
