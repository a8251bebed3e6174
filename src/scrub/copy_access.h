// SPDX-License-Identifier: Apache-2.0
// What scrubbing needs of a copy, of the other copies of its database, and of whoever wants to hear
// about it; implemented in server/.
//
// Threading: used by the thread that runs the Scrubber. Every method may take as long as the
// implementation's own limit, a few seconds at most.
#pragma once

#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "log/log_store.h"
#include "log/page_check.h"

namespace understudy::scrub {

// One copy on this server, active or passive. kBusy, kUnavailable and kTimedOut mean "not now":
// nothing was learnt, and it is tried again.
class CopyAccess {
 public:
  virtual ~CopyAccess() = default;

  // Compares pages, as a reader sees them now, with the hashes on record.
  virtual base::Result<log::PageCheck> CheckPages(base::PageNo first, uint32_t count) = 0;
  // Writes a page so that readers and a crash leave the old or the new one. kDiverged: the hash on
  // record is no longer the image's. ENSURES: it is durable, and reads back as it should.
  virtual base::Status RepairPage(base::PageNo page, base::ByteView image) = 0;

  virtual base::Result<std::vector<log::GenerationInfo>> Generations() = 0;
  // As LogStore's.
  virtual base::Status CheckGeneration(base::Generation generation) = 0;
  virtual base::Status ReplaceGeneration(base::Generation generation, base::ByteView other) = 0;
};

// The same database's copies on other servers.
class OtherCopies {
 public:
  virtual ~OtherCopies() = default;

  struct Found {
    base::Bytes bytes;
    std::string server;
  };
  // The image of a page that has this hash: proven, not believed. kNotFound: every other copy was
  // asked and none has it; kUnavailable: not all could be asked, and those that were do not have
  // it.
  virtual base::Result<Found> FetchPage(base::PageNo page, uint64_t hash) = 0;
  // A generation's file from the `skip`th server that has it; whether it is right is seen when it
  // is put in place. Errors as FetchPage.
  virtual base::Result<Found> FetchGeneration(base::Generation generation, uint32_t skip) = 0;
};

}  // namespace understudy::scrub
