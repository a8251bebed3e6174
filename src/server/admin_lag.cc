// SPDX-License-Identifier: Apache-2.0
// Lagged copies: play-down, and the database as it was at a point of the log that one holds.
#include <fmt/format.h>

#include <algorithm>

#include "cluster/activation.h"
#include "server/admin.h"
#include "server/backup_messages.h"
#include "server/disk_room.h"
#include "server/lost_view.h"
#include "server/point_in_time.h"

namespace understudy::server {
namespace {

using cluster::DatabaseRecord;
using cluster::EventNumber;
using cluster::Severity;

constexpr base::Duration kSnapshotLimit = std::chrono::seconds(10);
constexpr const char* kHold = "activate";

void SetPosition(const base::Position& from, v1::Position* to) {
  to->set_term(from.term.value);
  to->set_seq(from.seq.value);
}

// Ends with the extraction: its file, its hold on the log, its place.
class Place {
 public:
  Place(env::Env& env, PassiveCopy& copy, std::shared_ptr<log::LogStore> log)
      : env_(env), copy_(copy), log_(std::move(log)) {}
  ~Place() {
    if (env::Exists(env_, path())) env_.Remove(path()).IgnoreError();  // the next one replaces it
    log_->ReleaseHold(kHold);
    copy_.extracting().clear();
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  std::string path() const { return env::JoinPath(copy_.paths().directory, kActivateFile); }

 private:
  env::Env& env_;
  PassiveCopy& copy_;
  const std::shared_ptr<log::LogStore> log_;
};

WantedPoint PointFrom(uint64_t seq, int64_t time_ms) {
  if (seq > 0) return {.seq = base::Seq(seq), .time = {}};
  return {.seq = std::nullopt, .time = {time_ms}};
}

v1::CopyPoint ToProto(const LogPoint& point, const std::string& server) {
  v1::CopyPoint to;
  to.set_server(server);
  SetPosition(point.at.position, to.mutable_at());
  to.set_commit_ms(point.at.commit_time.unix_ms);
  SetPosition(point.earliest.position, to.mutable_earliest());
  to.set_earliest_commit_ms(point.earliest.commit_time.unix_ms);
  SetPosition(point.last.position, to.mutable_last());
  to.set_last_commit_ms(point.last.commit_time.unix_ms);
  to.set_records_after(point.records_after);
  to.set_commits_after(point.commits_after);
  to.set_first_after_ms(point.first_after.unix_ms);
  to.set_bytes_after(point.bytes_after);
  to.set_database_bytes(uint64_t{point.at.pages} * point.at.page_size);
  to.set_checksum(fmt::format("{:016x}", point.at.checksum));
  return to;
}

base::Status CheckSpace(env::Env& env, const std::string& path, const LogPoint& point) {
  const uint64_t pages = std::max(point.at.pages, point.earliest.pages);
  const std::string directory = env::DirectoryOf(path);
  return CheckRoom(env, directory, pages * point.at.page_size,
                   fmt::format("the database is made in {} first", directory));
}

}  // namespace

base::Result<std::shared_ptr<PassiveCopy>> Admin::LaggedHere(const std::string& database) {
  std::shared_ptr<PassiveCopy> copy = host_.FindPassive(database);
  if (copy != nullptr) return copy;
  return base::Unavailable(fmt::format(
      "server {} has no passive copy of {} that has started\nunderstudy status {} shows the copies",
      context_.server, database, database));
}

base::Result<v1::PlayDownCopyResponse> Admin::PlayDownCopy(const v1::PlayDownCopyRequest& request) {
  ASSIGN_OR_RETURN(const DatabaseRecord record, context_.registry.FindDatabase(request.database()));
  const cluster::CopyRecord* const mine = record.FindCopy(request.server());
  if (mine == nullptr) {
    return base::NotFound(fmt::format("{} has no copy on {}", record.name, request.server()));
  }
  if (mine->replay_lag <= base::Duration(0) || record.active == request.server()) {
    return base::InvalidArgument(
        fmt::format("the copy of {} on {} {}: it holds no log back", record.name, request.server(),
                    record.active == request.server() ? "is the active one" : "has no lag"));
  }
  if (request.server() != context_.server && !request.forwarded()) {
    ASSIGN_OR_RETURN(const std::unique_ptr<rpc::AdminClient> client, Dial(request.server()));
    v1::PlayDownCopyRequest forward = request;
    forward.set_forwarded(true);
    return client->PlayDownCopy(forward);
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<PassiveCopy> copy, LaggedHere(record.name));
  ASSIGN_OR_RETURN(const PassiveCopy::HeldLog held, copy->held_log());
  const v1::Position replayed = copy->Status().replayed();
  base::Seq to = held.log->durable().seq;
  if (request.to_seq() > 0 || request.to_time_ms() > 0) {
    ASSIGN_OR_RETURN(const log::LogEnd from, held.log->StateAt(base::Seq(replayed.seq())));
    ASSIGN_OR_RETURN(const LogPoint point,
                     FindPoint(*held.log, from, PointFrom(request.to_seq(), request.to_time_ms()),
                               context_.env.WallNow(), [] { return true; }));
    to = point.at.position.seq;
  }
  copy->RequestPlayDown(to, "an administrator asked for it");
  v1::PlayDownCopyResponse response;
  *response.mutable_from() = replayed;
  response.set_to(to.value);
  return response;
}

base::Status Admin::ActivateCopy(const v1::ActivateCopyRequest& request,
                                 const rpc::CallContext& call,
                                 const Sender<v1::ActivateCopyResponse>& send) {
  ASSIGN_OR_RETURN(const DatabaseRecord record, context_.registry.FindDatabase(request.database()));
  if (record.FindCopy(request.server()) == nullptr) {
    return base::NotFound(fmt::format("{} has no copy on {}", record.name, request.server()));
  }
  if (record.active == request.server()) {
    return base::InvalidArgument(
        fmt::format("the copy of {} on {} is the active one: it has no earlier point\nunderstudy "
                    "status {} shows the lagged copies",
                    record.name, request.server(), record.name));
  }
  if (request.seq() == 0 && request.at_ms() <= 0) {
    return base::InvalidArgument("say which point is meant, by its time or its seq");
  }
  const std::string& where = request.into_active() ? record.active : request.server();
  if (where != context_.server && !request.forwarded()) {
    ASSIGN_OR_RETURN(const std::unique_ptr<rpc::AdminClient> client, Dial(where));
    v1::ActivateCopyRequest forward = request;
    forward.set_forwarded(true);
    return client->ActivateCopy(
        forward, [&](const v1::ActivateCopyResponse& response) { return send(response); });
  }
  if (request.into_active()) return ReplaceActive(request, call, send);
  ASSIGN_OR_RETURN(const std::shared_ptr<PassiveCopy> copy, LaggedHere(record.name));
  return ExtractHere(*copy, request, call, send);
}

base::Status Admin::ExtractHere(PassiveCopy& copy, const v1::ActivateCopyRequest& request,
                                const rpc::CallContext& call,
                                const Sender<v1::ActivateCopyResponse>& send) {
  ASSIGN_OR_RETURN(const PassiveCopy::HeldLog held, copy.held_log());
  if (copy.extracting().test_and_set()) {
    return base::Busy(fmt::format("a database is being extracted from the copy of {} on {} already",
                                  copy.name(), context_.server));
  }
  const Place place(context_.env, copy, held.log);
  held.log->SetHold({.name = kHold,
                     .reason = "a database is being extracted from this copy",
                     .seq = base::Seq(copy.Status().replayed().seq())});
  ASSIGN_OR_RETURN(
      const replay::Replayer::Snapshot snapshot,
      copy.tasks().Call<replay::Replayer::Snapshot>(
          [](replay::Replayer& replayer) { return replayer.OpenSnapshot(); }, kSnapshotLimit));
  // Nothing is missing until now if the active copy has no more than is here.
  const base::WallTime known = held.complete ? context_.env.WallNow() : base::WallTime();
  ASSIGN_OR_RETURN(const LogPoint point,
                   FindPoint(*held.log, snapshot.at, PointFrom(request.seq(), request.at_ms()),
                             known, [&] { return !call.cancelled(); }));
  v1::ActivateCopyResponse response;
  *response.mutable_point() = ToProto(point, context_.server);
  if (!send(response)) return base::Cancelled("the client went away");
  if (request.dry_run()) return {};
  RETURN_IF_ERROR(CheckSpace(context_.env, place.path(), point));
  const base::ProgressSink sink = SendProgress<v1::ActivateCopyResponse>(context_.env, call, send);
  const auto progress = [&](const char* phase, uint64_t done, uint64_t total) {
    return sink({.phase = phase, .bytes_done = done, .bytes_total = total});
  };
  Extraction what{place.path(), copy.id(), snapshot.at, point.last};
  if (request.save_after()) {  // with the database as it is at the end of the log
    RETURN_IF_ERROR(ExtractDatabase(context_.env, what, *snapshot.reader, *held.log, progress));
    ASSIGN_OR_RETURN(*response.mutable_saved(), SaveAfter(copy, point, held.log, place.path()));
    if (!send(response)) return base::Cancelled("the client went away");
  }
  what.to = point.at;
  RETURN_IF_ERROR(ExtractDatabase(context_.env, what, *snapshot.reader, *held.log, progress));
  RETURN_IF_ERROR(SendExtracted(what, call, send));
  context_.events.Add(EventNumber::kCopyExtracted, Severity::kInfo, copy.name(),
                      fmt::format("extracted {} from the copy on {} as it was at {} (committed {})",
                                  copy.name(), context_.server, base::ToString(point.at.position),
                                  base::ToRfc3339(point.at.commit_time)));
  return {};
}

base::Status Admin::SendExtracted(const Extraction& what, const rpc::CallContext& call,
                                  const Sender<v1::ActivateCopyResponse>& send) {
  const uint64_t size = uint64_t{what.to.pages} * what.to.page_size;
  v1::ActivateCopyResponse response;
  const auto send_chunk = [&](v1::ExportLostChunk&& chunk) {
    *response.mutable_chunk() = std::move(chunk);
    return !call.cancelled() && send(response);
  };
  ASSIGN_OR_RETURN(*response.mutable_end(), SendFile(context_.env, what.path, size, send_chunk));
  return send(response) ? base::Status() : base::Cancelled("the client went away");
}

}  // namespace understudy::server
