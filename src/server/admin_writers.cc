// SPDX-License-Identifier: Apache-2.0
// Backup sessions of requesters, writers, holds, and the group's settings (docs/writers.md).
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>

#include "base/mutex.h"
#include "server/admin.h"
#include "server/ask_peers.h"
#include "server/backup_messages.h"
#include "server/log_rules.h"

namespace understudy::server {
namespace {

using cluster::EventNumber;
using cluster::Severity;

constexpr int64_t kWaitMsMax = 7 * 86'400'000;
constexpr int kFaultsMax = 32;
// How long a changed setting is waited for on this server.
constexpr base::Duration kSettingsLimit = std::chrono::seconds(2);

int64_t Millis(base::Duration duration) { return duration / std::chrono::milliseconds(1); }

void Fill(const backup::WriterSession& session, v1::WriterSession* to) {
  to->set_id(session.id);
  to->set_requester(session.requester);
  to->set_type(std::string(backup::BackupTypeName(session.type)));
  to->set_began_ms(session.began.unix_ms);
  if (session.ended) to->set_ended_ms(session.ended_at.unix_ms);
  for (const backup::WriterStep& step : session.steps) {
    v1::WriterStep* const row = to->add_steps();
    row->set_event(std::string(backup::WriterEventName(step.event)));
    row->set_began_ms(step.began.unix_ms);
    row->set_took_us(step.took / std::chrono::microseconds(1));
    row->set_state(static_cast<uint32_t>(step.state));
    row->set_code(static_cast<uint32_t>(step.code));
  }
  if (!session.failure) return;
  const backup::WriterFailure& failure = *session.failure;
  v1::WriterFailure* const row = to->mutable_failure();
  row->set_phase(std::string(backup::PhaseName(failure.phase)));
  row->set_state(static_cast<uint32_t>(failure.state));
  row->set_code(static_cast<uint32_t>(failure.code));
  row->set_message(failure.message);
  for (const std::string& cause : failure.causes) row->add_causes(cause);
  row->set_peer(failure.peer);
  row->set_operation(failure.operation);
  row->set_elapsed_ms(Millis(failure.elapsed));
  row->set_limit_ms(Millis(failure.limit));
  row->set_setting(failure.setting);
}

void Fill(const backup::Writer::View& view, v1::Writer* to) {
  to->set_state(static_cast<uint32_t>(view.state));
  to->set_last_error(static_cast<uint32_t>(view.last_error));
  if (view.phase) to->set_phase(std::string(backup::PhaseName(*view.phase)));
  if (view.session) Fill(*view.session, to->mutable_session());
  if (view.last) Fill(*view.last, to->mutable_last());
}

// "retryable" -> RETRYABLE; the symbol's last word.
std::optional<backup::WriterCode> CodeFromWord(const std::string& word) {
  static constexpr std::pair<std::string_view, backup::WriterCode> kWords[] = {
      {"inconsistentsnapshot", backup::WriterCode::kInconsistentSnapshot},
      {"outofresources", backup::WriterCode::kOutOfResources},
      {"timeout", backup::WriterCode::kTimeout},
      {"retryable", backup::WriterCode::kRetryable},
      {"nonretryable", backup::WriterCode::kNonRetryable},
      {"partialfailure", backup::WriterCode::kPartialFailure}};
  for (const auto& [known, code] : kWords) {
    if (word == known) return code;
  }
  return word.empty() ? std::optional(backup::WriterCode::kRetryable) : std::nullopt;
}

base::Result<BackupFault> FaultFrom(const v1::BackupFault& from) {
  BackupFault fault;
  const std::optional<backup::WriterEvent> event = backup::WriterEventFromName(from.event());
  if (!event || *event > backup::WriterEvent::kBackupComplete) {
    return base::InvalidArgument(fmt::format(
        "{} is no event that can be made to fail\nthey are PrepareForBackup, PrepareForSnapshot, "
        "Freeze, Thaw, PostSnapshot, BackupComplete",
        from.event()));
  }
  fault.event = *event;
  if (from.kind() == "hang") {
    fault.kind = BackupFault::Kind::kHang;
  } else if (from.kind() == "slow") {
    fault.kind = BackupFault::Kind::kSlow;
    fault.delay = std::chrono::milliseconds(std::clamp<int64_t>(from.delay_ms(), 0, kWaitMsMax));
  } else if (!from.kind().empty() && from.kind() != "fail") {
    return base::InvalidArgument(
        fmt::format("a fault of kind {}: known are fail, hang and slow", from.kind()));
  }
  const std::optional<backup::WriterCode> code = CodeFromWord(from.code());
  if (!code) {
    return base::InvalidArgument(
        fmt::format("{} is no writer error: known are retryable, nonretryable, timeout, "
                    "outofresources, inconsistentsnapshot and partialfailure",
                    from.code()));
  }
  fault.code = *code;
  return fault;
}

v1::BackupSessionStatus StatusOfSession(const std::string& server, const BackupSession& session) {
  const BackupSession::View view = session.view();
  v1::BackupSessionStatus status;
  status.set_session(session.options().id);
  status.set_server(server);
  v1::Writer* const writer = status.mutable_writer();
  Fill(session.writer(), writer);
  writer->set_server(server);
  writer->set_database(session.options().database);
  FillProgress(view.progress, status.mutable_progress());
  status.set_waiting_for(view.waiting_for);
  status.mutable_at()->set_term(view.at.term.value);
  status.mutable_at()->set_seq(view.at.seq.value);
  status.set_path(view.path);
  status.set_ready(view.ready);
  status.set_ended(view.ended);
  status.set_note(session.note());
  return status;
}

}  // namespace

base::Result<v1::BackupSessionStatus> Admin::BeginBackup(const v1::BeginBackupRequest& request) {
  if (!request.forwarded()) {
    ASSIGN_OR_RETURN(const std::string server,
                     ChooseBackupServer(request.database(), request.from()));
    if (server != context_.server) {
      ASSIGN_OR_RETURN(const std::unique_ptr<rpc::AdminClient> client, Dial(server));
      v1::BeginBackupRequest forward = request;
      forward.set_forwarded(true);
      return client->BeginBackup(forward);
    }
  }
  BackupSession::Options options;
  options.database = request.database();
  options.requester = request.requester().empty() ? "requester" : request.requester();
  options.requester.resize(std::min<size_t>(options.requester.size(), 200));
  const auto type = backup::BackupTypeFromName(request.type().empty() ? "copy" : request.type());
  if (type != backup::BackupType::kFull && type != backup::BackupType::kCopy) {
    return base::InvalidArgument(
        fmt::format("a session of type {}: a requester's session is full or copy", request.type()));
  }
  options.type = *type;
  options.expose = request.expose();
  options.wait = std::chrono::milliseconds(std::clamp<int64_t>(request.wait_ms(), 0, kWaitMsMax));
  options.phase_limit =
      std::chrono::milliseconds(std::clamp<int64_t>(request.phase_limit_ms(), 0, kWaitMsMax));
  if (request.faults_size() > kFaultsMax) {
    return base::InvalidArgument(fmt::format("at most {} faults can be ordered", kFaultsMax));
  }
  for (const v1::BackupFault& from : request.faults()) {
    ASSIGN_OR_RETURN(const BackupFault fault, FaultFrom(from));
    options.faults.push_back(fault);
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<BackupSession> session,
                   backups_.Begin(std::move(options)));
  return StatusOfSession(context_.server, *session);
}

base::Result<v1::BackupSessionStatus> Admin::BackupStatus(const v1::BackupStatusRequest& request) {
  ASSIGN_OR_RETURN(const std::shared_ptr<BackupSession> session, backups_.Find(request.session()));
  session->NoteRequester();
  return StatusOfSession(context_.server, *session);
}

base::Result<v1::BackupSessionStatus> Admin::EndBackup(const v1::EndBackupRequest& request) {
  ASSIGN_OR_RETURN(const std::shared_ptr<BackupSession> session, backups_.Find(request.session()));
  session->Complete(request.succeeded());
  return StatusOfSession(context_.server, *session);
}

base::Result<v1::WritersResponse> Admin::Writers(const v1::WritersRequest& request) {
  v1::WritersResponse response;
  for (const CopyHost::LocalStatus& local : host_.Statuses()) {
    if (!request.database().empty() && local.database != request.database()) continue;
    v1::Writer* const writer = response.add_writers();
    Fill(backups_.WriterOf(local.database), writer);
    writer->set_server(context_.server);
    writer->set_database(local.database);
    writer->set_role(local.status.role());
    writer->set_instance(backups_.instance());
  }
  if (!request.everywhere()) return response;
  KnownGroup group(context_, cache_);
  ASSIGN_OR_RETURN(const std::vector<cluster::ServerRecord> servers, group.Servers());
  response.set_coordinator_silence_ms(group.silence_ms());
  std::set<std::string> others;
  for (const cluster::ServerRecord& server : servers) {
    if (server.name == context_.server) continue;
    if (server.alive) {
      others.insert(server.name);
    } else {
      response.add_silent(server.name);
    }
  }
  v1::WritersRequest there = request;
  there.set_everywhere(false);
  base::Mutex mutex;  // guards `response`
  AskPeers(others, [&](const std::string& server) {
    const auto client = Dial(server);
    base::Result<v1::WritersResponse> answer = base::Unavailable("");
    if (client.ok()) answer = (*client)->Writers(there, kPeerAnswerLimit);
    base::MutexLock lock(mutex);
    if (!answer.ok()) {
      response.add_silent(server);
      return;
    }
    for (const v1::Writer& writer : answer->writers()) *response.add_writers() = writer;
  });
  std::sort(response.mutable_silent()->begin(), response.mutable_silent()->end());
  std::sort(response.mutable_writers()->begin(), response.mutable_writers()->end(),
            [](const v1::Writer& a, const v1::Writer& b) {
              return std::tie(a.database(), a.server()) < std::tie(b.database(), b.server());
            });
  return response;
}

base::Result<v1::AnnounceBackupResponse> Admin::AnnounceBackup(
    const v1::AnnounceBackupRequest& request) {
  ASSIGN_OR_RETURN(const cluster::BackupLease lease,
                   cluster::BackupLeaseFromJson("AnnounceBackup", request.lease()));
  RETURN_IF_ERROR(base::CheckName("database name", lease.database));
  v1::AnnounceBackupResponse response;
  if (request.ended()) {
    backups_.announced().End(lease, request.succeeded());
    return response;
  }
  const std::shared_ptr<ActiveCopy> copy = host_.FindActive(lease.database);
  const base::Result<Mount> mount =
      copy == nullptr ? base::Result<Mount>(base::NotFound("")) : copy->mount();
  if (!mount.ok()) return response;
  response.set_active(true);
  const base::Position end = mount->log->durable();
  const base::Position range_end = lease.last.seq.value > 0 ? lease.last : end;
  if (const auto other = backups_.announced().Announce(
          lease, std::chrono::milliseconds(request.lasts_ms()), request.has_turn(), range_end)) {
    response.set_other(ToString(*other));
  }
  response.mutable_first()->set_term(mount->term.value);
  response.mutable_first()->set_seq(mount->log->first_seq().value);
  response.mutable_last()->set_term(end.term.value);
  response.mutable_last()->set_seq(end.seq.value);
  return response;
}

base::Result<v1::HoldsResponse> Admin::Holds(const v1::HoldsRequest& request) {
  v1::StatusRequest ask;
  ask.set_database(request.database());
  ASSIGN_OR_RETURN(const v1::StatusResponse status, Status(ask));
  v1::HoldsResponse response;
  for (const v1::CopyStatus& copy : status.databases(0).copies()) {
    if (!copy.answered()) response.add_silent(copy.server());
    for (const v1::Hold& hold : copy.holds()) {
      v1::HoldsResponse::Held* const to = response.add_holds();
      to->set_server(copy.server());
      to->set_name(hold.name());
      to->set_reason(hold.reason());
      to->set_seq(hold.seq());
      to->set_last(copy.durable().seq());
    }
  }
  response.set_coordinator_silence_ms(status.coordinator_silence_ms());
  if (response.coordinator_silence_ms() > 0) return response;  // it has the turns
  cluster::BackupArbiter arbiter(context_.registry.coordinator());
  ASSIGN_OR_RETURN(const auto holder, arbiter.Holder(request.database()));
  if (holder) response.set_backup(ToString(*holder));
  ASSIGN_OR_RETURN(const auto waiting, arbiter.Waiting(request.database()));
  for (const cluster::BackupLease& lease : waiting) response.add_waiting(ToString(lease));
  return response;
}

// --- settings ---

base::Result<v1::GetSettingsResponse> Admin::GetSettings(const v1::GetSettingsRequest& request) {
  const bool is_policy = request.name() == cluster::kBackupSourcePolicy;
  if (!request.name().empty() && !is_policy) {
    RETURN_IF_ERROR(cluster::GroupSettings::Find(request.name()).status());
  }
  KnownGroup group(context_, cache_);
  ASSIGN_OR_RETURN(const cluster::GroupSettings settings, group.Settings());
  v1::GetSettingsResponse response;
  response.set_coordinator_silence_ms(group.silence_ms());
  for (const cluster::SettingDefinition& setting : cluster::GroupSettings::Definitions()) {
    if (!request.name().empty() && setting.name != request.name()) continue;
    v1::GetSettingsResponse::Setting* const to = response.add_settings();
    to->set_name(std::string(setting.name));
    to->set_value(settings.Get(setting.name));
    to->set_initial(setting.initial);
    to->set_min(setting.min);
    to->set_max(setting.max);
    to->set_meaning(std::string(setting.meaning));
  }
  if (request.name().empty() || is_policy) {
    v1::GetSettingsResponse::Setting* const to = response.add_settings();
    to->set_name(std::string(cluster::kBackupSourcePolicy));
    to->set_is_text(true);
    to->set_text(settings.backup_source_policy());
    to->set_initial_text(std::string(cluster::kBackupSourcePolicyInitial));
    to->set_meaning(std::string(cluster::kBackupSourcePolicyMeaning));
  }
  return response;
}

// Until they hold on this server; others see them as soon as the coordinator tells them.
void Admin::AwaitSettings(const cluster::GroupSettings& settings) {
  const base::SteadyTime end = context_.env.Now() + kSettingsLimit;
  watch_->Nudge();
  while (true) {
    const uint64_t seen = watch_->refreshed().count();
    const std::shared_ptr<const web::GroupView> group = cache_.Get();
    const base::Duration left = end - context_.env.Now();
    if ((group != nullptr && group->settings == settings) || left <= base::Duration(0)) return;
    watch_->refreshed().WaitFor(seen, left);
  }
}

base::Result<v1::GetSettingsResponse> Admin::SetSetting(const v1::SetSettingRequest& request) {
  const auto edit = [&](cluster::GroupSettings& settings) -> base::Status {
    if (request.name() == cluster::kBackupSourcePolicy) {
      return settings.SetBackupSourcePolicy(request.text());
    }
    RETURN_IF_ERROR(cluster::GroupSettings::Find(request.name()).status());
    uint64_t value = request.value();
    if (!request.text().empty()) {
      const char* const end = request.text().data() + request.text().size();
      const auto parsed = std::from_chars(request.text().data(), end, value);
      if (parsed.ec != std::errc() || parsed.ptr != end) {
        return base::InvalidArgument(
            fmt::format("{} of {}: a whole number is needed", request.text(), request.name()));
      }
    }
    return settings.Set(request.name(), value);
  };
  ASSIGN_OR_RETURN(const cluster::GroupSettings changed, context_.registry.UpdateSettings(edit));
  AwaitSettings(changed);
  context_.events.Add(
      EventNumber::kSettingChanged, Severity::kInfo, "",
      fmt::format("the group: {} is {}", request.name(),
                  request.text().empty() ? std::to_string(request.value()) : request.text()));
  v1::GetSettingsRequest get;
  get.set_name(request.name());
  return GetSettings(get);
}

}  // namespace understudy::server
