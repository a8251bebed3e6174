// SPDX-License-Identifier: Apache-2.0
// A session's snapshot, and how its pages get away.
#include <fmt/format.h>

#include "backup/snapshot_scan.h"
#include "base/diag.h"
#include "rpc/protocol.h"
#include "server/backup_session.h"
#include "server/clone_snapshot.h"
#include "server/copy_snapshot.h"
#include "server/exposed_snapshot.h"
#include "server/log_rules.h"

namespace understudy::server {
namespace {

using cluster::EventNumber;
using cluster::Severity;

constexpr base::Duration kRequesterLook = std::chrono::seconds(1);

}  // namespace

base::Status BackupSession::PrepareSnapshot() {
  // What is durable here is replayed without being asked to; a snapshot does not wait for it.
  return {};
}

base::Status BackupSession::Freeze() {
  const base::Duration limit = Limit(backup::WriterEvent::kFreeze);
  auto opened = OpenCopySnapshot(context_, host_,
                                 {.database = options_.database,
                                  .with_hashes = backup::IsIncrement(options_.type),
                                  .limit = limit});
  if (opened.status().code() == base::Code::kTimedOut) {
    trouble_.limit = limit;
    trouble_.setting = LimitSetting(backup::WriterEvent::kFreeze);
  }
  ASSIGN_OR_RETURN(reading_, std::move(opened));
  if (context_.log_rules != nullptr) {
    context_.log_rules->SetHold(options_.database,
                                BackupHold(options_.id, context_.server, reading_->at().position));
  }
  return {};
}

// The provider: a clone of the file where the file system can do that, so that the read transaction
// ends; otherwise the read transaction. The path of the file for a requester that was promised one.
base::Result<std::string> BackupSession::ChooseProvider() {
  const ProviderChoice choice = context_.settings.Get().backup.provider;
  if (choice != ProviderChoice::kSnapshotRead) {
    const std::string path = ClonePath(host_.data_dir(), options_.id);
    auto cloned = CloneSnapshot(context_.env, *reading_, path);
    if (cloned.ok()) {
      snapshot_ = std::move(*cloned);
      reading_.reset();
      return PlaceClone(path);
    }
    if (choice == ProviderChoice::kReflink) {
      trouble_.setting = "backup.provider";
      trouble_.operation = "clone the database's file";
      return base::Status(cloned.status().code(),
                          cloned.status().message() +
                              "; backup.provider is \"reflink\", with \"auto\" it is read in a "
                              "transaction where no clone can be had");
    }
    if (cloned.status().code() != base::Code::kInvalidArgument) {
      base::Diag(base::DiagLevel::kWarning, "backup",
                 "the file was not cloned; the backup reads it in a transaction",
                 {{"database", options_.database}, {"why", cloned.status().ToString()}});
    }
  }
  snapshot_ = std::move(reading_);
  if (!options_.expose) return std::string();
  exposed_ = ExposedDirectory(host_.data_dir(), options_.id);
  return Expose(context_.env, *snapshot_, exposed_, ProgressSink());
}

// An own backup needs no name of the file that it has open, and leaves none.
base::Result<std::string> BackupSession::PlaceClone(const std::string& clone) {
  if (!options_.expose) {
    context_.env.Remove(clone).IgnoreError();  // then at the next start
    return std::string();
  }
  exposed_ = ExposedDirectory(host_.data_dir(), options_.id);
  ASSIGN_OR_RETURN(std::string path, ExposeClone(context_.env, clone, options_.database, exposed_));
  RETURN_IF_ERROR(backup::ScanSnapshot(*snapshot_, "checking", ProgressSink(), {}));
  return path;
}

base::Status BackupSession::PostSnapshot() {
  ASSIGN_OR_RETURN(const std::string path, ChooseProvider());
  Publish([&](View& view) {
    view.at = snapshot_->at().position;
    view.path = path;
  });
  return {};
}

base::Status BackupSession::Transfer() {
  if (!options_.repository.empty()) return Store();
  if (!options_.expose) RETURN_IF_ERROR(CheckPages());
  return AwaitRequester();
}

// A process that was killed may have got as far as the document: then all was done but telling it.
std::optional<backup::BackupDocument> BackupSession::FindFinished() const {
  if (!options_.resumed) return std::nullopt;
  base::Result<backup::BackupDocument> found = repository_->Find(options_.database, options_.id);
  if (!found.ok()) return std::nullopt;
  for (const backup::BackupFile& file : found->files) {
    const auto there = repository_->store().Stat(file.path);
    if (!there.ok() || there->bytes != file.bytes) return std::nullopt;
  }
  return std::move(*found);
}

base::Status BackupSession::Store() {
  if (std::optional<backup::BackupDocument> finished = FindFinished()) {
    NoteStored(*finished);
    return {};
  }
  backup::BackupOptions options;
  options.software = fmt::format("understudy {}", rpc::kVersion);
  options.id = options_.id;
  options.type = options_.type;
  options.or_full = options_.or_full;
  options.progress = ProgressSink();
  options.time_max = options_.within;
  options.predicted = [this](const backup::Prediction& prediction) {
    Publish([&](View& view) { view.prediction = prediction; });
  };
  backup::ThreadExecutor executor;
  backup::BackupResult result =
      backup::RunBackup(context_.env, executor, *repository_, *snapshot_, options);
  Publish([&](View& view) {
    view.document = result.document;
    if (result.instead_of_increment.empty()) return;
    view.note = fmt::format("taken as a full backup instead of {}: {}",
                            backup::BackupTypeName(options_.type), result.instead_of_increment);
  });
  if (result.status.ok()) NoteStored(result.document);
  if (options_.within > base::Duration(0) && result.phase == backup::Phase::kPrepareForBackup &&
      result.status.code() == base::Code::kTimedOut) {
    trouble_.limit = options_.within;
    trouble_.setting = "--within";
  }
  return result.status;
}

void BackupSession::NoteStored(const backup::BackupDocument& document) {
  Publish([&](View& view) { view.document = document; });
  const backup::BackupType type = document.type;
  if (type != backup::BackupType::kFull && type != backup::BackupType::kIncremental) return;
  base::MutexLock lock(mutex_);
  unnoted_ = document;
}

// For a requester that copies nothing: every page can be read, and is the one on record.
base::Status BackupSession::CheckPages() {
  return backup::ScanSnapshot(*snapshot_, "reading", ProgressSink(), {});
}

base::ProgressSink BackupSession::ProgressSink() {
  return [this](const base::Progress& progress) {
    turn_.SetProgress(progress.phase, progress);
    Publish([&](View& view) { view.progress = progress; });
    return !cancelled();
  };
}

// The session is no connection: whoever has its id may say that the requester lives.
base::Status BackupSession::AwaitRequester() {
  NoteRequester();
  Publish([](View& view) { view.ready = true; });
  while (true) {
    const base::Duration limit = Setting(cluster::kRequesterTimeout);
    base::Duration silence{};
    {
      base::MutexLock lock(mutex_);
      if (!completed_ && !cancel_) changed_.WaitFor(mutex_, kRequesterLook);
      if (cancel_) return base::Cancelled("the session was cancelled");
      if (completed_ == true) return {};
      if (completed_ == false) return base::Cancelled("the requester gave up");
      silence = context_.env.Now() - heard_;
    }
    if (silence <= limit) continue;
    trouble_.limit = limit;
    trouble_.setting = cluster::kRequesterTimeout;
    trouble_.operation = "hear of the requester " + options_.requester;
    context_.events.Add(EventNumber::kBackupAbandoned, Severity::kWarning, options_.database,
                        fmt::format("{}: its requester has said nothing for {} s; the session ends",
                                    ToString(turn_.lease()), silence / std::chrono::seconds(1)));
    return base::TimedOut(
        fmt::format("the requester {} has said nothing for too long", options_.requester));
  }
}

base::Status BackupSession::BackupComplete() { return {}; }

}  // namespace understudy::server
