// SPDX-License-Identifier: Apache-2.0
// KnownGroup: the registry for those who only look, and for backups: what it has; while the
// coordinator does not answer, what it had when this server last read it.
//
// A server that is cut off from the coordinator still has whole copies, and people who want to see
// and back them up: that must not fail because nobody can be asked who is active. What changes the
// group, or decides who is active, reads the registry itself.
//
// One object lives as long as one command: the first read that gets no answer is the last one that
// is tried. Threading: confined to the command's thread. Errors: the registry's; the coordinator's
// where this server never read the registry.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "cluster/registry.h"
#include "server/context.h"
#include "server/group_cache.h"

namespace understudy::server {

class KnownGroup {
 public:
  // The coordinator is not asked if it has been silent for so long.
  static constexpr base::Duration kSilenceMax = std::chrono::seconds(5);

  // Both are borrowed.
  KnownGroup(const ServerContext& context, const GroupCache& cache);

  base::Result<std::vector<cluster::DatabaseRecord>> Databases();
  base::Result<cluster::DatabaseRecord> FindDatabase(const std::string& name);
  base::Result<std::vector<cluster::ServerRecord>> Servers();
  base::Result<cluster::ServerRecord> FindServer(const std::string& name);
  base::Result<std::vector<cluster::CopyStatusRecord>> Statuses();
  base::Result<std::set<std::string>> Maintenance();
  base::Result<cluster::GroupSettings> Settings();
  base::Result<cluster::PlansView> Plans();

  // Why the coordinator is not asked (any more); OK: everything is as it is now.
  const base::Status& away() const { return away_; }
  // What an answer says of it: milliseconds since the coordinator answered; 0: it answers.
  int64_t silence_ms() const;

 private:
  template <typename T>
  base::Result<T> Read(base::Result<T> (cluster::Registry::*ask)(), T web::GroupView::* known);
  template <typename T, typename Ask>
  base::Result<T> ReadWith(const Ask& ask, T web::GroupView::* known);

  const ServerContext& context_;
  const GroupCache& cache_;
  base::Status away_;
};

}  // namespace understudy::server
