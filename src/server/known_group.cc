// SPDX-License-Identifier: Apache-2.0
#include "server/known_group.h"

#include <fmt/format.h>

#include <algorithm>

#include "cluster/backup_plans.h"

namespace understudy::server {

using cluster::DatabaseRecord;
using cluster::Registry;
using cluster::ServerRecord;

namespace {

bool IsAway(const base::Status& status) {
  return status.code() == base::Code::kUnavailable || status.code() == base::Code::kTimedOut;
}

}  // namespace

KnownGroup::KnownGroup(const ServerContext& context, const GroupCache& cache)
    : context_(context), cache_(cache) {
  const auto silence = cache.CoordinatorSilence();
  if (!silence || *silence <= kSilenceMax) return;
  away_ = base::Unavailable(fmt::format("the coordinator has not answered {} for {} s",
                                        context.server, *silence / std::chrono::seconds(1)));
}

template <typename T>
base::Result<T> KnownGroup::Read(base::Result<T> (Registry::*ask)(), T web::GroupView::* known) {
  return ReadWith([&] { return (context_.registry.*ask)(); }, known);
}

template <typename T, typename Ask>
base::Result<T> KnownGroup::ReadWith(const Ask& ask, T web::GroupView::* known) {
  if (away_.ok()) {
    base::Result<T> answer = ask();
    if (answer.ok() || !IsAway(answer.status())) return answer;
    away_ = answer.status();
  }
  const std::shared_ptr<const web::GroupView> group = cache_.Get();
  if (group == nullptr) return away_;
  return (*group).*known;
}

base::Result<std::vector<DatabaseRecord>> KnownGroup::Databases() {
  return Read(&Registry::Databases, &web::GroupView::databases);
}

base::Result<DatabaseRecord> KnownGroup::FindDatabase(const std::string& name) {
  ASSIGN_OR_RETURN(const std::vector<DatabaseRecord> databases, Databases());
  return cluster::FindByName("database", databases, name);
}

base::Result<std::vector<ServerRecord>> KnownGroup::Servers() {
  return Read(&Registry::Servers, &web::GroupView::servers);
}

base::Result<ServerRecord> KnownGroup::FindServer(const std::string& name) {
  ASSIGN_OR_RETURN(const std::vector<ServerRecord> servers, Servers());
  return cluster::FindByName("server", servers, name);
}

base::Result<std::vector<cluster::CopyStatusRecord>> KnownGroup::Statuses() {
  return Read(&Registry::Statuses, &web::GroupView::statuses);
}

base::Result<std::set<std::string>> KnownGroup::Maintenance() {
  return Read(&Registry::Maintenance, &web::GroupView::maintenance);
}

base::Result<cluster::GroupSettings> KnownGroup::Settings() {
  return Read(&Registry::Settings, &web::GroupView::settings);
}

base::Result<cluster::PlansView> KnownGroup::Plans() {
  return ReadWith([&] { return cluster::BackupPlans(context_.registry.coordinator()).Read(); },
                  &web::GroupView::plans);
}

int64_t KnownGroup::silence_ms() const {
  if (away_.ok()) return 0;
  const auto silence = cache_.CoordinatorSilence();
  return std::max<int64_t>(silence ? *silence / std::chrono::milliseconds(1) : 0, 1);
}

}  // namespace understudy::server
