// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "server/admin.h"
#include "sqlite/database_check.h"

namespace understudy::server {
namespace {

using cluster::CopyRecord;
using cluster::DatabaseRecord;
using cluster::EventNumber;
using cluster::Severity;

// Mounting reads the whole database once.
constexpr base::Duration kMountLimit = std::chrono::minutes(4);
constexpr base::Duration kAppearLimit = std::chrono::seconds(10);
// How long a command waits until a copy has really stopped.
constexpr base::Duration kSuspendLimit = std::chrono::seconds(5);

base::DatabaseId NewId(env::Env& env) {
  base::DatabaseId id;
  base::StoreLe(id.bytes.data(), env.Random());
  base::StoreLe(id.bytes.data() + 8, env.Random());
  return id;
}

base::Status NoSuchCopy(const DatabaseRecord& record, const std::string& server) {
  std::string known;
  for (const CopyRecord& copy : record.copies) known += (known.empty() ? "" : ", ") + copy.server;
  return base::NotFound(
      fmt::format("{} has no copy on {}\nits copies are on {}", record.name, server, known));
}

// The passive copy of `server`, for edits that must not touch the active one.
base::Result<CopyRecord*> PassiveOf(DatabaseRecord& record, const std::string& server,
                                    const char* what) {
  CopyRecord* const copy = record.FindCopy(server);
  if (copy == nullptr) return NoSuchCopy(record, server);
  if (server == record.active) {
    return base::InvalidArgument(fmt::format(
        "the copy of {} on {} is the active one: it cannot be {}", record.name, server, what));
  }
  return copy;
}

base::Status AddCopyTo(DatabaseRecord& record, const std::string& server, const std::string& path,
                       uint64_t incarnation, base::Duration lag = {}) {
  if (record.FindCopy(server) != nullptr) {
    return base::AlreadyExists(fmt::format("{} has a copy on {} already", record.name, server));
  }
  if (record.copies.size() >= cluster::kCopiesMax) {
    return base::InvalidArgument(
        fmt::format("{} has {} copies, no more are allowed", record.name, record.copies.size()));
  }
  CopyRecord copy;
  copy.server = server;
  copy.path = path;
  copy.incarnation = incarnation;
  copy.replay_lag = lag;
  record.copies.push_back(std::move(copy));
  return {};
}

base::Status CheckCopyPath(const std::string& path) {
  if (path.empty() || path[0] == '/') return {};
  return base::InvalidArgument(fmt::format("the path {} of a copy must be absolute", path));
}

}  // namespace

base::Status CheckSeedFrom(const DatabaseRecord& record, const std::string& server,
                           const std::string& from) {
  if (from.empty() || from == record.active) return {};
  if (from == server) {
    return base::InvalidArgument(
        fmt::format("the copy of {} on {} cannot be seeded from itself", record.name, server));
  }
  const CopyRecord* const copy = record.FindCopy(from);
  if (copy == nullptr) return NoSuchCopy(record, from);
  if (copy->replay_lag == base::Duration(0) && !copy->suspended) return {};
  return base::InvalidArgument(fmt::format(
      "the copy of {} on {} is {}: it has old pages\ntake another one, or leave --from away: the "
      "pages come from {} then",
      record.name, from, copy->suspended ? "suspended" : "lagged", record.active));
}

base::Result<v1::ListServersResponse> Admin::ListServers(const v1::ListServersRequest&) {
  KnownGroup group(context_, cache_);
  ASSIGN_OR_RETURN(const std::vector<cluster::ServerRecord> servers, group.Servers());
  ASSIGN_OR_RETURN(const std::vector<DatabaseRecord> databases, group.Databases());
  v1::ListServersResponse response;
  response.set_coordinator_silence_ms(group.silence_ms());
  for (const cluster::ServerRecord& server : servers) {
    v1::Server* to = response.add_servers();
    to->set_name(server.name);
    to->set_address(server.address);
    to->set_web(server.web);
    to->set_version(server.version);
    to->set_state(server.alive ? "Up" : "Down");
    to->set_last_seen_ms(server.last_seen.unix_ms);
    to->set_started_ms(server.started.unix_ms);
    for (const DatabaseRecord& database : databases) {
      if (database.FindCopy(server.name) == nullptr) continue;
      if (database.active == server.name) {
        to->set_active_copies(to->active_copies() + 1);
      } else {
        to->set_passive_copies(to->passive_copies() + 1);
      }
    }
  }
  return response;
}

base::Status Admin::CheckServers(const std::vector<std::string>& names) {
  std::set<std::string> seen;
  for (const std::string& name : names) {
    RETURN_IF_ERROR(base::CheckName("server name", name));
    RETURN_IF_ERROR(context_.registry.FindServer(name).status());
    if (name == context_.server) {
      return base::InvalidArgument(
          fmt::format("{} has the active copy: name only other servers for passive copies", name));
    }
    if (!seen.insert(name).second) {
      return base::InvalidArgument(fmt::format("server {} is named twice", name));
    }
  }
  return {};
}

base::Status Admin::CheckNewDatabase(const v1::AddDatabaseRequest& request) {
  RETURN_IF_ERROR(base::CheckName("database name", request.name()));
  if (request.path().empty() || request.path()[0] != '/') {
    return base::InvalidArgument(
        fmt::format("the path \"{}\" of the database must be absolute", request.path()));
  }
  RETURN_IF_ERROR(CheckCopyPath(request.copy_path()));
  RETURN_IF_ERROR(CheckServers({request.copies().begin(), request.copies().end()}));
  if (request.copies_size() >= static_cast<int>(cluster::kCopiesMax)) {
    return base::InvalidArgument(fmt::format("{} copies are asked for, allowed are {}",
                                             request.copies_size() + 1, cluster::kCopiesMax));
  }
  ASSIGN_OR_RETURN(const std::vector<DatabaseRecord> databases, context_.registry.Databases());
  for (const DatabaseRecord& database : databases) {
    if (database.name == request.name()) {
      return base::AlreadyExists(fmt::format(
          "a database called {} is in this group already\nchoose another name", request.name()));
    }
    const CopyRecord* const copy = database.FindCopy(context_.server);
    if (copy != nullptr && copy->path == request.path()) {
      return base::AlreadyExists(
          fmt::format("{} is in this group already, as {}", request.path(), database.name));
    }
  }
  return sqlite::CheckDatabase(context_.env, request.path(), {.set_wal_mode = request.set_wal()})
      .status();
}

base::Result<v1::AddDatabaseResponse> Admin::AddDatabase(const v1::AddDatabaseRequest& request) {
  RETURN_IF_ERROR(CheckNewDatabase(request));
  DatabaseRecord record;
  record.name = request.name();
  record.id = NewId(context_.env);
  record.file = env::BaseNameOf(request.path());
  record.active = context_.server;
  record.created = context_.env.WallNow();
  CopyRecord active;
  active.server = context_.server;
  active.path = request.path();
  record.copies.push_back(std::move(active));
  RETURN_IF_ERROR(context_.registry.CreateDatabase(record));
  watch_->Nudge();

  const std::shared_ptr<ActiveCopy> copy = host_.WaitActive(record.id, kAppearLimit);
  base::Status mounted = copy != nullptr ? copy->WaitMounted(kMountLimit)
                                         : base::TimedOut("the copy did not appear in time");
  if (mounted.ok() && request.copies_size() > 0) {
    // Only now: the other servers shall not begin with a database that cannot be mounted.
    const auto add_copies = [&](DatabaseRecord& edit) -> base::Status {
      for (const std::string& server : request.copies()) {
        RETURN_IF_ERROR(AddCopyTo(edit, server, request.copy_path(), context_.env.Random()));
      }
      return {};
    };
    mounted = context_.registry.UpdateDatabase(record.name, add_copies).status();
  }
  if (!mounted.ok()) {
    const base::Status removed = context_.registry.RemoveDatabase(record.name);
    watch_->Nudge();
    if (!removed.ok()) {
      return base::Status(mounted.code(),
                          fmt::format("{} (and it could not be taken back out of the registry: {})",
                                      mounted.message(), removed.message()));
    }
    return mounted;
  }
  watch_->Nudge();
  context_.events.Add(EventNumber::kDatabaseAdded, Severity::kInfo, record.name,
                      fmt::format("added {}: active on {} at {}, {} passive copies", record.name,
                                  context_.server, request.path(), request.copies_size()));
  v1::AddDatabaseResponse response;
  response.set_id(record.id.ToHex());
  const v1::CopyStatus status = copy->Status();
  *response.mutable_position() = status.durable();
  return response;
}

base::Result<v1::ListDatabasesResponse> Admin::ListDatabases(const v1::ListDatabasesRequest&) {
  KnownGroup group(context_, cache_);
  ASSIGN_OR_RETURN(const std::vector<DatabaseRecord> databases, group.Databases());
  v1::ListDatabasesResponse response;
  response.set_coordinator_silence_ms(group.silence_ms());
  for (const DatabaseRecord& database : databases) {
    v1::Database* to = response.add_databases();
    to->set_name(database.name);
    to->set_id(database.id.ToHex());
    to->set_active(database.active);
    to->set_term(database.term.value);
    to->set_created_ms(database.created.unix_ms);
    for (const CopyRecord& copy : database.copies) {
      v1::Database::Copy* copy_to = to->add_copies();
      copy_to->set_server(copy.server);
      copy_to->set_path(copy.path);
      copy_to->set_suspended(copy.suspended);
      copy_to->set_suspend_reason(copy.suspend_reason);
    }
  }
  return response;
}

base::Result<v1::RemoveDatabaseResponse> Admin::RemoveDatabase(
    const v1::RemoveDatabaseRequest& request) {
  ASSIGN_OR_RETURN(const DatabaseRecord record, context_.registry.FindDatabase(request.name()));
  if (request.keep_files()) {
    for (const CopyRecord& copy : record.copies) {
      if (copy.server == record.active) continue;
      RETURN_IF_ERROR(context_.registry.SetKeepFiles(record.id, copy.server));
    }
  }
  RETURN_IF_ERROR(context_.registry.RemoveDatabase(record.name));
  watch_->Nudge();
  context_.events.Add(EventNumber::kDatabaseRemoved, Severity::kInfo, record.name,
                      fmt::format("removed {} from the group; the active copy's file stays on {}",
                                  record.name, record.active));
  return v1::RemoveDatabaseResponse();
}

base::Result<v1::AddCopyResponse> Admin::AddCopy(const v1::AddCopyRequest& request) {
  RETURN_IF_ERROR(context_.registry.FindServer(request.server()).status());
  RETURN_IF_ERROR(CheckCopyPath(request.path()));
  ASSIGN_OR_RETURN(const base::Duration lag, ReplayLagFrom(request.replay_lag_ms()));
  const auto edit = [&](DatabaseRecord& record) -> base::Status {
    RETURN_IF_ERROR(
        AddCopyTo(record, request.server(), request.path(), context_.env.Random(), lag));
    CopyRecord& copy = *record.FindCopy(request.server());
    copy.seed_bandwidth = request.seed_bandwidth();
    copy.seed_from = request.seed_from();
    return CheckSeedFrom(record, request.server(), request.seed_from());
  };
  RETURN_IF_ERROR(context_.registry.UpdateDatabase(request.database(), edit).status());
  watch_->Nudge();
  context_.events.Add(
      EventNumber::kCopyAdded, Severity::kInfo, request.database(),
      fmt::format("added a passive copy of {} on {}", request.database(), request.server()));
  return v1::AddCopyResponse();
}

base::Result<v1::RemoveCopyResponse> Admin::RemoveCopy(const v1::RemoveCopyRequest& request) {
  ASSIGN_OR_RETURN(DatabaseRecord record, context_.registry.FindDatabase(request.database()));
  RETURN_IF_ERROR(PassiveOf(record, request.server(), "removed").status());
  if (request.keep_files()) {
    RETURN_IF_ERROR(context_.registry.SetKeepFiles(record.id, request.server()));
  }
  const auto edit = [&](DatabaseRecord& changed) -> base::Status {
    RETURN_IF_ERROR(PassiveOf(changed, request.server(), "removed").status());
    std::erase_if(changed.copies,
                  [&](const CopyRecord& copy) { return copy.server == request.server(); });
    return {};
  };
  RETURN_IF_ERROR(context_.registry.UpdateDatabase(request.database(), edit).status());
  watch_->Nudge();
  context_.events.Add(
      EventNumber::kCopyRemoved, Severity::kInfo, request.database(),
      fmt::format("removed the copy of {} on {}", request.database(), request.server()));
  return v1::RemoveCopyResponse();
}

// Done by the server of the copy if it answers, because only that one can tell when it has stopped.
base::Result<v1::SuspendCopyResponse> Admin::SuspendCopy(const v1::SuspendCopyRequest& request) {
  if (request.server() != context_.server && !request.forwarded()) {
    if (const auto client = Dial(request.server()); client.ok()) {
      v1::SuspendCopyRequest forward = request;
      forward.set_forwarded(true);
      base::Result<v1::SuspendCopyResponse> answer =
          (*client)->SuspendCopy(forward, 2 * kSuspendLimit);
      const base::Code code = answer.status().code();
      if (code != base::Code::kUnavailable && code != base::Code::kTimedOut) return answer;
    }
  }
  const auto edit = [&](DatabaseRecord& record) -> base::Status {
    ASSIGN_OR_RETURN(CopyRecord * copy, PassiveOf(record, request.server(), "suspended"));
    copy->suspended = true;
    copy->suspend_reason = request.reason().empty() ? "by an administrator" : request.reason();
    return {};
  };
  RETURN_IF_ERROR(context_.registry.UpdateDatabase(request.database(), edit).status());
  watch_->Nudge();
  context_.events.Add(EventNumber::kCopySuspended, Severity::kInfo, request.database(),
                      fmt::format("suspended the copy of {} on {}: {}", request.database(),
                                  request.server(), request.reason()));
  v1::SuspendCopyResponse response;
  if (request.server() == context_.server) {
    const std::shared_ptr<PassiveCopy> copy = host_.FindPassive(request.database());
    // One that is not here yet begins suspended.
    response.set_in_effect(copy == nullptr || copy->WaitSuspended(kSuspendLimit));
  }
  return response;
}

base::Result<v1::ResumeCopyResponse> Admin::ResumeCopy(const v1::ResumeCopyRequest& request) {
  const auto edit = [&](DatabaseRecord& record) -> base::Status {
    ASSIGN_OR_RETURN(CopyRecord * copy, PassiveOf(record, request.server(), "resumed"));
    copy->suspended = false;
    copy->suspend_reason.clear();
    return {};
  };
  RETURN_IF_ERROR(context_.registry.UpdateDatabase(request.database(), edit).status());
  watch_->Nudge();
  context_.events.Add(
      EventNumber::kCopyResumed, Severity::kInfo, request.database(),
      fmt::format("resumed the copy of {} on {}", request.database(), request.server()));
  return v1::ResumeCopyResponse();
}

// What the request says about this seed and later ones. The copy has it before it begins.
base::Status Admin::SetForReseed(PassiveCopy& copy, const v1::ReseedCopyRequest& request) {
  if (!request.has_seed_bandwidth() && !request.has_seed_from()) return {};
  v1::SetCopyRequest set;
  set.set_database(request.database());
  set.set_server(request.server());
  if (request.has_seed_bandwidth()) set.set_seed_bandwidth(request.seed_bandwidth());
  if (request.has_seed_from()) set.set_seed_from(request.seed_from());
  ASSIGN_OR_RETURN(const v1::SetCopyResponse now, SetCopy(set));
  copy.SetSeedBandwidth(now.seed_bandwidth());
  copy.SetSeedFrom(now.seed_from());
  return {};
}

// Done by the server of the copy: what it needs for it is only there.
base::Result<v1::ReseedCopyResponse> Admin::ReseedCopy(const v1::ReseedCopyRequest& request) {
  ASSIGN_OR_RETURN(DatabaseRecord record, context_.registry.FindDatabase(request.database()));
  RETURN_IF_ERROR(PassiveOf(record, request.server(), "seeded").status());
  if (request.server() != context_.server) {
    if (request.forwarded()) {
      return base::InvalidArgument(
          fmt::format("this is server {}, not {}", context_.server, request.server()));
    }
    ASSIGN_OR_RETURN(const std::unique_ptr<rpc::AdminClient> client, Dial(request.server()));
    v1::ReseedCopyRequest forward = request;
    forward.set_forwarded(true);
    return client->ReseedCopy(forward);
  }
  const std::shared_ptr<PassiveCopy> copy = host_.FindPassive(record.name);
  if (copy == nullptr) {
    return base::Unavailable(fmt::format("the copy of {} on {} has not started yet: try again",
                                         record.name, context_.server));
  }
  RETURN_IF_ERROR(SetForReseed(*copy, request));
  RETURN_IF_ERROR(copy->RequestReseed(request.full()));
  return v1::ReseedCopyResponse();
}

}  // namespace understudy::server
