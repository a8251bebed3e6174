// SPDX-License-Identifier: Apache-2.0
// Which copy a backup reads: what the servers say of theirs now, and what
// cluster/backup_source.h decides from it.
#include <fmt/format.h>

#include <algorithm>

#include "base/mutex.h"
#include "server/admin.h"
#include "server/ask_peers.h"

namespace understudy::server {
namespace {

// There is one copy that it can mean, whatever its state: the session says what is wrong with it.
bool NamesOneCopy(const cluster::SourcePolicy& policy) {
  using Kind = cluster::SourceItem::Kind;
  return policy.size() == 1 && (policy[0].kind == Kind::kServer || policy[0].kind == Kind::kActive);
}

void Fill(const v1::StatusResponse& answer, const std::string& database_id,
          cluster::SourceView& to) {
  to.load = {answer.backups_running(), answer.seeds_given(), answer.mounted()};
  for (const v1::DatabaseStatus& database : answer.databases()) {
    if (database.id() != database_id || database.copies().empty()) continue;
    const v1::CopyStatus& copy = database.copies(0);
    to.answered = true;
    to.state = copy.state();
    to.replay_lag = std::chrono::milliseconds(copy.replay_lag_ms());
    to.replayed = {base::Term(copy.replayed().term()), base::Seq(copy.replayed().seq())};
  }
}

}  // namespace

base::Result<cluster::SourcePolicy> Admin::PolicyOf(const std::string& from, KnownGroup& group) {
  if (!from.empty()) return cluster::ParseSourcePolicy(from);
  ASSIGN_OR_RETURN(const cluster::GroupSettings settings, group.Settings());
  return cluster::ParseSourcePolicy(settings.backup_source_policy());
}

bool Admin::MayMoveBackup(const std::string& from) {
  KnownGroup group(context_, cache_);
  const base::Result<cluster::SourcePolicy> policy = PolicyOf(from, group);
  return policy.ok() && !NamesOneCopy(*policy);
}

base::Result<std::vector<cluster::SourceView>> Admin::SourceViews(
    const cluster::DatabaseRecord& record, KnownGroup& group) {
  ASSIGN_OR_RETURN(const std::vector<cluster::ServerRecord> servers, group.Servers());
  ASSIGN_OR_RETURN(const std::set<std::string> maintenance, group.Maintenance());
  v1::LocalStatusRequest ask;
  ask.set_database(record.name);
  std::vector<cluster::SourceView> views;
  std::set<std::string> others;
  for (const cluster::CopyRecord& copy : record.copies) {
    cluster::SourceView view;
    view.server = copy.server;
    view.active = copy.server == record.active;
    view.here = copy.server == context_.server;
    view.in_maintenance = maintenance.contains(copy.server);
    view.server_alive =
        view.here || std::any_of(servers.begin(), servers.end(),
                                 [&](const auto& s) { return s.name == copy.server && s.alive; });
    if (view.here) {
      ASSIGN_OR_RETURN(const v1::StatusResponse own, LocalStatus(ask));
      Fill(own, record.id.ToHex(), view);
    } else if (view.server_alive) {
      others.insert(copy.server);
    }
    views.push_back(std::move(view));
  }
  base::Mutex mutex;  // guards `views`
  AskPeers(others, [&](const std::string& server) {
    const auto client = Dial(server);
    if (!client.ok()) return;
    const base::Result<v1::StatusResponse> answer = (*client)->LocalStatus(ask, kPeerAnswerLimit);
    if (!answer.ok()) return;
    base::MutexLock lock(mutex);
    for (cluster::SourceView& view : views) {
      if (view.server == server) Fill(*answer, record.id.ToHex(), view);
    }
  });
  return views;
}

base::Result<Admin::ChosenSource> Admin::ChooseBackupSource(const std::string& database,
                                                            const std::string& from) {
  KnownGroup group(context_, cache_);
  ASSIGN_OR_RETURN(const cluster::DatabaseRecord record, group.FindDatabase(database));
  ChosenSource chosen;
  ASSIGN_OR_RETURN(chosen.policy, PolicyOf(from, group));
  if (NamesOneCopy(chosen.policy)) {
    const bool active = chosen.policy[0].kind == cluster::SourceItem::Kind::kActive;
    chosen.server = active ? record.active : chosen.policy[0].server;
    if (record.FindCopy(chosen.server) != nullptr) {
      chosen.why = fmt::format("{} is the one that was named", chosen.server);
      return chosen;
    }
    RETURN_IF_ERROR(group.FindServer(chosen.server).status());
    return base::NotFound(fmt::format("{} has no copy on {}", record.name, chosen.server));
  }
  ASSIGN_OR_RETURN(const std::vector<cluster::SourceView> views, SourceViews(record, group));
  chosen.choice = cluster::ChooseSource(chosen.policy, views);
  chosen.server = chosen.choice.server();
  if (chosen.server.empty()) {
    return base::Unavailable(fmt::format(
        "no copy of {} can be backed up by the policy {}: {}\nmend one, or name another with "
        "--from; --from active backs up the active copy",
        record.name, ToString(chosen.policy), Explain(chosen.choice)));
  }
  chosen.why = fmt::format("{} is {}", chosen.server, chosen.choice.candidates[0].verdict);
  return chosen;
}

base::Result<bool> Admin::IsBackupSource(const cluster::DatabaseRecord& record,
                                         const std::string& from) {
  KnownGroup group(context_, cache_);
  ASSIGN_OR_RETURN(const cluster::SourcePolicy policy, PolicyOf(from, group));
  if (NamesOneCopy(policy)) {
    const bool active = policy[0].kind == cluster::SourceItem::Kind::kActive;
    return (active ? record.active : policy[0].server) == context_.server;
  }
  ASSIGN_OR_RETURN(std::vector<cluster::SourceView> views, SourceViews(record, group));
  // Every server is to come to the same answer.
  for (cluster::SourceView& view : views) view.here = false;
  return cluster::ChooseSource(policy, views).server() == context_.server;
}

base::Result<std::string> Admin::ChooseBackupServer(const std::string& database,
                                                    const std::string& from) {
  ASSIGN_OR_RETURN(const ChosenSource chosen, ChooseBackupSource(database, from));
  return chosen.server;
}

base::Result<v1::ExplainBackupResponse> Admin::ExplainBackup(
    const v1::ExplainBackupRequest& request) {
  KnownGroup group(context_, cache_);
  ASSIGN_OR_RETURN(const cluster::DatabaseRecord record, group.FindDatabase(request.database()));
  ASSIGN_OR_RETURN(const cluster::SourcePolicy policy, PolicyOf(request.from(), group));
  ASSIGN_OR_RETURN(const std::vector<cluster::SourceView> views, SourceViews(record, group));
  const cluster::SourceChoice choice = cluster::ChooseSource(policy, views);
  v1::ExplainBackupResponse response;
  response.set_database(record.name);
  response.set_policy(ToString(policy));
  response.set_server(choice.server());
  response.set_asked(context_.server);
  response.set_coordinator_silence_ms(group.silence_ms());
  for (const cluster::SourceCandidate& candidate : choice.candidates) {
    v1::BackupCandidate* const to = response.add_candidates();
    to->set_server(candidate.server);
    to->set_role(candidate.active ? "active" : "passive");
    to->set_state(candidate.state);
    to->set_eligible(candidate.eligible);
    to->set_item(candidate.item);
    to->set_verdict(candidate.verdict);
  }
  return response;
}

}  // namespace understudy::server
