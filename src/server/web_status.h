// SPDX-License-Identifier: Apache-2.0
// WebStatus: what the web server tells of this daemon, from memory (web/status_source.h).
// Threading: thread-safe.
#pragma once

#include <string>

#include "server/context.h"
#include "server/copy_host.h"
#include "server/group_cache.h"
#include "web/status_source.h"

namespace understudy::server {

class WebStatus final : public web::StatusSource {
 public:
  // All are borrowed.
  WebStatus(const ServerContext& context, const CopyHost& host, const GroupCache& cache)
      : context_(context), host_(host), cache_(cache), started_(context.env.WallNow()) {}

  web::Snapshot Take() const override;

 private:
  // Whether it is mounted here and this server may have it mounted, at this very moment.
  bool IsWritable(base::DatabaseId id) const;

  const ServerContext context_;
  const CopyHost& host_;
  const GroupCache& cache_;
  const base::WallTime started_;
};

}  // namespace understudy::server
