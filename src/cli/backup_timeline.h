// SPDX-License-Identifier: Apache-2.0
// BackupTimeline: what happened while a backup ran, in order: the events of its session, and the
// group's events that belong to its database or to connections and servers, and what to do next.
//
// A server remembers the session that runs and the last one that ended; of an older one only the
// group's events are left. Threading: pure functions.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "cli/json.h"
#include "understudy/v1/admin.pb.h"

namespace understudy::cli {

struct BackupTimeline {
  struct Entry {
    int64_t time_ms = 0;
    std::string source;  // "session" or "event"
    std::string server;
    uint32_t number = 0;  // of an event
    std::string severity;
    std::string text;
  };
  std::string id;
  std::string server;  // where it ran, if known
  int64_t began_ms = 0;
  int64_t ended_ms = 0;        // 0: it runs
  bool session_known = false;  // its phases
  v1::WriterSession session;
  std::vector<Entry> entries;  // by time
  std::vector<std::string> advice;
};

// `id` empty: the newest session that a server remembers. kNotFound: nobody knows of it.
base::Result<BackupTimeline> MakeBackupTimeline(const std::string& database, const std::string& id,
                                                const v1::WritersResponse& writers,
                                                const std::vector<v1::Event>& events);
Json TimelineJson(const BackupTimeline& timeline);
std::string RenderTimeline(const BackupTimeline& timeline);

}  // namespace understudy::cli
