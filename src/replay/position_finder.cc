// SPDX-License-Identifier: Apache-2.0
#include "replay/position_finder.h"

#include <fmt/format.h>

#include <unordered_set>

#include "base/diag.h"

namespace understudy::replay {
namespace {

using base::PageNo;
using base::Result;
using base::Seq;
using base::Status;

// What the file has of one page, compared with what the log says.
struct Touched {
  uint64_t actual = 0;   // the hash of the image in the file; 0 when the file is shorter
  bool matched = false;  // some record's image (or the checkpoint's) has that hash …
  Seq version;           // … and this is the newest such record
  bool in_log = false;   // records after the checkpoint have it
};

class Search {
 public:
  Search(log::LogStore& log, const log::Checkpoint& checkpoint, sqlite::PassiveWal& wal)
      : log_(log), checkpoint_(checkpoint), wal_(wal), image_(wal.page_size()) {}

  // Compares all complete records after the checkpoint with the file.
  Status Walk();
  // The newest boundary that all pages touched up to it agree with.
  const std::optional<log::LogEnd>& newest() const { return newest_; }
  // The first touched page that differs from `table`, if any.
  std::optional<PageNo> FirstDifference(const log::PageTable& table) const;
  // The first page whose content is neither the checkpoint's nor of any record.
  Result<std::optional<PageNo>> FirstForeignPage();
  // kCorruption when it cannot be mended.
  Result<FoundPosition> Mixture() const;

 private:
  Result<uint64_t> HashInFile(PageNo page);
  Result<Touched*> Touch(PageNo page);
  Status CompareWal();
  Status Compare(const log::Entry& entry, Seq seq);
  void EndRecord(const log::LogReader::Item& item);

  log::LogStore& log_;
  const log::Checkpoint& checkpoint_;
  sqlite::PassiveWal& wal_;
  base::Bytes image_;
  uint32_t pages_ = 0;  // after the last record seen
  std::unordered_map<PageNo, Touched> touched_;
  std::unordered_set<PageNo> differing_;  // from the last record seen
  std::optional<log::LogEnd> newest_;
};

Result<uint64_t> Search::HashInFile(PageNo page) {
  if (page.value > wal_.pages()) return uint64_t{0};
  RETURN_IF_ERROR(wal_.ReadPage(page, image_));
  return log::HashPage(page, image_);
}

Result<Touched*> Search::Touch(PageNo page) {
  const auto [place, is_new] = touched_.try_emplace(page);
  Touched& touched = place->second;
  if (is_new) {
    ASSIGN_OR_RETURN(touched.actual, HashInFile(page));
    touched.matched = touched.actual == checkpoint_.table.HashOf(page);
    touched.version = checkpoint_.at.position.seq;
  }
  return &touched;
}

// Pages in the WAL are looked at even if no record has them: should the disk have lied about a
// sync, they may be older than the checkpoint.
Status Search::CompareWal() {
  ASSIGN_OR_RETURN(const auto pages, wal_.PagesInWal());
  for (const PageNo page : pages) {
    ASSIGN_OR_RETURN(const Touched* const touched, Touch(page));
    if (!touched->matched && page.value <= checkpoint_.table.pages()) differing_.insert(page);
  }
  return Status();
}

Status Search::Compare(const log::Entry& entry, Seq seq) {
  ASSIGN_OR_RETURN(Touched* const touched, Touch(entry.page));
  touched->in_log = true;
  if (touched->actual == entry.hash) {
    touched->matched = true;
    touched->version = seq;
    differing_.erase(entry.page);
  } else {
    differing_.insert(entry.page);
  }
  return Status();
}

void Search::EndRecord(const log::LogReader::Item& item) {
  const uint32_t pages_after = item.part.header.pages_after;
  if (pages_after < pages_)
    std::erase_if(differing_, [&](PageNo page) { return page.value > pages_after; });
  pages_ = pages_after;
  if (differing_.empty() && pages_after == wal_.pages())
    newest_ = log::EndAfter(item.part.header, item.generation);
}

Status Search::Walk() {
  pages_ = checkpoint_.table.pages();
  RETURN_IF_ERROR(CompareWal());
  if (pages_ == wal_.pages() && differing_.empty()) newest_ = checkpoint_.at;
  ASSIGN_OR_RETURN(const auto reader, log_.ReadAfter(checkpoint_.at.position.seq));
  for (;;) {  // ends at the durable end of the log
    ASSIGN_OR_RETURN(const auto item, reader->Next());
    if (!item) return Status();
    for (const log::Entry& entry : item->part.entries)
      RETURN_IF_ERROR(Compare(entry, item->part.header.seq_last));
    if (item->part.header.last()) EndRecord(*item);
  }
}

std::optional<PageNo> Search::FirstDifference(const log::PageTable& table) const {
  std::optional<PageNo> first;
  for (const auto& [page, touched] : touched_) {
    if (page.value <= table.pages() && touched.actual != table.HashOf(page) &&
        (!first || page < *first)) {
      first = page;
    }
  }
  return first;
}

Result<std::optional<PageNo>> Search::FirstForeignPage() {
  for (uint32_t number = 1; number <= wal_.pages(); ++number) {
    const PageNo page(number);
    const uint64_t expected = checkpoint_.table.HashOf(page);
    const auto touched = touched_.find(page);
    if (touched != touched_.end() && !touched->second.matched) return std::optional(page);
    if (expected == 0 || touched != touched_.end()) continue;
    ASSIGN_OR_RETURN(const uint64_t actual, HashInFile(page));
    if (actual != expected) return std::optional(page);
  }
  return std::optional<PageNo>();
}

Result<FoundPosition> Search::Mixture() const {
  FoundPosition found{.at = checkpoint_.at,
                      .table = checkpoint_.table,
                      .versions = {},
                      .mixed_until = checkpoint_.at.position.seq.Next()};
  for (const auto& [page, touched] : touched_) {
    if (!touched.matched && !touched.in_log && page.value <= checkpoint_.table.pages()) {
      return base::Corruption(fmt::format(
          "page {} has content of no record, and no record will write it again", page.value));
    }
    if (!touched.matched) continue;  // only a full image can mend it; replay finds out
    found.versions.emplace(page, touched.version);
    found.mixed_until = std::max(found.mixed_until, touched.version);
  }
  return found;
}

}  // namespace

Result<FoundPosition> FindPosition(log::LogStore& log, const log::Checkpoint& checkpoint,
                                   sqlite::PassiveWal& wal, bool verify_all) {
  Search search(log, checkpoint, wal);
  RETURN_IF_ERROR(search.Walk());
  if (verify_all) {
    ASSIGN_OR_RETURN(const auto foreign, search.FirstForeignPage());
    if (foreign)
      return base::Diverged(
          fmt::format("page {} has content that is not from this log", foreign->value));
  }
  if (search.newest()) {
    log::Checkpoint rolled = checkpoint;
    const Seq to = search.newest()->position.seq;
    if (rolled.at.position.seq != to) RETURN_IF_ERROR(log::RollForward(log, rolled, to));
    if (!search.FirstDifference(rolled.table)) {
      return FoundPosition{
          .at = rolled.at, .table = std::move(rolled.table), .versions = {}, .mixed_until = {}};
    }
  }
  ASSIGN_OR_RETURN(FoundPosition mixture, search.Mixture());
  if (log.durable().seq < mixture.mixed_until) {
    return base::Diverged(fmt::format("the file has {} pages, as no record after {} leaves it",
                                      wal.pages(), base::ToString(checkpoint.at.position)));
  }
  base::Diag(
      base::DiagLevel::kWarning, "replay",
      "database file has pages of different records; replaying them again",
      {{"from", base::ToString(mixture.at.position)}, {"until_seq", mixture.mixed_until.value}});
  return mixture;
}

Result<log::Checkpoint> RebuildCheckpoint(log::LogStore& log, base::DatabaseId database,
                                          sqlite::PassiveWal& wal) {
  log::Checkpoint checkpoint{.database = database, .at = {}, .table = {}};
  base::Bytes image(wal.page_size());
  checkpoint.table.Resize(wal.pages());
  for (uint32_t number = 1; number <= wal.pages(); ++number) {
    RETURN_IF_ERROR(wal.ReadPage(PageNo(number), image));
    checkpoint.table.Set(PageNo(number), log::HashPage(PageNo(number), image));
  }
  const auto fits = [&](uint64_t checksum, uint32_t pages, uint32_t page_size) {
    return checksum == checkpoint.table.checksum() && pages == wal.pages() &&
           page_size == wal.page_size();
  };
  std::optional<log::LogEnd> newest;
  const log::LogEnd end = log.end();
  if (fits(end.checksum, end.pages, end.page_size)) newest = end;
  const Seq first = log.first_seq();
  if (!newest && first.value != 0) {
    ASSIGN_OR_RETURN(const auto reader, log.ReadAfter(Seq(first.value - 1)));
    for (;;) {  // ends at the durable end of the log
      ASSIGN_OR_RETURN(const auto item, reader->Next());
      if (!item) break;
      const log::PartHeader& header = item->part.header;
      if (header.last() && fits(header.checksum_after, header.pages_after, header.page_size))
        newest = log::EndAfter(header, item->generation);
    }
  }
  if (!newest)
    return base::Diverged("no record of the log has this database's checksum; it must be seeded");
  checkpoint.at = *newest;
  return checkpoint;
}

}  // namespace understudy::replay
