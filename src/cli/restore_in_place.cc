// SPDX-License-Identifier: Apache-2.0
#include "cli/restore_in_place.h"

#include <fmt/format.h>

#include "base/first_line.h"
#include "cli/human.h"
#include "cli/progress_view.h"
#include "cli/repository_argument.h"
#include "cli/views.h"

namespace understudy::cli {
namespace {

// Another backup is waited for so long, and the copy that is backed up to have what was committed.
constexpr base::Duration kTurnLimit = std::chrono::minutes(10);
constexpr base::Duration kCopyLimit = std::chrono::seconds(30);

v1::RestoreInPlaceRequest RequestOf(const InPlaceArguments& arguments) {
  v1::RestoreInPlaceRequest request;
  request.set_database(arguments.database);
  request.set_repository(AbsoluteLocation(arguments.repository));
  request.set_backup(arguments.wanted.backup);
  request.set_at_ms(arguments.wanted.time.unix_ms);
  request.set_seq(arguments.wanted.seq);
  request.set_from(arguments.from);
  request.set_force(arguments.force);
  return request;
}

base::Result<v1::RestorePlan> Plan(rpc::AdminClient& client, v1::RestoreInPlaceRequest request) {
  request.set_dry_run(true);
  v1::RestorePlan plan;
  RETURN_IF_ERROR(client.RestoreInPlace(request, [&](const v1::RestoreInPlaceResponse& message) {
    if (message.has_plan()) plan = message.plan();
    return true;
  }));
  if (!plan.has_backup()) return base::Internal("the server did not tell what it would restore");
  return plan;
}

// Everything that the active copy has by now.
base::Status AwaitCopy(rpc::AdminClient& client, const v1::RestorePlan& plan) {
  if (plan.from() == plan.active()) return {};
  v1::WaitRequest request;
  request.set_database(plan.backup().database());
  request.set_timeout_ms(kCopyLimit / std::chrono::milliseconds(1));
  request.add_servers(plan.from());
  return client.Wait(request).status();
}

base::Result<v1::Backup> TakeCopy(Context& context, rpc::AdminClient& client,
                                  const v1::RestorePlan& plan) {
  RETURN_IF_ERROR(AwaitCopy(client, plan));
  v1::RunBackupRequest request;
  request.set_database(plan.backup().database());
  request.set_repository(plan.backup().repository());
  request.set_from(plan.from());
  request.set_type("copy");
  request.set_wait_ms(kTurnLimit / std::chrono::milliseconds(1));
  v1::Backup taken;
  ProgressView view(context.output(), context.env());
  RETURN_IF_ERROR(client.RunBackup(request, [&](const v1::RunBackupResponse& message) {
    if (message.has_progress()) view.Update(message.progress());
    if (message.has_result()) taken = message.result();
    return true;
  }));
  view.Finish();
  return taken;
}

// A backup of what is there now, beside the one that is restored.
base::Result<v1::Backup> BackUpNow(Context& context, rpc::AdminClient& client,
                                   const v1::RestorePlan& plan) {
  base::Result<v1::Backup> taken = TakeCopy(context, client, plan);
  if (taken.ok()) return taken;
  return base::Status(
      taken.status().code(),
      fmt::format("what is there now could not be backed up first: {}; nothing was changed\n"
                  "mend that, or say --no-copy to restore without it",
                  base::FirstLine(taken.status().message())));
}

NextBackup NextOf(const v1::RestorePlan& plan) {
  return {plan.next().id(), plan.next().position().seq(), plan.next().commit_ms()};
}

Json PlanJson(const InPlaceArguments& arguments, const v1::RestorePlan& plan) {
  return {{"database", arguments.database},
          {"backup", plan.backup().id()},
          {"repository", plan.backup().repository()},
          {"server", plan.from()},
          {"active", plan.active()},
          {"term", plan.backup().position().term()},
          {"position", plan.backup().position().seq()},
          {"committed", TimeJson(plan.backup().commit_ms())},
          {"next", ToJson(NextOf(plan))},
          {"active_term", plan.now().term()},
          {"active_position", plan.now().seq()}};
}

std::string PlanText(const InPlaceArguments& arguments, const v1::RestorePlan& plan) {
  const uint64_t now = plan.now().seq();
  const uint64_t then = plan.backup().position().seq();
  return ToText(NextOf(plan)) +
         fmt::format("backup {} has {} at position {}; the active copy on {} is at {}: {}\n",
                     plan.backup().id(), arguments.database, FormatCount(then), plan.active(),
                     FormatCount(now),
                     now > then ? fmt::format("{} commits are undone", FormatCount(now - then))
                                : std::string("nothing that is known is undone"));
}

}  // namespace

base::Status RestoreInPlace(Context& context, const InPlaceArguments& arguments) {
  ASSIGN_OR_RETURN(auto client, context.Connect());
  v1::RestoreInPlaceRequest request = RequestOf(arguments);
  ASSIGN_OR_RETURN(const v1::RestorePlan plan, Plan(*client, request));
  Json document = PlanJson(arguments, plan);
  std::string text = PlanText(arguments, plan);
  if (arguments.dry_run) {
    context.output().Document(Json{{"restore", document}}, text + "nothing was changed\n");
    return {};
  }
  if (!arguments.yes) {
    return base::InvalidArgument(
        "this changes what applications see; --dry-run tells what it undoes\nsay --yes");
  }
  request.set_from(plan.from());
  request.set_backup(plan.backup().id());
  request.set_at_ms(0);
  request.set_seq(0);
  v1::Backup kept;
  if (!arguments.no_copy) {
    ASSIGN_OR_RETURN(kept, BackUpNow(context, *client, plan));
    request.set_kept_to(kept.position().seq());
  }
  v1::ReplacedContent replaced;
  ProgressView view(context.output(), context.env());
  RETURN_IF_ERROR(client->RestoreInPlace(request, [&](const v1::RestoreInPlaceResponse& message) {
    if (message.has_progress()) view.Update(message.progress());
    if (message.has_replaced()) replaced = message.replaced();
    return true;
  }));
  view.Finish();
  document["replaced_by"] = replaced.at().seq();
  document["commits_meanwhile"] = replaced.meanwhile();
  document["kept"] = kept.id().empty() ? Json(nullptr) : Json(kept.id());
  text += fmt::format("the active copy has the backup's content since commit {}\n",
                      FormatCount(replaced.at().seq()));
  if (!kept.id().empty()) {
    text += fmt::format(
        "what was there is kept as backup {}; to have it again: understudy restore --in-place --db "
        "{} --repo {} --on {} --backup {} --yes\n",
        kept.id(), arguments.database, plan.backup().repository(), plan.from(), kept.id());
  }
  if (replaced.meanwhile() > 0 && !kept.id().empty()) {
    text += fmt::format("{} commits came after that backup, and are undone too\n",
                        FormatCount(replaced.meanwhile()));
  }
  context.output().Document(Json{{"restore", document}}, text);
  return {};
}

}  // namespace understudy::cli
