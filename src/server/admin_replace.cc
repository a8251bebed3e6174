// SPDX-License-Identifier: Apache-2.0
// The active copy's content becomes another one, with one commit. Nothing is taken back: terms,
// logs and copies go on.
// Activation at a point in time: what it was then, from a lagged copy. What the commit undoes is
// kept as lost log, on the lagged copy's server, before anything is replaced.
#include <fmt/format.h>

#include "rpc/received_file.h"
#include "server/admin.h"
#include "server/lost_log_writer.h"
#include "server/lost_view.h"
#include "server/point_in_time.h"
#include "sqlite/raw_pages.h"
#include "sqlite/replace_content.h"

namespace understudy::server {
namespace {

using cluster::EventNumber;
using cluster::Severity;

// An application's transaction is waited for.
constexpr base::Duration kWriterLimit = std::chrono::seconds(10);
constexpr base::Duration kCaptureLimit = std::chrono::seconds(60);

// The pages of a database that nobody writes.
class FilePages final : public ship::BasePages {
 public:
  explicit FilePages(std::unique_ptr<sqlite::RawPages> pages) : pages_(std::move(pages)) {}
  uint32_t page_size() const override { return pages_->page_size(); }
  uint32_t pages() const override { return pages_->pages(); }
  base::Status ReadPages(base::PageNo first, uint32_t count, std::span<uint8_t> out) override {
    return pages_->ReadPages(first, count, out);
  }

 private:
  const std::unique_ptr<sqlite::RawPages> pages_;
};

base::Result<base::Position> Captured(ActiveCopy& copy) {
  return copy.tasks().Call<base::Position>(
      [](capture::Capture& capture) -> base::Result<base::Position> {
        RETURN_IF_ERROR(capture.CatchUp());
        return capture.captured().position;
      },
      kCaptureLimit);
}

}  // namespace

base::Result<v1::LostBundle> Admin::SaveAfter(PassiveCopy& copy, const LogPoint& point,
                                              std::shared_ptr<log::LogStore> log,
                                              const std::string& database_path) {
  LostLogWriter::Options options;
  options.directory = copy.paths().directory;
  options.log_directory = copy.paths().log;
  options.id =
      LostId(context_.env.WallNow(), {point.at.position.term, point.at.position.seq.Next()});
  options.database = copy.name();
  options.database_id = copy.id();
  options.server = context_.server;
  options.range.after = point.at.position;
  options.temporary = ".tmp-activate";
  options.reason = fmt::format(
      "an administrator makes the active copy what it was at {} (committed {}); this undoes what "
      "follows",
      base::ToString(point.at.position), base::ToRfc3339(point.at.commit_time));
  options.database_bytes_max = context_.settings.Get().lost.database_bytes_max;
  ASSIGN_OR_RETURN(std::unique_ptr<sqlite::RawPages> pages, sqlite::RawPages::Open(database_path));
  LostLogWriter writer(context_.env, std::move(options), std::move(log),
                       std::make_unique<FilePages>(std::move(pages)));
  while (true) {
    ASSIGN_OR_RETURN(const bool done, writer.RunOnce());
    if (done) break;
  }
  if (writer.manifest().files.empty()) return v1::LostBundle();  // the point is the end
  const LostManifest& lost = writer.manifest();
  context_.events.Add(
      EventNumber::kLostLogSaved, Severity::kInfo, copy.name(),
      fmt::format("commits {} to {} of {} are kept in {}: {}", base::ToString(lost.first),
                  base::ToString(lost.last), copy.name(), writer.bundle_directory(), lost.reason));
  return LostToProto({writer.bundle_directory(), lost, {}}, context_.server);
}

base::Status Admin::ReplaceActive(const v1::ActivateCopyRequest& request,
                                  const rpc::CallContext& call,
                                  const Sender<v1::ActivateCopyResponse>& send) {
  const std::shared_ptr<ActiveCopy> copy = host_.FindActive(request.database());
  if (copy == nullptr || !copy->IsMountedNow()) {
    return base::Unavailable(fmt::format("the active copy of {} on {} is not mounted",
                                         request.database(), context_.server));
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<rpc::AdminClient> client, Dial(request.server()));
  v1::ActivateCopyRequest forward = request;
  forward.set_into_active(false);
  forward.set_forwarded(true);
  forward.set_save_after(!request.dry_run());
  const std::string path =
      env::JoinPath(PathsOf(host_.data_dir(), request.database()).directory, kActivateFile);
  rpc::ReceivedFile file(context_.env, path, /*force=*/true);
  v1::CopyPoint point;
  base::Status failure;
  const base::Status received =
      client->ActivateCopy(forward, [&](const v1::ActivateCopyResponse& message) {
        if (message.has_point()) point = message.point();
        if (message.has_chunk()) failure = file.Take(message.chunk());
        if (message.has_end()) failure = file.End(message.end());
        const bool ours = message.has_chunk() || message.has_end();
        return failure.ok() && !call.cancelled() && (ours || send(message));
      });
  RETURN_IF_ERROR(failure);
  RETURN_IF_ERROR(received);
  if (request.dry_run()) return {};
  RETURN_IF_ERROR(file.Finish());
  if (call.cancelled()) return base::Cancelled("the client went away; nothing was replaced");
  NewContent content;
  content.path = path;
  content.position = base::Seq(point.at().seq());
  content.kept_to = base::Seq(std::max(point.last().seq(), point.at().seq()));
  content.what = fmt::format("that of {}.{} again (committed {})", point.at().term(),
                             point.at().seq(), base::ToRfc3339(base::WallTime{point.commit_ms()}));
  content.kept_in = "the lost log";
  const base::Result<v1::ReplacedContent> replaced = ReplaceFrom(*copy, content);
  context_.env.Remove(path).IgnoreError();  // the next one replaces it
  RETURN_IF_ERROR(replaced.status());
  v1::ActivateCopyResponse response;
  *response.mutable_replaced() = *replaced;
  send(response);
  return {};
}

base::Result<v1::ReplacedContent> Admin::ReplaceFrom(ActiveCopy& copy, const NewContent& content) {
  ASSIGN_OR_RETURN(const base::Position before, Captured(copy));
  const base::Status replaced = sqlite::ReplaceContent(
      {.destination = copy.path(), .source = content.path, .busy_timeout = kWriterLimit});
  if (!replaced.ok()) return replaced.WithContext("nothing was replaced");
  const base::Result<base::Position> captured = Captured(copy);
  if (!captured.ok()) {
    return captured.status().WithContext("the content was replaced, but is not in the log yet");
  }
  const base::Position after = *captured;
  const auto since = [&](base::Seq seq) {
    return before.seq > seq ? before.seq.value - seq.value : uint64_t{0};
  };
  const uint64_t meanwhile = since(content.kept_to);
  context_.events.Add(
      EventNumber::kContentReplaced, Severity::kWarning, copy.name(),
      fmt::format(
          "the content of {} is {}, by commit {}; {} commits are undone, {} of them not in {}",
          copy.name(), content.what, base::ToString(after), since(content.position), meanwhile,
          content.kept_in));
  v1::ReplacedContent done;
  done.mutable_at()->set_term(after.term.value);
  done.mutable_at()->set_seq(after.seq.value);
  done.set_meanwhile(meanwhile);
  return done;
}

}  // namespace understudy::server
