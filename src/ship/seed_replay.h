// SPDX-License-Identifier: Apache-2.0
// SeedReplay: applies the log from a seed's start on to its page file, up to the first record
// boundary where the file is one consistent state, and proves it by the checksum.
//
// That boundary is the first one at or after the position of every chunk and of SeedEnd. It depends
// on the log only, so a replay that is begun again after a crash ends at the same record.
// Threading: thread-compatible.
#pragma once

#include <memory>
#include <optional>

#include "log/log_store.h"
#include "ship/seed_file.h"
#include "ship/seed_journal.h"

namespace understudy::ship {

class SeedReplay {
 public:
  // All borrowed. REQUIRES: the journal has its end. `resumed`: an earlier replay may have written
  // to the file.
  SeedReplay(log::LogStore& log, SeedFile& file, const SeedJournal::State& seed, bool resumed);

  // Applies at most about `bytes_max` of log. True: at the boundary and proven, file cut to size;
  // false: more to do, or the log does not go far enough yet (waiting()). Errors: kLogGap (the log
  // does not begin early enough), kDiverged (checksum), kCorruption (an entry), kIoError.
  base::Result<bool> RunOnce(size_t bytes_max);

  bool waiting() const { return waiting_; }
  base::Position replayed() const { return at_.position; }
  base::Seq target() const { return target_; }
  // REQUIRES: RunOnce returned true.
  const log::LogEnd& at() const { return at_; }

 private:
  base::Status ApplyPart(const log::LogReader::Item& item);
  base::Result<bool> Prove();

  log::LogStore& log_;
  SeedFile& file_;
  const SeedJournal::State& seed_;
  const bool resumed_;
  base::Seq target_;
  std::unique_ptr<log::LogReader> reader_;
  log::LogEnd at_;
  bool in_record_ = false;
  bool waiting_ = false;
};

}  // namespace understudy::ship
